package dev.tollkeeper;

import java.util.List;
import java.util.Set;

/** What happened, for {@link Core} to decide upon. */
abstract class Event {
    private Event() {}

    /** The application initializes. */
    static final class Start extends Event {}

    /** Time passed. */
    static final class Tick extends Event {}

    /** The application wants its reports sent now. */
    static final class Report extends Event {}

    /** The application initializes while another process of the machine asks the servers, and does not come to an end. */
    static final class Occupied extends Event {}

    /** The application gives its license back: what it did is reported first. */
    static final class Release extends Event {}

    /** The application closes its license, and gives it back if it wants that and none of these needs it. */
    static final class Close extends Event {
        /** What the others of this machine use that live; {@code null} of one that does not tell. */
        final List<String> others;

        Close(List<String> others) {
            this.others = others;
        }
    }

    /** A server answered the last {@link Actions.Ask}. */
    static final class Answered extends Event {
        final int status;
        /** Opened, if it was sealed. */
        final byte[] body;
        /** Seconds that the server asks to wait. */
        final long retryAfter;

        Answered(int status, byte[] body, long retryAfter) {
            this.status = status;
            this.body = body;
            this.retryAfter = retryAfter;
        }
    }

    /** No usable answer came to the last {@link Actions.Ask}. */
    static final class Unanswered extends Event {
        final int code;
        final String message;
        /** Seconds that whoever stands in the way asks to wait. */
        final long retryAfter;

        Unanswered(int code, String message, long retryAfter) {
            this.code = code;
            this.message = message;
            this.retryAfter = retryAfter;
        }
    }

    /** The application used its license. */
    static final class Count extends Event {
        final Counting.Counts counts;
        /** Instances that this process holds. */
        final int held;
        /** Sessions of this machine that live. */
        final Set<String> alive;

        Count(Counting.Counts counts, int held, Set<String> alive) {
            this.counts = counts;
            this.held = held;
            this.alive = alive;
        }
    }
}
