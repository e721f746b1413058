package dev.tollkeeper;

import com.grack.nanojson.JsonObject;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.regex.Pattern;

/** Licenses that need no server: product keys, checked on the device alone. */
final class ProductKeys {
    /** What is asked for. */
    static final class Request {
        final String product;
        final String version;
        final String edition;
        final String deploymentType;
        final List<String> modules;
        final String machine;
        final String host;

        Request(String product, String version, String edition, String deploymentType, List<String> modules, String machine, String host) {
            this.product = product;
            this.version = version;
            this.edition = edition;
            this.deploymentType = deploymentType;
            this.modules = modules;
            this.machine = machine;
            this.host = host;
        }
    }

    /** One key whose signature was checked. */
    static final class Key {
        final long id;
        final String product;
        final String versions;
        final List<String> editions;
        final List<String> modules;
        final List<String> deploymentTypes;
        final long validFrom;
        final long validTo;
        final String machine;
        final String domain;

        private Key(JsonObject body, Long from, Long to) {
            id = Json.whole(body, "product_key_id");
            product = body.getString("product");
            versions = body.getString("versions", "");
            editions = Json.texts(body, "editions");
            modules = Json.texts(body, "modules");
            deploymentTypes = Json.texts(body, "deployment_types");
            validFrom = from;
            validTo = to;
            machine = body.getString("machine");
            domain = body.getString("domain");
        }

        /** {@code null} when it says something that cannot be read. */
        static Key read(JsonObject body) {
            Long id = Json.whole(body, "product_key_id");
            Long from = Times.parse(body.getString("valid_from"));
            Long to = Times.parse(body.getString("valid_to"));
            List<String> types = Json.texts(body, "deployment_types");
            boolean isGood = "1".equals(body.get("product_key_version")) && id != null && id > 0 && !body.getString("product", "").isEmpty()
                && areWords(Json.texts(body, "editions")) && areWords(Json.texts(body, "modules"))
                && types != null && Config.DEPLOYMENT_TYPES.containsAll(types)
                && (!body.has("versions") || body.isString("versions")) && from != null && to != null && from < to
                && (body.get("machine") == null || Texts.isUuid(body.getString("machine")))
                && (body.get("domain") == null || !body.getString("domain", "").isEmpty());
            return isGood ? new Key(body, from, to) : null;
        }

        private static boolean areWords(List<String> list) {
            return list != null && list.size() <= 64;
        }
    }

    /** Why a key does not fit, and how far it got. */
    private static final class Misfit {
        final int rank;
        final LicenseException refusal;

        Misfit(int rank, int code, Key key, String expected, String given) {
            this.rank = rank;
            String what = "product key " + key.id + ": " + LicenseException.titleOf(code);
            String told = given == null || given.isEmpty() ? "none given" : given;
            refusal = new LicenseException(code, what + " (expected " + expected + ", given " + told + ")");
        }
    }

    private static final int MODULE_RANK = 4;
    private static final Pattern NUMBER = Pattern.compile("\\d+");

    private ProductKeys() {}

    /** Keys separated by ';'. One that cannot be believed refuses them all, because nobody gives it on purpose. */
    static List<Key> read(String text, List<VerifyingKey> vendors) throws LicenseException {
        List<String> pieces = new ArrayList<>();
        for (String piece : text.split(";")) if (!piece.trim().isEmpty()) pieces.add(piece.trim());
        if (pieces.isEmpty() || pieces.size() > 16) {
            throw new LicenseException(LicenseException.PRODUCT_KEY, pieces.size() + " product keys were given: give 1 to 16, separated by ';'");
        }
        List<Key> keys = new ArrayList<>();
        for (String piece : pieces) {
            String which = pieces.size() == 1 ? "the product key " : "product key " + (keys.size() + 1) + " of " + pieces.size() + " ";
            keys.add(readOne(piece, vendors, which));
        }
        return keys;
    }

    private static Key readOne(String piece, List<VerifyingKey> vendors, String which) throws LicenseException {
        String again = ": copy it whole from what the vendor sent";
        Jws jws = Jws.parse(piece, "tk-product-key+jws", 65_536);
        if (jws == null) throw new LicenseException(LicenseException.PRODUCT_KEY, which + "is damaged" + again);
        VerifyingKey vendor = VerifyingKey.find(vendors, jws.kid);
        if (vendor == null) {
            String unknown = "is signed by the unknown key " + Texts.shorten(jws.kid) + ": ask the vendor for one for this application";
            throw new LicenseException(LicenseException.PRODUCT_KEY, which + unknown);
        }
        if (!jws.isSignedBy(vendor)) throw new LicenseException(LicenseException.PRODUCT_KEY, which + "was changed after signing" + again);
        Key key = Key.read(jws.body);
        if (key != null) return key;
        String newer = "says something that this version of the client cannot read: use a newer client";
        throw new LicenseException(LicenseException.PRODUCT_KEY, which + newer);
    }

