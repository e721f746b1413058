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
import java.util.Arrays;
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

    /** Every case of a file, with what the file says beside its cases. */
    private static void check(String kind) throws Exception {
        JsonObject all = vectors(kind);
        int number = 0;
        for (String list : Arrays.asList("cases", "good", "bad")) {
            if (!all.has(list)) continue;
            for (JsonObject one : cases(all, list)) {
                JsonObject given = new JsonObject(all);
                given.putAll(one);
                if (!one.has("result")) given.put("result", list.equals("bad") ? (Object) 301 : "ok");
                JsonObject told = Vectors.check(kind, given);
                for (String name : told.keySet()) assertEquals(given.get(name), told.get(name), kind + ": " + name + " of " + one);
                assertTrue(!"ok".equals(told.get("result")) || told.size() > 1);
                number++;
            }
        }
        assertTrue(number >= 5, kind);
    }

    @Test
    void everyCaseIsWhatTheLibrarySaysOfIt() throws Exception {
        for (String kind : Vectors.KINDS) check(kind);
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

    /** Run by {@link #withoutThePlatformsCurves}. */
    public static void main(String[] arguments) throws Exception {
        assertThrows(GeneralSecurityException.class, () -> Signature.getInstance("Ed25519"));
        assertThrows(GeneralSecurityException.class, () -> KeyAgreement.getInstance("X25519"));
        for (String kind : Arrays.asList("chains", "product_keys", "sealed")) check(kind);
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
