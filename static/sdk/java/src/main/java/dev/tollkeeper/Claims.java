package dev.tollkeeper;

import com.grack.nanojson.JsonObject;
import java.util.ArrayList;
import java.util.List;

/** What an authorization permits. Nothing of an answer is used before {@link #check}. */
final class Claims {
    /** One license item of it. */
    static final class Item {
        final long id;
        final String product;
        final List<String> modules;
        final String chargeWay;
        final int instances;

        Item(long id, String product, List<String> modules, String chargeWay, int instances) {
            this.id = id;
            this.product = product;
            this.modules = modules;
            this.chargeWay = chargeWay;
            this.instances = instances;
        }
    }

    /** What the device asked for. */
    static final class Expected {
        final String clientUuid;
        /** {@code null} for an authorization that was checked with it before. */
        final String nonce;
        /** {@code null} when it named none. */
        final String organizationId;
        /** {@code null} when it named none. */
        final String handshakeCode;

        Expected(String clientUuid, String nonce, String organizationId, String handshakeCode) {
            this.clientUuid = clientUuid;
            this.nonce = nonce;
            this.organizationId = organizationId;
            this.handshakeCode = handshakeCode;
        }
    }

    final String iss;
    final String sub;
    final long iat;
    final long nbf;
    final long exp;
    final String nonce;
    final String org;
    /** The handshake code, as the application knows it. */
    final String hs;
    /** The handshake code's identity, whatever it is called. */
    final String hid;
    final List<Item> items;

    private Claims(JsonObject body, List<Item> items) {
        iss = body.getString("iss");
        sub = body.getString("sub");
        iat = Json.whole(body, "iat");
        nbf = Json.whole(body, "nbf");
        exp = Json.whole(body, "exp");
        nonce = body.getString("nonce");
        org = body.getString("org");
        hs = body.getString("hs");
        hid = body.getString("hid");
        this.items = items;
    }

    /** {@code null} when something is missing or of another type. */
    private static Claims read(JsonObject body) {
        for (String name : new String[] {"iat", "nbf", "exp"}) if (Json.whole(body, name) == null) return null;
        for (String name : new String[] {"nonce", "org", "hs", "hid"}) if (!body.isString(name)) return null;
        List<JsonObject> list = Json.objects(body, "items");
        if (list == null || !Texts.isUuid(body.getString("iss")) || !Texts.isUuid(body.getString("sub"))) return null;
        List<Item> items = new ArrayList<>();
        for (JsonObject item : list) {
            List<String> modules = Json.texts(item, "modules");
            Long id = Json.whole(item, "item_id");
            Long instances = Json.whole(item, "instances");
            if (modules == null || id == null || instances == null || !item.isString("product") || !item.isString("charge_way")) return null;
            int granted = (int) Math.min(Math.max(instances, 0), Integer.MAX_VALUE);
            items.add(new Item(id, item.getString("product"), modules, item.getString("charge_way"), granted));
        }
        return new Claims(body, items);
    }

    /**
     * Checks the whole chain (vendor, server certificate, authorization), and that it is what was
     * asked for. Whether it is in force is for {@link #checkTime}.
     */
    static Claims check(String authorization, List<VerifyingKey> vendors, Expected expected) throws Distrust {
        Jws jws = Jws.parse(authorization, "tk-authorization+jws", 32_768);
        if (jws == null || !jws.head.has("svr")) throw new Distrust(Distrust.Reason.MALFORMED);
        ServerCertificate certificate = ServerCertificate.verify(jws.head.getString("svr"), vendors);
        if (!jws.kid.equals(certificate.key.kid) || !jws.isSignedBy(certificate.key)) throw new Distrust(Distrust.Reason.BAD_SIGNATURE);
        Claims claims = read(jws.body);
        if (claims == null) throw new Distrust(Distrust.Reason.MALFORMED);
        if (!Texts.sameUuid(certificate.serverUuid, claims.iss)) throw new Distrust(Distrust.Reason.WRONG_SERVER);
        if (!certificate.organizationId.equals(claims.org)) throw new Distrust(Distrust.Reason.WRONG_ORGANIZATION);
        if (!certificate.isValidAt(claims.iat)) throw new Distrust(Distrust.Reason.CERTIFICATE_NOT_VALID);
        if (expected.nonce != null && !expected.nonce.equals(claims.nonce)) throw new Distrust(Distrust.Reason.WRONG_NONCE);
        if (!Texts.sameUuid(expected.clientUuid, claims.sub)) throw new Distrust(Distrust.Reason.WRONG_DEVICE);
        if (expected.organizationId != null && !expected.organizationId.equals(claims.org)) throw new Distrust(Distrust.Reason.WRONG_ORGANIZATION);
        if (expected.handshakeCode != null && !Texts.sameWord(expected.handshakeCode, claims.hs)) throw new Distrust(Distrust.Reason.WRONG_CODE);
        return claims;
    }

    /** Whether it is in force. */
    void checkTime(long now) throws Distrust {
        if (now < nbf) throw new Distrust(Distrust.Reason.NOT_YET);
        if (now >= exp) throw new Distrust(Distrust.Reason.EXPIRED);
    }

    /** Its items for a product. */
    List<Item> itemsFor(String product) {
        List<Item> ours = new ArrayList<>();
        for (Item item : items) if (Texts.sameWord(item.product, product)) ours.add(item);
        return ours;
    }

    /** Whether both are about an item: what one application of the device gives back, another has no more. */
    boolean sharesItemWith(Claims other) {
        for (Item ours : items) for (Item theirs : other.items) if (ours.id == theirs.id) return true;
        return false;
    }

    /** Whether all that it permits are instances in the same three minutes: a floating license. */
    boolean isFloating() {
        for (Item item : items) if (!item.chargeWay.equals("concurrent_instance")) return false;
        return !items.isEmpty();
    }

    /** Instances that are granted. */
    int instances() {
        int most = 1;
        for (Item item : items) most = Math.max(most, item.instances);
        return most;
    }
}
