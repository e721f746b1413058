package dev.tollkeeper;

import dev.tollkeeper.internal.nanojson.JsonArray;
import dev.tollkeeper.internal.nanojson.JsonObject;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;

/** A vendor, and a server that grants whatever is asked for a week and takes every report. */
final class FakeSite {
    static final String MAIN = "https://main";
    static final String STANDBY = "https://standby";
    static final String AUTHORIZE = "/api/v1/authorize";
    static final String REPORTS = "/api/v1/reports";
    static final String RELEASE = "/api/v1/release";

    /** An Ed25519 key that signs documents. */
    static final class Signer {
        private final KeyPair pair;
        final String x;
        final String kid;

        Signer() {
            try {
                pair = KeyPairGenerator.getInstance("Ed25519").generateKeyPair();
            } catch (GeneralSecurityException error) {
                throw new AssertionError(error);
            }
            byte[] key = Arrays.copyOfRange(pair.getPublic().getEncoded(), 12, 44);
            x = Texts.toBase64url(key);
            kid = new VerifyingKey(key).kid;
        }

        String publicKey() {
            return Base64.getEncoder().encodeToString(pair.getPublic().getEncoded());
        }

        JsonObject jwk() {
            return JsonObject.builder().value("kty", "OKP").value("crv", "Ed25519").value("x", x).done();
        }

        String sign(JsonObject head, String typ, JsonObject body) {
            head.put("alg", "EdDSA");
            head.put("kid", kid);
            head.put("typ", typ);
            String signed = Texts.toBase64url(Json.bytes(head)) + "." + Texts.toBase64url(Json.bytes(body));
            try {
                Signature signature = Signature.getInstance("Ed25519");
                signature.initSign(pair.getPrivate());
                signature.update(Texts.utf8(signed));
                return signed + "." + Texts.toBase64url(signature.sign());
            } catch (GeneralSecurityException error) {
                throw new AssertionError(error);
            }
        }
    }

    /** What was asked, and what came of it. */
    static final class Course {
        final List<String> asked = new ArrayList<>();
        final List<Integer> triesLeft = new ArrayList<>();
        int reported;
        LicenseException notReleased;
    }

    private final Signer vendor = new Signer();
    private final Signer server = new Signer();
    final String uuid = Texts.uuidOf(Texts.random(16), 4);
    /** The items of a product; of others there is one. */
    final Map<String, JsonArray> sold = new HashMap<>();
    /** The items that were given back. */
    final List<Long> freed = new ArrayList<>();
    /** The authorization that it gave last. */
    private String last;

    Config config(Consumer<LicenseSettings> change) throws LicenseException {
        LicenseSettings settings = new LicenseSettings().setVendorPublicKey(vendor.publicKey()).setMainServerURL(MAIN).setProduct("dbr")
            .setHandshakeCode("216998-line4").setProcessName("test");
        change.accept(settings);
        return new Config(settings);
    }

    static JsonObject item(long id, String chargeWay) {
        return JsonObject.builder().value("item_id", id).value("product", "dbr").value("charge_way", chargeWay).value("instances", 4).done();
    }

    /** What it grants to a request, at its time. */
    JsonObject grant(JsonObject request, long now) {
        JsonArray one = new JsonArray(List.of(item(7, "concurrent_instance")));
        JsonObject claims = JsonObject.builder().value("iss", uuid).value("sub", request.getString("client_uuid")).value("iat", now).value("nbf", now)
            .value("exp", now + 7 * Times.DAY_SECONDS).value("nonce", request.getString("nonce")).value("org", "216998").value("hs", "216998-line4")
            .value("hid", "the code").array("items", sold.getOrDefault(request.getString("product"), one)).done();
        JsonObject certificate = JsonObject.builder().value("server_uuid", uuid).value("organization_id", "216998")
            .value("not_before", "2020-01-01T00:00:00Z").value("not_after", "2031-01-01T00:00:00Z").done();
        certificate.put("jwk", server.jwk());
        JsonObject head = new JsonObject();
        head.put("svr", vendor.sign(new JsonObject(), "tk-server+jws", certificate));
        last = server.sign(head, "tk-authorization+jws", claims);
        return JsonObject.builder().value("authorization", last).value("ticket", "5a")
            .value("refresh_after", Times.text(now + Times.DAY_SECONDS)).value("report_interval_seconds", 180).value("origin", uuid)
            .object("safe").end().done();
    }

    /** Its answer to a question. */
    JsonObject answer(Actions.Ask ask, long now) {
        JsonObject body = Json.parse(ask.body);
        if (ask.path.equals(AUTHORIZE)) return grant(body, now);
        if (ask.path.equals(RELEASE)) {
            for (Object item : body.getArray("items")) freed.add(((Number) item).longValue());
            return new JsonObject();
        }
        return JsonObject.builder().array("accepted", new JsonArray(ids(ask))).array("duplicate").end().array("rejected").end().value("origin", uuid)
            .value("sequence", 5).object("safe").value(uuid, 9).end().done();
    }

    /** The reports in a question. */
    static List<String> ids(Actions.Ask ask) {
        List<String> ids = new ArrayList<>();
        for (JsonObject report : Json.objects(Json.parse(ask.body), "reports")) ids.add(report.getString("report_id"));
        return ids;
    }

    static Event answered(JsonObject body) {
        return new Event.Answered(200, Json.bytes(body), 0);
    }

    static Event refused(int status, int code, String detail) {
        return new Event.Answered(status, Json.bytes(JsonObject.builder().value("code", code).value("detail", detail).done()), 0);
    }

    static Event silence(Actions.Ask ask) {
        return new Event.Unanswered(LicenseException.NO_SERVER, "silent", 0);
    }

    /** Answers as the site does at its time. */
    Function<Actions.Ask, Event> at(long now) {
        return ask -> {
            boolean isStale = ask.path.equals(RELEASE) && !Json.parse(ask.body).getString("authorization").equals(last);
            return isStale ? refused(403, 203, "authorized again") : answered(answer(ask, now));
        };
    }

    /** The same with something else in it. */
    Function<Actions.Ask, Event> at(long now, Consumer<JsonObject> change) {
        return ask -> {
            JsonObject answer = answer(ask, now);
            change.accept(answer);
            return answered(answer);
        };
    }

    /** Carries out an event; {@code answer} is what servers say. */
    static Course run(Core core, State state, Event event, SiteTime.Moment now, Function<Actions.Ask, Event> answer) {
        Course course = new Course();
        for (Event next = event; next != null;) {
            Actions actions = core.handle(next, state, now);
            for (ReportOutcome outcome : actions.reported) course.reported += outcome.getAccepted();
            if (actions.notReleased != null) course.notReleased = actions.notReleased;
            next = null;
            if (actions.ask == null) break;
            course.asked.add(actions.ask.server + actions.ask.path);
            course.triesLeft.add(actions.ask.triesLeft);
            next = answer.apply(actions.ask);
        }
        return course;
    }
}
