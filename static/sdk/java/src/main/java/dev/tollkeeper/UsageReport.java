package dev.tollkeeper;

import com.grack.nanojson.JsonArray;
import com.grack.nanojson.JsonObject;
import java.util.Map;
import java.util.TreeMap;

/** What was done in one slot of three minutes. */
final class UsageReport {
    static final int TYPES_MAX = 64;
    static final int TYPE_BYTES_MAX = 64;
    static final long COUNT_MAX = 1_000_000_000;

    /** What is counted together: all that becomes one report, but for its types. */
    static final class Key {
        final long slot;
        final String unit;
        /** For pages: the module that processed them; may be {@code null}. */
        final String module;

        Key(long slot, String unit, String module) {
            this.slot = slot;
            this.unit = unit;
            this.module = module;
        }

        @Override
        public boolean equals(Object other) {
            if (!(other instanceof Key)) return false;
            Key key = (Key) other;
            return slot == key.slot && unit.equals(key.unit) && (module == null ? key.module == null : module.equals(key.module));
        }

        @Override
        public int hashCode() {
            return Long.valueOf(slot).hashCode() * 31 + unit.hashCode() + (module == null ? 0 : module.hashCode());
        }
    }

    final String id;
    final Key key;
    final String handshakeCode;
    final String product;
    final Map<String, Long> counts;
    int instances;

    UsageReport(String id, Key key, String handshakeCode, String product, Map<String, Long> counts, int instances) {
        this.id = id;
        this.key = key;
        this.handshakeCode = handshakeCode;
        this.product = product;
        this.counts = counts;
        this.instances = instances;
    }

    static UsageReport read(JsonObject json) {
        Long slot = Times.parse(json.getString("slot"));
        if (slot == null) throw new IllegalArgumentException("slot");
        Map<String, Long> counts = new TreeMap<>();
        JsonObject told = Json.object(json, "counts");
        for (String type : told.keySet()) counts.put(type, Json.needWhole(told, type));
        Key key = new Key(slot, Json.needText(json, "unit"), json.getString("module"));
        return new UsageReport(Json.needText(json, "report_id"), key, Json.needText(json, "handshake_code"), Json.needText(json, "product"), counts,
            (int) Json.needWhole(json, "instances"));
    }

    JsonObject toJson() {
        JsonObject json = new JsonObject();
        json.put("report_id", id);
        json.put("slot", Times.text(key.slot));
        json.put("handshake_code", handshakeCode);
        json.put("product", product);
        json.put("unit", key.unit);
        Json.put(json, "module", key.module);
        json.put("counts", new JsonObject(counts));
        json.put("instances", instances);
        return json;
    }

    static JsonArray toJson(Iterable<UsageReport> reports) {
        JsonArray list = new JsonArray();
        for (UsageReport report : reports) list.add(report.toJson());
        return list;
    }

    boolean isOverAt(long seconds) {
        return key.slot + Times.SLOT_SECONDS <= seconds;
    }

    /** Whether nobody takes it any more. */
    boolean isTooOldAt(long now) {
        return now - (key.slot + Times.SLOT_SECONDS) > Times.REPORT_MAX_AGE_SECONDS;
    }
}
