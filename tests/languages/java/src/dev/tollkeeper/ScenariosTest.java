package dev.tollkeeper;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import dev.tollkeeper.internal.nanojson.JsonObject;
import java.io.File;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The library against real servers, over TLS that trusts the site's own authority. */
class ScenariosTest {
    @TempDir
    Path folder;
    private final List<AutoCloseable> begun = new ArrayList<>();

    @AfterEach
    void end() throws Exception {
        Collections.reverse(begun);
        for (AutoCloseable each : begun) each.close();
    }

    private <T extends AutoCloseable> T afterwards(T each) {
        begun.add(each);
        return each;
    }

    private Sandbox sandbox(String name) throws Exception {
        return afterwards(new Sandbox(Files.createDirectories(folder.resolve(name))));
    }

    private Path cache() {
        return folder.resolve("cache");
    }

    private License licensed(LicenseSettings settings) throws LicenseException {
        return afterwards(License.initialize(settings));
    }

    private static LicenseException refusal(LicenseSettings settings) {
        return assertThrows(LicenseException.class, () -> License.initialize(settings).close());
    }

    /** A time in a slot that is over. */
    private static Date lately() {
        return new Date(System.currentTimeMillis() - 400_000);
    }

    @Test
    void authorizedByLicenseKeyAndCountedExactly() throws Exception {
        Sandbox server = sandbox("server");
        License license = licensed(server.settings(cache()));
        LicenseStatus status = license.getStatus();
        assertEquals(LicenseOrigin.SERVER, status.getOrigin());
        assertEquals(List.of(server.https, Sandbox.CODE), List.of(status.getServer(), status.getHandshakeCode()));
        assertTrue(status.getExpiresAt().after(new Date()));
        license.check();
        license.record("QR Code", 3, null, null, lately());
        license.record("EAN", 4, null, null, lately());
        license.report();
        license.report();
        assertEquals(7, server.total());
        assertEquals(200, assertThrows(LicenseException.class, () -> license.record("", 1)).getCode());
        assertEquals(200, assertThrows(LicenseException.class, () -> license.record("QR\nCode", 1)).getCode());
        assertEquals(200, assertThrows(LicenseException.class, () -> license.record("QR Code", 0)).getCode());
        license.close();
        assertEquals(302, assertThrows(LicenseException.class, license::check).getCode());
    }

    @Test
    void authorizedByFields() throws Exception {
        Sandbox server = sandbox("server");
        LicenseSettings settings = new LicenseSettings().setVendorPublicKey(server.vendorPublicKey()).setProduct("dbr").setMainServerURL(server.https)
            .setCertificateAuthority(server.fingerprint()).setHandshakeCode(Sandbox.CODE).setDataFolder(cache().toFile());
        assertEquals(Sandbox.CODE, licensed(settings).getStatus().getHandshakeCode());
        settings.setCertificateAuthority(Files.readString(server.data.resolve("tls/ca.pem"))).setHandshakeCode(null).setOrganizationId("216998");
        assertEquals("216998-100", licensed(settings).getStatus().getHandshakeCode());
        settings.setDataFolder(folder.resolve("other").toFile());
        LicenseException error = refusal(settings.setCertificateAuthority("sha256:" + "0".repeat(64)));
        assertEquals(303, error.getCode());
        assertTrue(error.getMessage().contains("the key says sha256:000"), error.getMessage());
        assertEquals(303, refusal(settings.setCertificateAuthority(null)).getCode(), "an authority that nobody knows");
    }

    @Test
    void worksOnWhileTheServerIsGoneAndReportsWhenItIsBack() throws Exception {
        Sandbox server = sandbox("server");
        LicenseSettings settings = server.settings(cache());
        License.initialize(settings).close();
        server.stop();
        License license = licensed(settings);
        assertEquals(LicenseOrigin.KEPT, license.getStatus().getOrigin());
        assertEquals(302, license.getStatus().getFailures().get(0).getCode());
        license.check();
        license.record("QR Code", 11);
        license.close();
        License later = licensed(settings);
        later.record("QR Code", 2);
        later.report();
        server.startAgain();
        assertEquals(0, server.total());
        server.advance("10m");
        later.renew();
        later.report();
        assertEquals(LicenseOrigin.SERVER, later.getStatus().getOrigin());
        assertEquals(13, server.total());
        later.renew();
        later.close();
        licensed(settings).report();
        assertEquals(List.of(13L, 1L), List.of(server.total(), server.devices(Sandbox.CODE)));
    }

