package dev.tollkeeper;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Threads, licenses and processes that share one cache, and such as die. */
class SharingTest {
    /** Of seats, on which any number of units may be counted. */
    static final String CODE = "216998-quarter";

    @TempDir
    Path folder;
    private Sandbox server;
    private Path vendor;
    private final List<AutoCloseable> begun = new ArrayList<>();

    @BeforeEach
    void begin() throws Exception {
        server = afterwards(new Sandbox(Files.createDirectories(folder.resolve("server"))));
        vendor = Files.writeString(folder.resolve("vendor.pub"), server.vendorPublicKey());
    }

    @AfterEach
    void end() throws Exception {
        Collections.reverse(begun);
        for (AutoCloseable each : begun) each.close();
    }

    private <T extends AutoCloseable> T afterwards(T each) {
        begun.add(each);
        return each;
    }

    private LicenseSettings settings() {
        return server.settings(cache()).setHandshakeCode(CODE);
    }

    private Path cache() {
        return folder.resolve("cache");
    }

    @Test
    void manyThreadsOfManyLicensesCountExactly() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(8);
        afterwards(threads::shutdown);
        List<License> licenses = new ArrayList<>();
        for (int number = 0; number < 2; number++) licenses.add(afterwards(License.initialize(settings().setFlushSeconds(1))));
        Date lately = new Date(System.currentTimeMillis() - 400_000);
        List<Future<?>> ends = new ArrayList<>();
        for (int thread = 0; thread < 8; thread++) {
            License license = licenses.get(thread % 2);
            ends.add(threads.submit(() -> {
                for (int unit = 0; unit < 250; unit++) {
                    license.record("QR Code", 1, null, null, lately);
                    if (unit % 50 == 0) license.flush();
                    if (unit % 100 == 0) license.report();
                }
                return null;
            }));
        }
        for (Future<?> each : ends) each.get();
        for (License license : licenses) license.close();
        try (License last = License.initialize(settings())) {
            last.report();
        }
        assertEquals(List.of(2_000L, 1L), List.of(server.total(CODE), server.devices(CODE)));
    }

    @Test
    void twoProcessesShareOneCache() throws Exception {
        List<DriverProcess> drivers = List.of(afterwards(new DriverProcess()), afterwards(new DriverProcess()));
        for (DriverProcess driver : drivers) {
            driver.configure(server, vendor, cache());
            driver.done("initialize");
        }
        for (int round = 0; round < 10; round++) {
            for (DriverProcess driver : drivers) {
                driver.done("record 1 QR Code");
                driver.done("flush");
            }
        }
        String[] devices = new String[2];
        for (int at = 0; at < 2; at++) {
            String status = drivers.get(at).tell("status").substring(2);
            devices[at] = Json.parse(Texts.utf8(status)).getString("client_uuid");
        }
        assertEquals(devices[0], devices[1]);
        drivers.get(0).done("close");
        server.advance("10m");
        drivers.get(1).done("renew");
        drivers.get(1).done("close");
        assertEquals(List.of(20L, 1L), List.of(server.total(CODE), server.devices(CODE)));
        assertTrue(drivers.get(0).tell("initialize").equals("0"));
        drivers.get(0).done("release");
        assertTrue(drivers.get(0).tell("nonsense").startsWith("-1 "));
    }

    @Test
    void aProcessThatIsKilledCostsNoMoreThanItHadNotFlushed() throws Exception {
        int worked = 0;
        for (int units : new int[] {150, 420, 250}) {
            DriverProcess driver = afterwards(new DriverProcess());
            driver.configure(server, vendor, cache());
            driver.done("set flushSeconds 1");
            driver.done("initialize");
            driver.done("record 100 QR Code");
            driver.done("flush");
            driver.say(units == 420 ? "work renewing" : "work");
            worked += driver.killAfter(units);
        }
        server.advance("10m");
        try (License license = License.initialize(settings())) {
            license.report();
        }
        long total = server.total(CODE);
        assertTrue(total >= 300 && total <= 300 + worked, total + " of 300 and " + worked);
        try (var files = Files.list(cache().resolve("java"))) {
            assertTrue(files.noneMatch(file -> file.toString().endsWith(".damaged")));
        }
    }
}
