package dev.tollkeeper;

import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import javax.crypto.KeyAgreement;
import org.bouncycastle.math.ec.rfc7748.X25519;
import org.bouncycastle.math.ec.rfc8032.Ed25519;

/**
 * Ed25519 and X25519: the platform's where it has them (Java 15 and 11, newer Androids), else Bouncy
 * Castle's. Some Androids have an Ed25519 by name that takes no key from outside; so the platform
 * first proves itself: with the example of RFC 8032, and by making what Bouncy Castle makes.
 */
final class Curves {
    static final byte[] ED25519_SPKI = bytes("302a300506032b6570032100");
    private static final byte[] X25519_SPKI = bytes("302a300506032b656e032100");
    private static final byte[] X25519_PKCS8 = bytes("302e020100300506032b656e04220420");
    private static final byte[] BASE_POINT = Arrays.copyOf(new byte[] {9}, 32);

    private static final boolean HAS_ED25519 = platformHasEd25519();
    private static final boolean HAS_X25519 = platformHasX25519();

    private Curves() {}

    /** Whether this is the key's signature of these bytes. */
    static boolean verify(byte[] key, byte[] signed, byte[] signature) {
        return HAS_ED25519 ? verifyByPlatform(key, signed, signature) : verifyByBouncyCastle(key, signed, signature);
    }

    /** The shared secret of a private and a public key; {@code null} when the public one is none. */
    static byte[] agree(byte[] secret, byte[] point) {
        return HAS_X25519 ? agreeByPlatform(secret, point) : agreeByBouncyCastle(secret, point);
    }

    static byte[] publicOf(byte[] secret) {
        return agree(secret, BASE_POINT);
    }

    static boolean verifyByPlatform(byte[] key, byte[] signed, byte[] signature) {
        try {
            Signature verifier = Signature.getInstance("Ed25519");
            verifier.initVerify(KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(Texts.concat(ED25519_SPKI, key))));
            verifier.update(signed);
            return verifier.verify(signature);
        } catch (GeneralSecurityException error) {
            return false;
        }
    }

    static boolean verifyByBouncyCastle(byte[] key, byte[] signed, byte[] signature) {
        return key.length == 32 && signature.length == 64 && Ed25519.verify(signature, 0, key, 0, signed, 0, signed.length);
    }

    static byte[] agreeByPlatform(byte[] secret, byte[] point) {
        try {
            KeyFactory keys = KeyFactory.getInstance("X25519");
            KeyAgreement agreement = KeyAgreement.getInstance("X25519");
            agreement.init(keys.generatePrivate(new PKCS8EncodedKeySpec(Texts.concat(X25519_PKCS8, secret))));
            agreement.doPhase(keys.generatePublic(new X509EncodedKeySpec(Texts.concat(X25519_SPKI, point))), true);
            return agreement.generateSecret();
        } catch (GeneralSecurityException error) {
            return null;
        }
    }

    static byte[] agreeByBouncyCastle(byte[] secret, byte[] point) {
        byte[] shared = new byte[32];
        return point.length == 32 && X25519.calculateAgreement(secret, 0, point, 0, shared, 0) ? shared : null;
    }

    /** The first example of RFC 8032, §7.1. */
    private static boolean platformHasEd25519() {
        byte[] key = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        byte[] signature = bytes("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            + "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
        try {
            return verifyByPlatform(key, new byte[0], signature);
        } catch (RuntimeException error) {
            return false;
        }
    }

    /** Both must make the same public key of any private one. */
    private static boolean platformHasX25519() {
        try {
            byte[] point = agreeByPlatform(BASE_POINT, BASE_POINT);
            return point != null && Arrays.equals(point, agreeByBouncyCastle(BASE_POINT, BASE_POINT));
        } catch (RuntimeException error) {
            return false;
        }
    }

    private static byte[] bytes(String hex) {
        byte[] made = new byte[hex.length() / 2];
        for (int at = 0; at < made.length; at++) made[at] = (byte) Integer.parseInt(hex.substring(at * 2, at * 2 + 2), 16);
        return made;
    }
}
