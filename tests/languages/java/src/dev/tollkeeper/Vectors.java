package dev.tollkeeper;

import dev.tollkeeper.internal.nanojson.JsonArray;
import dev.tollkeeper.internal.nanojson.JsonObject;
import dev.tollkeeper.internal.nanojson.JsonWriter;
import java.security.GeneralSecurityException;
import java.util.Arrays;
import java.util.List;

/**
 * What the library says about one case of the vectors that all languages share (tests/vectors): {@code result}, which is
 * "ok" or the code or name of the failure, and what the case has under the same name. A case comes with what its file says
 * beside the cases in it.
 */
public final class Vectors {
    static final List<String> KINDS = Arrays.asList("carried", "chains", "errors", "license_keys", "product_keys", "sealed", "slots");

    private Vectors() {}

    /** The same in JSON, for the driver. */
    public static String check(String kind, String one) {
        return JsonWriter.string(check(kind, Json.parse(Texts.utf8(one))));
    }

    static JsonObject check(String kind, JsonObject one) {
        try {
            switch (kind) {
                case "carried":
                    return carried(one);
                case "chains":
                    return chain(one);
                case "errors":
                    return error(one);
                case "license_keys":
                    return licenseKey(one);
                case "product_keys":
                    return productKeys(one);
                case "sealed":
                    return sealed(one);
                case "slots":
                    return told("ok", "slot", Times.text(Times.slotOf(Times.parse(one.getString("at")))));
                default:
                    throw new IllegalArgumentException(kind);
            }
        } catch (LicenseException error) {
            return told(error.getCode());
        }
    }

    private static JsonObject told(Object result, Object... more) {
        JsonObject told = new JsonObject();
        told.put("result", result);
        for (int at = 0; at < more.length; at += 2) told.put((String) more[at], more[at + 1]);
        return told;
    }

    private static void must(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    private static JsonObject error(JsonObject one) {
        LicenseException error = new LicenseException(one.getInt("code"), "");
        return told("ok", "code", error.getCode(), "sdk_code", error.getSdkCode(), "title", error.getTitle(), "user_message", error.getUserMessage());
    }

    private static JsonObject licenseKey(JsonObject one) throws LicenseException {
        LicenseKey key = LicenseKey.parse(one.getString("text"));
        return told("ok", "servers", new JsonArray(key.servers), "organization_id", key.organizationId, "handshake_code", key.handshakeCode,
            "session_password", key.sessionPassword, "ca", key.authority);
    }

    private static JsonObject chain(JsonObject one) throws LicenseException {
        JsonObject asked = one.getObject("expected");
        Claims.Expected expected = new Claims.Expected(asked.getString("client_uuid"), asked.getString("nonce"), asked.getString("organization_id"),
            asked.getString("handshake_code"));
        try {
            Claims claims = Claims.check(one.getString("authorization"), VerifyingKey.parseAll(one.getString("vendor_public_key")), expected);
            claims.checkTime(Times.parse(one.getString("now")));
            return told("ok", "expires_at", Times.text(claims.exp));
        } catch (Distrust distrust) {
            return told(distrust.reason.name().toLowerCase());
        }
    }

    private static JsonObject productKeys(JsonObject one) throws LicenseException {
        JsonObject asked = one.getObject("request");
        ProductKeys.Request request = new ProductKeys.Request(asked.getString("product"), asked.getString("version"), asked.getString("edition"),
            asked.getString("deployment_type"), Json.texts(asked, "modules"), asked.getString("machine"), asked.getString("host"));
        List<ProductKeys.Key> keys = ProductKeys.read(one.getString("text"), VerifyingKey.parseAll(one.getString("vendor_public_key")));
        JsonArray found = new JsonArray();
        for (ProductKeys.Key key : ProductKeys.check(keys, request, Times.parse(one.getString("now")))) found.add((int) key.id);
        return told("ok", "keys", found);
    }

    private static JsonObject sealed(JsonObject one) {
        byte[] secret = Texts.fromBase64url(one.getString("private_key"));
        byte[] recipient = Texts.fromBase64url(one.getObject("jwk").getString("x"));
        byte[] read = Texts.fromBase64url(one.getString("body"));
        byte[] body = read == null ? new byte[0] : read;
        String path = one.getString("path");
        try {
            byte[] enc = Arrays.copyOf(body, 32);
            Sealed context = Sealed.context(Curves.agree(secret, enc), enc, recipient, path);
            byte[] plain = context.openRequest(Arrays.copyOfRange(body, Math.min(32, body.length), body.length));
            JsonArray opened = new JsonArray();
            for (JsonObject answer : one.has("answers") ? Json.objects(one, "answers") : Arrays.<JsonObject>asList()) {
                byte[] text = context.openAnswer(answer.getInt("status"), Texts.fromBase64url(answer.getString("body")));
                JsonObject heard = new JsonObject();
                heard.put("status", answer.getInt("status"));
                heard.put("body", answer.getString("body"));
                heard.put("plaintext", text == null ? null : Texts.fromUtf8(text));
                opened.add(heard);
            }
            checkBothWays(secret, recipient, path, plain);
            JsonObject told = told("ok", "plaintext", Texts.fromUtf8(plain), "jwk", one.getObject("jwk"));
            if (!opened.isEmpty()) told.put("answers", opened);
            return told;
        } catch (GeneralSecurityException error) {
            return told("refused");
        }
    }

    /** What the library seals is opened with the private key, and it hears the answer, with its own status only. */
    private static void checkBothWays(byte[] secret, byte[] recipient, String path, byte[] plain) throws GeneralSecurityException {
        Sealed sealed = Sealed.seal(recipient, path, plain);
        byte[] enc = Arrays.copyOf(sealed.body, 32);
        Sealed context = Sealed.context(Curves.agree(secret, enc), enc, recipient, path);
        must(Arrays.equals(plain, context.openRequest(Arrays.copyOfRange(sealed.body, 32, sealed.body.length))), "what is sealed is opened");
        byte[] answer = context.sealAnswer(403, Texts.utf8("{\"code\":120}"));
        must("{\"code\":120}".equals(Texts.fromUtf8(sealed.openAnswer(403, answer))), "the answer is heard");
        must(sealed.openAnswer(200, answer) == null, "the status is part of what is sealed");
    }

    private static JsonObject carried(JsonObject one) throws LicenseException {
        Carried kind = Carried.valueOf(one.getString("kind").toUpperCase());
        JsonObject content = kind.read(one.getString("line"));
        CarriedText written = kind.write(content, "A summary");
        for (String text : Arrays.asList(one.getString("file"), written.getLine(), written.getFile())) {
            must(content.equals(kind.read(text)), "all forms say the same");
        }
        for (Carried other : Carried.values()) {
            for (String text : Arrays.asList(one.getString("line"), one.getString("file"))) must(other == kind || refuses(other, text), "it passes for another");
        }
        return told("ok", "json", content);
    }

    private static boolean refuses(Carried kind, String text) {
        try {
            kind.read(text);
            return false;
        } catch (LicenseException error) {
            return error.getCode() == LicenseException.NOT_GENUINE;
        }
    }
}
