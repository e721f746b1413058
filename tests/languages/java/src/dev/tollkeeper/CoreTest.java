package dev.tollkeeper;

import static dev.tollkeeper.FakeSite.AUTHORIZE;
import static dev.tollkeeper.FakeSite.MAIN;
import static dev.tollkeeper.FakeSite.RELEASE;
import static dev.tollkeeper.FakeSite.REPORTS;
import static dev.tollkeeper.FakeSite.STANDBY;
import static dev.tollkeeper.FakeSite.ids;
import static dev.tollkeeper.FakeSite.refused;
import static dev.tollkeeper.FakeSite.run;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.tollkeeper.internal.nanojson.JsonArray;
import dev.tollkeeper.internal.nanojson.JsonObject;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

/** The device's decisions by manual time, against a server of a few lines. */
class CoreTest {
    private static final long DAY = Times.DAY_SECONDS;
    /** The start of a slot, in 2026. */
    private static final long NOON = 1_795_348_800;

    private final FakeSite site = new FakeSite();
    private final State state = new State();
    private final Set<String> sessions = new HashSet<>();

    private static SiteTime.Moment at(long local, long monotonic) {
        return new SiteTime.Moment(local, monotonic);
    }

    /** So long after noon, by both clocks. */
    private static SiteTime.Moment after(long seconds) {
        return at(NOON + seconds, seconds);
    }

    private Core core(Config config, SiteTime.Moment now) {
        String session = Texts.uuidOf(Texts.random(16), 4);
        sessions.add(session);
        return new Core(config, session, null, state, now);
    }

    private Core core() throws LicenseException {
        return core(site.config(settings -> {}), after(0));
    }

    private Core coreWithStandby() throws LicenseException {
        return core(site.config(settings -> settings.setStandbyServerURL(STANDBY)), after(0));
    }

    private void count(Core core, long units, SiteTime.Moment now) {
        Counting.Counts counts = new Counting.Counts();
        counts.add(new UsageReport.Key(Times.slotOf(core.siteTime().stamp(now)), "scan", null), "QR", units);
        core.handle(new Event.Count(counts, 1, sessions), state, now);
    }

    /** Has an authorization that was given at {@code given} carried to the device. */
    private void carry(Core core, Config config, long given, SiteTime.Moment now) throws LicenseException {
        core.takeCarried(site.grant(AuthorizeRequest.of(config, "", state), given), state, now);
    }

    /** Counts a unit in the slot before this time, and runs what is due then. */
    private FakeSite.Course useAndReport(Core core, long seconds, Function<Actions.Ask, Event> answer) {
        count(core, 1, after(seconds - 180));
        return run(core, state, new Event.Tick(), after(seconds), answer);
    }

    private static JsonObject object(String json) {
        return Json.parse(Texts.utf8(json));
    }

    private List<StoredReport.Progress> progress() {
        List<StoredReport.Progress> progress = new ArrayList<>();
        for (StoredReport stored : state.stored()) progress.add(stored.progress);
        return progress;
    }

    @Test
    void serversAreAskedInTheirOrderAndARefusalIsTheSitesWord() throws Exception {
        Core core = coreWithStandby();
        FakeSite.Course course = run(core, state, new Event.Start(), after(0),
            ask -> ask.server.equals(MAIN) ? refused(503, 100, "not now") : site.at(NOON).apply(ask));
        assertEquals(List.of(MAIN + AUTHORIZE, STANDBY + AUTHORIZE), course.asked);
        assertEquals(List.of(STANDBY, 100), List.of(core.standing().server, core.standing().failures.get(0).getCode()));
        // A server that is not well says nothing about the license, whatever it says.
        run(core, state, new Event.Start(), after(1), ask -> refused(500, 120, "broken"));
        assertEquals(LicenseOrigin.KEPT, core.standing().origin);
        // One that does not know the code may be the wrong one; the last word counts.
        course = run(core, state, new Event.Start(), after(2),
            ask -> ask.server.equals(MAIN) ? refused(404, 101, "no such code") : site.at(NOON + 2).apply(ask));
        assertEquals(2, course.asked.size());
        assertTrue(core.standing().isLicensed());
        course = run(core, state, new Event.Start(), after(3), ask -> refused(403, 120, "too many"));
        assertEquals(List.of(MAIN + AUTHORIZE), course.asked, "nobody else is asked");
        assertEquals(120, core.standing().error.getCode());
        assertEquals(MAIN + ": too many", core.standing().error.getMessage());
        run(core, state, new Event.Start(), after(4), FakeSite::silence);
        assertEquals(302, core.standing().error.getCode(), "and it does not come back without a server");
    }

