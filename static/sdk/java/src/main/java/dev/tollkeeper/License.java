package dev.tollkeeper;

import com.grack.nanojson.JsonObject;
import java.io.File;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.concurrent.Future;

/**
 * What an application holds: its license. One call gets it, and from then on threads of its own renew
 * it and report use, until it is closed. Any thread may use it at any time.
 *
 * <pre>{@code
 * License license = License.initialize(settings);
 * license.check();           // at every use: throws unless the product is licensed now
 * license.record("QR Code"); // at every scan
 * license.close();           // at the end: what was counted is on disk, a floating license is given back
 * }</pre>
 *
 * <p>What waits for a disk or a server has a sibling that does not, whose name ends in {@code Async}: it
 * gives a {@link Future}, and calls a {@link LicenseCallback} if there is one.
 */
public final class License implements AutoCloseable {
    /** The version of this library. */
    public static final String VERSION = "0.1.0";

    private final Config config;
    /** {@code null} with product keys. */
    private final Worker worker;
    /** {@code null} without product keys. */
    private final List<ProductKeys.Key> keys;
    private final String machine;
    private final LicenseStatus keyStatus;
    private int heldByKeys;
    private volatile boolean isClosed;

    /** Without asking anybody. */
    private License(LicenseSettings settings, LicenseListener listener) throws LicenseException {
        config = new Config(settings);
        machine = config.isHardwareBound || config.productKey != null ? Machine.hardwareUuid() : null;
        if (config.productKey != null) {
            worker = null;
            keys = ProductKeys.read(config.productKey, config.vendors);
            long expiresAt = Long.MAX_VALUE;
            for (ProductKeys.Key key : checkKeys(config.limitedModules)) expiresAt = Math.min(expiresAt, key.validTo);
            keyStatus = new LicenseStatus(null, null, LicenseOrigin.PRODUCT_KEY, null, expiresAt, null, config.instances,
                Collections.<ServerFailure>emptyList());
            return;
        }
        if (config.isHardwareBound && machine == null) {
            throw LicenseException.settings("uuidMethod is hardware, but this machine's system tells no id (/etc/machine-id): use random, or give it "
                + "one");
        }
        keys = null;
        keyStatus = null;
        worker = new Worker(config, folderOf(config), machine, listener);
    }

    private static File folderOf(Config config) throws LicenseException {
        String home = System.getProperty("user.home", "");
        if (config.dataFolder == null && (home.isEmpty() || home.equals("/") || home.equals("?"))) {
            throw LicenseException.settings("this user has no home directory: set dataFolder, on Android to context.getFilesDir()");
        }
        // A folder of its own: locks of other languages' libraries are of another kind.
        return new File(config.dataFolder == null ? new File(home, ".tollkeeper") : new File(config.dataFolder), "java");
    }

    private List<ProductKeys.Key> checkKeys(List<String> modules) throws LicenseException {
        return ProductKeys.check(keys, new ProductKeys.Request(config.product, config.productVersion, config.edition, config.deploymentType, modules,
            machine, null), SiteTime.Moment.now().local);
    }

    // ---- getting it ----

    /**
     * Gets the license: from the main server, else the standby, else the authorization kept from
     * before, else by product keys. Waits for the servers, at most 20 seconds each.
     *
     * @param settings What the application sets.
     * @return The license; to be closed.
     * @throws LicenseException Why there is none.
     */
    public static License initialize(LicenseSettings settings) throws LicenseException {
        return initialize(settings, null);
    }

    /**
     * The same, with a listener.
     *
     * @param settings What the application sets.
     * @param listener Hears of what happens; may be {@code null}.
     * @return The license; to be closed.
     * @throws LicenseException Why there is none.
     */
    public static License initialize(LicenseSettings settings, LicenseListener listener) throws LicenseException {
        License license = start(settings, listener);
        LicenseException error = license.getStatus().getError();
        if (error == null) return license;
        license.close();
        throw error.again();
    }

