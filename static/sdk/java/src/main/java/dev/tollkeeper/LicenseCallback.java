package dev.tollkeeper;

/**
 * Hears of the end of a call that did not wait.
 *
 * @param <T> What the call gives.
 */
public interface LicenseCallback<T> {
    /**
     * The call has ended. Called on the executor of the settings, else on a thread of the library.
     *
     * @param result What it gave; {@code null} when it failed, and for calls that give nothing.
     * @param error Why it failed; {@code null} when it was done.
     */
    void done(T result, LicenseException error);
}
