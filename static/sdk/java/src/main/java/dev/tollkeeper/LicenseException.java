package dev.tollkeeper;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * Why there is no license, or why something that was asked for was not done: told once for the
 * developer ({@link #getMessage}) and once for whoever sits before the application
 * ({@link #getUserMessage}).
 */
public final class LicenseException extends Exception {
    private static final long serialVersionUID = 1L;

    /** 200: a value that no request or report can hold. */
    static final int MALFORMED = 200;
    /** 300: the library itself is broken. */
    static final int INTERNAL = 300;
    /** 301: what the application set cannot be. */
    static final int SETTINGS = 301;
    /** 302: no server answered, and there is no authorization to go on with. */
    static final int NO_SERVER = 302;
    /** 303: what answers is not the server that the license key names. */
    static final int NOT_TRUSTED = 303;
    /** 304: the answer is not genuine. */
    static final int NOT_GENUINE = 304;
    /** 305: the authorization ended while no server could be reached. */
    static final int ENDED = 305;
    /** 306: the data folder cannot be used. */
    static final int CACHE = 306;
    /** 307: the product key is damaged or not genuine. */
    static final int PRODUCT_KEY = 307;
    /** 308: the server cannot take sealed bodies. */
    static final int NOT_SEALABLE = 308;

    private final int code;
    private final transient List<ServerFailure> failures;

    LicenseException(int code, String message) {
        this(code, message, Collections.<ServerFailure>emptyList());
    }

    LicenseException(int code, String message, List<ServerFailure> failures) {
        super(message);
        this.code = code;
        this.failures = Collections.unmodifiableList(new ArrayList<>(failures));
    }

    /** The same, thrown from here. */
    LicenseException again() {
        LicenseException copy = new LicenseException(code, getMessage(), getFailures());
        copy.initCause(this);
        return copy;
    }

    static LicenseException settings(String message) {
        return new LicenseException(SETTINGS, message);
    }

    static LicenseException noServer(String message) {
        return new LicenseException(NO_SERVER, message);
    }

    static LicenseException closed() {
        return noServer("this license was closed: initialize again to take one");
    }

    /** Whatever was thrown, as what applications handle. */
    static LicenseException of(Throwable error) {
        if (error instanceof LicenseException) return (LicenseException) error;
        LicenseException broken = new LicenseException(INTERNAL, "the license library failed, tell its maker: " + error);
        broken.initCause(error);
        return broken;
    }

    /**
     * Tells the kind of failure by its number in the table of README.md.
     *
     * @return The code, such as 102.
     */
    public int getCode() {
        return code;
    }

    /**
     * Tells the number that applications show.
     *
     * @return −(20000 + code), such as −20102.
     */
    public int getSdkCode() {
        return sdkCodeOf(code);
    }

    /**
     * Tells the kind of failure in a few words.
     *
     * @return Such as "Session password is wrong".
     */
    public String getTitle() {
        return titleOf(code);
    }

    /**
     * Tells what to say to the end user, who can do little more than try again or ask somebody.
     *
     * @return One or two sentences in English.
     */
    public String getUserMessage() {
        for (UserMessage known : USER_MESSAGES) {
            if (known.codes.contains(code)) return known.text;
        }
        return "This application is not licensed correctly. Please tell your administrator the code.";
    }

    /**
     * Tells why each server that was asked did not serve.
     *
     * @return In the order in which they were asked; empty when none was.
     */
    public List<ServerFailure> getFailures() {
        return failures == null ? Collections.<ServerFailure>emptyList() : failures;
    }

    static int sdkCodeOf(int code) {
        return -(20_000 + code);
    }

    /** Whether a server that says so may say otherwise soon, so that another one is asked and the authorization in force goes on. */
    static boolean isTemporary(int code) {
        return code == 100 || code == 130 || code == 210 || code == NO_SERVER || code == NOT_TRUSTED || code == NOT_GENUINE || code == NOT_SEALABLE;
    }

    /** Whether a server that says so does not know the name, and may be the wrong one of two. */
    static boolean maybeWrongServer(int code) {
        return code == 101 || code == 121;
    }

    static String titleOf(int code) {
        switch (code) {
            case 100: return "This server is not serving now";
            case 101: return "Handshake code does not exist";
            case 102: return "Session password is wrong";
            case 103: return "Domain does not match the handshake code";
            case 104: return "No license item of this handshake code fits";
            case 105: return "Handshake code not usable by this protocol version";
            case 106: return "Product does not match";
            case 107: return "Version not covered";
            case 108: return "Deployment type not covered";
            case 109: return "Edition not covered";
            case 111: return "License item has expired";
            case 112: return "License item is not yet effective";
            case 113: return "License item is invalid or revoked";
            case 114: return "Application does not match the handshake code";
            case 115: return "Charge way does not match the license item";
            case 120: return "License has exceeded its limit";
            case 121: return "Organization is unknown or has no default handshake code";
            case 122: return "Handshake code belongs to another organization";
            case 123: return "Neither handshake code nor organization given";
            case 124: return "A needed license item is missing";
            case 130: return "Too many requests";
            case 151: return "Device clone detected";
            case MALFORMED: return "Malformed request";
            case 201: return "Usage report is too old";
            case 202: return "Usage report is from the future";
            case 203: return "Device is not authorized to report";
            case 204: return "Module not covered";
            case 210: return "The server's license is not valid here";
            case INTERNAL: return "The license library failed";
            case SETTINGS: return "License settings cannot be used";
            case NO_SERVER: return "No license server could be reached";
            case NOT_TRUSTED: return "The license server is not trusted";
            case NOT_GENUINE: return "The license server's answer is not genuine";
            case ENDED: return "The authorization has ended";
            case CACHE: return "The data folder cannot be used";
            case PRODUCT_KEY: return "The product key is not genuine";
            case NOT_SEALABLE: return "The license server cannot take sealed requests";
            default: return "The license server refused";
        }
    }

    private static final class UserMessage {
        final List<Integer> codes;
        final String text;

        UserMessage(String text, Integer... codes) {
            this.codes = Arrays.asList(codes);
            this.text = text;
        }
    }

    private static final List<UserMessage> USER_MESSAGES = Arrays.asList(
        new UserMessage("The license server is busy or being set up. Please try again in a few minutes.", 100, 130, 210),
        new UserMessage("All licenses are in use or used up. Please try again later, or ask your administrator for more.", 120),
        new UserMessage("The license has ended. Please connect to the network and try again, or ask your administrator to renew it.", 111, ENDED),
        new UserMessage("The license has not begun yet. Please ask your administrator when it does.", 112),
        new UserMessage("This device was copied or restored from a backup. Please ask your administrator to reset it.", 151),
        new UserMessage("This feature is not part of the license. Please ask your administrator.", 107, 109, 124, 204),
        new UserMessage("The license server cannot be reached. Please check the network connection and try again.", NO_SERVER),
        new UserMessage("The license server could not be verified. Please tell your administrator.", NOT_TRUSTED, NOT_GENUINE),
        new UserMessage("This application cannot store its license on this device. Please tell your administrator.", CACHE));
}