    @Test
    void aLostAnswerIsAskedForWithTheSameNonceAndTheNextOneWithAnother() throws Exception {
        Core core = core();
        List<String> nonces = new ArrayList<>();
        Function<Actions.Ask, Event> note = ask -> {
            nonces.add(Json.parse(ask.body).getString("nonce"));
            return nonces.size() == 1 ? FakeSite.silence(ask) : site.at(NOON).apply(ask);
        };
        for (int second = 0; second < 3; second++) run(core, state, new Event.Start(), after(second), note);
        assertEquals(nonces.get(0), nonces.get(1), "to the server a repeat is no second device");
        assertNotEquals(nonces.get(1), nonces.get(2));
        assertEquals("5a", AuthorizeRequest.of(site.config(settings -> {}), MAIN, state).getString("ticket"));
    }

    @Test
    void whatTravelledForDaysDoesNotLastLongerForIt() throws Exception {
        Config config = site.config(settings -> settings.setMainServerURL(null));
        Core core = core(config, after(0));
        // Given at noon, it comes five days later.
        carry(core, config, NOON, after(5 * DAY));
        count(core, 3, after(5 * DAY));
        assertEquals(NOON + 5 * DAY, state.open.get(0).report.key.slot, "the slot in which it was done");
        core = core(config, at(NOON + 7 * DAY - 1, 0));
        run(core, state, new Event.Start(), at(NOON + 7 * DAY - 1, 0), FakeSite::silence);
        assertTrue(core.standing().isLicensed(), "to the last second");
        run(core, state, new Event.Tick(), at(NOON + 7 * DAY, 1), FakeSite::silence);
        assertEquals(305, core.standing().error.getCode());
        FakeSite.Course course = run(core, state, new Event.Release(), at(NOON + 7 * DAY, 1), FakeSite::silence);
        assertTrue(course.notReleased.getMessage().contains("report file"));
    }

    @Test
    void nothingIsDueWhereThereIsNoServer() throws Exception {
        Config config = site.config(settings -> settings.setMainServerURL(null));
        Core core = core(config, after(0));
        FakeSite.Course course = run(core, state, new Event.Start(), after(0), FakeSite::silence);
        assertTrue(course.asked.isEmpty() && !core.standing().isLicensed());
        int wakes = 0;
        for (int second = 0; second < 3_600; second++) {
            if (!core.isDue(after(second))) continue;
            wakes++;
            run(core, state, new Event.Tick(), after(second), FakeSite::silence);
            assertFalse(core.isDue(after(second)), "at " + second + " s it is due again at once");
        }
        assertTrue(wakes <= 20, wakes + " times in an hour");
    }

    @Test
    void whatWasDoneUnderOtherSettingsIsCarriedToo() throws Exception {
        for (String version : List.of("1", "2")) {
            Config config = site.config(settings -> settings.setMainServerURL(null).setProductVersion(version));
            Core core = core(config, after(0));
            carry(core, config, NOON, after(0));
            count(core, 2 + Long.parseLong(version), after(0));
        }
        Core core = core(site.config(settings -> settings.setMainServerURL(null).setProductVersion("3")), after(180));
        JsonObject carried = core.carriedReports(state, after(180));
        JsonArray further = carried.getArray("further");
        assertEquals(1, further.size());
        assertNotEquals(carried.getString("authorization"), further.getObject(0).getString("authorization"));
        long units = carried.getArray("reports").getObject(0).getObject("counts").getLong("QR")
            + further.getObject(0).getArray("reports").getObject(0).getObject("counts").getLong("QR");
        assertEquals(7, units);
        state.dropStored(stored -> stored.report.counts.get("QR") == 3);
        assertEquals(Set.of("client_uuid", "authorization", "reports"), core.carriedReports(state, after(180)).keySet(), "what older servers read");
    }

