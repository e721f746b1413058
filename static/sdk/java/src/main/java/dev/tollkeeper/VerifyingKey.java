package dev.tollkeeper;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** An Ed25519 public key with its RFC 7638 thumbprint, by which documents name it. */
final class VerifyingKey {
    private static final Pattern BARE = Pattern.compile("[A-Za-z0-9+/=\\s]+");
    private static final Pattern PEM = Pattern.compile("-----BEGIN PUBLIC KEY-----([^-]*)-----END PUBLIC KEY-----");

    final byte[] bytes;
    final String kid;

    VerifyingKey(byte[] bytes) {
        this.bytes = bytes;
        kid = Texts.toBase64url(Texts.sha256(Texts.utf8("{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"" + Texts.toBase64url(bytes) + "\"}")));
    }

    /** Each public key in a text: PEM blocks, or the base64 of one alone. */
    static List<VerifyingKey> parseAll(String text) throws LicenseException {
        String again = "give the text of the vendor.pub that \"tollkeeper vendor keygen\" wrote";
        List<String> bodies = new ArrayList<>();
        if (BARE.matcher(text).matches()) bodies.add(text);
        for (Matcher found = PEM.matcher(text); found.find();) bodies.add(found.group(1));
        if (text.trim().isEmpty() || bodies.isEmpty()) throw LicenseException.settings("vendorPublicKey is not set or holds no PUBLIC KEY: " + again);
        List<VerifyingKey> keys = new ArrayList<>();
        for (String body : bodies) {
            byte[] der = Texts.fromBase64(body);
            boolean isKey = der != null && der.length == 44 && Arrays.equals(Arrays.copyOf(der, 12), Curves.ED25519_SPKI);
            if (!isKey) throw LicenseException.settings("vendorPublicKey: it is damaged or of another kind than Ed25519: " + again);
            keys.add(new VerifyingKey(Arrays.copyOfRange(der, 12, 44)));
        }
        return keys;
    }

    /** The one that a document names; {@code null} when none of them does. */
    static VerifyingKey find(List<VerifyingKey> keys, String kid) {
        for (VerifyingKey key : keys) if (key.kid.equals(kid)) return key;
        return null;
    }
}
