package dev.tollkeeper;

import com.grack.nanojson.JsonObject;

/**
 * The time by which a license is judged: the site's, as far as this device can tell. Turning the
 * device's clock back does not lengthen a license. And the time by which use is stamped: the same
 * without that ratchet, because a clock that ran ahead for a moment must not push use into slots
 * that have not begun.
 */
final class SiteTime {
    /** Two readings of the same moment, in seconds. */
    static final class Moment {
        /** The device's clock, since 1970; people may change it. */
        final long local;
        /** Since some beginning; never goes back while the process lives. */
        final long monotonic;

        Moment(long local, long monotonic) {
            this.local = local;
            this.monotonic = monotonic;
        }

        static Moment now() {
            return new Moment(System.currentTimeMillis() / 1_000, System.nanoTime() / 1_000_000_000);
        }
    }

    /** What is kept of the time over the end of the process. */
    static final class Kept {
        static final Kept NOTHING = new Kept(0, 0, 0, 0, 0);

        /** The latest time known at the site. */
        final long lastSite;
        /** The device's clock at that moment. */
        final long lastLocal;
        /** How far the site's clock is before the device's. */
        final long skew;
        /** How often a server's time was learned: of two processes, the one that knows more is right. */
        final long learned;
        /** The latest time that a server signed: whatever the device's clock says, it is later. */
        final long proven;

        Kept(long lastSite, long lastLocal, long skew, long learned, long proven) {
            this.lastSite = lastSite;
            this.lastLocal = lastLocal;
            this.skew = skew;
            this.learned = learned;
            this.proven = proven;
        }

        static Kept read(JsonObject json) {
            if (json.isEmpty()) return NOTHING;
            return new Kept(Json.needWhole(json, "last_site"), Json.needWhole(json, "last_local"), Json.needWhole(json, "skew"),
                Json.needWhole(json, "learned"), Json.needWhole(json, "proven"));
        }

        JsonObject toJson() {
            JsonObject json = new JsonObject();
            json.put("last_site", lastSite);
            json.put("last_local", lastLocal);
            json.put("skew", skew);
            json.put("learned", learned);
            json.put("proven", proven);
            return json;
        }

        /** Whether both tell the same of the server's clock. */
        boolean isAsTold(Kept other) {
            return skew == other.skew && learned == other.learned && proven == other.proven;
        }
    }

    private Kept kept;
    /** The monotonic clock when {@code kept.lastSite} was told. */
    private long since;
    /** The monotonic clock when {@code kept.proven} was heard of, or the process began. */
    private long provenSince;
    /** Both clocks when they were last read in this process. */
    private Moment seen;

    /** Goes on from what was kept. */
    SiteTime(Kept kept, Moment now) {
        this.kept = kept;
        since = now.monotonic;
        provenSince = now.monotonic;
        seen = now;
    }

    SiteTime copy() {
        SiteTime copy = new SiteTime(kept, seen);
        copy.since = since;
        copy.provenSince = provenSince;
        return copy;
    }

    /**
     * What another process of this machine kept meanwhile counts too: what it learned from a server
     * in place of all that was thought before, else whatever is later. Whether this set the time back
     * by more than a slot.
     */
    boolean merge(Kept other, Moment now) {
        long before = tell(now);
        if (other.learned > kept.learned || (other.learned == kept.learned && other.lastSite > before)) {
            long proven = Math.max(other.proven, kept.proven);
            if (proven > kept.proven) provenSince = now.monotonic;
            kept = new Kept(other.lastSite, other.lastLocal, other.skew, other.learned, proven);
            since = now.monotonic;
        }
        return before - tell(now) > Times.SLOT_SECONDS;
    }

    /** The site's time now. Never earlier than it told before. */
    long tell(Moment now) {
        long jump = jump(now);
        long skew = kept.skew;
        // The clock was wrong by just that much: now it is right.
        if (Math.abs(jump) > Times.SLOT_SECONDS && Math.abs(jump - skew) <= Times.SLOT_SECONDS) skew = 0;
        // Somebody set it back: what was measured before must not make the time even earlier.
        else if (now.local < kept.lastLocal) skew = Math.max(0, skew);
        long floor = kept.lastSite + Math.max(0, now.monotonic - since);
        long site = Math.max(floor, now.local + skew);
        kept = new Kept(site, now.local, skew, kept.learned, kept.proven);
        since = now.monotonic;
        seen = now;
        return site;
    }

    /** The time of something that is done now. May be earlier than before; never than what a server signed. */
    long stamp(Moment now) {
        tell(now);
        return Math.max(now.local + kept.skew, kept.proven + Math.max(0, now.monotonic - provenSince));
    }

    /** Whether the device's clock was set, or the machine slept, since it was last read here. */
    boolean hasJumped(Moment now) {
        return Math.abs(jump(now)) > Times.SLOT_SECONDS;
    }

    private long jump(Moment now) {
        return now.local - seen.local - (now.monotonic - seen.monotonic);
    }

    /** A genuine answer told the server's time, just now. It may set the time back: a clock that ran ahead once must not end licenses for ever. */
    void learn(long server, Moment now) {
        kept = new Kept(server, now.local, server - now.local, kept.learned + 1, server);
        since = now.monotonic;
        provenSince = now.monotonic;
        seen = now;
    }

    /** A genuine document of that time came at last: it is not earlier now, but nobody knows how long it travelled. */
    void raise(long server, Moment now) {
        if (server > kept.proven) provenSince = now.monotonic;
        long site = Math.max(tell(now), server);
        kept = new Kept(site, kept.lastLocal, kept.skew, kept.learned, Math.max(kept.proven, server));
    }

    Kept kept() {
        return kept;
    }
}
