package dev.tollkeeper;

import com.grack.nanojson.JsonArray;
import com.grack.nanojson.JsonObject;
import java.net.URI;
import java.net.URISyntaxException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.regex.Pattern;

/** Settings that make sense together, with defaults filled in. */
final class Config {
    static final List<String> DEPLOYMENT_TYPES = Arrays.asList("browser", "mobile", "server", "desktop", "embedded");
    private static final List<String> CHARGE_WAYS =
        Arrays.asList("scan", "page", "device", "concurrent_device", "concurrent_instance", "server", "domain");
    private static final Pattern FINGERPRINT = Pattern.compile("sha256:[0-9a-fA-F]{64}");

    final List<VerifyingKey> vendors;
    /** Main server first; none with product keys, or where everything is carried by hand. */
    final List<String> servers;
    /** "sha256:…" or PEM; {@code null}: those that the platform trusts. */
    final String authority;
    final String organizationId;
    final String handshakeCode;
    final String sessionPassword;
    final String productKey;
    final String product;
    final String productVersion;
    final String edition;
    final String deploymentType;
    final List<String> limitedModules;
    final String chargeWay;
    final int instances;
    final Long maxBufferDays;
    final boolean isHardwareBound;
    /** {@code null}: in the user's home. */
    final String dataFolder;
    final String applicationId;
    final String processName;
    final boolean isSealed;
    final long flushSeconds;
    /** "instances", "seat" or "nothing". */
    final String releaseOnClose;
    final Executor executor;
    /** What is asked for, in few characters: a kept authorization fits only the same request. */
    final String askedFor;

    /** Checks that they make sense together, before anything is asked or written. */
    Config(LicenseSettings settings) throws LicenseException {
        for (Map.Entry<String, String> each : settings.values().entrySet()) checkValue(each.getKey(), each.getValue());
        product = settings.get("product");
        if (product == null) throw LicenseException.settings("product is not set: name the product that runs, such as dbr");
        String vendorKeys = settings.get("vendorPublicKey");
        vendors = VerifyingKey.parseAll(vendorKeys == null ? "" : vendorKeys);
        productKey = settings.get("productKey");
        if (productKey != null) refuseBesideProductKey(settings);
        LicenseKey key = settings.get("licenseKey") == null ? null : LicenseKey.parse(settings.get("licenseKey"));
        servers = serversOf(settings, key);
        organizationId = settings.get("organizationId") != null || key == null ? settings.get("organizationId") : nonEmpty(key.organizationId);
        handshakeCode = settings.get("handshakeCode") != null || key == null ? settings.get("handshakeCode") : nonEmpty(key.handshakeCode);
        sessionPassword = settings.get("sessionPassword") != null || key == null ? settings.get("sessionPassword") : nonEmpty(key.sessionPassword);
        if (servers.isEmpty() && productKey == null && handshakeCode == null && organizationId == null) {
            // With a code alone, everything is carried by hand.
            throw LicenseException.settings("no license server and no product key is set: give licenseKey, or mainServerURL with handshakeCode, or "
                + "productKey");
        }
        authority = settings.get("certificateAuthority") != null || key == null ? settings.get("certificateAuthority") : nonEmpty(key.authority);
        checkAuthority(settings);
        productVersion = settings.get("productVersion");
        edition = settings.get("edition");
        deploymentType = settings.get("deploymentType");
        limitedModules = modulesOf(settings.get("limitedModules"));
        chargeWay = settings.get("chargeWay");
        instances = (int) wholeOf(settings, "instances", 1);
        maxBufferDays = settings.get("maxBufferDays") == null ? null : Long.valueOf(settings.get("maxBufferDays"));
        isHardwareBound = "hardware".equals(settings.get("uuidMethod"));
        dataFolder = settings.get("dataFolder");
        applicationId = settings.get("applicationId");
        processName = settings.get("processName") == null ? Machine.processName() : settings.get("processName");
        isSealed = "true".equals(settings.get("sealed")) || "1".equals(settings.get("sealed"));
        flushSeconds = wholeOf(settings, "flushSeconds", 10);
        releaseOnClose = settings.get("releaseOnClose") == null ? "instances" : settings.get("releaseOnClose");
        executor = settings.executor();
        askedFor = Texts.toBase64url(Arrays.copyOf(Texts.sha256(Json.bytes(bareRequest())), 16));
    }

    /** Whether a setting of this name can have this value. */
    static void checkValue(String name, String value) throws LicenseException {
        switch (name) {
            case "deploymentType":
                checkOneOf(name, value, DEPLOYMENT_TYPES);
                break;
            case "chargeWay":
                checkOneOf(name, value, CHARGE_WAYS);
                break;
            case "uuidMethod":
                checkOneOf(name, value, Arrays.asList("random", "hardware"));
                break;
            case "releaseOnClose":
                checkOneOf(name, value, Arrays.asList("instances", "seat", "nothing"));
                break;
            case "sealed":
                checkOneOf(name, value, Arrays.asList("true", "false", "1", "0"));
                break;
            case "limitedModules":
                if (modulesOf(value).size() <= 64) break;
                throw LicenseException.settings("limitedModules must be at most 64 module names, such as qr-code,1d");
            case "instances":
                checkWhole(name, value, 1_000_000);
                break;
            case "maxBufferDays":
                checkWhole(name, value, 365);
                break;
            case "flushSeconds":
                checkWhole(name, value, 3_600);
                break;
            default:
        }
    }

