package dev.tollkeeper;

/** Where a license comes from. */
public enum LicenseOrigin {
    /** A server that answered in this session. */
    SERVER("server"),
    /** Kept from before; no server serves now. */
    KEPT("kept"),
    /** Carried here by hand. */
    CARRIED("carried"),
    /** Product keys, which need no server. */
    PRODUCT_KEY("product_key");

    private final String word;

    LicenseOrigin(String word) {
        this.word = word;
    }

    @Override
    public String toString() {
        return word;
    }
}