    /**
     * The same as {@link #initialize(LicenseSettings, LicenseListener)} without waiting.
     *
     * @param settings What the application sets.
     * @param listener Hears of what happens; may be {@code null}.
     * @param callback Hears of the license, or why there is none; may be {@code null}.
     * @return The license to come.
     */
    public static Future<License> initializeAsync(LicenseSettings settings, LicenseListener listener, LicenseCallback<License> callback) {
        LicenseSettings copy = new LicenseSettings(settings);
        return Async.run(() -> initialize(copy, listener), copy.executor(), callback);
    }

    /**
     * Begins without waiting, in the words of applications that had a license server before: the
     * listener is called once, with true, or with false and why.
     *
     * @param settings What the application sets.
     * @param listener Hears whether the application is licensed.
     * @return The license to come; it is there when the listener is called with true.
     */
    public static Future<License> initLicense(LicenseSettings settings, LicenseVerificationListener listener) {
        return initializeAsync(settings, null, (license, error) -> listener.licenseVerificationCallback(error == null, error));
    }

    /**
     * Gets a license also when there is none yet, for an application that goes on and waits: it is asked for
     * again and again, and the listener tells. Waits for the servers once, at most 20 seconds each.
     *
     * @param settings What the application sets.
     * @param listener Hears of what happens; may be {@code null}.
     * @return The license; to be closed. See {@link #check()}.
     * @throws LicenseException For what waiting does not mend: 301, 306, 307 and misfits of product keys.
     */
    public static License start(LicenseSettings settings, LicenseListener listener) throws LicenseException {
        License license = new License(settings, listener);
        boolean isStarted = false;
        try {
            if (license.worker != null) license.worker.start();
            isStarted = true;
        } finally {
            if (!isStarted) license.close();
        }
        return license;
    }

    /**
     * The same as {@link #start} without waiting.
     *
     * @param settings What the application sets.
     * @param listener Hears of what happens; may be {@code null}.
     * @param callback Hears of the license, or of what waiting does not mend; may be {@code null}.
     * @return The license to come.
     */
    public static Future<License> startAsync(LicenseSettings settings, LicenseListener listener, LicenseCallback<License> callback) {
        LicenseSettings copy = new LicenseSettings(settings);
        return Async.run(() -> start(copy, listener), copy.executor(), callback);
    }

    // ---- using it ----

    /**
     * Tells what the application may do now. Asks nobody.
     *
     * @return As of now; it does not change later.
     */
    public LicenseStatus getStatus() {
        return worker == null ? keyStatus : worker.status();
    }

    /**
     * Throws unless the product is licensed now. Asks nobody: it may be called at every use.
     *
     * @throws LicenseException Why there is no license.
     */
    public void check() throws LicenseException {
        check(null);
    }

    /**
     * Throws unless this module is licensed now. Asks nobody: it may be called at every use.
     *
     * @param module Such as "qr-code"; {@code null}: the product at all.
     * @throws LicenseException 204: the module is not in the license; else why there is none.
     */
    public void check(String module) throws LicenseException {
        checkOpen();
        if (worker == null) checkKeys(module == null ? Collections.<String>emptyList() : Collections.singletonList(module));
        else worker.check(module);
    }

    /**
     * Tells whether the product is licensed now. Asks nobody.
     *
     * @return Whether {@link #check()} would let it work.
     */
    public boolean isLicensed() {
        return isLicensed(null);
    }

    /**
     * Tells whether this module is licensed now. Asks nobody.
     *
     * @param module Such as "qr-code"; {@code null}: the product at all.
     * @return Whether {@link #check(String)} would let it work.
     */
    public boolean isLicensed(String module) {
        try {
            check(module);
            return true;
        } catch (LicenseException error) {
            return false;
        }
    }

    private void checkOpen() throws LicenseException {
        if (isClosed) throw LicenseException.closed();
    }

    /**
     * Counts one use that was done just now. Waits for nothing; it is on disk at the latest {@code flushSeconds} later.
     *
     * @param type The barcode's format, or "scanned", "captured", "imported" of pages.
     * @throws LicenseException 200 for what no report can hold; why there is no license, when there never was one.
     */
    public void record(String type) throws LicenseException {
        record(type, 1, null, null, null);
    }

    /**
     * Counts use that was done just now.
     *
     * @param type The barcode's format, or "scanned", "captured", "imported" of pages.
     * @param count From 1 to 1000000000.
     * @throws LicenseException 200 for what no report can hold; why there is no license, when there never was one.
     */
    public void record(String type, long count) throws LicenseException {
        record(type, count, null, null, null);
    }

