package dev.tollkeeper;

/**
 * Pauses between tries that fail grow, and each has a random length, so that a server that comes
 * back is not asked by all devices at once.
 */
final class Backoff {
    private int failures;

    /** It went well. */
    void reset() {
        failures = 0;
    }

    /** Seconds to wait after a further failure. {@code chance} is from 0 to 1; {@code atLeast} is what the server asked for. */
    long next(boolean isLicensed, double chance, long atLeast) {
        long first = isLicensed ? Times.SLOT_SECONDS : 10;
        long most = isLicensed ? 3_600 : 600;
        long pause = Math.min(first << Math.min(failures, 10), most);
        failures++;
        long asked = Math.min(Math.max(atLeast, 0), Times.DAY_SECONDS);
        // Devices that were told the same pause must not come back in the same second.
        return Math.max(1, Math.max((long) (pause * (0.5 + chance)), (long) (asked * (1 + 0.5 * chance))));
    }
}