    @Test
    void theStandbyServesWhenTheMainServerIsGone() throws Exception {
        Sandbox main = sandbox("main");
        Sandbox standby = sandbox("standby");
        LicenseSettings settings = new LicenseSettings().setVendorPublicKey(main.vendorPublicKey() + standby.vendorPublicKey()).setProduct("dbr")
            .setMainServerURL(main.https).setStandbyServerURL(standby.https).setHandshakeCode(Sandbox.CODE).setDataFolder(cache().toFile())
            .setCertificateAuthority(standby.fingerprint());
        main.stop();
        License license = licensed(settings);
        assertEquals(standby.https, license.getStatus().getServer());
        assertEquals(main.https, license.getStatus().getFailures().get(0).getServer());
        license.record("QR Code", 5, null, null, lately());
        license.report();
        assertEquals(5, standby.total());
    }

    @Test
    void aServerThatSaysItDoesNotServeIsLeftAndTheLicenseGoesOn() throws Exception {
        Sandbox server = sandbox("server");
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        License license = afterwards(License.initialize(server.settings(cache()), listener(heard)));
        assertEquals("changed true", heard.poll(30, TimeUnit.SECONDS));
        server.faults("{\"refuse\":100}");
        license.renew();
        assertEquals(LicenseOrigin.KEPT, license.getStatus().getOrigin());
        assertEquals(100, license.getStatus().getFailures().get(0).getCode());
        server.faults("{\"refuse\":120}");
        assertEquals(120, assertThrows(LicenseException.class, license::renew).getCode());
        assertEquals(120, assertThrows(LicenseException.class, license::check).getCode(), "the site's word ends it");
        server.faults("{\"refuse\":null}");
        license.renew();
        license.check();
    }

    @Test
    void aServerThatIsSilentIsLeftAfterItsTimeAndHoldsUpNoCount() throws Exception {
        Sandbox server = sandbox("server");
        License license = licensed(server.settings(cache()));
        server.faults("{\"silent\":true}");
        long began = System.nanoTime();
        Future<Void> asking = license.renewAsync(null);
        license.record("QR Code", 3);
        license.flush();
        license.check();
        assertFalse(asking.isDone());
        asking.get();
        long seconds = (System.nanoTime() - began) / 1_000_000_000;
        assertTrue(seconds >= 10 && seconds < 30, seconds + " s");
        assertEquals(LicenseOrigin.KEPT, license.getStatus().getOrigin());
        assertEquals("it did not answer in time", license.getStatus().getFailures().get(0).getMessage());
    }

    @Test
    void aReportWhoseAnswerIsLostCountsOnce() throws Exception {
        Sandbox server = sandbox("server");
        License license = licensed(server.settings(cache()));
        server.faults("{\"drop_reports\":true}");
        license.record("QR Code", 9, null, null, lately());
        license.report();
        assertEquals(9, server.total());
        server.faults("{\"drop_reports\":false}");
        license.renew();
        assertEquals(9, server.total());
        license.release();
        assertEquals(9, server.total());
    }

    @Test
    void renewedLongBeforeItEnds() throws Exception {
        Sandbox server = sandbox("server");
        License license = licensed(server.settings(cache()));
        Date before = license.getStatus().getExpiresAt();
        server.advance("6d");
        license.renew();
        assertEquals(6 * 86_400_000L, license.getStatus().getExpiresAt().getTime() - before.getTime());
        license.check();
    }

    @Test
    void endedWhenNoServerRenewedIt() throws Exception {
        Sandbox server = sandbox("server");
        LicenseSettings settings = server.settings(cache());
        License.initialize(settings).close();
        server.advance("6d");
        License.initialize(settings).close();
        server.stop();
        // The device's clock is 6 days behind the site's: what was learned counts over the end of the program.
        File device = new File(cache().toFile(), "java/device.json");
        JsonObject kept = Json.parse(Files.readAllBytes(device.toPath()));
        long site = Json.whole(kept.getObject("time"), "last_site");
        assertTrue(site > System.currentTimeMillis() / 1_000 + 5 * 86_400, kept.toString());
        kept.getObject("time").put("last_site", site + 8 * 86_400);
        Files.write(device.toPath(), Json.bytes(kept));
        assertEquals(305, refusal(settings).getCode());
    }

