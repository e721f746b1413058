package dev.tollkeeper;

import com.grack.nanojson.JsonArray;
import com.grack.nanojson.JsonObject;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.List;

/** What the application may do now. Does not change any more. */
public final class LicenseStatus {
    private final String clientUuid;
    private final LicenseException error;
    private final LicenseOrigin origin;
    private final String server;
    private final Long expiresAt;
    private final String handshakeCode;
    private final int instances;
    private final List<ServerFailure> failures;

    LicenseStatus(String clientUuid, LicenseException error, LicenseOrigin origin, String server, Long expiresAt, String handshakeCode, int instances,
            List<ServerFailure> failures) {
        this.clientUuid = clientUuid;
        this.error = error;
        this.origin = origin;
        this.server = server;
        this.expiresAt = expiresAt;
        this.handshakeCode = handshakeCode;
        this.instances = instances;
        this.failures = Collections.unmodifiableList(new ArrayList<>(failures));
    }

    /** No license, and why. */
    static LicenseStatus without(String clientUuid, LicenseException error) {
        return new LicenseStatus(clientUuid, error, null, null, null, null, 0, error.getFailures());
    }

    /**
     * Tells whether the application may work.
     *
     * @return False when {@link #getError} tells why not.
     */
    public boolean isLicensed() {
        return error == null;
    }

    /**
     * Tells why the application may not work.
     *
     * @return {@code null} when it may.
     */
    public LicenseException getError() {
        return error;
    }

    /**
     * Tells by which UUID servers know this device.
     *
     * @return {@code null} with product keys, which no server knows of.
     */
    public String getClientUuid() {
        return clientUuid;
    }

    /**
     * Tells where the license comes from.
     *
     * @return {@code null} when there is none.
     */
    public LicenseOrigin getOrigin() {
        return origin;
    }

    /**
     * Tells which server gave the license in this session.
     *
     * @return Its URL; {@code null} when none did.
     */
    public String getServer() {
        return server;
    }

    /**
     * Tells when the license ends unless it is renewed.
     *
     * @return {@code null} when there is none.
     */
    public Date getExpiresAt() {
        return expiresAt == null ? null : new Date(expiresAt * 1_000);
    }

    /**
     * Tells which handshake code serves.
     *
     * @return Such as "216998-vehicleCode"; {@code null} when none does.
     */
    public String getHandshakeCode() {
        return handshakeCode;
    }

    /**
     * Tells how many instances are granted to this device.
     *
     * @return 0 without a license.
     */
    public int getInstances() {
        return instances;
    }

    /**
     * Tells why servers did not serve before the one that does, or before what was kept.
     *
     * @return Empty when nothing failed.
     */
    public List<ServerFailure> getFailures() {
        return failures;
    }

    /**
     * Gives all of it as JSON, with the names that the C interface has.
     *
     * @return One line.
     */
    public String toJson() {
        JsonArray told = new JsonArray();
        for (ServerFailure failure : failures) {
            JsonObject one = new JsonObject();
            one.put("server", failure.getServer());
            one.put("code", failure.getCode());
            one.put("sdk_code", failure.getSdkCode());
            one.put("message", failure.getMessage());
            told.add(one);
        }
        JsonObject json = new JsonObject();
        json.put("licensed", isLicensed());
        json.put("origin", origin == null ? null : origin.toString());
        json.put("server", server);
        json.put("expires_at", expiresAt == null ? null : Times.text(expiresAt));
        json.put("handshake_code", handshakeCode);
        json.put("client_uuid", clientUuid);
        json.put("instances", instances);
        json.put("code", error == null ? 0 : error.getCode());
        json.put("sdk_code", error == null ? 0 : error.getSdkCode());
        json.put("message", error == null ? null : error.getMessage());
        json.put("user_message", error == null ? null : error.getUserMessage());
        json.put("failures", told);
        return Json.write(json);
    }

    @Override
    public String toString() {
        return toJson();
    }
}
