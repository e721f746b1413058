package dev.tollkeeper;

/**
 * What an application wants to hear of; each method does nothing unless it is overridden. They are
 * called on the executor of the settings, else on the license's own thread, one at a time. They may
 * call everything: on the license's own thread {@link License#renew}, {@link License#report} and
 * {@link License#release} return at once, and are carried out afterwards.
 */
public interface LicenseListener {
    /**
     * The license is another than before: renewed, ended, refused.
     *
     * @param status What the application may do now.
     */
    default void licenseChanged(LicenseStatus status) {}

    /**
     * A server answered to usage reports.
     *
     * @param outcome What became of them.
     */
    default void reportSent(ReportOutcome outcome) {}

    /**
     * Something is wrong that does not stop the application.
     *
     * @param error What happened.
     */
    default void warning(LicenseException error) {}
}
