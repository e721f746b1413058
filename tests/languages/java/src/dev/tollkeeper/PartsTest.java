package dev.tollkeeper;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The small parts, each by itself. */
class PartsTest {
    @TempDir
    Path folder;

    @Test
    void aClockThatIsTurnedBackStandsStillForTheLicense() {
        SiteTime time = new SiteTime(SiteTime.Kept.NOTHING, at(1_000, 0));
        assertEquals(1_000, time.tell(at(1_000, 0)));
        assertEquals(1_050, time.tell(at(400, 50)), "the monotonic clock goes on");
        SiteTime next = new SiteTime(time.kept(), at(100, 0));
        assertEquals(1_050, next.tell(at(100, 0)), "over a restart too");
        assertEquals(2_000, next.tell(at(2_000, 7)));
    }

    @Test
    void aClockThatDiffersFromTheServersIsCorrectedAndNeedsThatNoMoreWhenItIsMended() {
        for (long wrong : new long[] {-5_000, 5_000}) {
            SiteTime time = new SiteTime(SiteTime.Kept.NOTHING, at(100_000 + wrong, 0));
            time.learn(100_000, at(100_000 + wrong, 0));
            assertEquals(100_060, time.tell(at(100_060 + wrong, 60)));
            SiteTime next = new SiteTime(time.kept(), at(100_090 + wrong, 5));
            assertEquals(100_090, next.stamp(at(100_090 + wrong, 5)));
            assertEquals(List.of(100_100L, 100_100L), List.of(next.stamp(at(100_100, 15)), next.tell(at(100_100, 15))));
        }
    }

    @Test
    void useIsStampedByTheClockThatIsRightAgainWhileTheLicenseIsNotLengthened() {
        SiteTime time = new SiteTime(SiteTime.Kept.NOTHING, at(1_000_000, 0));
        time.learn(1_000_000, at(1_000_000, 0));
        assertEquals(1_086_400, time.stamp(at(1_086_400, 1)));
        assertTrue(time.hasJumped(at(1_000_002, 2)));
        assertEquals(List.of(1_000_002L, 1_086_401L), List.of(time.stamp(at(1_000_002, 2)), time.tell(at(1_000_002, 2))));
        SiteTime bare = new SiteTime(SiteTime.Kept.NOTHING, at(10, 0));
        bare.raise(400_000, at(10, 0));
        assertEquals(List.of(400_010L, 400_010L), List.of(bare.tell(at(20, 10)), bare.stamp(at(20, 10))), "a device without a clock");
    }

    private static SiteTime.Moment at(long local, long monotonic) {
        return new SiteTime.Moment(local, monotonic);
    }

    @Test
    void pausesDoubleToTheirLimitAndBeginAnew() {
        Backoff backoff = new Backoff();
        List<Long> pauses = new ArrayList<>();
        for (int time = 0; time < 7; time++) pauses.add(backoff.next(true, 0.5, 0));
        assertEquals(List.of(180L, 360L, 720L, 1_440L, 2_880L, 3_600L, 3_600L), pauses);
        backoff.reset();
        assertEquals(90, backoff.next(true, 0, 0));
        assertEquals(List.of(120L, 180L), List.of(new Backoff().next(false, 0, 120), new Backoff().next(false, 1, 120)), "what the server asks for");
    }

    @Test
    void moreTypesOrUnitsThanAReportHoldsGoIntoAFurtherOne() {
        State state = new State();
        Counting.Counts counts = new Counting.Counts();
        for (int type = 0; type < 150; type++) counts.add(new UsageReport.Key(0, "scan", null), "T" + type, 1);
        counts.add(new UsageReport.Key(0, "scan", null), "T0", UsageReport.COUNT_MAX + 4);
        Counting.add(state, counts, "g", "216998-line4", "dbr", 3);
        long total = 0;
        for (State.OpenReport open : state.open) {
            assertTrue(open.report.counts.size() <= UsageReport.TYPES_MAX);
            for (long count : open.report.counts.values()) {
                assertTrue(count <= UsageReport.COUNT_MAX);
                total += count;
            }
        }
        assertEquals(List.of(3, 150 + UsageReport.COUNT_MAX + 4, 3), List.of(state.open.size(), total, state.open.get(0).report.instances));
        Counting.close(state, 180, 180 + Times.REPORT_MAX_AGE_SECONDS);
        assertEquals(List.of(0, 3), List.of(state.open.size(), state.stored().size()));
        assertEquals('7', state.stored().get(0).report.id.charAt(14));
        Counting.close(state, 180, 181 + Times.REPORT_MAX_AGE_SECONDS);
        assertTrue(state.days.isEmpty(), "reports are kept for thirty days");
    }