    /**
     * Counts use. What is done after the end of a license is counted: it was really done.
     *
     * @param type The barcode's format, or "scanned", "captured", "imported" of pages.
     * @param count From 1 to 1000000000.
     * @param unit "scan" or "page"; {@code null}: what the license is about.
     * @param module The one that processed pages; may be {@code null}.
     * @param at When it was done, by the device's clock; {@code null}: just now.
     * @throws LicenseException 200 for what no report can hold; why there is no license, when there never was one.
     */
    public void record(String type, long count, String unit, String module, Date at) throws LicenseException {
        if (!isName(type)) throw malformed("a type must be 1 to 64 printable bytes, such as 'QR Code'");
        if (module != null && !isName(module)) throw malformed("a module must be 1 to 64 printable bytes");
        checkNumber("count", count);
        if (unit != null && !unit.equals("scan") && !unit.equals("page")) throw malformed("the unit '" + unit + "' is neither scan nor page");
        checkOpen();
        if (worker != null) worker.record(type, count, unit, module, at == null ? null : at.getTime() / 1_000);
    }

    private static boolean isName(String text) {
        if (text == null || text.isEmpty() || Texts.utf8(text).length > UsageReport.TYPE_BYTES_MAX) return false;
        for (int at = 0; at < text.length(); at += Character.charCount(text.codePointAt(at))) {
            int type = Character.getType(text.codePointAt(at));
            // Half a surrogate pair is no text that a server could read.
            if (type == Character.CONTROL || type == Character.SURROGATE) return false;
        }
        return true;
    }

    private static void checkNumber(String name, long number) throws LicenseException {
        if (number >= 1 && number <= UsageReport.COUNT_MAX) return;
        throw malformed(name + ": " + number + " is not a whole number from 1 to " + UsageReport.COUNT_MAX);
    }

    private static LicenseException malformed(String what) {
        return new LicenseException(LicenseException.MALFORMED, what);
    }

    // ---- instances ----

    /**
     * Takes instances, as many as are granted to this machine and not held by another of its licenses
     * and processes. They are reported in each slot of three minutes in which this machine reports
     * use. Waits for the disk.
     *
     * @param number At least 1.
     * @throws LicenseException 120: there are not so many; 200; 306; else why there is no license.
     */
    public void takeInstances(int number) throws LicenseException {
        checkNumber("number", number);
        check();
        hold(number);
    }

    /**
     * The same without waiting.
     *
     * @param number At least 1.
     * @param callback Hears of the end; may be {@code null}.
     * @return The end to come.
     */
    public Future<Void> takeInstancesAsync(int number, LicenseCallback<Void> callback) {
        return later(() -> takeInstances(number), callback);
    }

    /**
     * Gives instances back; more than are held here are all of them. Waits for the disk.
     *
     * @param number At least 1.
     * @throws LicenseException 200; 306.
     */
    public void giveBackInstances(int number) throws LicenseException {
        checkNumber("number", number);
        checkOpen();
        hold(-number);
    }

    /**
     * The same without waiting.
     *
     * @param number At least 1.
     * @param callback Hears of the end; may be {@code null}.
     * @return The end to come.
     */
    public Future<Void> giveBackInstancesAsync(int number, LicenseCallback<Void> callback) {
        return later(() -> giveBackInstances(number), callback);
    }

    private void hold(int more) throws LicenseException {
        if (worker != null) {
            worker.hold(more);
            return;
        }
        synchronized (this) {
            heldByKeys = Math.max(0, heldByKeys + more);
        }
    }

    /**
     * Tells how many instances are granted to this machine and held by nobody, as last heard: other processes
     * are looked at with every flush. Asks nobody.
     *
     * @return 0 without a license.
     */
    public int getIdleInstances() {
        if (!isLicensed()) return 0;
        if (worker != null) return worker.idleInstances();
        synchronized (this) {
            return Math.max(0, config.instances - heldByKeys);
        }
    }

    // ---- now what happens by itself ----

