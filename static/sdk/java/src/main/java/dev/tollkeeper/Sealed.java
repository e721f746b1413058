package dev.tollkeeper;

import java.security.GeneralSecurityException;
import java.util.Arrays;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Bodies that only the server itself can read: HPKE (RFC 9180) with X25519, HKDF-SHA256 and
 * AES-128-GCM. The answer comes back under keys that both sides export.
 */
final class Sealed {
    static final String CONTENT_TYPE = "application/tk-sealed";

    private static final byte[] KEM_SUITE = Texts.concat(Texts.utf8("KEM"), new byte[] {0, 0x20});
    private static final byte[] HPKE_SUITE = Texts.concat(Texts.utf8("HPKE"), new byte[] {0, 0x20, 0, 1, 0, 1});
    private static final byte[] EMPTY = {};

    /** A key of AES-128-GCM with its one nonce. */
    private static final class OneTimeKey {
        final byte[] key;
        final byte[] nonce;
        final byte[] context;

        OneTimeKey(byte[] key, byte[] nonce, byte[] context) {
            this.key = key;
            this.nonce = nonce;
            this.context = context;
        }

        byte[] apply(int mode, byte[] input) throws GeneralSecurityException {
            // Java's own takes what is shorter than the tag for a mistake of the program.
            if (mode == Cipher.DECRYPT_MODE && input.length < 16) throw new GeneralSecurityException("it is too short");
            Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
            cipher.init(mode, new SecretKeySpec(key, "AES"), new GCMParameterSpec(128, nonce));
            cipher.updateAAD(context);
            return cipher.doFinal(input);
        }
    }

    /** What is sent. */
    final byte[] body;
    private final OneTimeKey request;
    private final byte[] exporter;

    private Sealed(byte[] body, OneTimeKey request, byte[] exporter) {
        this.body = body;
        this.request = request;
        this.exporter = exporter;
    }

    /** Seals a request to a server's key. */
    static Sealed seal(byte[] recipient, String path, byte[] plain) throws GeneralSecurityException {
        byte[] secret = Texts.random(32);
        byte[] enc = Curves.publicOf(secret);
        Sealed context = context(Curves.agree(secret, recipient), enc, recipient, path);
        byte[] sealed = context.request.apply(Cipher.ENCRYPT_MODE, plain);
        return new Sealed(Texts.concat(enc, sealed), context.request, context.exporter);
    }

    /** The context that both sides have, from the Diffie-Hellman result on. */
    static Sealed context(byte[] shared, byte[] enc, byte[] recipient, String path) throws GeneralSecurityException {
        if (shared == null) throw new GeneralSecurityException("the server's sealing key is none");
        byte[] kem = expand(KEM_SUITE, extract(KEM_SUITE, EMPTY, "eae_prk", shared), "shared_secret", Texts.concat(enc, recipient), 32);
        byte[] info = Texts.utf8("tollkeeper sealed v1 " + path);
        byte[] pskHash = extract(HPKE_SUITE, EMPTY, "psk_id_hash", EMPTY);
        byte[] schedule = Texts.concat(new byte[] {0}, pskHash, extract(HPKE_SUITE, EMPTY, "info_hash", info));
        byte[] secret = extract(HPKE_SUITE, kem, "secret", EMPTY);
        byte[] key = expand(HPKE_SUITE, secret, "key", schedule, 16);
        byte[] nonce = expand(HPKE_SUITE, secret, "base_nonce", schedule, 12);
        return new Sealed(null, new OneTimeKey(key, nonce, EMPTY), expand(HPKE_SUITE, secret, "exp", schedule, 32));
    }

    /** The recipient's side. */
    byte[] openRequest(byte[] sealed) throws GeneralSecurityException {
        return request.apply(Cipher.DECRYPT_MODE, sealed);
    }

    /** {@code null} when the answer was changed on its way, or is another's. */
    byte[] openAnswer(int status, byte[] sealed) {
        try {
            return answerKey(status).apply(Cipher.DECRYPT_MODE, sealed);
        } catch (GeneralSecurityException error) {
            return null;
        }
    }

    /** The recipient's side. */
    byte[] sealAnswer(int status, byte[] plain) throws GeneralSecurityException {
        return answerKey(status).apply(Cipher.ENCRYPT_MODE, plain);
    }

    private OneTimeKey answerKey(int status) throws GeneralSecurityException {
        byte[] key = expand(HPKE_SUITE, exporter, "sec", Texts.utf8("tollkeeper answer key"), 16);
        byte[] nonce = expand(HPKE_SUITE, exporter, "sec", Texts.utf8("tollkeeper answer nonce"), 12);
        return new OneTimeKey(key, nonce, Texts.utf8(String.valueOf(status)));
    }

    private static byte[] extract(byte[] suite, byte[] salt, String label, byte[] input) throws GeneralSecurityException {
        return hmac(salt, Texts.concat(Texts.utf8("HPKE-v1"), suite, Texts.utf8(label), input));
    }

    /** At most 32 bytes, so one block of HKDF-Expand is enough. */
    private static byte[] expand(byte[] suite, byte[] secret, String label, byte[] info, int length) throws GeneralSecurityException {
        byte[] block = Texts.concat(new byte[] {0, (byte) length}, Texts.utf8("HPKE-v1"), suite, Texts.utf8(label), info, new byte[] {1});
        return Arrays.copyOf(hmac(secret, block), length);
    }

    private static byte[] hmac(byte[] key, byte[] data) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        // A key of no bytes and one of zeros are the same to HMAC, but not to Java.
        mac.init(new SecretKeySpec(key.length == 0 ? new byte[32] : key, "HmacSHA256"));
        return mac.doFinal(data);
    }
}
