package dev.tollkeeper;

import com.grack.nanojson.JsonArray;
import com.grack.nanojson.JsonObject;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The device's decisions, without files, network, threads or a clock: an event and the time go in,
 * actions come out, and the {@link State} that processes share is changed on the way.
 *
 * <p>Whoever carries out the actions answers every {@link Actions.Ask}, writes the touched parts of the
 * state before it asks, and lets no other process of the machine ask meanwhile.
 */
final class Core {
    private static final String AUTHORIZE = "/api/v1/authorize";
    private static final String REPORTS = "/api/v1/reports";
    private static final String RELEASE = "/api/v1/release";
    private static final long NEVER = Long.MAX_VALUE;
    private static final Pattern NAMED_REPORT = Pattern.compile("reports\\[(\\d{1,4})\\]");
    private static final String GIVEN_BACK = "the license was given back: initialize again to take one";

    /** An authorization: servers that were asked in vain, and the one that is asked now. */
    private static final class Authorizing {
        final List<ServerFailure> failures;
        final int server;
        final String nonce;
        final long leastPause;

        Authorizing(List<ServerFailure> failures, int server, String nonce, long leastPause) {
            this.failures = failures;
            this.server = server;
            this.nonce = nonce;
            this.leastPause = leastPause;
        }
    }

    /** What is sent, the servers still to be asked, and the one that is asked now. */
    private static final class Sending {
        /** Of reports; {@code null} where the license is given back. */
        final List<String> ids;
        final byte[] body;
        final Deque<String> servers;
        String server;

        Sending(List<String> ids, byte[] body, Deque<String> servers) {
            this.ids = ids;
            this.body = body;
            this.servers = servers;
        }
    }

    private final Config config;
    private final String session;
    private final SiteTime time;
    /** When the event came that is worked on, by both clocks and at the site. */
    private SiteTime.Moment now;
    private long site;
    /** The authorization that this process knows: another one comes from another process. */
    private String known;
    private Standing standing = Standing.unlicensed(LicenseException.noServer("no server was asked yet"));
    /** What is under way, if anything is: one of the two. */
    private Authorizing authorizing;
    private Sending sending;
    private final Backoff backoff = new Backoff();
    private long renewAt;
    private long reportAt = NEVER;
    private int othersHold;
    /** Once all is reported, the license is given back. */
    private boolean isLeaving;
    /** Who answered last since then, if anybody did: the other one may be silent. */
    private String answering;

    /** Of an application with these settings. The device gets its UUID now: {@code bound} where it follows from the machine. */
    Core(Config config, String session, String bound, State state, SiteTime.Moment now) {
        if (bound != null && !bound.equals(state.clientUuid)) {
            // Another machine's folder, or a machine that is known by another name now: nothing of what was granted before belongs to this device.
            state.clientUuid = bound;
            state.tickets.clear();
            state.granted.clear();
            state.pending.clear();
            state.waitingSince.clear();
            state.touch(State.Part.GRANTS);
            state.touch(State.Part.DEVICE);
        }
        if (state.clientUuid == null) {
            state.clientUuid = Texts.uuidOf(Texts.random(16), 4);
            state.touch(State.Part.DEVICE);
        }
        this.config = config;
        this.session = session;
        this.now = now;
        time = new SiteTime(state.time, now);
        noteKnown(state);
    }

    Standing standing() {
        return standing;
    }

    /** The site's time, by which the license is judged. */
    SiteTime siteTime() {
        return time.copy();
    }

    /** Instances that other processes of the machine hold, as last heard. */
    int othersHold() {
        return othersHold;
    }

    /** The next moment at which {@link Event.Tick} does something, in site time. */
    long wakeAt() {
        return Math.min(Math.min(renewAt, reportAt), standing.isLicensed() ? standing.claims.exp : NEVER);
    }

    /** Whether {@link Event.Tick} does something now. */
    boolean isDue(SiteTime.Moment now) {
        return wakeAt() <= time.copy().tell(now) || (time.hasJumped(now) && renewAt < NEVER);
    }

