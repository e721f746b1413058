package dev.tollkeeper;

import java.util.AbstractMap.SimpleImmutableEntry;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;

/**
 * Which barcodes of a video stream count: the same one in one frame once, and within the pause
 * after it counted not again. Any thread may use it.
 */
public final class Deduplicator {
    private final long pause;
    private final Map<Map.Entry<String, String>, Long> counted = new HashMap<>();
    private long swept;

    /** With a pause of 3 seconds. */
    public Deduplicator() {
        this(3_000);
    }

    /**
     * With another pause.
     *
     * @param pauseMilliseconds After so many milliseconds a barcode counts again; not negative.
     */
    public Deduplicator(long pauseMilliseconds) {
        if (pauseMilliseconds < 0) throw new IllegalArgumentException("pauseMilliseconds: " + pauseMilliseconds + " is less than nothing");
        pause = pauseMilliseconds;
    }

    /**
     * Tells whether a barcode that is seen now counts.
     *
     * @param format Such as "QR Code".
     * @param text What it says.
     * @return Whether to count it.
     */
    public boolean isNew(String format, String text) {
        return isNew(format, text, System.nanoTime() / 1_000_000);
    }

    /**
     * Tells whether a barcode that was seen at this time counts.
     *
     * @param format Such as "QR Code".
     * @param text What it says.
     * @param atMilliseconds By any clock that goes forward; the same for all of one frame.
     * @return Whether to count it.
     */
    public synchronized boolean isNew(String format, String text, long atMilliseconds) {
        if (atMilliseconds - swept > pause) {
            for (Iterator<Long> each = counted.values().iterator(); each.hasNext();) {
                if (atMilliseconds - each.next() >= pause) each.remove();
            }
            swept = atMilliseconds;
        }
        Map.Entry<String, String> barcode = new SimpleImmutableEntry<>(format, text);
        Long last = counted.get(barcode);
        // In one frame the time is the same; a pause of nothing still counts a frame once.
        if (last != null && (atMilliseconds == last || atMilliseconds - last < pause)) return false;
        counted.put(barcode, atMilliseconds);
        return true;
    }
}
