package dev.tollkeeper;

import com.grack.nanojson.JsonObject;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What people carry between a device without network and its server. */
enum Carried {
    /** From device to server. */
    REQUEST("TKR1.", "TOLLKEEPER AUTHORIZATION REQUEST", "an authorization request"),
    /** From server to device. */
    AUTHORIZATION("TKA1.", "TOLLKEEPER AUTHORIZATION", "an authorization file"),
    /** From device to server. */
    REPORTS("TKU1.", "TOLLKEEPER USAGE REPORTS", "a usage report file"),
    /** From server to device. */
    RECEIPT("TKC1.", "TOLLKEEPER USAGE RECEIPT", "a usage receipt");

    private static final Pattern BLOCK =
        Pattern.compile("^[ \\t]*-----BEGIN ([A-Z ]+)-----[ \\t]*\\r?\\n([\\s\\S]*?)-----END ([A-Z ]+)-----", Pattern.MULTILINE);
    private static final Pattern BROKEN_LINE = Pattern.compile("\\S[^\\S\\n]+\\S");

    private final String prefix;
    private final String label;
    private final String what;

    Carried(String prefix, String label, String what) {
        this.prefix = prefix;
        this.label = label;
        this.what = what;
    }

    CarriedText write(JsonObject content, String summary) {
        String line = prefix + Texts.toBase64url(Json.bytes(content));
        StringBuilder file = new StringBuilder(summary.trim().replace("-----", "- - -"));
        if (file.length() > 0) file.append("\n\n");
        file.append("-----BEGIN ").append(label).append("-----\n");
        for (int at = 0; at < line.length(); at += 64) file.append(line, at, Math.min(at + 64, line.length())).append('\n');
        return new CarriedText(line, file.append("-----END ").append(label).append("-----\n").toString());
    }

    /** Reads a line or a file. */
    JsonObject read(String given) throws LicenseException {
        String bare = (given.startsWith("\ufeff") ? given.substring(1) : given).trim();
        String line = (bare.startsWith("TK") ? bare : bodyOf(bare)).replaceAll("\\s+", "");
        if (!line.startsWith(prefix)) {
            for (Carried other : values()) if (line.startsWith(other.prefix)) throw no("it is " + other.what);
            throw no("it is text of another kind");
        }
        JsonObject content = Json.parse(Texts.fromBase64url(line.substring(prefix.length())));
        if (content == null) throw no("it is damaged");
        return content;
    }

    private String bodyOf(String text) throws LicenseException {
        Matcher block = BLOCK.matcher(text);
        if (!block.find()) throw no("it has no BEGIN and END lines");
        String begun = block.group(1);
        String body = block.group(2);
        String ended = block.group(3);
        if (block.find()) throw no("it holds several documents");
        if (!begun.equals(ended)) throw no("its END line belongs to another document");
        if (!begun.equals(label)) throw no("it is a " + begun);
        if (BROKEN_LINE.matcher(body).find()) throw no("there is something else between its BEGIN and END lines");
        return body;
    }

    private LicenseException no(String why) {
        return new LicenseException(LicenseException.NOT_GENUINE, "this is not " + what + ": " + why + "; carry the whole text or file");
    }
}
