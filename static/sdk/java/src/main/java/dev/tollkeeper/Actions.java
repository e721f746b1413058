package dev.tollkeeper;

import java.util.ArrayList;
import java.util.List;

/** What {@link Core} wants done. */
final class Actions {
    /** A request to be sent. */
    static final class Ask {
        final String server;
        /** Such as {@code /api/v1/authorize}. */
        final String path;
        /** JSON. */
        final byte[] body;
        /** How many servers may still be asked until all is done, this one included: to share the time, where there is little. */
        final int triesLeft;

        Ask(String server, String path, byte[] body, int triesLeft) {
            this.server = server;
            this.path = path;
            this.body = body;
            this.triesLeft = triesLeft;
        }
    }

    /** To be answered by one {@link Event.Answered} or {@link Event.Unanswered}; {@code null} when nothing is to be asked. */
    Ask ask;
    /** The license is another than before: see {@link Core#standing}. */
    boolean isChanged;
    /** Reports were taken. */
    final List<ReportOutcome> reported = new ArrayList<>();
    /** The license was not given back, and why: it is held as before. */
    LicenseException notReleased;
}
