package dev.tollkeeper;

/** Hears whether the application is licensed: see {@link License#initLicense}. */
public interface LicenseVerificationListener {
    /**
     * The license was verified. Called once, on the executor of the settings, else on a thread of
     * the library.
     *
     * @param success Whether the application is licensed.
     * @param error Why not, a {@link LicenseException}; {@code null} on success.
     */
    void licenseVerificationCallback(boolean success, Exception error);
}
