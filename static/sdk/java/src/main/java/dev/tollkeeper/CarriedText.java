package dev.tollkeeper;

/** What is carried to the server by hand, in both of its forms. */
public final class CarriedText {
    private final String line;
    private final String file;

    CarriedText(String line, String file) {
        this.line = line;
        this.file = file;
    }

    /**
     * Gives it as one line.
     *
     * @return For a QR code.
     */
    public String getLine() {
        return line;
    }

    /**
     * Gives it as a file, with a summary for people.
     *
     * @return The file's text.
     */
    public String getFile() {
        return file;
    }
}
