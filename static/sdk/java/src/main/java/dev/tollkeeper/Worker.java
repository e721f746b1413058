package dev.tollkeeper;

import java.io.File;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A license's two threads. One puts counts on disk and waits for no server; the other renews, reports,
 * calls the application's listener, and at the end gives back what is to be given back. Both publish what
 * is so for the application's threads to read.
 *
 * <p>{@link #monitor} is held for moments only. {@link #served} is held while the data folder is read or
 * written, never while a server is asked or a listener is called; whoever needs both takes it first.
 */
final class Worker {
    /** Longest sleep of the threads: the end of a slot and of an authorization must be noticed when the machine slept too. */
    private static final long NAP_SECONDS = 30;
    /** How long an application that has an authorization waits for another process of the machine that asks the servers. */
    private static final long PATIENCE_MS = 5_000;
    /** How often it looks. */
    private static final long LOOK_MS = 50;
    private static final long AT_ONCE = Long.MIN_VALUE;
    /** Between tries of what failed for no known reason. */
    private static final long PAUSE_MS = 1_000;
    /** The longest that closing waits for servers, in all: a person waits for the application to end. */
    private static final long CLOSE_MS = 3_000;
    private static final long NO_LIMIT = Long.MAX_VALUE;

    /** Whether it is waited longer. */
    private interface Patience {
        boolean lasts();
    }

    /** Something that the thread that asks is to do at once. */
    private static final class Wish {
        final Event event;
        boolean isDone;
        LicenseException error;

        Wish(Event event) {
            this.event = event;
        }
    }

    private final Config config;
    private final Notices notices;

    private final ReentrantLock served = new ReentrantLock();
    private final Core core;
    private final Folder folder;
    private boolean isGone;

    // What the application's threads touch: no file and no network behind it.
    private final Object monitor = new Object();
    private Counting.Counts counts = new Counting.Counts();
    /** Whether counts wait for the disk; since when, and when their slot ends. */
    private boolean isDue;
    private long dueSince;
    private long slotEnd;
    private int held;
    private SiteTime time;
    private LicenseStatus status;
    private Claims claims;
    private String unit = "scan";
    private int othersHold;
    private boolean hasCounted;
    private final Deque<Wish> wishes = new ArrayDeque<>();
    private boolean isClosing;
    /** When whoever closes has waited long enough for servers; {@code null} as long as nobody closes. */
    private Long giveUpAt;
    /** Nothing is to be given back at the end: the application wanted to itself. */
    private boolean wasReleased;

    private volatile Thread keeper;
    private volatile Thread asker;
    private final Map<String, Link> links = new HashMap<>();

    Worker(Config config, File path, String bound, LicenseListener listener) throws LicenseException {
        this.config = config;
        notices = new Notices(listener, config.executor, this::wake);
        folder = new Folder(path, config.askedFor);
        try {
            core = folder.with(state -> {
                Core made = new Core(config, folder.session, bound, state, SiteTime.Moment.now());
                status = made.standing().status(state.clientUuid);
                return made;
            });
        } catch (LicenseException error) {
            folder.leave();
            throw error;
        }
        time = core.siteTime();
    }

    /** Begins to work, and asks for the license. What other processes of the machine hold is known from the first moment on. */
    void start() throws LicenseException {
        flush();
        // Before the thread that asks looks around: else it would ask by itself, and then once more.
        Wish first = wish(new Event.Start());
        keeper = thread("tollkeeper-disk", this::keep);
        asker = thread("tollkeeper", this::work);
        keeper.start();
        asker.start();
        await(first);
    }

    private static Thread thread(String name, Runnable life) {
        Thread thread = new Thread(life, name);
        // A license alone does not keep a program running.
        thread.setDaemon(true);
        return thread;
    }

    /**
     * Ends: what was counted is on disk when this returns, and what is to be given back is, if a server takes it in time. No
     * listener is called any more; one that an executor is running just then may still run.
     */
    void close() {
        synchronized (monitor) {
            isClosing = true;
            if (!isAsker() && giveUpAt == null) giveUpAt = System.nanoTime() + CLOSE_MS * 1_000_000;
            monitor.notifyAll();
        }
        if (asker == null) leave();
        if (asker != null && !isAsker()) {
            joinAll(keeper, NO_LIMIT);
            // If a server is silent that is being asked, the thread ends by itself; so does that of a listener which closes.
            joinAll(asker, Math.max(timeLeft(), 0) + 10 * LOOK_MS);
            endSession();
        }
        notices.silence();
    }

    private void endSession() {
        served.lock();
        try {
            folder.endSession();
        } finally {
            served.unlock();
        }
    }

    /** Milliseconds that servers may still take. */
    private long timeLeft() {
        synchronized (monitor) {
            return giveUpAt == null ? NO_LIMIT : (giveUpAt - System.nanoTime()) / 1_000_000;
        }
    }

    private void leave() {
        served.lock();
        try {
            if (isGone) return;
            isGone = true;
            folder.leave();
        } finally {
            served.unlock();
        }
    }

    /** Waits until a thread has ended, at most so many milliseconds. */
    private static void joinAll(Thread thread, long atMost) {
        boolean isInterrupted = false;
        long began = System.nanoTime();
        for (long left = atMost; thread.isAlive() && left > 0; left = atMost - (System.nanoTime() - began) / 1_000_000) {
            try {
                thread.join(left == NO_LIMIT ? 0 : left);
            } catch (InterruptedException error) {
                isInterrupted = true;
            }
        }
        if (isInterrupted) Thread.currentThread().interrupt();
    }

    // ---- for the application's threads ----

    /** Whether the calling thread is the one that asks, and calls the listener. */
    boolean isAsker() {
        return Thread.currentThread() == asker;
    }

    LicenseStatus status() {
        synchronized (monitor) {
            return status;
        }
    }

    void check(String module) throws LicenseException {
        synchronized (monitor) {
            if (isClosing) throw LicenseException.closed();
            if (!status.isLicensed()) throw status.getError().again();
            if (time.tell(SiteTime.Moment.now()) >= claims.exp) throw Reasons.ended(claims, status.getFailures());
            if (module == null) return;
            for (Claims.Item item : claims.itemsFor(config.product)) if (Texts.permits(item.modules, module)) return;
            throw new LicenseException(204, "the module '" + module + "' of '" + config.product
                + "' is not in this license: name it in limitedModules, or ask the vendor for an item that has it");
        }
    }

    /** {@code unit} and {@code at} may be {@code null}: what the license is about, and now. */
    void record(String type, long count, String unit, String module, Long at) throws LicenseException {
        synchronized (monitor) {
            if (isClosing) throw LicenseException.closed();
            if (!status.isLicensed() && !hasCounted && claims == null) throw status.getError().again();
            SiteTime.Moment now = SiteTime.Moment.now();
            // By the device's clock it was so long ago; by the site's as well.
            long ago = at == null ? 0 : Math.min(Math.max(now.local - at, 0), Times.REPORT_MAX_AGE_SECONDS);
            counts.add(new UsageReport.Key(Times.slotOf(time.stamp(now) - ago), unit == null ? this.unit : unit, module), type, count);
            hasCounted = true;
            if (isDue) return;
            noteDue(Times.slotOf(time.stamp(now)) + Times.SLOT_SECONDS);
            monitor.notifyAll();
        }
    }

    private void noteDue(long slotEnd) {
        isDue = true;
        dueSince = System.nanoTime();
        this.slotEnd = slotEnd;
    }

    /** Holds so many instances more or less, in the one step in which it is seen what all processes hold. */
    void hold(int more) throws LicenseException {
        served.lock();
        try {
            if (isGone) throw LicenseException.closed();
            int before;
            int granted;
            boolean isCounting;
            synchronized (monitor) {
                before = held;
                granted = status.getInstances();
                isCounting = hasCounted;
            }
            int wanted = (int) Math.min(Math.max((long) before + more, 0), Integer.MAX_VALUE);
            int most = more > 0 ? granted : Integer.MAX_VALUE;
            int others = folder.with(state -> core.hold(Math.max(wanted, isCounting ? 1 : 0), most, folder.alive(), state));
            synchronized (monitor) {
                othersHold = others;
                if ((long) wanted + others > most) {
                    throw new LicenseException(120, more + " more instances are too many: " + granted + " are granted to this machine, " + before
                        + " are held here and " + others + " by other processes; set 'instances' higher, or give some back");
                }
                held = wanted;
            }
        } finally {
            served.unlock();
        }
    }

    int idleInstances() {
        synchronized (monitor) {
            return Math.max(0, status.getInstances() - held - othersHold);
        }
    }

    /** Has it done, and waits until it is. From within a listener it is done afterwards. */
    void ask(Event event) throws LicenseException {
        Wish wish = wish(event);
        if (!isAsker()) await(wish);
    }

    private Wish wish(Event event) throws LicenseException {
        Wish wish = new Wish(event);
        synchronized (monitor) {
            if (isClosing) throw LicenseException.closed();
            wishes.add(wish);
            monitor.notifyAll();
        }
        return wish;
    }

    private void await(Wish wish) throws LicenseException {
        synchronized (monitor) {
            try {
                while (!wish.isDone) monitor.wait();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                throw LicenseException.noServer("this thread was interrupted while it waited for the license servers");
            }
        }
        if (wish.error != null) throw wish.error.again();
    }

    /** Works on what is kept, as the device. */
    <T> T with(Folder.Work<T> work) throws LicenseException {
        served.lock();
        try {
            if (isGone) throw LicenseException.closed();
            return folder.with(work);
        } finally {
            served.unlock();
        }
    }

    Core core() {
        return core;
    }

    // ---- the thread that puts counts on disk ----

    private void keep() {
        for (boolean isLast = false; !isLast;) {
            isLast = waitForCounts();
            try {
                flush();
            } catch (LicenseException error) {
                // It was told as a warning, and what was counted waits for the next time.
            } catch (RuntimeException | Error error) {
                warn(LicenseException.of(error));
                pause(PAUSE_MS);
            }
        }
    }

    /** Sleeps until counts must be put on disk: soon after the first came, and at the latest when its slot ends. Whether it is for the last time. */
    private boolean waitForCounts() {
        synchronized (monitor) {
            while (!isClosing) {
                long longest = config.flushSeconds * 1_000 - (System.nanoTime() - dueSince) / 1_000_000;
                long untilEnd = (slotEnd - time.stamp(SiteTime.Moment.now())) * 1_000;
                long left = Math.min(Math.min(longest, untilEnd), NAP_SECONDS * 1_000);
                if (isDue && left <= 0) return false;
                sleep(isDue ? left : 0);
            }
            return true;
        }
    }

    /** Waits to be notified, at most so long; for ever with 0. Nobody has a reason to interrupt our threads: then they look around. */
    private void sleep(long milliseconds) {
        try {
            monitor.wait(milliseconds);
        } catch (InterruptedException error) {
            // Looks around.
        }
    }

    private static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException error) {
            // A pause is no promise.
        }
    }

    /** Puts counts on disk. If that fails they stay for the next time, and a warning tells. */
    void flush() throws LicenseException {
        served.lock();
        try {
            if (isGone) return;
            Counting.Counts taken;
            int holding;
            synchronized (monitor) {
                isDue = false;
                // Whoever ends holds nothing any more.
                holding = isClosing ? 0 : Math.max(held, hasCounted ? 1 : 0);
                taken = counts;
                counts = new Counting.Counts();
            }
            boolean isDone = false;
            try {
                String client = folder.with(state -> {
                    core.handle(new Event.Count(taken, holding, folder.alive()), state, SiteTime.Moment.now());
                    return state.clientUuid;
                });
                isDone = true;
                publish(client);
            } catch (LicenseException error) {
                warn(error);
                throw error;
            } finally {
                warnOfDamage();
                if (!isDone && !folder.hasWritten(State.Part.OPEN)) putBack(taken);
            }
        } finally {
            served.unlock();
        }
    }

    private void putBack(Counting.Counts taken) {
        synchronized (monitor) {
            counts.addAll(taken);
            // Not sooner, even if the slot is over.
            if (!counts.byKey.isEmpty()) noteDue(Long.MAX_VALUE / 1_000_000);
        }
    }

    // ---- the thread that asks ----

    /** Whatever fails in one turn, there is a next. */
    private void work() {
        for (boolean isLast = false; !isLast;) {
            try {
                isLast = takeTurn();
            } catch (RuntimeException | Error error) {
                abandon();
                LicenseException broken = LicenseException.of(error);
                // Nobody waits for ever.
                for (Wish wish = nextWish(); wish != null; wish = nextWish()) answer(wish, broken);
                warn(broken);
                pause(PAUSE_MS);
            }
        }
        joinAll(keeper, NO_LIMIT);
        try {
            giveBack();
        } catch (RuntimeException | Error error) {
            warn(LicenseException.of(error));
        }
        notices.tell();
        leave();
    }

    /**
     * Gives the license back at the end, where the application wants that, no other license of the machine needs it, and a server
     * takes it in time. Else everything stays as it was here; if only the answer was lost, the server has taken it back all the same.
     */
    private void giveBack() {
        synchronized (monitor) {
            if (config.releaseOnClose.equals("nothing") || wasReleased) return;
            if (giveUpAt == null) giveUpAt = System.nanoTime() + CLOSE_MS * 1_000_000;
        }
        LicenseException trouble;
        try {
            flush();
        } catch (LicenseException error) {
            // It was told as a warning. What is not on disk could be reported by nobody once the license is given back.
            return;
        }
        try {
            // Of those that close at the same moment, each is gone before it looks: so the last one sees nobody.
            endSession();
            if (!with(state -> core.isGivenBackAtTheEnd(folder.usedByOthers(), state))) return;
            trouble = askAlone(() -> timeLeft() > 0) ? releaseAlone()
                : LicenseException.noServer("another process of this machine asks the servers just now");
        } catch (LicenseException error) {
            trouble = error;
        }
        if (trouble == null) return;
        String message = "the license was closed, and could not be given back: " + trouble.getMessage();
        warn(new LicenseException(trouble.getCode(), message, trouble.getFailures()));
    }

    private LicenseException releaseAlone() throws LicenseException {
        try {
            return step(new Event.Close(with(state -> folder.usedByOthers())));
        } finally {
            folder.endAsking();
        }
    }

    /** Whether it was the last one. Wishes stay in the list until they are answered. */
    private boolean takeTurn() {
        boolean isLast = waitForWork();
        notices.tell();
        for (Wish wish = nextWish(); wish != null; wish = nextWish()) {
            boolean isRelease = wish.event instanceof Event.Release;
            wasReleased |= isLast && isRelease;
            // Nobody needs a license any more.
            answer(wish, isLast && !isRelease ? LicenseException.closed() : askServers(wish.event));
        }
        // What went wrong was told as a warning.
        if (!isLast && wakeAt() == AT_ONCE) askServers(new Event.Tick());
        notices.tell();
        return isLast;
    }

    private Wish nextWish() {
        synchronized (monitor) {
            return wishes.peek();
        }
    }

    private void answer(Wish wish, LicenseException error) {
        synchronized (monitor) {
            wishes.remove(wish);
            wish.error = error;
            wish.isDone = true;
            monitor.notifyAll();
        }
    }

    /** When there is something to do, in site time. */
    private long wakeAt() {
        served.lock();
        try {
            return core.isDue(SiteTime.Moment.now()) ? AT_ONCE : core.wakeAt();
        } finally {
            served.unlock();
        }
    }

    private void abandon() {
        served.lock();
        try {
            core.abandon(SiteTime.Moment.now());
        } finally {
            served.unlock();
        }
    }

    /** Sleeps until there is something to do. Whether it is for the last time. */
    private boolean waitForWork() {
        while (true) {
            long wakeAt = wakeAt();
            synchronized (monitor) {
                if (wakeAt == AT_ONCE || isClosing || !wishes.isEmpty() || !notices.isEmpty()) return isClosing;
                long left = wakeAt - time.tell(SiteTime.Moment.now());
                sleep(Math.min(Math.max(left, 1), NAP_SECONDS) * 1_000);
            }
        }
    }

    /** Has servers asked, if no other process does just now. What went wrong; {@code null} when nothing did. */
    private LicenseException askServers(Event event) {
        try {
            flush();
        } catch (LicenseException error) {
            // First, so that one slot gives one report. What failed was told. Once the license is given back, nobody could report it.
            if (event instanceof Event.Release) return error;
        }
        try {
            return tryAsk(event);
        } catch (LicenseException error) {
            abandon();
            warn(error);
            if (event instanceof Event.Tick) pause(PAUSE_MS);
            return error;
        }
    }

    /** What it throws is the data folder's. */
    private LicenseException tryAsk(Event event) throws LicenseException {
        long began = System.nanoTime();
        long patience = patienceFor(event);
        // What is wished is done at the end as well, as far as there is time.
        Patience hasTime = event instanceof Event.Release ? () -> timeLeft() > 0 : () -> !isClosing();
        if (askAlone(() -> hasTime.lasts() && (System.nanoTime() - began) / 1_000_000 < patience)) {
            try {
                return step(event);
            } finally {
                folder.endAsking();
            }
        }
        if (event instanceof Event.Start) return step(new Event.Occupied());
        if (event instanceof Event.Release) {
            return LicenseException.noServer("another process of this machine asks the servers just now: give the license back again");
        }
        // The other one asks for the device: what it learns is read next time.
        pause(4 * LOOK_MS);
        return null;
    }

    private long patienceFor(Event event) throws LicenseException {
        if (event instanceof Event.Tick) return 0;
        boolean wouldDo = with(state -> core.noteKnown(state, SiteTime.Moment.now()));
        // If there is nothing to go on with: as long as the other one may take for all servers.
        return PATIENCE_MS + (wouldDo ? 0 : (long) Link.WHOLE_MS * config.servers.size());
    }

    private boolean isClosing() {
        synchronized (monitor) {
            return isClosing;
        }
    }

    /** Whether we may; false when another process asked as long as we wait. */
    private boolean askAlone(Patience patience) throws LicenseException {
        while (!folder.tryAskAlone()) {
            if (!patience.lasts()) return false;
            pause(LOOK_MS);
        }
        return true;
    }

    /** What one turn of the core gave. */
    private static final class Turn {
        Actions actions;
        String client;
        String authority;
        long proven;
    }

    /** One event with all that follows from it. */
    private LicenseException step(Event event) throws LicenseException {
        LicenseException outcome = null;
        for (Event next = event; next != null;) {
            Turn turn = decide(next);
            if (turn.actions.notReleased != null) outcome = turn.actions.notReleased;
            notices.tell();
            Actions.Ask ask = turn.actions.ask;
            if (ask == null) return outcome;
            long left = timeLeft();
            if (left <= 0) {
                next = new Event.Unanswered(LicenseException.NO_SERVER, ask.server + " did not answer before the application closed", 0);
                continue;
            }
            Link link = links.get(ask.server);
            if (link == null) links.put(ask.server, link = new Link(ask.server, config));
            // One that is silent must leave some of it to the other.
            next = link.ask(ask.path, ask.body, turn.authority, turn.proven, left == NO_LIMIT ? left : left / ask.triesLeft);
            keepAuthority(link, turn.authority);
        }
        return outcome;
    }

    private Turn decide(Event event) throws LicenseException {
        Turn turn = new Turn();
        served.lock();
        try {
            folder.with(state -> {
                turn.actions = core.handle(event, state, SiteTime.Moment.now());
                turn.client = state.clientUuid;
                turn.authority = knownAuthority(state);
                turn.proven = state.time.proven;
                return null;
            });
            publish(turn.client);
        } finally {
            warnOfDamage();
            served.unlock();
        }
        LicenseStatus told = status();
        // Whoever closes the license knows that it has none.
        if (turn.actions.isChanged && !isClosing()) notices.add(listener -> listener.licenseChanged(told));
        for (ReportOutcome outcome : turn.actions.reported) notices.add(listener -> listener.reportSent(outcome));
        return turn;
    }

    /** The authority's certificate that is kept, if it is the one that the license key names. */
    private String knownAuthority(State state) {
        String pem = config.authority == null ? null : state.authorities.get(config.authority);
        return pem != null && config.authority.equalsIgnoreCase(Tls.fingerprintOf(pem)) ? pem : null;
    }

    private void keepAuthority(Link link, String known) throws LicenseException {
        boolean isNew = known == null && link.authority() != null && !link.authority().equals(config.authority);
        if (!isNew) return;
        with(state -> {
            if (link.authority().equals(state.authorities.put(config.authority, link.authority()))) return null;
            state.touch(State.Part.DEVICE);
            return null;
        });
    }

    /** Lets the application's threads see what is so now. */
    private void publish(String client) {
        synchronized (monitor) {
            status = core.standing().status(client);
            if (core.standing().isLicensed()) claims = core.standing().claims;
            unit = core.unit();
            othersHold = core.othersHold();
            time = core.siteTime();
            // If the clock was set, whoever asks sleeps by the one of before.
            if (core.isDue(SiteTime.Moment.now())) monitor.notifyAll();
        }
    }

    private void warnOfDamage() {
        for (String path : folder.takeDamaged()) {
            String message = "a file of the data folder was damaged, and put aside as " + path + ": what was in it is lost";
            warn(new LicenseException(LicenseException.CACHE, message));
        }
    }

    private void warn(LicenseException error) {
        notices.add(new Notices.Warning(error));
    }

    private void wake() {
        synchronized (monitor) {
            monitor.notifyAll();
        }
    }
}
