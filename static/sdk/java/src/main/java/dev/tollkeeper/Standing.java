package dev.tollkeeper;

import java.util.Collections;
import java.util.List;

/** What the application may do now: work, until the authorization ends, or nothing. */
final class Standing {
    /** What is permitted; {@code null} when nothing is. */
    final Claims claims;
    final LicenseOrigin origin;
    /** The server that gave it in this session. */
    final String server;
    /** Why servers did not serve before that one. */
    final List<ServerFailure> failures;
    /** Why nothing is permitted. */
    final LicenseException error;

    private Standing(Claims claims, LicenseOrigin origin, String server, List<ServerFailure> failures, LicenseException error) {
        this.claims = claims;
        this.origin = origin;
        this.server = server;
        this.failures = failures;
        this.error = error;
    }

    static Standing licensed(Claims claims, LicenseOrigin origin, String server, List<ServerFailure> failures) {
        return new Standing(claims, origin, server, failures, null);
    }

    static Standing unlicensed(LicenseException error) {
        return new Standing(null, null, null, Collections.<ServerFailure>emptyList(), error);
    }

    boolean isLicensed() {
        return claims != null;
    }

    LicenseStatus status(String clientUuid) {
        if (error != null) return LicenseStatus.without(clientUuid, error);
        return new LicenseStatus(clientUuid, null, origin, server, claims.exp, claims.hs, claims.instances(), failures);
    }
}
