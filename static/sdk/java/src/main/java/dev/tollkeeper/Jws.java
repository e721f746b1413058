package dev.tollkeeper;

import com.grack.nanojson.JsonObject;

/** A compact JWS, read strictly: one algorithm, one {@code typ}. */
final class Jws {
    final JsonObject head;
    final JsonObject body;
    final String kid;
    private final byte[] signature;
    private final byte[] signed;

    private Jws(JsonObject head, JsonObject body, byte[] signature, byte[] signed) {
        this.head = head;
        this.body = body;
        this.kid = head.getString("kid");
        this.signature = signature;
        this.signed = signed;
    }

    /** {@code null} when it has another form. */
    static Jws parse(String text, String typ, int maxLength) {
        String[] parts = text != null && text.length() <= maxLength ? text.split("\\.", -1) : new String[0];
        if (parts.length != 3) return null;
        JsonObject head = Json.parse(Texts.fromBase64url(parts[0]));
        JsonObject body = Json.parse(Texts.fromBase64url(parts[1]));
        byte[] signature = Texts.fromBase64url(parts[2]);
        if (head == null || body == null || signature == null || signature.length != 64) return null;
        boolean isOurs = "EdDSA".equals(head.get("alg")) && typ.equals(head.get("typ")) && head.isString("kid") && !head.has("crit");
        if (!isOurs || (head.has("svr") && !head.isString("svr"))) return null;
        return new Jws(head, body, signature, Texts.utf8(parts[0] + "." + parts[1]));
    }

    boolean isSignedBy(VerifyingKey key) {
        return Curves.verify(key.bytes, signed, signature);
    }
}
