package dev.tollkeeper;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.tollkeeper.internal.nanojson.JsonObject;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Signature;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import javax.crypto.KeyAgreement;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The formats that all languages share, by the vectors in tests/vectors (made on the server's side). */
class VectorsTest {
    private static JsonObject vectors(String name) throws Exception {
        JsonObject found = Json.parse(Files.readAllBytes(Path.of(System.getProperty("tollkeeper.root"), "tests/vectors", name + ".json")));
        assertNotNull(found, name);
        return found;
    }

    private static List<JsonObject> cases(JsonObject vectors, String name) {
        List<JsonObject> cases = Json.objects(vectors, name);
        assertFalse(cases.isEmpty(), name);
        return cases;
    }

    @Test
    void slots() throws Exception {
        for (JsonObject one : cases(vectors("slots"), "cases")) {
            assertEquals(one.getString("slot"), Times.text(Times.slotOf(Times.parse(one.getString("at")))), one.getString("at"));
        }
    }

    @Test
    void licenseKeys() throws Exception {
        JsonObject all = vectors("license_keys");
        for (JsonObject good : cases(all, "good")) {
            LicenseKey key = LicenseKey.parse(good.getString("text"));
            assertEquals(Json.texts(good, "servers"), key.servers);
            assertEquals(good.getString("organization_id"), key.organizationId);
            assertEquals(good.getString("handshake_code"), key.handshakeCode);
            assertEquals(good.getString("session_password"), key.sessionPassword);
            assertEquals(good.getString("ca"), key.authority);
        }
        for (JsonObject bad : cases(all, "bad")) {
            LicenseException error = assertThrows(LicenseException.class, () -> LicenseKey.parse(bad.getString("text")), bad.getString("why"));
            assertEquals(301, error.getCode());
        }
    }

    @Test
    void chains() throws Exception {
        JsonObject all = vectors("chains");
        List<VerifyingKey> vendors = VerifyingKey.parseAll(all.getString("vendor_public_key"));
        for (JsonObject one : cases(all, "cases")) {
            JsonObject asked = one.getObject("expected");
            Claims.Expected expected = new Claims.Expected(asked.getString("client_uuid"), asked.getString("nonce"),
                asked.getString("organization_id"), asked.getString("handshake_code"));
            String found;
            try {
                Claims claims = Claims.check(one.getString("authorization"), vendors, expected);
                claims.checkTime(Times.parse(one.getString("now")));
                found = "ok";
                assertEquals(one.getString("expires_at"), Times.text(claims.exp), one.getString("name"));
            } catch (Distrust distrust) {
                found = distrust.reason.name().toLowerCase();
            }
            assertEquals(one.getString("result"), found, one.getString("name"));
        }
    }

    /** Whatever the platform has, the other half must be right too. */
    @Test
    void theCurvesOfThePlatformAndOfBouncyCastleAgree() throws Exception {
        JsonObject all = vectors("chains");
        VerifyingKey vendor = VerifyingKey.parseAll(all.getString("vendor_public_key")).get(0);
        int genuine = 0;
        for (JsonObject one : cases(all, "cases")) {
            String[] parts = one.getString("authorization").split("\\.");
            JsonObject head = parts.length == 3 ? Json.parse(Texts.fromBase64url(parts[0])) : null;
            String[] certificate = head == null || !head.isString("svr") ? new String[0] : head.getString("svr").split("\\.");
            byte[] signature = certificate.length == 3 ? Texts.fromBase64url(certificate[2]) : null;
            if (signature == null) continue;
            byte[] signed = Texts.utf8(certificate[0] + "." + certificate[1]);
            boolean byPlatform = Curves.verifyByPlatform(vendor.bytes, signed, signature);
            assertEquals(byPlatform, Curves.verifyByBouncyCastle(vendor.bytes, signed, signature), one.getString("name"));
            genuine += byPlatform ? 1 : 0;
        }
        assertTrue(genuine > 3, "the platform of these tests has Ed25519");
        byte[] secret = Texts.random(32);
        byte[] other = Texts.random(32);
        byte[] shared = Curves.agreeByPlatform(secret, Curves.publicOf(other));
        assertEquals(32, shared.length);
        assertArrayEquals(shared, Curves.agreeByBouncyCastle(other, Curves.publicOf(secret)));
        assertNull(Curves.agreeByBouncyCastle(secret, new byte[32]));
        assertNull(Curves.agreeByPlatform(secret, new byte[32]));
    }

    @Test
    void productKeys() throws Exception {
        JsonObject all = vectors("product_keys");
        List<VerifyingKey> vendors = VerifyingKey.parseAll(all.getString("vendor_public_key"));
        for (JsonObject one : cases(all, "cases")) {
            JsonObject asked = one.getObject("request");
            List<String> modules = Json.texts(asked, "modules");
            ProductKeys.Request request = new ProductKeys.Request(asked.getString("product"), asked.getString("version"), asked.getString("edition"),
                asked.getString("deployment_type"), modules, asked.getString("machine"), asked.getString("host"));
            try {
                List<Object> found = new ArrayList<>();
                List<ProductKeys.Key> keys = ProductKeys.read(one.getString("text"), vendors);
                for (ProductKeys.Key key : ProductKeys.check(keys, request, Times.parse(one.getString("now")))) {
                    found.add((int) key.id);
                }
                assertEquals("ok", one.get("result"), one.getString("name"));
                assertEquals(one.getArray("keys"), found, one.getString("name"));
            } catch (LicenseException error) {
                assertEquals(one.get("result"), error.getCode(), one.getString("name"));
            }
        }
    }

    @Test
    void errors() throws Exception {
        for (JsonObject one : cases(vectors("errors"), "cases")) {
            LicenseException error = new LicenseException(one.getInt("code"), "");
            assertEquals(Arrays.asList(one.get("sdk_code"), one.get("title"), one.get("user_message")),
                Arrays.asList(error.getSdkCode(), error.getTitle(), error.getUserMessage()), one.toString());
        }
    }

    @Test
    void sealedBodies() throws Exception {
        JsonObject all = vectors("sealed");
        byte[] secret = Texts.fromBase64url(all.getString("private_key"));
        byte[] recipient = Texts.fromBase64url(all.getObject("jwk").getString("x"));
        for (JsonObject one : cases(all, "cases")) {
            byte[] read = Texts.fromBase64url(one.getString("body"));
            byte[] body = read == null ? new byte[0] : read;
            String found = "refused";
            try {
                byte[] enc = Arrays.copyOf(body, 32);
                Sealed context = Sealed.context(Curves.agree(secret, enc), enc, recipient, one.getString("path"));
                found = Texts.fromUtf8(context.openRequest(Arrays.copyOfRange(body, Math.min(32, body.length), body.length)));
                for (JsonObject answer : one.has("answers") ? cases(one, "answers") : Collections.<JsonObject>emptyList()) {
                    byte[] opened = context.openAnswer(answer.getInt("status"), Texts.fromBase64url(answer.getString("body")));
                    assertEquals(answer.getString("plaintext"), Texts.fromUtf8(opened), one.getString("name"));
                }
            } catch (GeneralSecurityException error) {
                // Refused.
            }
            assertEquals(one.getString("result").equals("ok") ? one.getString("plaintext") : "refused", found, one.getString("name"));
        }
        // And the library's own sealing is opened with the private key, and hears the answer.
        Sealed sealed = Sealed.seal(recipient, "/api/v1/authorize", Texts.utf8("{\"a\":1}"));
        byte[] enc = Arrays.copyOf(sealed.body, 32);
        Sealed context = Sealed.context(Curves.agree(secret, enc), enc, recipient, "/api/v1/authorize");
        assertEquals("{\"a\":1}", Texts.fromUtf8(context.openRequest(Arrays.copyOfRange(sealed.body, 32, sealed.body.length))));
        byte[] answer = context.sealAnswer(403, Texts.utf8("{\"code\":120}"));
        assertEquals("{\"code\":120}", Texts.fromUtf8(sealed.openAnswer(403, answer)));
        assertNull(sealed.openAnswer(200, answer), "the status is part of what is sealed");
    }

    @Test
    void carriedByHand() throws Exception {
        for (JsonObject one : cases(vectors("carried"), "cases")) {
            Carried kind = Carried.valueOf(one.getString("kind").toUpperCase());
            JsonObject content = one.getObject("json");
            assertEquals(content, kind.read(one.getString("line")), kind.name());
            assertEquals(content, kind.read(one.getString("file")), kind.name());
            CarriedText written = kind.write(content, "A summary");
            assertEquals(content, kind.read(written.getLine()));
            assertEquals(content, kind.read(written.getFile()));
            for (Carried other : Carried.values()) {
                if (other == kind) continue;
                for (String text : Arrays.asList(one.getString("line"), one.getString("file"))) {
                    assertEquals(304, assertThrows(LicenseException.class, () -> other.read(text)).getCode());
                }
            }
        }
    }

    /** Run by {@link #withoutThePlatformsCurves}. */
    public static void main(String[] arguments) throws Exception {
        assertThrows(GeneralSecurityException.class, () -> Signature.getInstance("Ed25519"));
        assertThrows(GeneralSecurityException.class, () -> KeyAgreement.getInstance("X25519"));
        VectorsTest vectors = new VectorsTest();
        vectors.chains();
        vectors.productKeys();
        vectors.sealedBodies();
    }

    /** As on Java 8 and most Androids. */
    @Test
    void withoutThePlatformsCurves(@TempDir Path folder) throws Exception {
        StringBuilder providers = new StringBuilder("security.provider.1=SUN\nsecurity.provider.2=SunJCE\n");
        for (int number = 3; number <= 20; number++) providers.append("security.provider.").append(number).append("=\n");
        Path file = Files.writeString(folder.resolve("providers"), providers);
        String java = Path.of(System.getProperty("java.home"), "bin/java").toString();
        Process process = new ProcessBuilder(java, "-cp", System.getProperty("java.class.path"),
            "-Djava.security.properties=" + file, "-Dtollkeeper.root=" + System.getProperty("tollkeeper.root"), VectorsTest.class.getName())
            .redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
    }
}
