package dev.tollkeeper;

import java.io.File;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;

/**
 * What an application sets: by one license key, by fields, or by product keys that need no server.
 * Everything is optional but the vendor's public key, the product, and one of these ways. A license
 * that was begun with settings does not see later changes of them.
 *
 * <pre>{@code
 * LicenseSettings settings = new LicenseSettings()
 *     .setLicenseKey("TK1.…").setVendorPublicKey(vendorPublicKey).setProduct("dbr");
 * }</pre>
 *
 * What does not make sense is told by the call that the settings are given to, as
 * {@link LicenseException} 301.
 */
public final class LicenseSettings {
    /** The names that {@link #set} takes. */
    public static final List<String> NAMES = Collections.unmodifiableList(Arrays.asList("vendorPublicKey", "licenseKey", "mainServerURL",
        "standbyServerURL", "organizationId", "handshakeCode", "sessionPassword", "certificateAuthority", "productKey", "product", "productVersion",
        "edition", "deploymentType", "limitedModules", "chargeWay", "instances", "maxBufferDays", "uuidMethod", "dataFolder", "applicationId",
        "processName", "sealed", "flushSeconds", "releaseOnClose"));

    private final Map<String, String> values = new LinkedHashMap<>();
    private Executor executor;

    /** Without anything set. */
    public LicenseSettings() {}

    LicenseSettings(LicenseSettings other) {
        values.putAll(other.values);
        executor = other.executor;
    }

    /**
     * Sets one setting by its name, as configuration files hold it.
     *
     * @param name One of {@link #NAMES}, such as "licenseKey".
     * @param value Its value as text; {@code null} or empty takes the setting back.
     * @return These settings.
     * @throws LicenseException 301: there is no such setting, or not such a value.
     */
    public LicenseSettings set(String name, String value) throws LicenseException {
        if (!NAMES.contains(name)) throw LicenseException.settings("there is no setting '" + name + "': the settings are " + Texts.join(", ", NAMES));
        if (value != null && !value.isEmpty()) Config.checkValue(name, value);
        return put(name, value);
    }

    private LicenseSettings put(String name, String value) {
        if (value == null || value.isEmpty()) values.remove(name);
        else values.put(name, value);
        return this;
    }

    /** {@code null} when it is not set. */
    String get(String name) {
        return values.get(name);
    }

    Map<String, String> values() {
        return values;
    }

    Executor executor() {
        return executor;
    }

    /**
     * Sets by whom answers are known to be genuine. An SDK has it compiled in.
     *
     * @param pem The vendor's public key, PEM (several may follow each other), or the base64 of one alone.
     * @return These settings.
     */
    public LicenseSettings setVendorPublicKey(String pem) {
        return put("vendorPublicKey", pem);
    }

    /**
     * Sets server, organization, code, password and certificate authority at once.
     *
     * @param licenseKey {@code TK1.…} from the handshake code's page.
     * @return These settings.
     */
    public LicenseSettings setLicenseKey(String licenseKey) {
        return put("licenseKey", licenseKey);
    }

    /**
     * Sets the server that is asked first.
     *
     * @param url Such as "https://license.example.com:48443".
     * @return These settings.
     */
    public LicenseSettings setMainServerURL(String url) {
        return put("mainServerURL", url);
    }

    /**
     * Sets the server that is asked when the main server does not serve.
     *
     * @param url Such as "https://standby.example.com:48443".
     * @return These settings.
     */
    public LicenseSettings setStandbyServerURL(String url) {
        return put("standbyServerURL", url);
    }

    /**
     * Sets the organization, whose default handshake code serves when no other is set.
     *
     * @param id Such as "216998".
     * @return These settings.
     */
    public LicenseSettings setOrganizationId(String id) {
        return put("organizationId", id);
    }

    /**
     * Sets the handshake code.
     *
     * @param code Such as "216998-vehicleCode".
     * @return These settings.
     */
    public LicenseSettings setHandshakeCode(String code) {
        return put("handshakeCode", code);
    }

    /**
     * Sets the password of the handshake code.
     *
     * @param password As its administrator set it.
     * @return These settings.
     */
    public LicenseSettings setSessionPassword(String password) {
        return put("sessionPassword", password);
    }

    /**
     * Sets the one certificate authority that is trusted on the way, when the license key does not
     * name it. Without both, those that the platform trusts.
     *
     * @param authority A certificate in PEM, or "sha256:" and its fingerprint.
     * @return These settings.
     */
    public LicenseSettings setCertificateAuthority(String authority) {
        return put("certificateAuthority", authority);
    }

    /**
     * Sets licenses that need no server; not together with a handshake code.
     *
     * @param keys Product keys, separated by ';'.
     * @return These settings.
     */
    public LicenseSettings setProductKey(String keys) {
        return put("productKey", keys);
    }

