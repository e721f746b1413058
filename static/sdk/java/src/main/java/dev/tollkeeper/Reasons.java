package dev.tollkeeper;

import java.util.ArrayList;
import java.util.List;

/** Why there is no license, where no server said so. */
final class Reasons {
    private Reasons() {}

    static LicenseException ended(Claims claims, List<ServerFailure> failures) {
        String mend = " and could not be renewed: connect this device to its license server";
        return new LicenseException(LicenseException.ENDED, "the authorization ended at " + Times.text(claims.exp) + mend, failures);
    }

    /** No server gave an authorization, and the one of before does not do; {@code why} is {@code null} when there is none. */
    static LicenseException noAuthorization(Config config, Distrust.Reason why, List<ServerFailure> failures) {
        boolean hasEnded = why == Distrust.Reason.EXPIRED;
        if (failures.isEmpty() && config.servers.isEmpty()) return nothingCarried(why);
        if (failures.isEmpty()) {
            return LicenseException.noServer("another process of this machine has been asking the servers for long, and got no authorization "
                + "yet: try again");
        }
        List<String> told = new ArrayList<>();
        boolean isSame = true;
        for (ServerFailure failure : failures) {
            told.add(failure.getServer() + ": " + failure.getMessage());
            isSame &= failure.getCode() == failures.get(0).getCode();
        }
        String what = hasEnded ? "the authorization of before has ended, and no server renewed it: " : "no server gave an authorization: ";
        int code = hasEnded ? LicenseException.ENDED : isSame ? failures.get(0).getCode() : LicenseException.NO_SERVER;
        return new LicenseException(code, what + Texts.join("; ", told), failures);
    }

    private static LicenseException nothingCarried(Distrust.Reason why) {
        String carry = ": carry a new request (License.requestByHand) to the license server";
        String what = "the authorization that was carried here ";
        if (why == Distrust.Reason.EXPIRED) return new LicenseException(LicenseException.ENDED, what + "has ended" + carry);
        if (why != null) return LicenseException.noServer(what + "cannot be used" + carry);
        return LicenseException.noServer("no server is set, and no authorization was carried here: set licenseKey or mainServerURL, or carry "
            + "a request (License.requestByHand) to the license server");
    }
}