    /** Decides. With the state that no other process holds now. */
    Actions handle(Event event, State state, SiteTime.Moment now) {
        this.now = now;
        boolean hasJumped = time.hasJumped(now);
        boolean wentBack = time.merge(state.time, now);
        site = time.tell(now);
        if ((hasJumped || wentBack) && renewAt < NEVER) {
            // Which clock is right, only a server can tell. And what was planned was planned by a time that is not so any more.
            renewAt = Math.min(renewAt, site);
            reportAt = Math.min(reportAt, site);
        }
        Actions actions = new Actions();
        if (event instanceof Event.Start) askOrAdopt(state, actions);
        else if (event instanceof Event.Occupied) doWithout(state, actions);
        else if (event instanceof Event.Tick) tick(state, actions);
        else if (event instanceof Event.Report) beginReports(state, actions);
        else if (event instanceof Event.Release) release(state, actions);
        else if (event instanceof Event.Close) close((Event.Close) event, state, actions);
        else if (event instanceof Event.Count) count((Event.Count) event, state);
        else if (event instanceof Event.Answered) answered((Event.Answered) event, state, actions);
        else unanswered((Event.Unanswered) event, state, actions);
        keepTime(state);
        return actions;
    }

    /** What was asked cannot be carried on: it is begun anew after a pause. */
    void abandon(SiteTime.Moment now) {
        isLeaving = false;
        if (authorizing == null && sending == null) return;
        authorizing = null;
        sending = null;
        renewAt = time.tell(now) + backoff.next(standing.isLicensed(), Texts.chance(), 0);
    }

    /** The time is kept when something is written anyway, and once a slot. */
    private void keepTime(State state) {
        SiteTime.Kept kept = time.kept();
        boolean isOld = kept.lastSite - state.time.lastSite >= Times.SLOT_SECONDS || !kept.isAsTold(state.time);
        if (!isOld && !state.touched.contains(State.Part.DEVICE)) return;
        state.time = kept;
        state.touch(State.Part.DEVICE);
    }

    private void tick(State state, Actions actions) {
        if (authorizing != null || sending != null) return;
        if (standing.isLicensed() && site >= standing.claims.exp) {
            stand(Standing.unlicensed(Reasons.ended(standing.claims, standing.failures)), actions);
        }
        if (site >= renewAt) askOrAdopt(state, actions);
        else if (site >= reportAt) beginReports(state, actions);
    }

    private void stand(Standing standing, Actions actions) {
        this.standing = standing;
        actions.isChanged = true;
    }

    // ---- answers ----

    private void answered(Event.Answered event, State state, Actions actions) {
        JsonObject json = Json.parse(event.body);
        if (event.status < 200 || event.status >= 300) {
            Long told = json == null ? null : Json.whole(json, "code");
            // Whatever the code says: a server that is not well says nothing about the license.
            boolean isTold = told != null && told >= 0 && told <= 0xffff && (event.status < 500 || LicenseException.isTemporary(told.intValue()));
            int code = isTold ? told.intValue() : LicenseException.NO_SERVER;
            String message = "the answer with status " + event.status + " is none of a license server's";
            if (told != null) message = json.getString("detail", json.getString("title", LicenseException.titleOf(code)));
            unanswered(new Event.Unanswered(code, message, event.retryAfter), state, actions);
            return;
        }
        if (authorizing != null) authorized(json, state, actions);
        else if (sending != null && sending.ids != null) reported(json, state, actions);
        else if (sending != null) {
            sending = null;
            isLeaving = false;
            withdrawAll(state);
            released(actions);
        }
    }

    private void authorized(JsonObject answer, State state, Actions actions) {
        if (!AuthorizeRequest.isAnswer(answer)) {
            unanswered(new Event.Unanswered(LicenseException.NO_SERVER, "the answer is none of a license server's", 0), state, actions);
            return;
        }
        try {
            Claims claims = check(answer.getString("authorization"), authorizing.nonce, state);
            claims.checkTime(claims.iat);
            accept(answer, claims, config.servers.get(authorizing.server), state, actions);
            beginReports(state, actions);
        } catch (Distrust distrust) {
            unanswered(new Event.Unanswered(LicenseException.NOT_GENUINE, distrust.getMessage() + ": it is not used", 0), state, actions);
        }
    }

