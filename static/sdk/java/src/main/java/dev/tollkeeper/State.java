package dev.tollkeeper;

import com.grack.nanojson.JsonArray;
import com.grack.nanojson.JsonObject;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * What a device keeps on disk. Several processes of one machine share it: each takes it, has
 * {@link Core} change it, and puts it back before anybody else takes it.
 */
final class State {
    /**
     * The files of it that are always there, in the order in which they are written: after the days, and a new ticket before the
     * nonce of its request is forgotten, because an old ticket with a new nonce is what a copied device shows.
     */
    enum Part { OPEN, DEVICE, GRANTS }

    /** Says whether a stored report is meant, and may change it. */
    interface Look {
        boolean at(StoredReport stored);
    }

    /** Use in a slot that is not over, or not known to be. */
    static final class OpenReport {
        final UsageReport report;
        final String grant;

        OpenReport(UsageReport report, String grant) {
            this.report = report;
            this.grant = grant;
        }
    }

    /** Most servers of which {@link #seen} tells. */
    private static final int SEEN_MAX = 8;

    // The device: who it is, what it knows of the time and of its servers.
    String clientUuid;
    SiteTime.Kept time = SiteTime.Kept.NOTHING;
    /** The ticket of the last answer, by the handshake code's identity. */
    Map<String, String> tickets = new TreeMap<>();
    /** Which handshake code a server means (its identity), by the server's URL and by what the request names. */
    Map<String, Map<String, String>> codes = new TreeMap<>();
    /** The certificate authority of a site, PEM, by its fingerprint: fetched once. */
    Map<String, String> authorities = new TreeMap<>();
    /** For each server, the highest number of a fact that it told in an answer to reports. */
    Map<String, Long> seen = new TreeMap<>();

    // What servers granted, by what was asked for.
    Map<String, Grant> granted = new TreeMap<>();
    /** The nonce of a request that may have been sent and was not answered yet. It is used again: to the server a repeat is no second device. */
    Map<String, String> pending = new TreeMap<>();
    /** When such a request was first seen to be waiting. */
    Map<String, Long> waitingSince = new TreeMap<>();

    // Use in slots that go on, of all processes.
    List<OpenReport> open = new ArrayList<>();
    /** Instances that each process holds. */
    Map<String, Integer> held = new TreeMap<>();

    /** Reports that are over, by UTC day, numbered from 1970. */
    final Map<Long, List<StoredReport>> days = new TreeMap<>();

    /** The parts that changed since they were read. Days are written first, so that a report leaves the open ones only when it is safe in its day. */
    final Set<Long> touchedDays = new TreeSet<>();
    final Set<Part> touched = new TreeSet<>();

    void touch(Part part) {
        touched.add(part);
    }

    /** A server told the number of a fact of its own. Of too many servers all others are forgotten; what names itself by no UUID is no server. */
    void noteSeen(String server, long sequence) {
        Long known = seen.get(server);
        if (!Texts.isUuid(server) || (known != null && known >= sequence)) return;
        if (seen.size() >= SEEN_MAX && known == null) seen.clear();
        seen.put(server, sequence);
        touch(Part.DEVICE);
    }

    /** A request with what this device has seen of its servers: one that was restored from an older backup knows by it what it lost. */
    void tellSeen(JsonObject request) {
        if (!seen.isEmpty()) request.put("seen", new JsonObject(seen));
    }

    /** Whoever wrote the day of a report and then died left it open too: it counts once. */
    void reconcile() {
        if (open.isEmpty()) return;
        Set<String> stored = new HashSet<>();
        for (StoredReport each : stored()) stored.add(each.report.id);
        for (Iterator<OpenReport> each = open.iterator(); each.hasNext();) {
            if (!stored.contains(each.next().report.id)) continue;
            each.remove();
            touch(Part.OPEN);
        }
    }

    /**
     * Forgets grants that ended so long ago that no server takes reports under them, and requests
     * that nobody answers any more: each change of the settings leaves one. {@code ours} stays.
     * {@code proven} is a time that a server signed: a wrong clock must not cost a license.
     */
    void prune(String ours, long proven) {
        Set<String> used = new HashSet<>();
        for (StoredReport stored : stored()) used.add(stored.grant);
        for (OpenReport each : open) used.add(each.grant);
        used.add(ours);
        for (Iterator<Map.Entry<String, Grant>> each = granted.entrySet().iterator(); each.hasNext();) {
            Map.Entry<String, Grant> grant = each.next();
            if (!used.contains(grant.getKey()) && proven - grant.getValue().endsAt > Times.REPORT_MAX_AGE_SECONDS) each.remove();
        }
        for (Iterator<String> each = pending.keySet().iterator(); each.hasNext();) {
            String name = each.next();
            Long since = waitingSince.get(name);
            if (since == null) waitingSince.put(name, proven);
            else if (!name.equals(ours) && proven - since > Times.REPORT_MAX_AGE_SECONDS) each.remove();
        }
        waitingSince.keySet().retainAll(pending.keySet());
        touch(Part.GRANTS);
    }

