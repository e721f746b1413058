package dev.tollkeeper;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.List;
import java.util.Locale;
import java.util.UUID;
import java.util.regex.Pattern;

/** Texts and bytes as the formats write them. */
final class Texts {
    private static final String BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    private static final Pattern UUID_FORM = Pattern.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}");
    private static final String NIL = "00000000-0000-0000-0000-000000000000";
    private static final SecureRandom RANDOM = new SecureRandom();

    private Texts() {}

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** {@code null} when these bytes are no UTF-8. */
    static String fromUtf8(byte[] bytes) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException error) {
            return null;
        }
    }

    static byte[] concat(byte[]... parts) {
        ByteArrayOutputStream whole = new ByteArrayOutputStream();
        for (byte[] part : parts) whole.write(part, 0, part.length);
        return whole.toByteArray();
    }

    static String toBase64url(byte[] bytes) {
        StringBuilder text = new StringBuilder((bytes.length * 4 + 2) / 3);
        int kept = 0;
        int bits = 0;
        for (byte each : bytes) {
            kept = kept << 8 | each & 0xff;
            for (bits += 8; bits >= 6; bits -= 6) text.append(BASE64URL.charAt(kept >> bits - 6 & 63));
            kept &= (1 << bits) - 1;
        }
        if (bits > 0) text.append(BASE64URL.charAt(kept << 6 - bits & 63));
        return text.toString();
    }

    /** Strict: no padding, no white space, no stray bits. {@code null} when it is not base64url. */
    static byte[] fromBase64url(String text) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(text.length() * 3 / 4);
        int kept = 0;
        int bits = 0;
        for (int at = 0; at < text.length(); at++) {
            int value = BASE64URL.indexOf(text.charAt(at));
            if (value < 0) return null;
            kept = kept << 6 | value;
            bits += 6;
            if (bits < 8) continue;
            bits -= 8;
            bytes.write(kept >> bits);
            kept &= (1 << bits) - 1;
        }
        return bits < 6 && kept == 0 ? bytes.toByteArray() : null;
    }

    /** Standard base64 as PEM has it, white space ignored; {@code null} when it is none. */
    static byte[] fromBase64(String text) {
        String bare = text.replaceAll("\\s", "");
        int end = bare.length();
        while (end > 0 && bare.length() - end < 2 && bare.charAt(end - 1) == '=') end--;
        String body = bare.substring(0, end);
        return bare.length() % 4 != 0 || body.contains("-") || body.contains("_") ? null : fromBase64url(body.replace('+', '-').replace('/', '_'));
    }

    static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder(bytes.length * 2);
        for (byte each : bytes) text.append(Character.forDigit(each >> 4 & 15, 16)).append(Character.forDigit(each & 15, 16));
        return text.toString();
    }

    static byte[] random(int length) {
        byte[] bytes = new byte[length];
        RANDOM.nextBytes(bytes);
        return bytes;
    }

    /** From 0 to 1. */
    static double chance() {
        return RANDOM.nextDouble();
    }

    static boolean isUuid(String text) {
        return text != null && UUID_FORM.matcher(text).matches() && !text.equals(NIL);
    }

    static boolean sameUuid(String one, String other) {
        return isUuid(one) && isUuid(other) && one.equalsIgnoreCase(other);
    }

    static String uuidOf(byte[] bytes, int version) {
        ByteBuffer made = ByteBuffer.wrap(bytes.clone());
        made.put(6, (byte) (bytes[6] & 0x0f | version << 4));
        made.put(8, (byte) (bytes[8] & 0x3f | 0x80));
        return new UUID(made.getLong(0), made.getLong(8)).toString();
    }

    /** UUID version 7 with the slot's time: ids that grow are the quickest for a server to take. */
    static String reportId(long slot) {
        byte[] bytes = random(16);
        ByteBuffer.wrap(bytes).putShort((short) (slot * 1_000 >> 32)).putInt((int) (slot * 1_000));
        return uuidOf(bytes, 7);
    }

    /** Letters outside ASCII are different from each other, as the servers have it. */
    static boolean sameWord(String one, String other) {
        return one != null && other != null && lower(one).equals(lower(other));
    }

    static String lower(String text) {
        StringBuilder changed = new StringBuilder(text);
        for (int at = 0; at < text.length(); at++) {
            char each = text.charAt(at);
            if (each >= 'A' && each <= 'Z') changed.setCharAt(at, (char) (each + 32));
        }
        return changed.toString();
    }

    /** Whether a list of the license, where an empty one is any, permits this word. */
    static boolean permits(List<String> list, String given) {
        for (String word : list) if (sameWord(word, given)) return true;
        return list.isEmpty();
    }

    static String join(String between, Iterable<String> parts) {
        StringBuilder joined = new StringBuilder();
        for (String part : parts) joined.append(joined.length() == 0 ? "" : between).append(part);
        return joined.toString();
    }

    static String shorten(String text) {
        return text.length() > 60 ? text.substring(0, 57) + "..." : text;
    }

    static boolean startsWithIgnoringCase(String text, String start) {
        return text.toLowerCase(Locale.ROOT).startsWith(start);
    }
}