    @Test
    void aClockThatJumpsIsSetRightAtOnce() throws Exception {
        Core core = core();
        run(core, state, new Event.Start(), after(0), site.at(NOON));
        assertFalse(core.isDue(after(60)));
        // A day ahead for a moment: use lies there, and the server is asked.
        assertTrue(core.isDue(at(NOON + DAY + 61, 61)));
        FakeSite.Course course = run(core, state, new Event.Tick(), at(NOON + DAY + 61, 61), site.at(NOON + 61));
        assertEquals(List.of(MAIN + AUTHORIZE), course.asked);
        count(core, 1, at(NOON + DAY + 62, 62));
        // Set right, with no server to ask.
        run(core, state, new Event.Tick(), after(63), FakeSite::silence);
        count(core, 1, after(64));
        assertEquals(1, state.open.size());
        assertEquals(NOON, state.open.get(0).report.key.slot, "both in the slot in which they were done");
    }

    @Test
    void anotherProcessOlderTimeChangesNothingThatAServerToldThisOne() throws Exception {
        Core one = core();
        Core other = core();
        run(one, state, new Event.Start(), after(0), site.at(NOON));
        run(other, state, new Event.Start(), after(0), site.at(NOON));
        for (Core core : List.of(one, other)) count(core, 1, at(NOON + DAY, 1));
        // The clock is right again; one hears it from the server, the other counts.
        run(one, state, new Event.Start(), after(2), site.at(NOON + 2));
        count(other, 1, after(3));
        assertTrue(state.time.lastSite < NOON + 200, String.valueOf(state.time.lastSite));
        count(one, 1, after(4));
        assertEquals(NOON + 4, one.siteTime().tell(after(4)));
    }

    @Test
    void aLicenseIsGivenBackWhenAllIsReportedAndElseStays() throws Exception {
        Core core = coreWithStandby();
        run(core, state, new Event.Start(), after(0), site.at(NOON));
        count(core, 2, after(0));
        count(core, 3, after(180));
        FakeSite.Course course = run(core, state, new Event.Release(), after(181), FakeSite::silence);
        assertEquals(302, course.notReleased.getCode());
        assertTrue(core.standing().isLicensed());
        assertEquals(2, state.stored().size() + state.open.size());
        // Later a server answers, but not to the release.
        run(core, state, new Event.Start(), after(185), site.at(NOON + 185));
        count(core, 4, after(186));
        course = run(core, state, new Event.Release(), after(186),
            ask -> ask.path.equals(RELEASE) ? FakeSite.silence(ask) : site.at(NOON + 186).apply(ask));
        assertEquals(302, course.notReleased.getCode());
        assertTrue(course.asked.containsAll(List.of(MAIN + RELEASE, STANDBY + RELEASE)), course.asked.toString());
        count(core, 5, after(187));
        course = run(core, state, new Event.Release(), after(187), site.at(NOON + 187));
        assertEquals(1, course.reported);
        assertNull(course.notReleased);
        assertEquals(List.of(MAIN + REPORTS, MAIN + RELEASE), course.asked);
        assertFalse(core.standing().isLicensed());
        assertEquals(0, state.stored().size() + state.open.size());
    }

    @Test
    void whoAnsweredTheReportsIsAskedFirstAndTheTimeIsSharedByTheTriesThatAreLeft() throws Exception {
        Core core = coreWithStandby();
        run(core, state, new Event.Start(), after(0), site.at(NOON));
        count(core, 2, after(0));
        FakeSite.Course course = run(core, state, new Event.Close(Arrays.asList()), after(1),
            ask -> ask.server.equals(MAIN) ? FakeSite.silence(ask) : site.at(NOON + 1).apply(ask));
        assertEquals(List.of(MAIN + REPORTS, STANDBY + REPORTS, STANDBY + RELEASE), course.asked);
        assertEquals(List.of(3, 2, 2), course.triesLeft);
        assertEquals(List.of(7L), site.freed);
    }

    private Core started(Config config, long seconds) {
        Core core = core(config, after(seconds));
        run(core, state, new Event.Start(), after(seconds), site.at(NOON + seconds));
        assertTrue(core.standing().isLicensed());
        return core;
    }

    private FakeSite.Course close(Core core, long seconds, String... others) {
        FakeSite.Course course = run(core, state, new Event.Close(Arrays.asList(others)), after(seconds), site.at(NOON + seconds));
        assertNull(course.notReleased);
        return course;
    }