    private static void checkOneOf(String name, String value, List<String> choices) throws LicenseException {
        if (!choices.contains(value)) throw LicenseException.settings(name + ": '" + value + "' is none of " + Texts.join(", ", choices));
    }

    private static void checkWhole(String name, String value, int most) throws LicenseException {
        boolean isGood = value.matches("\\d{1,9}") && Integer.parseInt(value) >= 1 && Integer.parseInt(value) <= most;
        if (!isGood) throw LicenseException.settings(name + ": '" + value + "' is not a whole number from 1 to " + most);
    }

    private static long wholeOf(LicenseSettings settings, String name, long otherwise) {
        return settings.get(name) == null ? otherwise : Long.parseLong(settings.get(name));
    }

    private static List<String> modulesOf(String text) {
        List<String> modules = new ArrayList<>();
        for (String module : text == null ? new String[0] : text.split(",")) if (!module.trim().isEmpty()) modules.add(module.trim());
        return Collections.unmodifiableList(modules);
    }

    private static String nonEmpty(String text) {
        return text == null || text.isEmpty() ? null : text;
    }

    private static void refuseBesideProductKey(LicenseSettings settings) throws LicenseException {
        String[][] others = {{"licenseKey", "a license key"}, {"handshakeCode", "a handshake code"}, {"organizationId", "an organization ID"}};
        for (String[] other : others) {
            if (settings.get(other[0]) == null) continue;
            throw LicenseException.settings("productKey cannot be used together with " + other[1]
                + ": product keys work without a server; leave out one of the two");
        }
    }

    private static List<String> serversOf(LicenseSettings settings, LicenseKey key) throws LicenseException {
        List<String> given = new ArrayList<>();
        String main = settings.get("mainServerURL");
        String standby = settings.get("standbyServerURL");
        if (main != null) given.add(main);
        else if (key != null) given.addAll(standby == null ? key.servers : key.servers.subList(0, 1));
        if (standby != null && given.isEmpty()) {
            throw LicenseException.settings("standbyServerURL is set, but mainServerURL is not: set the main server first");
        }
        if (standby != null) given.add(standby);
        List<String> servers = new ArrayList<>();
        for (String server : given) servers.add(cleanUrl(server));
        return Collections.unmodifiableList(servers);
    }

    private static String cleanUrl(String server) throws LicenseException {
        try {
            URI url = new URI(server);
            boolean isGood = url.getHost() != null && ("https".equalsIgnoreCase(url.getScheme()) || "http".equalsIgnoreCase(url.getScheme()));
            if (isGood) return server.replaceAll("/+$", "");
        } catch (URISyntaxException error) {
            // Told below.
        }
        throw LicenseException.settings("the server URL '" + server + "' must start with https://, such as https://license.example.com:48443");
    }

    private void checkAuthority(LicenseSettings settings) throws LicenseException {
        if (authority == null) return;
        String set = settings.get("certificateAuthority");
        if (set != null && !FINGERPRINT.matcher(set).matches() && !set.contains("-----BEGIN CERTIFICATE-----")) {
            String what = "certificateAuthority: '" + Texts.shorten(set) + "'";
            throw LicenseException.settings(what + " is neither sha256: with a fingerprint nor a PEM certificate");
        }
        for (String server : servers) {
            if (Texts.startsWithIgnoringCase(server, "https:")) continue;
            // Somebody who can change settings or answers must not get passwords and use in clear where the site asked for its own authority.
            String by = set == null ? "the license key" : "certificateAuthority";
            throw LicenseException.settings("the server URL '" + server + "' is not encrypted, but " + by
                + " names a certificate authority: use https://");
        }
    }

    /** The request of an application, but for what differs each time. */
    JsonObject bareRequest() {
        JsonObject validation = new JsonObject();
        Json.put(validation, "application_id", applicationId);
        Json.put(validation, "process_name", processName);
        JsonObject request = new JsonObject();
        Json.put(request, "organization_id", organizationId);
        Json.put(request, "handshake_code", handshakeCode);
        Json.put(request, "session_password", sessionPassword);
        request.put("product", product);
        Json.put(request, "product_version", productVersion);
        Json.put(request, "edition", edition);
        Json.put(request, "deployment_type", deploymentType);
        if (!limitedModules.isEmpty()) request.put("modules", new JsonArray(limitedModules));
        Json.put(request, "charge_way", chargeWay);
        request.put("instances", instances);
        Json.put(request, "max_buffer_days", maxBufferDays);
        request.put("validation", validation);
        return request;
    }

    /** By what the application names a handshake code. */
    String naming() {
        return (organizationId == null ? "" : organizationId) + "|" + (handshakeCode == null ? "" : handshakeCode);
    }
}