    /**
     * Sets the product that runs.
     *
     * @param product Such as "dbr".
     * @return These settings.
     */
    public LicenseSettings setProduct(String product) {
        return put("product", product);
    }

    /**
     * Sets the version of the product.
     *
     * @param version Such as "9.6.30".
     * @return These settings.
     */
    public LicenseSettings setProductVersion(String version) {
        return put("productVersion", version);
    }

    /**
     * Sets the edition of the product.
     *
     * @param edition Such as "mobile".
     * @return These settings.
     */
    public LicenseSettings setEdition(String edition) {
        return put("edition", edition);
    }

    /**
     * Sets the kind of machine.
     *
     * @param type "browser", "mobile", "server", "desktop" or "embedded".
     * @return These settings.
     */
    public LicenseSettings setDeploymentType(String type) {
        return put("deploymentType", type);
    }

    /**
     * Sets the modules that the application needs, all of them.
     *
     * @param modules Such as "qr-code", "1d".
     * @return These settings.
     */
    public LicenseSettings setLimitedModules(String... modules) {
        return put("limitedModules", Texts.join(",", Arrays.asList(modules)));
    }

    /**
     * Sets the charge way that the application insists on.
     *
     * @param way "scan", "page", "device", "concurrent_device", "concurrent_instance", "server" or "domain".
     * @return These settings.
     */
    public LicenseSettings setChargeWay(String way) {
        return put("chargeWay", way);
    }

    /**
     * Sets how many instances the application wants at most.
     *
     * @param number 1 when it is not set.
     * @return These settings.
     */
    public LicenseSettings setInstances(int number) {
        return put("instances", String.valueOf(number));
    }

    /**
     * Sets the longest that the application wants to work offline.
     *
     * @param days 1 to 365.
     * @return These settings.
     */
    public LicenseSettings setMaxBufferDays(int days) {
        return put("maxBufferDays", String.valueOf(days));
    }

    /**
     * Sets how the device is named. All applications that share a data folder set the same.
     *
     * @param method "random", kept in the data folder, or "hardware", which follows from the machine (not on Android).
     * @return These settings.
     */
    public LicenseSettings setUuidMethod(String method) {
        return put("uuidMethod", method);
    }

    /**
     * Sets where authorization and unsent reports are kept.
     *
     * @param folder {@code .tollkeeper} in the user's home when it is not set; on Android {@code context.getFilesDir()}.
     * @return These settings.
     */
    public LicenseSettings setDataFolder(File folder) {
        return put("dataFolder", folder == null ? null : folder.getPath());
    }

    /**
     * Sets the application's ID, where the handshake code asks for it.
     *
     * @param id Such as "com.example.scanner".
     * @return These settings.
     */
    public LicenseSettings setApplicationId(String id) {
        return put("applicationId", id);
    }

    /**
     * Sets the name of the process, where the handshake code asks for it.
     *
     * @param name Such as "scanner.jar"; when it is not set, the program's main class or archive, on Android the process's name.
     * @return These settings.
     */
    public LicenseSettings setProcessName(String name) {
        return put("processName", name);
    }

    /**
     * Sets whether requests are encrypted to the server itself, for sites where a proxy ends TLS.
     *
     * @param isSealed False when it is not set.
     * @return These settings.
     */
    public LicenseSettings setSealed(boolean isSealed) {
        return put("sealed", String.valueOf(isSealed));
    }

    /**
     * Sets how many seconds of counts a crash may cost.
     *
     * @param seconds 1 to 3600; 10 when it is not set.
     * @return These settings.
     */
    public LicenseSettings setFlushSeconds(int seconds) {
        return put("flushSeconds", String.valueOf(seconds));
    }

    /**
     * Sets what closing gives back to the server, when no other license or process of the machine uses it. All applications of a
     * machine that share a license should set the same: the one that closes last decides for all.
     *
     * @param what "instances" of a floating license, when it is not set, so that another machine may have them at once, unless
     *     another application is authorized for them together with a named seat; "seat", whatever the license is charged by;
     *     "nothing": all is kept until the authorization ends.
     * @return These settings.
     */
    public LicenseSettings setReleaseOnClose(String what) {
        return put("releaseOnClose", what);
    }

    /**
     * Sets where listeners and callbacks are called. A listener that is running there when {@link License#close} is called may still
     * run when that returns; none is called afterwards.
     *
     * @param executor Such as {@code handler::post} for Android's main thread; {@code null}: threads of the library.
     * @return These settings.
     */
    public LicenseSettings setExecutor(Executor executor) {
        this.executor = executor;
        return this;
    }
}