    @Test
    void ofTwoApplicationsUnderOneCodeEachGivesBackItsOwn() throws Exception {
        site.sold.put("dwt", new JsonArray(List.of(FakeSite.item(9, "concurrent_instance"))));
        Config dbr = site.config(settings -> {});
        Config dwt = site.config(settings -> settings.setProduct("dwt"));
        // The authorization that was given last is another's, which works; then that of one that closed.
        Core one = started(dbr, 0);
        Core other = started(dwt, 1);
        close(one, 2, dwt.askedFor);
        assertEquals(List.of(true, false), List.of(state.granted.get(dbr.askedFor).isWithdrawn, state.granted.get(dwt.askedFor).isWithdrawn));
        close(other, 3);
        assertEquals(List.of(7L, 9L), site.freed);
        one = started(dbr, 10);
        other = started(dwt, 11);
        close(other, 12, dbr.askedFor);
        close(one, 13);
        assertEquals(List.of(7L, 9L, 9L, 7L), site.freed);
    }

    @Test
    void aNamedSeatOfAnotherApplicationStays() throws Exception {
        site.sold.put("dwt", new JsonArray(List.of(FakeSite.item(7, "concurrent_instance"), FakeSite.item(8, "device"))));
        Config dbr = site.config(settings -> {});
        Config dwt = site.config(settings -> settings.setProduct("dwt"));
        close(started(dwt, 0), 1, dbr.askedFor);
        close(started(dbr, 2), 3);
        assertEquals(List.of(), site.freed, "the other one may start with no network");
        assertFalse(state.granted.get(dwt.askedFor).isWithdrawn);
        // Not when it has ended, or is given back by hand: of that only what this application has.
        long later = 8 * DAY;
        close(started(dbr, later), later + 1);
        assertEquals(List.of(7L), site.freed);
        started(dwt, later + 2);
        Core core = started(dbr, later + 3);
        run(core, state, new Event.Release(), after(later + 4), site.at(NOON + later + 4));
        assertEquals(List.of(7L, 7L), site.freed);
        assertTrue(state.granted.get(dwt.askedFor).isWithdrawn);
        // An application that gives back its seat does so unless another one works with it.
        Config seat = site.config(settings -> settings.setProduct("dwt").setReleaseOnClose("seat"));
        started(dbr, later + 5);
        core = started(seat, later + 6);
        close(core, later + 7, dbr.askedFor);
        close(core, later + 8, (String) null);
        assertEquals(2, site.freed.size());
        close(core, later + 9);
        assertEquals(List.of(7L, 7L, 7L, 8L), site.freed);
        assertTrue(state.granted.get(dbr.askedFor).isWithdrawn);
    }

    @Test
    void whoWaitedForAnotherProcessTakesWhatThatOneGot() throws Exception {
        Core one = core();
        Core other = core();
        assertFalse(other.noteKnown(state, after(0)), "nothing to go on with");
        run(one, state, new Event.Start(), after(0), site.at(NOON));
        assertEquals(List.of(), run(other, state, new Event.Start(), after(1), site.at(NOON)).asked);
        assertEquals(LicenseOrigin.SERVER, other.standing().origin);
        // The next time it asks, as does whoever starts anew.
        assertTrue(other.noteKnown(state, after(2)));
        assertEquals(1, run(other, state, new Event.Start(), after(2), site.at(NOON + 2)).asked.size());
        // And whoever must not wait any longer goes on with what there is.
        Core third = core();
        run(third, state, new Event.Occupied(), after(3), FakeSite::silence);
        assertEquals(LicenseOrigin.KEPT, third.standing().origin);
        state.granted.clear();
        Core fourth = core();
        run(fourth, state, new Event.Occupied(), after(3), FakeSite::silence);
        assertTrue(fourth.standing().error.getMessage().contains("another process"));
    }

    private void askFor(String version, long seconds, boolean isAnswered) throws LicenseException {
        Core core = core(site.config(settings -> settings.setProductVersion(version)), at(NOON + seconds, 0));
        run(core, state, new Event.Start(), at(NOON + seconds, 0),
            ask -> isAnswered && ask.path.equals(AUTHORIZE) ? site.at(NOON + seconds).apply(ask) : FakeSite.silence(ask));
        if (version.equals("2")) count(core, 1, at(NOON + seconds, 0));
    }

