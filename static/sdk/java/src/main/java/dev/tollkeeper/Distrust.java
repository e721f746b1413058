package dev.tollkeeper;

/** Why an authorization is not believed. */
final class Distrust extends Exception {
    private static final long serialVersionUID = 1L;

    /** The names are those of the shared test vectors. */
    enum Reason {
        MALFORMED("the authorization cannot be read"),
        UNKNOWN_VENDOR("the server's certificate is signed by a vendor that this application does not know"),
        BAD_SIGNATURE("the authorization or its certificate was changed after signing"),
        WRONG_SERVER("the authorization names another server than its certificate"),
        WRONG_ORGANIZATION("the authorization is for another organization"),
        CERTIFICATE_NOT_VALID("the server's certificate was not valid when the authorization was given"),
        WRONG_NONCE("the authorization answers another request"),
        WRONG_DEVICE("the authorization is for another device"),
        WRONG_CODE("the authorization is for another handshake code"),
        NOT_YET("the authorization has not begun"),
        EXPIRED("the authorization has ended");

        final String words;

        Reason(String words) {
            this.words = words;
        }
    }

    final Reason reason;

    Distrust(Reason reason) {
        super(reason.words);
        this.reason = reason;
    }
}