    /**
     * The keys that cover a request: the first that covers it alone, else several whose modules
     * together are enough. The refusal is that of the key that got furthest.
     */
    static List<Key> check(List<Key> keys, Request request, long now) throws LicenseException {
        List<Key> fitting = new ArrayList<>();
        List<Misfit> misfits = new ArrayList<>();
        for (Key key : keys) {
            Misfit misfit = misfit(key, request, now);
            misfits.add(misfit);
            if (misfit == null) fitting.add(key);
        }
        for (Key key : fitting) if (missing(key, request.modules).isEmpty()) return Collections.singletonList(key);
        List<String> missing = request.modules;
        List<Key> covering = new ArrayList<>();
        for (Key key : fitting) {
            List<String> left = missing(key, missing);
            if (left.size() < missing.size()) covering.add(key);
            missing = left;
        }
        if (missing.isEmpty() && !covering.isEmpty()) return covering;
        throw furthest(keys, misfits, fitting, missing.isEmpty() ? null : missing.get(0));
    }

    /** Of keys that fit, one for the missing module may have failed later: it got further. */
    private static LicenseException furthest(List<Key> keys, List<Misfit> misfits, List<Key> fitting, String lacking) {
        Misfit furthest = null;
        if (lacking != null && !fitting.isEmpty()) {
            List<String> covered = new ArrayList<>();
            for (Key key : fitting) covered.addAll(key.modules);
            furthest = new Misfit(MODULE_RANK, 204, fitting.get(0), Texts.join(", ", covered), lacking);
        }
        for (int at = 0; at < keys.size(); at++) {
            Misfit misfit = misfits.get(at);
            boolean helps = lacking == null || fitting.isEmpty() || Texts.permits(keys.get(at).modules, lacking);
            if (misfit != null && helps && (furthest == null || misfit.rank > furthest.rank)) furthest = misfit;
        }
        return furthest == null ? new LicenseException(104, "no product key was given") : furthest.refusal;
    }

    private static List<String> missing(Key key, List<String> modules) {
        List<String> missing = new ArrayList<>();
        for (String module : modules) if (!Texts.permits(key.modules, module)) missing.add(module);
        return missing;
    }

    /** {@code null} when it fits but for modules of other keys. */
    private static Misfit misfit(Key key, Request request, long now) {
        if (!Texts.sameWord(key.product, request.product)) return new Misfit(0, 106, key, key.product, request.product);
        if (!coversVersion(key.versions, request.version)) return new Misfit(1, 107, key, key.versions, request.version);
        boolean fitsType = key.deploymentTypes.isEmpty() || key.deploymentTypes.contains(request.deploymentType);
        if (!fitsType) return new Misfit(2, 108, key, Texts.join(", ", key.deploymentTypes), request.deploymentType);
        if (!Texts.permits(key.editions, request.edition)) return new Misfit(3, 109, key, Texts.join(", ", key.editions), request.edition);
        boolean hasModule = request.modules.isEmpty() || missing(key, request.modules).size() < request.modules.size();
        if (!hasModule) return new Misfit(MODULE_RANK, 204, key, Texts.join(", ", key.modules), Texts.join(", ", request.modules));
        if (now < key.validFrom) return new Misfit(5, 112, key, "from " + Times.text(key.validFrom), Times.text(now));
        if (now > key.validTo) return new Misfit(6, 111, key, "until " + Times.text(key.validTo), Times.text(now));
        boolean isMachine = key.machine == null || Texts.sameUuid(key.machine, request.machine);
        if (!isMachine) return new Misfit(7, 113, key, "machine " + key.machine, request.machine);
        boolean isHost = key.domain == null || (request.host != null && coversHost(key.domain, request.host));
        return isHost ? null : new Misfit(8, 103, key, key.domain + " or a host in it", request.host);
    }

    static boolean coversVersion(String versions, String given) {
        boolean isAny = true;
        for (String pattern : versions.split(",")) {
            if (pattern.trim().isEmpty()) continue;
            isAny = false;
            if (given != null && covers(pattern.trim().split("\\.", -1), given.split("\\.", -1))) return true;
        }
        return isAny;
    }

    /** A final {@code *} is any rest, none included; {@code 9.6} covers 9.6.30: what is bought is a line. */
    private static boolean covers(String[] wanted, String[] parts) {
        for (int at = 0; at < wanted.length; at++) {
            boolean fits = wanted[at].equals("*") ? at + 1 == wanted.length || at < parts.length : at < parts.length && wanted[at].equals(parts[at]);
            if (!fits) return false;
        }
        return true;
    }

    /** Whether a host lies inside a licensed domain: equal to it or below it. */
    static boolean coversHost(String domain, String host) {
        String name = Texts.lower(host.endsWith(".") ? host.substring(0, host.length() - 1) : host);
        String wanted = Texts.lower(domain);
        if (wanted.isEmpty() || name.equals(wanted)) return !wanted.isEmpty();
        List<String> labels = Arrays.asList(name.split("\\.", -1));
        boolean isAddress = name.startsWith("[") || name.contains(":") || NUMBER.matcher(labels.get(labels.size() - 1)).matches();
        return wanted.contains(".") && !isAddress && name.endsWith("." + wanted) && name.length() > wanted.length() + 1;
    }
}
