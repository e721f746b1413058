package dev.tollkeeper;

/** Why one server did not serve. */
public final class ServerFailure {
    private final String server;
    private final int code;
    private final String message;

    ServerFailure(String server, int code, String message) {
        this.server = server;
        this.code = code;
        this.message = message;
    }

    /**
     * Tells which server it was.
     *
     * @return Its URL.
     */
    public String getServer() {
        return server;
    }

    /**
     * Tells why, by the number of the table in README.md.
     *
     * @return Such as 302.
     */
    public int getCode() {
        return code;
    }

    /**
     * Tells the number that applications show.
     *
     * @return −(20000 + code).
     */
    public int getSdkCode() {
        return LicenseException.sdkCodeOf(code);
    }

    /**
     * Tells why, in words for the developer.
     *
     * @return What happened.
     */
    public String getMessage() {
        return message;
    }

    @Override
    public String toString() {
        return server + ": " + message + " (" + getSdkCode() + ")";
    }
}