    private void reported(JsonObject json, State state, Actions actions) {
        Outbox.Answer answer = Outbox.Answer.read(json);
        if (answer == null) {
            unanswered(new Event.Unanswered(LicenseException.NO_SERVER, "the answer is none of a license server's", 0), state, actions);
            return;
        }
        final List<String> ids = sending.ids;
        answering = sending.server;
        sending = null;
        actions.reported.add(Outbox.takeAnswer(state, answer));
        // What the answer does not speak of was not taken.
        state.changeStored(stored -> stored.progress == StoredReport.Progress.PENDING && ids.contains(stored.report.id)
            && stored.set(StoredReport.Progress.FAILED));
        report(state, actions);
    }

    private void unanswered(Event.Unanswered event, State state, Actions actions) {
        boolean isTemporary = LicenseException.isTemporary(event.code);
        if (authorizing != null) {
            Authorizing round = authorizing;
            authorizing = null;
            List<ServerFailure> failures = new ArrayList<>(round.failures);
            failures.add(new ServerFailure(config.servers.get(round.server), event.code, event.message));
            long leastPause = Math.max(round.leastPause, event.retryAfter);
            // A server that does not know the name may be the wrong one of two; any other refusal is the site's word.
            boolean asksNext = isTemporary || LicenseException.maybeWrongServer(event.code);
            askNext(asksNext ? round.server + 1 : config.servers.size(), failures, leastPause, state, actions);
        } else if (sending != null) {
            if (!isTemporary) answering = sending.server;
            if (sending.ids != null && dropNamed(event, state, actions)) return;
            if (isTemporary && !sending.servers.isEmpty()) {
                send(actions);
                return;
            }
            List<String> ids = sending.ids;
            sending = null;
            if (ids == null) notReleased(new LicenseException(event.code, event.message), actions);
            else notReported(ids, event, state, actions);
        }
    }

    /** One report that no server can read must not hold up all others. */
    private boolean dropNamed(Event.Unanswered event, State state, Actions actions) {
        Matcher named = NAMED_REPORT.matcher(event.message);
        int index = event.code == LicenseException.MALFORMED && named.find() ? Integer.parseInt(named.group(1)) : -1;
        if (index < 0 || index >= sending.ids.size()) return false;
        Outbox.drop(state, sending.ids.get(index));
        sending = null;
        actions.reported.add(new ReportOutcome(0, 0, Collections.singletonList(event.code + " " + event.message)));
        report(state, actions);
        return true;
    }

    private void notReported(List<String> ids, Event.Unanswered event, State state, Actions actions) {
        // Not again in this session, but after the next authorization, which is due earlier now.
        Outbox.setProgress(state, ids, StoredReport.Progress.FAILED);
        renewAt = Math.min(renewAt, site + backoff.next(standing.isLicensed(), Texts.chance(), event.retryAfter));
        reportAt = Math.min(reportAt, site + reportInterval(state));
        if (!isLeaving) return;
        if (LicenseException.isTemporary(event.code)) {
            notReleased(new LicenseException(event.code, "what was done could not be reported: " + event.message), actions);
        } else {
            // A server that does not take reports may take the license.
            report(state, actions);
        }
    }

    /** Asks the next server to take it. After reports there is the license to be given back, if at all. */
    private void send(Actions actions) {
        sending.server = sending.servers.pop();
        int tries = sending.servers.size() + (sending.ids == null ? 1 : 2);
        actions.ask = new Actions.Ask(sending.server, sending.ids == null ? RELEASE : REPORTS, sending.body, tries);
    }

    // ---- authorization ----

    /** From here on an authorization that another process gets is one to adopt. */
    private void noteKnown(State state) {
        Grant grant = state.granted.get(config.askedFor);
        known = grant == null ? null : grant.authorization;
    }

