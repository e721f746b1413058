package dev.tollkeeper;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What became of usage reports that were sent. */
public final class ReportOutcome {
    private final int accepted;
    private final int duplicate;
    private final List<String> rejected;

    ReportOutcome(int accepted, int duplicate, List<String> rejected) {
        this.accepted = accepted;
        this.duplicate = duplicate;
        this.rejected = Collections.unmodifiableList(new ArrayList<>(rejected));
    }

    /**
     * Tells how many the server took.
     *
     * @return Reports that are on its disk now.
     */
    public int getAccepted() {
        return accepted;
    }

    /**
     * Tells how many the server had before.
     *
     * @return Reports that it counts once.
     */
    public int getDuplicate() {
        return duplicate;
    }

    /**
     * Tells which no server takes; they are forgotten.
     *
     * @return A code and a reason each, such as "201 …".
     */
    public List<String> getRejected() {
        return rejected;
    }
}
