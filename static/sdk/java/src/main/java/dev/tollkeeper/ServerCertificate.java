package dev.tollkeeper;

import com.grack.nanojson.JsonObject;
import java.util.List;

/** Binds a server's keys to its UUID and organization, in the vendor's name. */
final class ServerCertificate {
    final String serverUuid;
    final String organizationId;
    final VerifyingKey key;
    /** X25519, to which requests are sealed; {@code null} when it names none. */
    final byte[] sealingKey;
    private final long notBefore;
    private final long notAfter;

    private ServerCertificate(JsonObject body, byte[] key, long notBefore, long notAfter) {
        serverUuid = body.getString("server_uuid");
        organizationId = body.getString("organization_id");
        this.key = new VerifyingKey(key);
        sealingKey = keyOf(body.getObject("sealing_jwk"), "X25519");
        this.notBefore = notBefore;
        this.notAfter = notAfter;
    }

    /** A certificate that one of these vendors signed. */
    static ServerCertificate verify(String text, List<VerifyingKey> vendors) throws Distrust {
        Jws jws = Jws.parse(text, "tk-server+jws", 8_192);
        if (jws == null) throw new Distrust(Distrust.Reason.MALFORMED);
        VerifyingKey vendor = VerifyingKey.find(vendors, jws.kid);
        if (vendor == null) throw new Distrust(Distrust.Reason.UNKNOWN_VENDOR);
        if (!jws.isSignedBy(vendor)) throw new Distrust(Distrust.Reason.BAD_SIGNATURE);
        byte[] key = keyOf(jws.body.getObject("jwk"), "Ed25519");
        Long from = Times.parse(jws.body.getString("not_before"));
        Long to = Times.parse(jws.body.getString("not_after"));
        boolean isNamed = Texts.isUuid(jws.body.getString("server_uuid")) && !jws.body.getString("organization_id", "").isEmpty();
        if (key == null || from == null || to == null || from >= to || !isNamed) throw new Distrust(Distrust.Reason.MALFORMED);
        return new ServerCertificate(jws.body, key, from, to);
    }

    boolean isValidAt(long seconds) {
        return seconds >= notBefore && seconds <= notAfter;
    }

    private static byte[] keyOf(JsonObject jwk, String curve) {
        if (jwk == null || !"OKP".equals(jwk.get("kty")) || !curve.equals(jwk.get("crv")) || !jwk.isString("x")) return null;
        byte[] key = Texts.fromBase64url(jwk.getString("x"));
        return key != null && key.length == 32 ? key : null;
    }
}
