package dev.tollkeeper;

import com.grack.nanojson.JsonArray;
import com.grack.nanojson.JsonObject;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Reports on their way: which are sent together, and what an answer means for them. */
final class Outbox {
    /** Most reports in one request. */
    private static final int REPORTS_MAX = 1_000;
    /** Most bytes of reports in one request; a server takes a MiB with all that is around them. */
    private static final int BYTES_MAX = 900_000;

    /** What is sent at once. */
    static final class Batch {
        final List<String> ids = new ArrayList<>();
        final JsonObject request = new JsonObject();
    }

    /** What a server answered to reports. */
    static final class Answer {
        final List<String> accepted;
        final List<String> duplicate;
        final List<JsonObject> rejected;
        final String origin;
        final long sequence;
        final JsonObject safe;
        /** For each server, ranges of its facts that were lost; may be {@code null}. */
        final JsonObject lost;

        private Answer(JsonObject json, List<String> accepted, List<String> duplicate, List<JsonObject> rejected) {
            this.accepted = accepted;
            this.duplicate = duplicate;
            this.rejected = rejected;
            origin = json.getString("origin");
            sequence = Json.whole(json, "sequence");
            safe = json.getObject("safe");
            lost = json.getObject("lost");
        }

        /** {@code null} when it is none. */
        static Answer read(JsonObject json) {
            if (json == null || json.getArray("accepted") == null || json.getArray("duplicate") == null) return null;
            List<String> accepted = Json.texts(json, "accepted");
            List<String> duplicate = Json.texts(json, "duplicate");
            List<JsonObject> rejected = Json.objects(json, "rejected");
            boolean isGood = accepted != null && duplicate != null && rejected != null && json.isString("origin")
                && Json.whole(json, "sequence") != null && json.getObject("safe") != null;
            return isGood ? new Answer(json, accepted, duplicate, rejected) : null;
        }
    }

    private Outbox() {}

    /** The next submission: reports of one grant that some server of ours can take. {@code null} when there is nothing. */
    static Batch nextBatch(State state, String clientUuid, List<String> servers) {
        Batch batch = new Batch();
        JsonArray reports = new JsonArray();
        String name = null;
        int bytes = 0;
        for (StoredReport stored : state.stored()) {
            Grant grant = state.granted.get(stored.grant);
            boolean isOurs = stored.progress == StoredReport.Progress.PENDING && grant != null && grant.servers.equals(servers);
            if (!isOurs || (name != null && !name.equals(stored.grant))) continue;
            JsonObject report = stored.report.toJson();
            bytes += Json.bytes(report).length + 1;
            if (reports.size() == REPORTS_MAX || bytes > BYTES_MAX) break;
            name = stored.grant;
            reports.add(report);
            batch.ids.add(stored.report.id);
        }
        if (name == null) return null;
        batch.request.put("client_uuid", clientUuid);
        batch.request.put("authorization", state.granted.get(name).authorization);
        batch.request.put("reports", reports);
        state.tellSeen(batch.request);
        return batch;
    }

    /**
     * Everything that was done and not acknowledged, to be carried to the server: what was done under
     * {@code ours} first, then what was done under others, before settings were changed or by other
     * applications of the device. {@code null} when there is nothing.
     */
    static JsonObject carriedReports(State state, String ours) {
        List<String> names = new ArrayList<>(state.granted.keySet());
        if (names.remove(ours)) names.add(0, ours);
        JsonArray groups = new JsonArray();
        for (String name : names) {
            List<UsageReport> reports = new ArrayList<>();
            for (StoredReport stored : state.stored()) if (stored.grant.equals(name)) reports.add(stored.report);
            JsonObject group = new JsonObject();
            group.put("authorization", state.granted.get(name).authorization);
            group.put("reports", UsageReport.toJson(reports));
            if (!reports.isEmpty()) groups.add(group);
        }
        if (groups.isEmpty()) return null;
        JsonObject request = new JsonObject();
        request.put("client_uuid", state.clientUuid);
        request.putAll(groups.getObject(0));
        groups.remove(0);
        if (!groups.isEmpty()) request.put("further", groups);
        state.tellSeen(request);
        return request;
    }

    /** A server took the submission. */
    static ReportOutcome takeAnswer(State state, final Answer answer) {
        final Set<String> taken = new HashSet<>(answer.accepted);
        taken.addAll(answer.duplicate);
        state.changeStored(stored -> {
            boolean isTaken = taken.contains(stored.report.id);
            if (isTaken) stored.accept(answer.origin, answer.sequence);
            return isTaken;
        });
        List<String> dropped = new ArrayList<>();
        for (JsonObject rejected : answer.rejected) {
            final String id = rejected.getString("report_id", "");
            int code = rejected.getInt("code");
            // A slot that the server thinks has not begun, or a device that it does not know yet, may be right after the next authorization.
            if (code == 202 || code == 203) {
                setProgress(state, Collections.singleton(id), StoredReport.Progress.FAILED);
            } else {
                drop(state, id);
                dropped.add(code + " " + rejected.getString("detail", ""));
            }
        }
        state.noteSeen(answer.origin, answer.sequence);
        takeNews(state, answer.origin, answer.lost, answer.safe);
        return new ReportOutcome(answer.accepted.size(), answer.duplicate.size(), dropped);
    }

    static void drop(State state, final String id) {
        state.dropStored(stored -> stored.report.id.equals(id));
    }

    /**
     * What a server tells of its site: which facts were lost, and which no single loss can take any
     * more. The lost come first: what was reported in them is sent again, to whichever server
     * answers, although it was safe before. What another server has not got from the one that answers
     * is sent there.
     */
    static void takeNews(State state, final String answering, final JsonObject lost, JsonObject safe) {
        final Map<String, Long> last = Json.wholes(safe);
        state.changeStored(stored -> isAccepted(stored) && isLost(lost, stored) && stored.set(StoredReport.Progress.PENDING));
        state.dropStored(stored -> isAccepted(stored) && last.containsKey(stored.origin) && last.get(stored.origin) >= stored.sequence);
        state.changeStored(stored -> isAccepted(stored) && !stored.origin.equals(answering) && stored.set(StoredReport.Progress.PENDING));
    }

    private static boolean isAccepted(StoredReport stored) {
        return stored.progress == StoredReport.Progress.ACCEPTED;
    }

    /** Whether the fact that holds a report is in a range that its server lost. What makes no sense is passed over. */
    private static boolean isLost(JsonObject lost, StoredReport stored) {
        JsonArray ranges = lost == null ? null : lost.getArray(stored.origin);
        for (Object each : ranges == null ? new JsonArray() : ranges) {
            JsonArray range = each instanceof JsonArray ? (JsonArray) each : new JsonArray();
            Long from = range.size() == 2 ? Json.wholeOf(range.get(0)) : null;
            Long to = range.size() == 2 ? Json.wholeOf(range.get(1)) : null;
            if (from != null && to != null && from >= 0 && from <= stored.sequence && stored.sequence <= to) return true;
        }
        return false;
    }

    /** Says how far these reports got. */
    static void setProgress(State state, final Collection<String> ids, final StoredReport.Progress progress) {
        state.changeStored(stored -> ids.contains(stored.report.id) && stored.set(progress));
    }

    /** A new authorization: what failed is sent again. */
    static void retryFailed(State state) {
        state.changeStored(stored -> stored.progress == StoredReport.Progress.FAILED && stored.set(StoredReport.Progress.PENDING));
    }
}