    /** The same; and whether the authorization of before would do until then. */
    boolean noteKnown(State state, SiteTime.Moment now) {
        noteKnown(state);
        site = time.tell(now);
        try {
            return findKept(state) != null;
        } catch (Distrust distrust) {
            return false;
        }
    }

    /** Another process of the machine may have got an authorization for the same request just now: then nobody need be asked. */
    private void askOrAdopt(State state, Actions actions) {
        if (!adopt(state, actions)) askNext(0, Collections.<ServerFailure>emptyList(), 0, state, actions);
    }

    private boolean adopt(State state, Actions actions) {
        Grant grant = state.granted.get(config.askedFor);
        boolean isNews = grant != null && !grant.authorization.equals(known) && !grant.server.isEmpty() && grant.servers.equals(config.servers)
            && site < grant.refreshAfter;
        Claims claims = null;
        try {
            claims = isNews ? findKept(state) : null;
        } catch (Distrust distrust) {
            // Of no use; a server is asked.
        }
        if (claims == null) return false;
        known = grant.authorization;
        backoff.reset();
        planRenewal(grant.refreshAfter, claims.exp);
        stand(Standing.licensed(claims, LicenseOrigin.SERVER, grant.server, Collections.<ServerFailure>emptyList()), actions);
        beginReports(state, actions);
        return true;
    }

    /** No server can be asked, because another process does and does not come to an end: the authorization of before may do. */
    private void doWithout(State state, Actions actions) {
        if (standing.isLicensed()) renewAt = Math.min(renewAt, site + 1);
        else fail(Collections.<ServerFailure>emptyList(), 0, state, actions);
    }

    /** Devices that began together do not all renew in the same second. */
    private void planRenewal(long refreshAfter, long endsAt) {
        renewAt = config.servers.isEmpty() ? NEVER : Math.max(refreshAfter + (long) ((endsAt - refreshAfter) * 0.1 * Texts.chance()), site + 1);
    }

    /** Asks the servers from {@code index} on; when there is none left, the round has failed. */
    private void askNext(int index, List<ServerFailure> failures, long leastPause, State state, Actions actions) {
        if (index >= config.servers.size()) {
            fail(failures, leastPause, state, actions);
            return;
        }
        String server = config.servers.get(index);
        JsonObject request = AuthorizeRequest.of(config, server, state);
        authorizing = new Authorizing(failures, index, request.getString("nonce"), leastPause);
        // After it there are reports.
        actions.ask = new Actions.Ask(server, AUTHORIZE, Json.bytes(request), config.servers.size() - index + 1);
    }

    /** No server granted: the authorization of before may do. */
    private void fail(List<ServerFailure> failures, long leastPause, State state, Actions actions) {
        ServerFailure verdict = null;
        for (ServerFailure failure : failures) if (!LicenseException.isTemporary(failure.getCode())) verdict = failure;
        if (verdict != null) {
            withdraw(state);
            String message = verdict.getServer() + ": " + verdict.getMessage();
            stand(Standing.unlicensed(new LicenseException(verdict.getCode(), message, failures)), actions);
        } else {
            stand(standWithout(failures, state), actions);
        }
        long pause = backoff.next(standing.isLicensed(), Texts.chance(), leastPause);
        // Where there is no server, nothing is ever due.
        renewAt = config.servers.isEmpty() ? NEVER : site + pause;
        // A server that says no still takes what was done.
        if (verdict != null) beginReports(state, actions);
        else if (reportAt == NEVER) reportAt = site + reportInterval(state);
    }

    private Standing standWithout(List<ServerFailure> failures, State state) {
        try {
            Claims kept = findKept(state);
            if (kept == null) return Standing.unlicensed(Reasons.noAuthorization(config, null, failures));
            boolean isCarried = state.granted.get(config.askedFor).server.isEmpty();
            return Standing.licensed(kept, isCarried ? LicenseOrigin.CARRIED : LicenseOrigin.KEPT, null, failures);
        } catch (Distrust distrust) {
            return Standing.unlicensed(Reasons.noAuthorization(config, distrust.reason, failures));
        }
    }