    /**
     * Puts what was counted on disk now.
     *
     * @throws LicenseException 306; what was counted is kept for the next time.
     */
    public void flush() throws LicenseException {
        if (worker != null) worker.flush();
    }

    /**
     * The same without waiting.
     *
     * @param callback Hears of the end; may be {@code null}.
     * @return The end to come.
     */
    public Future<Void> flushAsync(LicenseCallback<Void> callback) {
        return later(this::flush, callback);
    }

    /**
     * Sends the reports of all slots that are over. Waits for the servers; what goes wrong is told as a
     * warning, and the reports are kept.
     *
     * @throws LicenseException 306.
     */
    public void report() throws LicenseException {
        checkOpen();
        if (worker != null) worker.ask(new Event.Report());
    }

    /**
     * The same without waiting.
     *
     * @param callback Hears of the end; may be {@code null}.
     * @return The end to come.
     */
    public Future<Void> reportAsync(LicenseCallback<Void> callback) {
        return later(this::report, callback);
    }

    /**
     * Asks the servers now, as at the start, and sends what was not sent. Waits for them.
     *
     * @throws LicenseException 306; else why there is no license.
     */
    public void renew() throws LicenseException {
        checkOpen();
        if (worker == null) return;
        worker.ask(new Event.Start());
        LicenseException error = worker.status().getError();
        if (error != null && !worker.isAsker()) throw error.again();
    }

    /**
     * The same without waiting.
     *
     * @param callback Hears of the end; may be {@code null}.
     * @return The end to come.
     */
    public Future<Void> renewAsync(LicenseCallback<Void> callback) {
        return later(this::renew, callback);
    }

    // ---- ending it ----

    /**
     * Gives the license back: reports what was done, the slot that goes on included, then frees the
     * seats or the instances of its items for another device, also where another application of the machine uses them, and
     * closes. The application must initialize again to go on. Waits for the servers.
     *
     * @throws LicenseException Why it was not given back, such as 302: then the license goes on, and what was counted is kept.
     *     If only the answer was lost on its way, the server has taken it back all the same.
     */
    public void release() throws LicenseException {
        checkOpen();
        if (worker != null) {
            worker.flush();
            worker.ask(new Event.Release());
        }
        close();
    }

    /**
     * The same without waiting.
     *
     * @param callback Hears of the end; may be {@code null}.
     * @return The end to come.
     */
    public Future<Void> releaseAsync(LicenseCallback<Void> callback) {
        return later(this::release, callback);
    }

    /**
     * Puts what was counted on disk and ends. What {@link LicenseSettings#setReleaseOnClose} says is given back, usually a floating
     * license, if no other license or process of the machine needs it; named seats are kept, see {@link #release}. Waits for
     * servers 3 seconds at most; when none can be reached, everything stays as it was. If only the answer is lost on its way,
     * the server has taken the license back, while the authorization that is kept here lasts until it ends. No listener is called
     * any more when this returns, but for one that is running at that moment on {@link LicenseSettings#setExecutor}: it may still
     * run. A listener that closes is the last. A further call does nothing.
     */
    @Override
    public void close() {
        isClosed = true;
        if (worker != null) worker.close();
    }

    /**
     * The same without waiting: from now on nothing can be counted, and what was counted is on disk soon.
     *
     * @param callback Hears of the end; may be {@code null}.
     * @return The end to come.
     */
    public Future<Void> closeAsync(LicenseCallback<Void> callback) {
        isClosed = true;
        return later(this::close, callback);
    }

    // ---- by hand ----

    /**
     * Writes the request of a device without network, to be carried to the server ({@code tollkeeper
     * device authorize-file}). Waits for the disk.
     *
     * @param settings As for {@link #initialize(LicenseSettings)}; its servers are not asked.
     * @return As a file, and as one line for a QR code.
     * @throws LicenseException 301; 306.
     */
    public static CarriedText requestByHand(LicenseSettings settings) throws LicenseException {
        try (License license = new License(settings, null)) {
            if (license.worker == null) throw LicenseException.settings("productKey is set: product keys need no request");
            JsonObject request = license.worker.with(state -> AuthorizeRequest.of(license.config, "", state));
            String summary = "Tollkeeper authorization request of device " + request.getString("client_uuid") + " for '" + license.config.product
                + "'\nOn the server: tollkeeper device authorize-file FILE --out ANSWER";
            return Carried.REQUEST.write(request, summary);
        }
    }