    @Test
    void aBarcodeCountsOnceInAFrameAndAgainAfterThePause() {
        Deduplicator seen = new Deduplicator();
        assertTrue(seen.isNew("QR", "a", 0));
        assertFalse(seen.isNew("QR", "a", 0));
        assertTrue(seen.isNew("EAN", "a", 0) && seen.isNew("QR", "b", 0));
        assertFalse(seen.isNew("QR", "a", 2_999));
        assertTrue(seen.isNew("QR", "a", 3_000));
        Deduplicator eager = new Deduplicator(0);
        assertTrue(eager.isNew("QR", "a", 1) && !eager.isNew("QR", "a", 1) && eager.isNew("QR", "a", 2));
        assertThrows(IllegalArgumentException.class, () -> new Deduplicator(-1));
        assertTrue(seen.isNew("QR", "by the clock of the machine") && !seen.isNew("QR", "by the clock of the machine"));
    }

    @Test
    void settingsThatMakeNoSenseAreRefusedWithTheirNames() throws Exception {
        FakeSite site = new FakeSite();
        String zeros = "sha256:" + "0".repeat(64);
        Object[][] cases = {
            {"product is not set", change(settings -> settings.setProduct(null))},
            {"vendorPublicKey is not set", change(settings -> settings.setVendorPublicKey(null))},
            {"vendorPublicKey: it is damaged", change(settings -> settings.setVendorPublicKey("AAAA"))},
            {"licenseKey: ", change(settings -> settings.setLicenseKey("TK1.x"))},
            {"standbyServerURL is set", change(settings -> settings.setMainServerURL(null).setStandbyServerURL("https://b"))},
            {"must start with https://", change(settings -> settings.setMainServerURL("main:48443"))},
            {"is not encrypted, but certificateAuthority", change(settings -> settings.setMainServerURL("http://a").setCertificateAuthority(zeros))},
            {"certificateAuthority: 'abc' is neither", change(settings -> settings.setCertificateAuthority("abc"))},
            {"productKey cannot be used together with a handshake code", change(settings -> settings.setProductKey("eyJ"))},
            {"no license server and no product key", change(settings -> settings.setMainServerURL(null).setHandshakeCode(null))},
            {"deploymentType: 'phone' is none of", change(settings -> settings.setDeploymentType("phone"))},
            {"instances: '0' is not a whole number from 1 to 1000000", change(settings -> settings.setInstances(0))},
            {"maxBufferDays: '366'", change(settings -> settings.setMaxBufferDays(366))},
        };
        for (Object[] each : cases) {
            @SuppressWarnings("unchecked")
            Consumer<LicenseSettings> change = (Consumer<LicenseSettings>) each[1];
            LicenseException error = assertThrows(LicenseException.class, () -> site.config(change), (String) each[0]);
            assertEquals(301, error.getCode());
            assertTrue(error.getMessage().contains((String) each[0]), error.getMessage());
        }
        LicenseSettings settings = new LicenseSettings();
        assertTrue(assertThrows(LicenseException.class, () -> settings.set("handshakecode", "x")).getMessage().contains("handshakeCode"));
        assertThrows(LicenseException.class, () -> settings.set("chargeWay", "free"));
        assertNull(settings.set("product", "dbr").set("product", "").get("product"), "an empty value takes it back");
        for (String name : LicenseSettings.NAMES) settings.set(name, "");
    }

    private static Consumer<LicenseSettings> change(Consumer<LicenseSettings> change) {
        return change;
    }

    @Test
    void theSameRequestIsKnownAgainAndAnotherIsNot() throws Exception {
        FakeSite site = new FakeSite();
        String one = site.config(settings -> {}).askedFor;
        assertEquals(one, site.config(settings -> settings.setFlushSeconds(3)).askedFor);
        assertNotEquals(one, site.config(settings -> settings.setProductVersion("2")).askedFor);
        assertNotEquals(one, site.config(settings -> settings.setSessionPassword("x")).askedFor);
    }

    @Test
    void aMachineKeepsItsUuidAndAnotherHasAnother() throws Exception {
        File root = folder.toFile();
        assertNull(Machine.hardwareUuid(root, false), "no id, no binding");
        write("etc/machine-id", "0aa\n");
        write("proc/cpuinfo", "model name\t: Xeon\n");
        String first = Machine.hardwareUuid(root, false);
        byte[] hash = Texts.sha256(Texts.utf8("tollkeeper device\0" + "0aa\0" + "Xeon"));
        assertEquals(Texts.uuidOf(Arrays.copyOf(hash, 16), 8), first, "as the other languages tell it");
        write("sys/class/net/eth0/address", "02:00:00:00:00:01\n");
        write("sys/class/net/eth0/device/x", "");
        assertEquals(first, Machine.hardwareUuid(root, false));
        String arm = Machine.hardwareUuid(root, true);
        write("sys/class/net/docker0/address", "02:00:00:00:00:02\n");
        assertEquals(arm, Machine.hardwareUuid(root, true), "a bridge is no part of the machine");
        write("etc/machine-id", "0ab\n");
        assertNotEquals(first, Machine.hardwareUuid(root, false));
    }

