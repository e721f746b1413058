package dev.tollkeeper;

import com.grack.nanojson.JsonObject;

/** A report of a slot that is over. What it says does not change any more. */
final class StoredReport {
    /** How far it got. */
    enum Progress {
        /** To be sent. */
        PENDING,
        /** It could not be sent, or not be taken: again after the next authorization. */
        FAILED,
        /** On disk at one server; kept until no single loss can take that any more. */
        ACCEPTED
    }

    final UsageReport report;
    /** Under which grant. */
    final String grant;
    Progress progress;
    /** The server that took it, and the number of its fact that holds it. */
    String origin;
    long sequence;

    StoredReport(UsageReport report, String grant) {
        this.report = report;
        this.grant = grant;
        progress = Progress.PENDING;
    }

    static StoredReport read(JsonObject json) {
        StoredReport stored = new StoredReport(UsageReport.read(Json.object(json, "report")), Json.needText(json, "grant"));
        if (json.isString("progress")) {
            stored.progress = json.getString("progress").equals("failed") ? Progress.FAILED : Progress.PENDING;
        } else {
            JsonObject accepted = Json.object(Json.object(json, "progress"), "accepted");
            stored.accept(Json.needText(accepted, "origin"), Json.needWhole(accepted, "sequence"));
        }
        return stored;
    }

    JsonObject toJson() {
        JsonObject json = new JsonObject();
        json.put("report", report.toJson());
        json.put("grant", grant);
        if (progress == Progress.ACCEPTED) {
            JsonObject accepted = new JsonObject();
            accepted.put("origin", origin);
            accepted.put("sequence", sequence);
            JsonObject told = new JsonObject();
            told.put("accepted", accepted);
            json.put("progress", told);
        } else {
            json.put("progress", progress == Progress.FAILED ? "failed" : "pending");
        }
        return json;
    }

    void accept(String by, long fact) {
        progress = Progress.ACCEPTED;
        origin = by;
        sequence = fact;
    }

    /** Whether this changed it. */
    boolean set(Progress wanted) {
        boolean isOther = progress != wanted;
        progress = wanted;
        return isOther;
    }
}
