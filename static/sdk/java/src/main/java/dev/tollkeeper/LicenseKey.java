package dev.tollkeeper;

import com.grack.nanojson.JsonObject;
import java.util.List;

/** What a license key says: where to ask, for what, and whom to trust on the way. */
final class LicenseKey {
    final List<String> servers;
    final String organizationId;
    final String handshakeCode;
    /** {@code null} when it has none. */
    final String sessionPassword;
    /** {@code null} when it has none. */
    final String authority;

    private LicenseKey(JsonObject body, List<String> servers) {
        this.servers = servers;
        organizationId = body.getString("organization_id");
        handshakeCode = body.getString("handshake_code");
        sessionPassword = body.getString("session_password");
        authority = body.getString("ca");
    }

    static LicenseKey parse(String text) throws LicenseException {
        String again = "copy it whole from the handshake code's page";
        String key = text.trim();
        if (!key.startsWith("TK1.")) throw LicenseException.settings("licenseKey: a license key begins with TK1.: " + again);
        if (key.length() > 8_192) throw LicenseException.settings("licenseKey: a license key has at most 8192 characters");
        JsonObject body = Json.parse(Texts.fromBase64url(key.substring(4)));
        boolean isGood = body != null && body.getArray("servers") != null && body.isString("organization_id") && body.isString("handshake_code")
            && isTextOrNothing(body, "session_password") && isTextOrNothing(body, "ca");
        List<String> servers = isGood ? Json.texts(body, "servers") : null;
        if (servers == null) throw LicenseException.settings("licenseKey: the license key is damaged: " + again);
        if (servers.isEmpty()) throw LicenseException.settings("licenseKey: the license key names no server");
        return new LicenseKey(body, servers);
    }

    private static boolean isTextOrNothing(JsonObject body, String name) {
        return body.get(name) == null || body.isString(name);
    }
}
