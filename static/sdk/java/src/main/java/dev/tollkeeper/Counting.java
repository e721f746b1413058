package dev.tollkeeper;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;

/** Use, from the moment the application tells of it to the report of its slot. */
final class Counting {
    /** Use that is not on disk yet: by what becomes one report, and by type. */
    static final class Counts {
        final Map<UsageReport.Key, Map<String, Long>> byKey = new LinkedHashMap<>();

        void add(UsageReport.Key key, String type, long count) {
            Map<String, Long> types = byKey.get(key);
            if (types == null) byKey.put(key, types = new TreeMap<>());
            Long before = types.get(type);
            types.put(type, (before == null ? 0 : before) + count);
        }

        void addAll(Counts other) {
            for (Map.Entry<UsageReport.Key, Map<String, Long>> each : other.byKey.entrySet()) {
                for (Map.Entry<String, Long> type : each.getValue().entrySet()) add(each.getKey(), type.getKey(), type.getValue());
            }
        }
    }

    private Counting() {}

    /**
     * Adds use to the open reports. What one report cannot hold goes into a further one.
     * {@code instances} is how many all processes of the machine hold.
     */
    static void add(State state, Counts counts, String grant, String handshakeCode, String product, int instances) {
        for (Map.Entry<UsageReport.Key, Map<String, Long>> each : counts.byKey.entrySet()) {
            for (Map.Entry<String, Long> type : each.getValue().entrySet()) {
                for (long left = type.getValue(); left > 0;) {
                    UsageReport report = findOpen(state, each.getKey(), type.getKey(), grant, handshakeCode, product);
                    long taken = Math.min(left, room(report, type.getKey()));
                    Long before = report.counts.get(type.getKey());
                    report.counts.put(type.getKey(), (before == null ? 0 : before) + taken);
                    report.instances = Math.max(report.instances, Math.max(instances, 1));
                    left -= taken;
                }
            }
            state.touch(State.Part.OPEN);
        }
    }

    /** The open report that takes this type, made when there is none. */
    private static UsageReport findOpen(State state, UsageReport.Key key, String type, String grant, String handshakeCode, String product) {
        for (State.OpenReport open : state.open) {
            UsageReport report = open.report;
            boolean isUnder = open.grant.equals(grant) && report.handshakeCode.equals(handshakeCode) && report.product.equals(product);
            if (isUnder && report.key.equals(key) && room(report, type) > 0) return report;
        }
        UsageReport report = new UsageReport(Texts.reportId(key.slot), key, handshakeCode, product, new TreeMap<String, Long>(), 1);
        state.open.add(new State.OpenReport(report, grant));
        return report;
    }

    private static long room(UsageReport report, String type) {
        Long before = report.counts.get(type);
        if (before == null) return report.counts.size() < UsageReport.TYPES_MAX ? UsageReport.COUNT_MAX : 0;
        return UsageReport.COUNT_MAX - before;
    }

    /** Makes reports of the slots that ended before {@code until}, and forgets those that nobody takes any more at {@code now}. */
    static void close(State state, long until, final long now) {
        closeIf(state, open -> open.report.isOverAt(until));
        state.dropStored(stored -> stored.report.isTooOldAt(now));
    }

    /** Makes reports of what was done under this grant, also in slots that go on: nothing more is done. */
    static void closeOf(State state, String grant) {
        closeIf(state, open -> open.grant.equals(grant));
    }

    private interface Condition {
        boolean holds(State.OpenReport open);
    }

    private static void closeIf(State state, Condition condition) {
        for (Iterator<State.OpenReport> each = state.open.iterator(); each.hasNext();) {
            State.OpenReport open = each.next();
            if (!condition.holds(open)) continue;
            each.remove();
            state.touch(State.Part.OPEN);
            state.store(open);
        }
    }
}
