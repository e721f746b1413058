package dev.tollkeeper;

import com.grack.nanojson.JsonArray;
import com.grack.nanojson.JsonObject;
import java.util.List;

/** An authorization with what came along. */
final class Grant {
    /** The compact JWS. */
    final String authorization;
    /** From when on to renew it. */
    final long refreshAfter;
    final long endsAt;
    /** Seconds between two submissions of reports. */
    final long reportInterval;
    /** The server that gave it; empty when it was carried by hand. */
    final String server;
    /** The servers of the application that asked: whoever knows them may send its reports. */
    final List<String> servers;
    /** A server took it back: it is good for reporting only. */
    boolean isWithdrawn;

    Grant(String authorization, long refreshAfter, long endsAt, long reportInterval, String server, List<String> servers) {
        this.authorization = authorization;
        this.refreshAfter = refreshAfter;
        this.endsAt = endsAt;
        this.reportInterval = reportInterval;
        this.server = server;
        this.servers = servers;
    }

    static Grant read(JsonObject json) {
        List<String> servers = Json.texts(json, "servers");
        if (servers == null) throw new IllegalArgumentException("servers");
        Grant grant = new Grant(Json.needText(json, "authorization"), Json.needWhole(json, "refresh_after"), Json.needWhole(json, "ends_at"),
            Json.needWhole(json, "report_interval"), Json.needText(json, "server"), servers);
        grant.isWithdrawn = json.getBoolean("withdrawn");
        return grant;
    }

    JsonObject toJson() {
        JsonObject json = new JsonObject();
        json.put("authorization", authorization);
        json.put("refresh_after", refreshAfter);
        json.put("ends_at", endsAt);
        json.put("report_interval", reportInterval);
        json.put("server", server);
        json.put("servers", new JsonArray(servers));
        json.put("withdrawn", isWithdrawn);
        return json;
    }
}