    private void write(String name, String text) throws Exception {
        Path path = folder.resolve(name);
        Files.createDirectories(path.getParent());
        Files.writeString(path, text);
    }

    @Test
    void whoEndedUsesNothingAndIsNotMadeByLookingAtIt() throws Exception {
        File cache = folder.resolve("cache").toFile();
        Folder one = new Folder(cache, "a grant");
        Folder other = new Folder(cache, "another");
        File ended = new File(cache, "session-" + Texts.uuidOf(Texts.random(16), 4) + ".lock");
        assertThrows(IOException.class, () -> LockFile.openToRead(ended));
        assertFalse(ended.exists());
        Files.writeString(ended.toPath(), "that of one that was killed");
        assertEquals(List.of("another"), one.with(state -> one.usedByOthers()));
        assertFalse(ended.exists());
        other.leave();
        assertEquals(List.of(), one.with(state -> one.usedByOthers()));
        one.leave();
    }

    /** Begins an answer, and goes on byte after byte. */
    private static void drip(ServerSocket server, byte[] beginning) {
        try (Socket socket = server.accept()) {
            socket.getOutputStream().write(beginning);
            for (int at = 0; at < 200; at++) {
                socket.getOutputStream().write('0');
                Thread.sleep(20);
            }
        } catch (IOException | InterruptedException error) {
            // Nobody listens any more.
        }
    }

    @Test
    void aServerIsLeftWhenItsTimeIsOverWhateverItDoes() throws Exception {
        Map<String, String> beginnings = Map.of("https", "\u0016\u0003\u0003\u0040\u0000", "http", "HTTP/1.1 20", "http:",
            "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        for (Map.Entry<String, String> each : beginnings.entrySet()) {
            try (ServerSocket server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
                Thread dripping = new Thread(() -> drip(server, Texts.utf8(each.getValue())));
                dripping.start();
                String url = each.getKey().replace(":", "") + "://127.0.0.1:" + server.getLocalPort();
                Link link = new Link(url, new FakeSite().config(settings -> settings.setMainServerURL(url)));
                long began = System.nanoTime();
                Event event = link.ask(FakeSite.RELEASE, Texts.utf8("{}"), null, 0, 500);
                long took = (System.nanoTime() - began) / 1_000_000;
                assertEquals("it did not answer in time", ((Event.Unanswered) event).message, each.getKey());
                assertTrue(took >= 450 && took < 1_500, took + " ms");
                dripping.join(2_000);
                assertFalse(dripping.isAlive(), each.getKey() + ": it is told that nobody listens");
            }
        }
    }

    @Test
    void timesAreReadAndWrittenAsTheCalendarHasThem() {
        for (long day = -1_000; day < 60_000; day += 7) {
            String date = LocalDate.ofEpochDay(day).toString();
            assertEquals(date, Times.dateOf(day));
            assertEquals(day * Times.DAY_SECONDS, Times.parse(date + "T00:00:00Z"));
        }
        assertEquals(Times.parse("2026-11-22T05:04:30Z"), Times.parse("2026-11-22t07:04:30.5+02:00"));
        for (String none : Arrays.asList(null, "", "2026-11-22", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00")) {
            assertNull(Times.parse(none), none);
        }
    }

    @Test
    void base64AndJsonAreReadStrictly() {
        for (int length = 0; length < 40; length++) {
            byte[] bytes = Texts.random(length);
            assertEquals(Texts.hex(bytes), Texts.hex(Texts.fromBase64url(Texts.toBase64url(bytes))));
        }
        for (String bad : List.of("A", "AB=", "A B", "AB+/", "AB\n", "AR", "AAF")) assertNull(Texts.fromBase64url(bad), bad);
        String deep = "{\"a\":" + "[".repeat(20) + "]".repeat(20) + "}";
        for (String bad : List.of("", "[]", "{", "{'a':1}", "{\"a\":1,}", "{\"a\":01}", "{\"a\":1} x", deep)) {
            assertNull(Json.parse(Texts.utf8(bad)), bad);
        }
        assertNull(Json.parse(new byte[] {'{', '"', (byte) 0xff, '"', ':', '1', '}'}), "no UTF-8");
        assertEquals(new TreeMap<>(Map.of("b", 2L)), Json.wholes(Json.parse(Texts.utf8("{\"a\":\"[{\\\"\",\"b\":2,\"c\":2.5}"))));
    }
}
