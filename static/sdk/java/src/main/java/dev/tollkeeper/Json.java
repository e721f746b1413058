package dev.tollkeeper;

import com.grack.nanojson.JsonArray;
import com.grack.nanojson.JsonObject;
import com.grack.nanojson.JsonParser;
import com.grack.nanojson.JsonParserException;
import com.grack.nanojson.JsonWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** JSON, read strictly. */
final class Json {
    private static final int DEPTH_MAX = 16;

    private Json() {}

    /** The object in these bytes; {@code null} when they are no JSON object or nested too deep. */
    static JsonObject parse(byte[] bytes) {
        String text = bytes == null || bytes.length == 0 || bytes[0] != '{' ? null : Texts.fromUtf8(bytes);
        if (text == null || isTooDeep(text)) return null;
        try {
            return JsonParser.object().from(text);
        } catch (JsonParserException error) {
            return null;
        }
    }

    /** Told before it is read, because reading takes a step of the stack for each depth. */
    private static boolean isTooDeep(String text) {
        int depth = 0;
        boolean isQuoted = false;
        for (int at = 0; at < text.length(); at++) {
            char each = text.charAt(at);
            if (isQuoted && each == '\\') at++;
            else if (each == '"') isQuoted = !isQuoted;
            else if (!isQuoted && (each == '{' || each == '[') && ++depth > DEPTH_MAX) return true;
            else if (!isQuoted && (each == '}' || each == ']')) depth--;
        }
        return false;
    }

    static String write(Object value) {
        return JsonWriter.string(value);
    }

    static byte[] bytes(Object value) {
        return Texts.utf8(write(value));
    }

    /** Puts what is there. */
    static void put(JsonObject json, String name, Object value) {
        if (value != null) json.put(name, value);
    }

    /** {@code null} when it is missing or no whole number. */
    static Long whole(JsonObject json, String name) {
        return wholeOf(json.get(name));
    }

    static Long wholeOf(Object value) {
        return value instanceof Integer || value instanceof Long ? Long.valueOf(((Number) value).longValue()) : null;
    }

    /** A list of texts that are not empty: an empty one when it is missing, {@code null} when it is something else. */
    static List<String> texts(JsonObject json, String name) {
        List<String> texts = new ArrayList<>();
        if (json.get(name) == null) return texts;
        JsonArray list = json.getArray(name);
        if (list == null) return null;
        for (Object each : list) {
            if (!(each instanceof String) || ((String) each).isEmpty()) return null;
            texts.add((String) each);
        }
        return texts;
    }

    /** Every object in a list; {@code null} when it is no list of objects. */
    static List<JsonObject> objects(JsonObject json, String name) {
        JsonArray list = json.getArray(name);
        if (list == null) return null;
        List<JsonObject> objects = new ArrayList<>();
        for (Object each : list) {
            if (!(each instanceof JsonObject)) return null;
            objects.add((JsonObject) each);
        }
        return objects;
    }

    /** Whole numbers by name; what is something else is passed over. */
    static Map<String, Long> wholes(JsonObject json) {
        Map<String, Long> numbers = new TreeMap<>();
        for (Map.Entry<String, Object> each : json.entrySet()) {
            Long number = wholeOf(each.getValue());
            if (number != null) numbers.put(each.getKey(), number);
        }
        return numbers;
    }

    /** Texts by name. Of our own files: what is something else is damage. */
    static Map<String, String> textsByName(JsonObject json) {
        Map<String, String> texts = new TreeMap<>();
        for (Map.Entry<String, Object> each : json.entrySet()) {
            if (!(each.getValue() instanceof String)) throw new IllegalArgumentException(each.getKey());
            texts.put(each.getKey(), (String) each.getValue());
        }
        return texts;
    }

    /** Of our own files: what is missing is damage. */
    static String needText(JsonObject json, String name) {
        String text = json.getString(name);
        if (text == null) throw new IllegalArgumentException(name);
        return text;
    }

    /** Of our own files: what is missing is damage. */
    static long needWhole(JsonObject json, String name) {
        Long number = whole(json, name);
        if (number == null) throw new IllegalArgumentException(name);
        return number;
    }

    /** Of our own files: an empty one when it is missing. */
    static JsonObject object(JsonObject json, String name) {
        return json.getObject(name, new JsonObject());
    }
}