    /** The authorization of before, if it is genuine and in force; {@code null} when there is none. */
    private Claims findKept(State state) throws Distrust {
        Grant grant = state.granted.get(config.askedFor);
        if (grant == null || grant.isWithdrawn) return null;
        Claims claims = check(grant.authorization, null, state);
        claims.checkTime(site);
        return claims;
    }

    /** {@code nonce} is {@code null} for an authorization that was checked with it before. */
    private Claims check(String authorization, String nonce, State state) throws Distrust {
        return Claims.check(authorization, config.vendors, new Claims.Expected(state.clientUuid, nonce, config.organizationId, config.handshakeCode));
    }

    /** A server took the license back. */
    private void withdraw(State state) {
        Grant grant = state.granted.get(config.askedFor);
        if (grant == null || grant.isWithdrawn) return;
        grant.isWithdrawn = true;
        state.touch(State.Part.GRANTS);
    }

    /** Takes a genuine authorization into use. {@code server} is empty when it was carried here. */
    private void accept(JsonObject answer, Claims claims, String server, State state, Actions actions) {
        if (server.isEmpty()) time.raise(claims.iat, now);
        else time.learn(claims.iat, now);
        site = time.tell(now);
        Long told = Times.parse(answer.getString("refresh_after"));
        long refreshAfter = Math.min(Math.max(told == null ? claims.exp : told, claims.iat), claims.exp);
        Long interval = Json.whole(answer, "report_interval_seconds");
        long reportInterval = interval == null ? Times.SLOT_SECONDS : Math.min(Math.max(interval, 1), Times.DAY_SECONDS);
        Grant grant = new Grant(answer.getString("authorization"), refreshAfter, claims.exp, reportInterval, server, config.servers);
        known = grant.authorization;
        state.granted.put(config.askedFor, grant);
        state.pending.remove(config.askedFor);
        state.prune(config.askedFor, claims.iat);
        state.tickets.put(claims.hid, answer.getString("ticket"));
        Map<String, String> codes = state.codes.get(server);
        if (codes == null) state.codes.put(server, codes = new TreeMap<>());
        codes.put(config.naming(), claims.hid);
        state.touch(State.Part.GRANTS);
        state.touch(State.Part.DEVICE);
        Outbox.takeNews(state, answer.getString("origin"), answer.getObject("lost"), answer.getObject("safe"));
        Outbox.retryFailed(state);
        backoff.reset();
        planRenewal(refreshAfter, claims.exp);
        List<ServerFailure> failures = authorizing == null ? Collections.<ServerFailure>emptyList() : authorizing.failures;
        authorizing = null;
        LicenseOrigin origin = server.isEmpty() ? LicenseOrigin.CARRIED : LicenseOrigin.SERVER;
        stand(Standing.licensed(claims, origin, server.isEmpty() ? null : server, failures), actions);
    }

    // ---- giving back ----

    private void close(Event.Close event, State state, Actions actions) {
        if (isGivenBackAtTheEnd(event.others, state)) release(state, actions);
    }

    /** Whether closing gives the license back. {@code others} is what the others of the machine use that live, see {@link Event.Close}. */
    boolean isGivenBackAtTheEnd(List<String> others, State state) {
        Claims ours = ownClaims(state);
        boolean isFloatingOnly = config.releaseOnClose.equals("instances");
        if (config.releaseOnClose.equals("nothing") || ours == null || (isFloatingOnly && !ours.isFloating())) return false;
        if (!standing.isLicensed() || config.servers.isEmpty()) return false;
        if (others.contains(null) || others.contains(config.askedFor)) return false;
        for (Map.Entry<String, Grant> kept : state.granted.entrySet()) {
            Claims claims = kept.getValue().isWithdrawn ? null : genuine(kept.getValue(), state);
            if (claims == null || site >= claims.exp || !claims.sharesItemWith(ours)) continue;
            // Another application, which is closed, may start with no network by a grant that holds a named seat as well: it keeps its instances.
            if (others.contains(kept.getKey()) || (isFloatingOnly && !claims.isFloating())) return false;
        }
        return true;
    }