    @Test
    void grantsThatNobodyNeedsAnyMoreAreForgotten() throws Exception {
        askFor("1", 0, true);
        askFor("2", 0, true);
        askFor("3", 0, false);
        askFor("4", 30 * DAY, true);
        assertEquals(List.of(3, 1), List.of(state.granted.size(), state.pending.size()));
        askFor("4", 38 * DAY, true);
        assertEquals(List.of(2, 1), List.of(state.granted.size(), state.pending.size()), "that of the report stays");
        askFor("4", 70 * DAY, true);
        assertEquals(List.of(1, 0), List.of(state.granted.size(), state.pending.size()));
    }

    @Test
    void aReportIsKeptUntilItIsSafeAndSentToAnotherServerThatHasItNot() throws Exception {
        Core core = coreWithStandby();
        run(core, state, new Event.Start(), after(0), site.at(NOON));
        useAndReport(core, 200, site.at(NOON + 200, answer -> answer.put("safe", object("{\"" + site.uuid + "\":4}"))));
        assertEquals(List.of(StoredReport.Progress.ACCEPTED), progress(), "fact 5 is not safe yet");
        String id = state.stored().get(0).report.id;
        // The standby has a UUID of its own, and not got the fact.
        String standby = Texts.uuidOf(Texts.random(16), 4);
        List<String> sent = new ArrayList<>();
        run(core, state, new Event.Start(), after(300), ask -> {
            if (ask.server.equals(MAIN)) return FakeSite.silence(ask);
            if (ask.path.equals(REPORTS)) sent.addAll(ids(ask));
            return site.at(NOON + 300, answer -> {
                answer.put("origin", standby);
                answer.put("safe", object("{\"" + site.uuid + "\":4,\"" + standby + "\":5}"));
            }).apply(ask);
        });
        assertEquals(List.of(id), sent, "under the same id");
        assertEquals(List.of(), progress(), "safe there");
    }

    @Test
    void whatARestoredServerLostIsSentToItAgainBeforeItIsForgottenAsSafe() throws Exception {
        Core core = core();
        run(core, state, new Event.Start(), after(0), site.at(NOON));
        List<String> sent = new ArrayList<>();
        // Fact 70 and fact 71; neither is safe yet.
        for (int number = 1; number <= 2; number++) {
            int sequence = 69 + number;
            useAndReport(core, number * 200, ask -> {
                sent.addAll(ids(ask));
                return site.at(NOON, answer -> {
                    answer.put("sequence", sequence);
                    answer.put("safe", object("{\"" + site.uuid + "\":60}"));
                }).apply(ask);
            });
        }
        assertEquals(2, state.stored().size());
        // The server came back without the facts from 71 on.
        List<String> again = new ArrayList<>();
        run(core, state, new Event.Start(), after(600), ask -> {
            if (ask.path.equals(REPORTS)) again.addAll(ids(ask));
            return site.at(NOON + 600, answer -> {
                answer.put("lost", object("{\"" + site.uuid + "\":[[71,90]]}"));
                answer.put("safe", object("{\"" + site.uuid + "\":95}"));
                answer.put("sequence", 96);
            }).apply(ask);
        });
        assertEquals(sent.subList(1, 2), again, "under the same id, and the other one was safe");
        assertEquals(List.of(StoredReport.Progress.ACCEPTED), progress(), "kept until it is safe");
        // A server that says at once that it lost what it just took is not asked for ever.
        JsonObject all = object("{\"" + site.uuid + "\":[[0,200]]}");
        FakeSite.Course course = useAndReport(core, 800, site.at(NOON + 800, answer -> answer.put("lost", all)));
        assertTrue(course.asked.size() <= 3, course.asked.toString());
        assertEquals(Set.of(StoredReport.Progress.FAILED), new HashSet<>(progress()));
    }