    /**
     * The same without waiting.
     *
     * @param settings As for {@link #initialize(LicenseSettings)}.
     * @param callback Hears of the request; may be {@code null}.
     * @return The request to come.
     */
    public static Future<CarriedText> requestByHandAsync(LicenseSettings settings, LicenseCallback<CarriedText> callback) {
        LicenseSettings copy = new LicenseSettings(settings);
        return Async.run(() -> requestByHand(copy), copy.executor(), callback);
    }

    /**
     * Takes the authorization that was carried here. {@link #initialize(LicenseSettings)} with the same
     * settings then finds it. Waits for the disk.
     *
     * @param settings Those of the request.
     * @param authorization The line or file that the server wrote.
     * @throws LicenseException 304: it is not genuine, or answers another request; 301; 306.
     */
    public static void importAuthorization(LicenseSettings settings, String authorization) throws LicenseException {
        JsonObject answer = Carried.AUTHORIZATION.read(authorization);
        try (License license = new License(settings, null)) {
            if (license.worker == null) throw LicenseException.settings("productKey is set: product keys need no authorization");
            license.worker.with(state -> license.worker.core().takeCarried(answer, state, SiteTime.Moment.now()));
        }
    }

    /**
     * The same without waiting.
     *
     * @param settings Those of the request.
     * @param authorization The line or file that the server wrote.
     * @param callback Hears of the end; may be {@code null}.
     * @return The end to come.
     */
    public static Future<Void> importAuthorizationAsync(LicenseSettings settings, String authorization, LicenseCallback<Void> callback) {
        LicenseSettings copy = new LicenseSettings(settings);
        return Async.run((Async.Action) () -> importAuthorization(copy, authorization), copy.executor(), callback);
    }

    /**
     * Writes everything that was done and not acknowledged, to be carried to the server ({@code tollkeeper
     * device import-reports}). Waits for the disk.
     *
     * @return {@code null} when there is nothing.
     * @throws LicenseException 306.
     */
    public CarriedText reportsByHand() throws LicenseException {
        checkOpen();
        if (worker == null) return null;
        worker.flush();
        JsonObject request = worker.with(state -> worker.core().carriedReports(state, SiteTime.Moment.now()));
        if (request == null) return null;
        String summary = "Tollkeeper usage reports of device " + request.getString("client_uuid")
            + "\nOn the server: tollkeeper device import-reports FILE";
        return Carried.REPORTS.write(request, summary);
    }

    /**
     * The same without waiting.
     *
     * @param callback Hears of the reports; may be {@code null}.
     * @return The reports to come.
     */
    public Future<CarriedText> reportsByHandAsync(LicenseCallback<CarriedText> callback) {
        return Async.run(this::reportsByHand, config.executor, callback);
    }

    /**
     * Takes the receipt for carried reports: what the server has is not kept any more. Waits for the disk.
     *
     * @param receipt The line or file that the server wrote.
     * @return What became of the reports.
     * @throws LicenseException 304: it is none; 306.
     */
    public ReportOutcome importReceipt(String receipt) throws LicenseException {
        checkOpen();
        Outbox.Answer answer = Outbox.Answer.read(Carried.RECEIPT.read(receipt));
        if (answer == null) throw new LicenseException(LicenseException.NOT_GENUINE, "this usage receipt is damaged: carry the whole text or file");
        if (worker == null) return new ReportOutcome(0, 0, Collections.<String>emptyList());
        return worker.with(state -> Outbox.takeAnswer(state, answer));
    }

    /**
     * The same without waiting.
     *
     * @param receipt The line or file that the server wrote.
     * @param callback Hears what became of the reports; may be {@code null}.
     * @return What became of them, to come.
     */
    public Future<ReportOutcome> importReceiptAsync(String receipt, LicenseCallback<ReportOutcome> callback) {
        return Async.run(() -> importReceipt(receipt), config.executor, callback);
    }

    private Future<Void> later(Async.Action action, LicenseCallback<Void> callback) {
        return Async.run(action, config.executor, callback);
    }
}