    /** What a grant of this device says, whatever application has it; {@code null} if it is not genuine. */
    private Claims genuine(Grant grant, State state) {
        try {
            return Claims.check(grant.authorization, config.vendors, new Claims.Expected(state.clientUuid, null, null, null));
        } catch (Distrust distrust) {
            return null;
        }
    }

    private Claims ownClaims(State state) {
        Grant grant = state.granted.get(config.askedFor);
        try {
            return grant == null ? null : check(grant.authorization, null, state);
        } catch (Distrust distrust) {
            return null;
        }
    }

    /** The last authorization that this device got under the code of {@code ours}, for whatever application: a server takes no other. */
    private String latestAuthorization(Claims ours, State state) {
        Claims latest = ours;
        String found = state.granted.get(config.askedFor).authorization;
        for (Grant grant : state.granted.values()) {
            Claims claims = genuine(grant, state);
            if (claims == null || !claims.hid.equals(ours.hid) || claims.iat <= latest.iat) continue;
            latest = claims;
            found = grant.authorization;
        }
        return found;
    }

    /** A server took the license back: nothing that is about the same items lets this device work any more. */
    private void withdrawAll(State state) {
        Claims ours = ownClaims(state);
        withdraw(state);
        for (Grant grant : ours == null ? Collections.<Grant>emptyList() : state.granted.values()) {
            Claims claims = grant.isWithdrawn ? null : genuine(grant, state);
            if (claims == null || !claims.sharesItemWith(ours)) continue;
            grant.isWithdrawn = true;
            state.touch(State.Part.GRANTS);
        }
    }

    /** What was done is reported first, the slot that goes on included: afterwards nobody may. */
    private void release(State state, Actions actions) {
        Grant grant = state.granted.get(config.askedFor);
        if (grant == null || grant.isWithdrawn) {
            released(actions);
        } else if (config.servers.isEmpty()) {
            notReleased(LicenseException.noServer("this authorization was carried here, and no server is set: carry the report file to the license "
                + "server, whose administrator releases the device"), actions);
        } else {
            isLeaving = true;
            answering = null;
            Outbox.retryFailed(state);
            report(state, actions);
        }
    }

    /** All is reported. */
    private void askRelease(State state, Actions actions) {
        Grant grant = state.granted.get(config.askedFor);
        Claims ours = ownClaims(state);
        if (ours == null) {
            String message = "the authorization that is kept is not genuine: initialize again, then give the license back";
            notReleased(new LicenseException(LicenseException.NOT_GENUINE, message), actions);
            return;
        }
        JsonArray items = new JsonArray();
        for (Claims.Item item : ours.items) items.add(item.id);
        JsonObject request = new JsonObject();
        request.put("client_uuid", state.clientUuid);
        request.put("authorization", latestAuthorization(ours, state));
        request.put("items", items);
        sending = new Sending(null, Json.bytes(request), serversFrom(answering == null ? grant.server : answering));
        send(actions);
    }

    /** Every server, this one first. */
    private Deque<String> serversFrom(String first) {
        Deque<String> servers = new ArrayDeque<>(config.servers);
        if (servers.remove(first)) servers.push(first);
        return servers;
    }

    /** Everything stays as it was. */
    private void notReleased(LicenseException error, Actions actions) {
        isLeaving = false;
        actions.notReleased = error;
    }

    private void released(Actions actions) {
        renewAt = NEVER;
        stand(Standing.unlicensed(LicenseException.noServer(GIVEN_BACK)), actions);
    }

    // ---- use and reports ----

    /** Says what this process holds, if with that no more is held than {@code granted}. How many the others hold. */
    int hold(int held, int granted, Set<String> alive, State state) {
        Map<String, Integer> before = new TreeMap<>(state.held);
        state.held.keySet().retainAll(alive);
        state.held.remove(session);
        long others = 0;
        for (int each : state.held.values()) others += each;
        othersHold = (int) Math.min(others, Integer.MAX_VALUE);
        Integer mine = before.get(session);
        if (held > 0 && held + others <= granted) state.held.put(session, held);
        else if (held > 0 && mine != null) state.held.put(session, mine);
        if (!state.held.equals(before)) state.touch(State.Part.OPEN);
        return othersHold;
    }