    /** Every report that is over, oldest day first. */
    List<StoredReport> stored() {
        List<StoredReport> all = new ArrayList<>();
        for (List<StoredReport> day : days.values()) all.addAll(day);
        return all;
    }

    /** Changes reports that are over: {@code change} says whether it did. */
    void changeStored(Look change) {
        for (Map.Entry<Long, List<StoredReport>> day : days.entrySet()) {
            for (StoredReport stored : day.getValue()) if (change.at(stored)) touchedDays.add(day.getKey());
        }
    }

    /** Forgets reports that are over. */
    void dropStored(Look isDropped) {
        for (Iterator<Map.Entry<Long, List<StoredReport>>> days = this.days.entrySet().iterator(); days.hasNext();) {
            Map.Entry<Long, List<StoredReport>> day = days.next();
            for (Iterator<StoredReport> each = day.getValue().iterator(); each.hasNext();) {
                if (!isDropped.at(each.next())) continue;
                each.remove();
                touchedDays.add(day.getKey());
            }
            if (day.getValue().isEmpty()) days.remove();
        }
    }

    /** Keeps a report that is over. */
    void store(OpenReport over) {
        long day = Times.dayNumberOf(over.report.key.slot);
        List<StoredReport> reports = days.get(day);
        if (reports == null) days.put(day, reports = new ArrayList<>());
        reports.add(new StoredReport(over.report, over.grant));
        touchedDays.add(day);
    }

    // ---- as JSON ----

    void read(Part part, JsonObject json) {
        switch (part) {
            case OPEN: {
                List<OpenReport> reports = new ArrayList<>();
                for (JsonObject each : objects(json)) {
                    reports.add(new OpenReport(UsageReport.read(Json.object(each, "report")), Json.needText(each, "grant")));
                }
                Map<String, Integer> holders = new TreeMap<>();
                JsonObject told = Json.object(json, "held");
                for (String session : told.keySet()) holders.put(session, (int) Json.needWhole(told, session));
                open = reports;
                held = holders;
                break;
            }
            case GRANTS: {
                Map<String, Grant> grants = new TreeMap<>();
                JsonObject told = Json.object(json, "granted");
                for (String name : told.keySet()) grants.put(name, Grant.read(Json.object(told, name)));
                pending = Json.textsByName(Json.object(json, "pending"));
                waitingSince = Json.wholes(Json.object(json, "waiting_since"));
                granted = grants;
                break;
            }
            default: {
                Map<String, Map<String, String>> byServer = new TreeMap<>();
                JsonObject told = Json.object(json, "codes");
                for (String server : told.keySet()) byServer.put(server, Json.textsByName(Json.object(told, server)));
                time = SiteTime.Kept.read(Json.object(json, "time"));
                tickets = Json.textsByName(Json.object(json, "tickets"));
                authorities = Json.textsByName(Json.object(json, "authorities"));
                seen = Json.wholes(Json.object(json, "seen"));
                codes = byServer;
                clientUuid = json.getString("client_uuid");
            }
        }
    }

    JsonObject write(Part part) {
        JsonObject json = new JsonObject();
        switch (part) {
            case OPEN: {
                JsonArray reports = new JsonArray();
                for (OpenReport each : open) {
                    JsonObject one = new JsonObject();
                    one.put("report", each.report.toJson());
                    one.put("grant", each.grant);
                    reports.add(one);
                }
                json.put("reports", reports);
                json.put("held", new JsonObject(held));
                break;
            }
            case GRANTS: {
                JsonObject grants = new JsonObject();
                for (Map.Entry<String, Grant> each : granted.entrySet()) grants.put(each.getKey(), each.getValue().toJson());
                json.put("granted", grants);
                json.put("pending", new JsonObject(pending));
                json.put("waiting_since", new JsonObject(waitingSince));
                break;
            }
            default:
                Json.put(json, "client_uuid", clientUuid);
                json.put("time", time.toJson());
                json.put("tickets", new JsonObject(tickets));
                json.put("codes", new JsonObject(codes));
                json.put("authorities", new JsonObject(authorities));
                json.put("seen", new JsonObject(seen));
        }
        return json;
    }

    void readDay(long day, JsonObject json) {
        List<StoredReport> reports = new ArrayList<>();
        for (JsonObject each : objects(json)) reports.add(StoredReport.read(each));
        days.put(day, reports);
    }

    JsonObject writeDay(long day) {
        JsonArray reports = new JsonArray();
        for (StoredReport stored : days.get(day)) reports.add(stored.toJson());
        JsonObject json = new JsonObject();
        json.put("reports", reports);
        return json;
    }

    /** Keeps the days that are on disk only. Whether one is gone. */
    boolean retainDays(Collection<Long> there) {
        return days.keySet().retainAll(there);
    }

    private static List<JsonObject> objects(JsonObject json) {
        if (!json.has("reports")) return new ArrayList<>();
        List<JsonObject> objects = Json.objects(json, "reports");
        if (objects == null) throw new IllegalArgumentException("reports");
        return objects;
    }
}