    @Test
    void whatMakesNoSenseInLostCostsNeitherALicenseNorAReport() throws Exception {
        String here = "{\"" + site.uuid + "\":";
        List<String> nonsense = Arrays.asList("null", "\"all\"", "[[1,100]]", here + "null}", here + "7}", here + "[1,100]}",
            here + "[[100,1],[\"1\",\"100\"],[1],[1,2,100],[1.5,100],[-1,100],{\"from\":1}]}");
        for (String lost : nonsense) {
            state.days.clear();
            Core core = core();
            Function<Actions.Ask, Event> answer = site.at(NOON, told -> {
                told.put("safe", new JsonObject());
                told.put("lost", object("{\"lost\":" + lost + "}").get("lost"));
            });
            run(core, state, new Event.Start(), after(0), answer);
            assertTrue(core.standing().isLicensed(), lost);
            assertEquals(1, useAndReport(core, 200, answer).reported, lost);
            assertEquals(List.of(StoredReport.Progress.ACCEPTED), progress(), lost);
        }
    }

    @Test
    void oneReportThatNoServerReadsDoesNotHoldUpTheOthers() throws Exception {
        Core core = core();
        run(core, state, new Event.Start(), after(0), site.at(NOON));
        count(core, 1, after(0));
        count(core, 1, after(180));
        List<Integer> sizes = new ArrayList<>();
        FakeSite.Course course = run(core, state, new Event.Report(), after(400), ask -> {
            sizes.add(ids(ask).size());
            return sizes.size() == 1 ? refused(400, 200, "reports[1].slot: it is none") : site.at(NOON + 400).apply(ask);
        });
        assertEquals(List.of(2, 1), sizes);
        assertEquals(1, course.reported);
        assertEquals(List.of(), progress());
        // What cannot be taken now waits for the next authorization.
        count(core, 1, after(400));
        run(core, state, new Event.Report(), after(600), site.at(NOON + 600, answer -> {
            answer.put("accepted", new JsonArray());
            String id = state.stored().get(0).report.id;
            answer.put("rejected", new JsonArray(List.of(object("{\"report_id\":\"" + id + "\",\"code\":203,\"detail\":\"\"}"))));
        }));
        assertEquals(List.of(StoredReport.Progress.FAILED), progress());
        run(core, state, new Event.Start(), after(700), site.at(NOON + 700));
        assertEquals(List.of(), progress());
    }

    @Test
    void requestsTellTheHighestFactThatEachServerTold() throws Exception {
        Core core = core();
        run(core, state, new Event.Start(), after(0), site.at(NOON));
        assertFalse(AuthorizeRequest.of(site.config(settings -> {}), MAIN, state).has("seen"));
        for (int number = 1; number <= 3; number++) {
            int sequence = number == 2 ? 8 : 5;
            useAndReport(core, number * 200, site.at(NOON, answer -> answer.put("sequence", sequence)));
        }
        JsonObject seen = object("{\"" + site.uuid + "\":8}");
        assertEquals(Json.write(seen), Json.write(AuthorizeRequest.of(site.config(settings -> {}), MAIN, state).getObject("seen")));
        for (int number = 1; number <= 8; number++) state.noteSeen(String.format("%08d-0000-4000-8000-000000000000", number), number);
        assertEquals(1, state.seen.size(), "of too many all others are forgotten");
        state.touched.clear();
        state.noteSeen("no server", 3);
        assertTrue(state.touched.isEmpty());
    }

    @Test
    void whatWasKeptIsReadAsItWasWritten() throws Exception {
        Core core = core();
        run(core, state, new Event.Start(), after(0), site.at(NOON));
        useAndReport(core, 200, site.at(NOON + 200, answer -> answer.put("safe", new JsonObject())));
        count(core, 2, after(200));
        State read = new State();
        for (State.Part part : State.Part.values()) {
            read.read(part, Json.parse(Json.bytes(state.write(part))));
            assertEquals(Json.write(state.write(part)), Json.write(read.write(part)));
        }
        long day = Times.dayNumberOf(NOON);
        read.readDay(day, Json.parse(Json.bytes(state.writeDay(day))));
        assertEquals(Json.write(state.writeDay(day)), Json.write(read.writeDay(day)));
        assertTrue(Json.write(read.writeDay(day)).contains("\"accepted\""));
        // Whoever wrote the day of a report and then died left it open too: it counts once.
        read.open.add(new State.OpenReport(read.stored().get(0).report, "any"));
        read.reconcile();
        assertEquals(1, read.open.size());
    }
}