    private void count(Event.Count event, State state) {
        hold(event.held, Integer.MAX_VALUE, event.alive, state);
        String handshakeCode = event.counts.byKey.isEmpty() ? null : findHandshakeCode(state);
        if (handshakeCode == null) return;
        long instances = Math.min((long) othersHold + event.held, 1_000_000);
        Counting.add(state, event.counts, config.askedFor, handshakeCode, config.product, (int) instances);
    }

    /** The handshake code under which is counted: whatever was granted last. */
    private String findHandshakeCode(State state) {
        if (standing.isLicensed()) return standing.claims.hs;
        Grant grant = state.granted.get(config.askedFor);
        try {
            return grant == null ? null : check(grant.authorization, null, state).hs;
        } catch (Distrust distrust) {
            return null;
        }
    }

    /** What a count is in, where the application does not say: pages if that is what its license is about. */
    String unit() {
        boolean hasPages = false;
        boolean hasScans = false;
        for (Claims.Item item : standing.isLicensed() ? standing.claims.itemsFor(config.product) : Collections.<Claims.Item>emptyList()) {
            hasPages |= item.chargeWay.equals("page");
            hasScans |= item.chargeWay.equals("scan");
        }
        return hasPages && !hasScans ? "page" : "scan";
    }

    private long reportInterval(State state) {
        Grant grant = state.granted.get(config.askedFor);
        return grant == null ? Times.SLOT_SECONDS : grant.reportInterval;
    }

    private void beginReports(State state, Actions actions) {
        reportAt = site + reportInterval(state);
        report(state, actions);
    }

    /** Makes reports of the slots that are over for every process, and sends what there is. */
    private void report(State state, Actions actions) {
        // What was counted is flushed before this, but for the last moment; another process tells what it counted at the latest when it flushes.
        boolean isAlone = Collections.singleton(session).containsAll(state.held.keySet());
        long stamp = time.stamp(now);
        Counting.close(state, stamp - (isAlone ? 1 : config.flushSeconds), stamp);
        if (isLeaving) Counting.closeOf(state, config.askedFor);
        Outbox.Batch batch = config.servers.isEmpty() ? null : Outbox.nextBatch(state, state.clientUuid, config.servers);
        if (batch == null) {
            if (isLeaving) askRelease(state, actions);
            return;
        }
        String first = isLeaving && answering != null ? answering : standing.server;
        sending = new Sending(batch.ids, Json.bytes(batch.request), serversFrom(first == null ? "" : first));
        send(actions);
    }

    // ---- by hand ----

    /** An authorization that somebody carried here from the server. */
    Actions takeCarried(JsonObject answer, State state, SiteTime.Moment now) throws LicenseException {
        this.now = now;
        Actions actions = new Actions();
        try {
            if (!AuthorizeRequest.isAnswer(answer)) throw new Distrust(Distrust.Reason.MALFORMED);
            String nonce = state.pending.get(config.askedFor);
            Claims claims = check(answer.getString("authorization"), nonce == null ? "" : nonce, state);
            claims.checkTime(Math.max(time.tell(now), claims.iat));
            accept(answer, claims, "", state, actions);
        } catch (Distrust distrust) {
            String carry = ": carry the answer to the last request that this device wrote";
            throw new LicenseException(LicenseException.NOT_GENUINE, distrust.getMessage() + carry);
        }
        keepTime(state);
        return actions;
    }

    /** Everything that was done and not acknowledged, to be carried to the server; {@code null} when there is nothing. */
    JsonObject carriedReports(State state, SiteTime.Moment now) {
        time.merge(state.time, now);
        long stamp = time.stamp(now);
        Counting.close(state, stamp, stamp);
        return Outbox.carriedReports(state, config.askedFor);
    }
}