    @Test
    void aWrongSessionPasswordIs102WithWhatToTellWhom() throws Exception {
        Sandbox server = sandbox("server");
        LicenseSettings settings = new LicenseSettings().setVendorPublicKey(server.vendorPublicKey()).setProduct("dbr").setMainServerURL(server.https)
            .setCertificateAuthority(server.fingerprint()).setHandshakeCode("216998-locked").setApplicationId("com.example.scanner")
            .setDataFolder(cache().toFile());
        LicenseException error = refusal(settings.setSessionPassword("open window"));
        assertEquals(List.of(102, -20102, 1), List.of(error.getCode(), error.getSdkCode(), error.getFailures().size()));
        assertTrue(error.getMessage().contains("password"), error.getMessage());
        assertEquals("Session password is wrong", error.getTitle());
        assertTrue(error.getUserMessage().contains("administrator"), error.getUserMessage());
        assertEquals(114, refusal(settings.setSessionPassword("open sesame").setApplicationId("com.example.other")).getCode());
        licensed(settings.setApplicationId("com.example.scanner")).check();
    }

    /** Stands in the way of a server, and lengthens what it grants. */
    private String forger(Sandbox server) throws Exception {
        HttpServer forger = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        forger.createContext("/", exchange -> {
            HttpURLConnection onward = (HttpURLConnection) new URL(server.http + exchange.getRequestURI()).openConnection();
            onward.setRequestMethod("POST");
            onward.setDoOutput(true);
            onward.setRequestProperty("Content-Type", "application/json");
            onward.getOutputStream().write(exchange.getRequestBody().readAllBytes());
            JsonObject answer = Json.parse(onward.getInputStream().readAllBytes());
            String[] parts = answer.getString("authorization").split("\\.");
            JsonObject claims = Json.parse(Texts.fromBase64url(parts[1]));
            claims.put("exp", Json.whole(claims, "exp") + 86_400);
            answer.put("authorization", parts[0] + "." + Texts.toBase64url(Json.bytes(claims)) + "." + parts[2]);
            byte[] body = Json.bytes(answer);
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        forger.start();
        afterwards(() -> forger.stop(0));
        return "http://127.0.0.1:" + forger.getAddress().getPort();
    }

    @Test
    void aForgedAuthorizationIsRefused() throws Exception {
        Sandbox server = sandbox("server");
        LicenseSettings settings = new LicenseSettings().setVendorPublicKey(server.vendorPublicKey()).setProduct("dbr").setHandshakeCode(Sandbox.CODE)
            .setMainServerURL(forger(server)).setDataFolder(cache().toFile());
        LicenseException error = refusal(settings);
        assertEquals(304, error.getCode());
        assertTrue(error.getMessage().contains("changed after signing"), error.getMessage());
        // Nor one of a server that another vendor certified.
        Sandbox stranger = sandbox("stranger");
        error = refusal(settings.setMainServerURL(stranger.https).setCertificateAuthority(stranger.fingerprint()));
        assertEquals(304, error.getCode());
        assertTrue(error.getMessage().contains("does not know"), error.getMessage());
        // The kept one goes on.
        LicenseSettings good = server.settings(folder.resolve("good"));
        License.initialize(good).close();
        File grants = new File(folder.toFile(), "good/java/authorizations.json");
        String text = Files.readString(grants.toPath());
        server.stop();
        License.initialize(good).close();
        Files.writeString(grants.toPath(), text.replace("\"authorization\":\"eyJhbGciOi", "\"authorization\":\"eyJhbGciOj"));
        assertEquals(302, refusal(good).getCode(), "what somebody wrote into the cache is not believed");
    }

    @Test
    void aProductKeyIsAcceptedAndRefusedTogetherWithAHandshakeCode() throws Exception {
        Sandbox server = sandbox("server");
        String vendorKey = server.data.resolve("sandbox-vendor/vendor.key").toString();
        String[] command = {"vendor", "product-key", "--key", vendorKey, "--product", "dbr", "--module", "1d", "--valid-to", "2099-01-01"};
        String key = Sandbox.run(command).trim();
        LicenseSettings settings = new LicenseSettings().setVendorPublicKey(server.vendorPublicKey()).setProduct("dbr").setProductKey(key);
        License license = licensed(settings);
        assertEquals(LicenseOrigin.PRODUCT_KEY, license.getStatus().getOrigin());
        license.check("1d");
        license.record("QR Code");
        assertEquals(204, assertThrows(LicenseException.class, () -> license.check("qr-code")).getCode());
        assertEquals(106, refusal(new LicenseSettings(settings).setProduct("dwt")).getCode());
        assertEquals(307, refusal(new LicenseSettings(settings).setProductKey(key.substring(0, key.length() - 4) + "AAAA")).getCode());
        LicenseException error = refusal(settings.setHandshakeCode(Sandbox.CODE));
        assertEquals(301, error.getCode());
        assertTrue(error.getMessage().startsWith("productKey cannot be used together with a handshake code"), error.getMessage());
    }

    @Test
    void aDeviceWithoutNetworkIsServedByHand() throws Exception {
        Sandbox server = sandbox("server");
        LicenseSettings settings = new LicenseSettings().setVendorPublicKey(server.vendorPublicKey()).setProduct("dbr").setHandshakeCode(Sandbox.CODE)
            .setDataFolder(cache().toFile());
        LicenseException error = refusal(settings);
        assertEquals(302, error.getCode());
        Path request = Files.writeString(folder.resolve("request.txt"), License.requestByHand(settings).getFile());
        Path answer = folder.resolve("answer.txt");
        Sandbox.run("device", "authorize-file", request.toString(), "--out", answer.toString(), "--data", server.data.toString());
        String text = Files.readString(answer);
        assertEquals(304, assertThrows(LicenseException.class, () -> License.importAuthorization(settings, Files.readString(request))).getCode());
        License.importAuthorization(settings, text);
        error = assertThrows(LicenseException.class, () -> License.importAuthorization(settings, text));
        assertEquals(304, error.getCode(), "it answers a request that is answered");
        License license = licensed(settings);
        assertEquals(LicenseOrigin.CARRIED, license.getStatus().getOrigin());
        assertNull(license.reportsByHand());
        license.record("QR Code", 6, null, null, lately());
        Path reports = Files.writeString(folder.resolve("reports.txt"), license.reportsByHand().getFile());
        Path receipt = folder.resolve("receipt.txt");
        Sandbox.run("device", "import-reports", reports.toString(), "--out", receipt.toString(), "--data", server.data.toString());
        assertEquals(1, license.importReceipt(Files.readString(receipt)).getAccepted());
        assertNull(license.reportsByHand());
        assertEquals(6, server.total());
        assertTrue(assertThrows(LicenseException.class, license::release).getMessage().contains("report file"));
        license.check();
    }

    @Test
    void sealedRequestsReachTheServerItself() throws Exception {
        Sandbox server = sandbox("server");
        License license = licensed(server.settings(cache()).setSealed(true));
        license.record("QR Code", 8, null, null, lately());
        license.report();
        assertEquals(8, server.total());
        LicenseSettings locked = server.settings(cache()).setHandshakeCode("216998-locked");
        LicenseException error = refusal(locked.setSealed(true).setSessionPassword("open window"));
        assertEquals(102, error.getCode(), "a refusal is sealed too");
    }

    @Test
    void aModuleIsLicensedOrNot() throws Exception {
        Sandbox server = sandbox("server");
        License license = licensed(server.settings(cache()).setHandshakeCode("216998-page").setProduct("dwt").setLimitedModules("core", "ocr"));
        license.check("OCR");
        assertFalse(license.isLicensed("barcode"));
        assertTrue(assertThrows(LicenseException.class, () -> license.check("barcode")).getMessage().contains("'barcode' of 'dwt'"));
        assertEquals(204, refusal(server.settings(cache()).setHandshakeCode("216998-page").setProduct("dwt").setLimitedModules("barcode")).getCode());
        license.record("scanned", 3, null, "ocr", lately());
        license.report();
        assertEquals(3, server.total("216998-page"));
    }

    @Test
    void instancesAreSharedByAllLicensesOfTheMachine() throws Exception {
        Sandbox server = sandbox("server");
        LicenseSettings settings = server.settings(cache()).setHandshakeCode("216998-instances").setInstances(3);
        License one = licensed(settings);
        License other = licensed(settings);
        one.takeInstances(2);
        other.flush();
        assertEquals(List.of(1, 1), List.of(one.getIdleInstances(), other.getIdleInstances()));
        assertEquals(120, assertThrows(LicenseException.class, () -> other.takeInstances(2)).getCode());
        other.takeInstances(1);
        one.giveBackInstances(5);
        one.close();
        other.takeInstances(2);
        assertEquals(0, other.getIdleInstances());
    }

    /** One of an item, and no more. */
    private static String item(int id, String grace, String more) {
        return "item_id = " + id + "\nquota = 1\ngrace = { " + grace + " }\n" + more;
    }

    private static String floating(int id, String product) {
        return item(id, "tolerance = 0, growth_per_day = 0", "product = \"" + product + "\"\ncharge_way = \"concurrent_instance\"");
    }

    @Test
    void ofTwoApplicationsUnderOneCodeEachGivesBackItsOwn() throws Exception {
        Sandbox server = sandbox("server");
        server.sell("216998-both", floating(300_000_001, "dbr"), floating(300_000_002, "dwt"));
        LicenseSettings dbr = server.settings(cache()).setHandshakeCode("216998-both");
        LicenseSettings dwt = new LicenseSettings(dbr).setProduct("dwt");
        LicenseSettings elsewhere = server.settings(folder.resolve("other")).setHandshakeCode("216998-both");
        for (boolean isReversed : new boolean[] {false, true}) {
            License one = licensed(dbr);
            License other = licensed(dwt);
            assertEquals(120, refusal(elsewhere.setProduct("dbr")).getCode());
            (isReversed ? other : one).close();
            assertEquals(120, refusal(elsewhere.setProduct(isReversed ? "dbr" : "dwt")).getCode(), "the other one works");
            License.initialize(elsewhere.setProduct(isReversed ? "dwt" : "dbr")).close();
            (isReversed ? one : other).check();
            (isReversed ? one : other).close();
            License.initialize(elsewhere.setProduct(isReversed ? "dbr" : "dwt")).close();
        }
    }

    @Test
    void aNamedSeatOfAnotherApplicationStays() throws Exception {
        Sandbox server = sandbox("server");
        String named = "product = \"dbr\"\nmodules = [\"dpm\"]\ncharge_way = \"device\"\nperiod = \"quarter\"";
        server.sell("216998-mixed", floating(300_000_001, "dbr") + "\nmodules = [\"1d\"]", item(300_000_002, "percent = 0", named));
        LicenseSettings plain = server.settings(cache()).setHandshakeCode("216998-mixed").setLimitedModules("1d");
        LicenseSettings mixed = new LicenseSettings(plain).setLimitedModules("1d", "dpm");
        LicenseSettings elsewhere = server.settings(folder.resolve("other")).setHandshakeCode("216998-mixed").setLimitedModules("1d");
        License.initialize(mixed).close();
        License.initialize(plain).close();
        assertEquals(120, refusal(elsewhere).getCode(), "the first one may start with no network");
        server.stop();
        License.initialize(mixed).close();
        server.startAgain();
        // By hand it is given back, but for the seat.
        License.initialize(plain).release();
        License.initialize(elsewhere).close();
        assertEquals(120, refusal(elsewhere.setLimitedModules("dpm")).getCode());
        License.initialize(mixed).close();
    }

    @Test
    void whatCannotBeWrittenIsNotFollowedByGivingBack() throws Exception {
        Sandbox server = sandbox("server");
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        LicenseSettings settings = server.settings(cache()).setHandshakeCode("216998-instances");
        License license = afterwards(License.initialize(settings, listener(heard)));
        // In the way of what is written.
        Path inTheWay = Files.createDirectories(cache().resolve("java/.open.json.tmp"));
        license.record("QR Code", 3);
        assertEquals(306, assertThrows(LicenseException.class, license::release).getCode());
        license.close();
        assertFalse(Files.readString(cache().resolve("java/authorizations.json")).contains("\"withdrawn\":true"));
        Files.delete(inTheWay);
        License.initialize(settings).close();
        assertTrue(Files.readString(cache().resolve("java/authorizations.json")).contains("\"withdrawn\":true"));
    }

    private static LicenseListener listener(BlockingQueue<String> heard) {
        return new LicenseListener() {
            @Override
            public void licenseChanged(LicenseStatus status) {
                heard.add("changed " + status.isLicensed());
            }

            @Override
            public void reportSent(ReportOutcome outcome) {
                heard.add("report " + outcome.getAccepted() + " " + outcome.getDuplicate() + " " + outcome.getRejected());
            }

            @Override
            public void warning(LicenseException error) {
                heard.add("warning " + error.getCode());
            }
        };
    }

    @Test
    void nothingNeedsToWait() throws Exception {
        Sandbox server = sandbox("server");
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        ExecutorService main = Executors.newSingleThreadExecutor(work -> new Thread(work, "main of the test"));
        afterwards(main::shutdown);
        LicenseSettings settings = server.settings(cache()).setExecutor(main);
        Future<License> coming =
            License.initLicense(settings, (success, error) -> heard.add(success + " " + error + " on " + Thread.currentThread().getName()));
        assertEquals("true null on main of the test", heard.poll(30, TimeUnit.SECONDS));
        License license = afterwards(coming.get());
        license.record("QR Code", 2, null, null, lately());
        license.reportAsync((nothing, error) -> heard.add("reported " + error)).get();
        assertEquals("reported null", heard.poll(30, TimeUnit.SECONDS));
        assertEquals(2, server.total());
        license.releaseAsync((nothing, error) -> heard.add("released " + error)).get();
        assertEquals("released null", heard.poll(30, TimeUnit.SECONDS));
        LicenseSettings wrong = server.settings(cache()).setProduct("dwt");
        License.initLicense(wrong, (success, error) -> heard.add(success + " " + ((LicenseException) error).getCode()));
        assertTrue(heard.poll(30, TimeUnit.SECONDS).startsWith("false 10"));
    }

    @Test
    void aListenerMayCallEverything() throws Exception {
        Sandbox server = sandbox("server");
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        BlockingQueue<License> there = new LinkedBlockingQueue<>();
        LicenseListener eager = new LicenseListener() {
            @Override
            public void reportSent(ReportOutcome outcome) {
                try {
                    License license = there.take();
                    license.renew();
                    license.release();
                    heard.add("released");
                } catch (LicenseException | InterruptedException error) {
                    heard.add(error.toString());
                }
            }

            @Override
            public void licenseChanged(LicenseStatus status) {
                heard.add(status.isLicensed() ? "licensed" : status.getError().getMessage());
            }
        };
        License license = License.initialize(server.settings(cache()), eager);
        there.add(license);
        license.record("QR Code", 2, null, null, lately());
        license.report();
        for (String each : List.of("licensed", "released")) assertEquals(each, heard.poll(30, TimeUnit.SECONDS));
        license.close();
        // What it wanted is done when its thread is gone, and nobody heard of it: the listener that ends a license is the last.
        while (hasSession(cache().resolve("java"))) Thread.sleep(20);
        assertEquals(null, heard.poll());
        assertEquals(2, server.total());
    }

    private static boolean hasSession(Path folder) {
        String[] names = folder.toFile().list((parent, name) -> name.startsWith("session-"));
        return names == null || names.length > 0;
    }

    @Test
    void aDamagedFileOfTheCacheCostsNoMoreThanWhatWasInIt() throws Exception {
        Sandbox server = sandbox("server");
        LicenseSettings settings = server.settings(cache());
        License.initialize(settings).close();
        Path open = cache().resolve("java/open.json");
        Files.writeString(open, "{\"version\":1,\"reports\":[7]}");
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        License license = afterwards(License.initialize(settings, listener(heard)));
        license.check();
        license.renew();
        assertTrue(heard.contains("warning 306"), heard.toString());
        assertTrue(Files.exists(cache().resolve("java/open.damaged")));
        Files.writeString(open, "{\"version\":2}");
        assertEquals(306, refusal(settings).getCode());
        LicenseException error = refusal(server.settings(open));
        assertEquals(306, error.getCode());
        assertTrue(error.getMessage().contains(open + "/java") && error.getMessage().contains("set dataFolder"), error.getMessage());
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(cache().resolve("java"))));
    }

    @Test
    void anInterruptedThreadLeavesTheCacheWhole() throws Exception {
        Sandbox server = sandbox("server");
        License license = licensed(server.settings(cache()));
        license.record("QR Code", 4, null, null, lately());
        Thread.currentThread().interrupt();
        license.flush();
        assertTrue(Thread.currentThread().isInterrupted());
        assertEquals(302, assertThrows(LicenseException.class, license::report).getCode());
        assertTrue(Thread.interrupted());
        license.report();
        assertEquals(4, server.total());
    }
}
