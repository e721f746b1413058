package dev.tollkeeper;

import com.grack.nanojson.JsonObject;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.codehaus.mojo.animal_sniffer.IgnoreJRERequirement;

/**
 * The data folder: what {@link Core} keeps, on disk, shared safely by all processes of a machine.
 *
 * <pre>
 * device.json               UUID, time, tickets
 * authorizations.json       what servers granted
 * open.json                 use in slots that go on
 * reports-2026-11-22.json   reports of that day that are not safe at a server yet
 * lock                      held while any of them is read or written
 * asking                    held while a server is asked
 * session-….lock            held as long as its license is open; says which grant that uses
 * </pre>
 *
 * Every file is replaced in one step: a crash leaves the old one or the new one.
 */
final class Folder {
    /** What is done with the state while no other process has it. */
    interface Work<T> {
        T with(State state) throws LicenseException;
    }

    /** The one version of the files there is. */
    private static final long VERSION = 1;
    /** Largest file that is read. */
    private static final long FILE_MAX = 64L << 20;
    private static final String DAY_PREFIX = "reports-";
    private static final String SESSION_PREFIX = "session-";

    final String session = Texts.uuidOf(Texts.random(16), 4);
    private final File path;
    private final LockFile lock;
    private final LockFile asking;
    private final LockFile alive;
    private State state = new State();
    /** Of each file the hash of what was read or written last. */
    private final Map<String, byte[]> known = new HashMap<>();
    private final List<String> damaged = new ArrayList<>();
    private final Set<State.Part> written = EnumSet.noneOf(State.Part.class);
    /** What is in memory may not be what is on disk. */
    private boolean isTorn;
    private boolean isOver;

    /** Opens the folder for a license that uses {@code grant}, and makes it if it is missing. */
    Folder(File path, String grant) throws LicenseException {
        this.path = path;
        LockFile[] opened = new LockFile[3];
        boolean isDone = false;
        try {
            make();
            lock = opened[0] = LockFile.open(new File(path, "lock"));
            asking = opened[1] = LockFile.open(new File(path, "asking"));
            lock.lock();
            try {
                alive = opened[2] = LockFile.open(sessionFile(session));
                alive.lock();
                alive.write(grant);
            } finally {
                lock.unlock();
            }
            isDone = true;
        } catch (IOException error) {
            throw unusable(error);
        } finally {
            for (LockFile each : isDone ? new LockFile[0] : opened) closeQuietly(each);
        }
    }

    /** The system closes what is left when the process ends. */
    private static void closeQuietly(LockFile file) {
        try {
            if (file != null) file.close();
        } catch (IOException error) {
            // As above.
        }
    }

    /** Only its owner may look inside, from the moment on in which it has its name. */
    private void make() throws IOException {
        if (path.isDirectory()) return;
        File made = new File(path.getPath() + "." + session);
        if (!made.mkdirs()) throw new IOException("it cannot be made");
        for (boolean isOwnerOnly : new boolean[] {false, true}) {
            made.setReadable(isOwnerOnly, isOwnerOnly);
            made.setWritable(isOwnerOnly, isOwnerOnly);
            made.setExecutable(isOwnerOnly, isOwnerOnly);
        }
        if (made.renameTo(path)) return;
        // Another process was quicker.
        made.delete();
        if (!path.isDirectory()) throw new IOException("it cannot be made");
    }

    private File sessionFile(String session) {
        return new File(path, SESSION_PREFIX + session + ".lock");
    }

    private LicenseException unusable(IOException error) {
        LicenseException told = new LicenseException(LicenseException.CACHE,
            "the data folder " + path + " cannot be used (" + error.getMessage() + "): set dataFolder to a folder that this application may write");
        told.initCause(error);
        return told;
    }

    /**
     * Works on the state while no other process does. What {@code work} touched is on disk when this
     * returns; when it throws, nothing that {@code work} did holds, but for the parts that
     * {@link #hasWritten} names. One thread at a time.
     */
    <T> T with(Work<T> work) throws LicenseException {
        written.clear();
        try {
            lock.lock();
            try {
                if (isTorn) {
                    known.clear();
                    state = new State();
                }
                isTorn = true;
                read();
                T done = work.with(state);
                write();
                isTorn = false;
                return done;
            } finally {
                lock.unlock();
            }
        } catch (IOException error) {
            throw unusable(error);
        }
    }

    /** Whether the last {@link #with} put this part on disk, even if it failed later. */
    boolean hasWritten(State.Part part) {
        return written.contains(part);
    }

    /** Files that could not be read, and were put aside, since this was asked last. */
    List<String> takeDamaged() {
        List<String> taken = new ArrayList<>(damaged);
        damaged.clear();
        return taken;
    }

    /** The right to ask a server, until {@link #endAsking}; false while another process asks. */
    boolean tryAskAlone() throws LicenseException {
        try {
            return asking.tryLock();
        } catch (IOException error) {
            throw unusable(error);
        }
    }

    void endAsking() {
        try {
            asking.unlock();
        } catch (IOException error) {
            // The system does it at the latest when the file is closed.
        }
    }

    /** The sessions of this machine that live; what those that are gone left is removed. To be asked within {@link #with}. */
    Set<String> alive() {
        Set<String> sessions = new HashSet<>();
        for (String name : names(SESSION_PREFIX, ".lock")) {
            if (name.equals(session) || isAlive(sessionFile(name))) sessions.add(name);
        }
        return sessions;
    }

    /** Which grants the others of this machine use that live; {@code null} of one that does not tell. */
    List<String> usedByOthers() {
        List<String> grants = new ArrayList<>();
        for (String name : alive()) {
            File file = sessionFile(name);
            if (name.equals(session)) continue;
            // By the one handle of this process, if it has one: closing another would free the lock.
            try (LockFile other = LockFile.openToRead(file)) {
                String grant = other.read();
                grants.add(grant == null || grant.isEmpty() ? null : grant);
            } catch (IOException error) {
                // Unless it ended just now.
                if (file.exists()) grants.add(null);
            }
        }
        return grants;
    }

    private static boolean isAlive(File file) {
        try {
            // In this process: another handle of it must not be closed.
            if (LockFile.isOpen(file)) return true;
            try (LockFile other = LockFile.openToRead(file)) {
                if (!other.tryLock()) return true;
                other.unlock();
            }
        } catch (IOException error) {
            // Whoever else finds it gone removes it as well.
        }
        return file.exists() && !file.delete();
    }

    /** Lets others know that this one is gone. */
    void endSession() {
        if (isOver) return;
        isOver = true;
        closeQuietly(alive);
        sessionFile(session).delete();
    }

    /** The same; nothing is read or written any more. */
    void leave() {
        endSession();
        closeQuietly(asking);
        closeQuietly(lock);
    }

    // ---- reading ----

    private static String fileOf(State.Part part) {
        return part == State.Part.OPEN ? "open.json" : part == State.Part.GRANTS ? "authorizations.json" : "device.json";
    }

    private void read() throws IOException, LicenseException {
        for (State.Part part : State.Part.values()) {
            JsonObject json = readIfChanged(fileOf(part));
            if (json == null) continue;
            try {
                state.read(part, json);
            } catch (IllegalArgumentException error) {
                putAside(fileOf(part));
                state.read(part, new JsonObject());
            }
        }
        Set<Long> there = new HashSet<>();
        for (String date : names(DAY_PREFIX, ".json")) {
            Long day = Times.parse(date + "T00:00:00Z");
            if (day == null) continue;
            there.add(Times.dayNumberOf(day));
            readDay(Times.dayNumberOf(day));
        }
        state.retainDays(there);
        state.reconcile();
    }

    private void readDay(long day) throws IOException, LicenseException {
        String name = dayFile(day);
        JsonObject json = readIfChanged(name);
        if (json == null) return;
        try {
            state.readDay(day, json);
        } catch (IllegalArgumentException error) {
            putAside(name);
            state.days.remove(day);
        }
    }

    private static String dayFile(long day) {
        return DAY_PREFIX + Times.dateOf(day) + ".json";
    }

    /** The content of a file, {@code null} if it is what was read or written last. A file that is gone is an empty one. */
    private JsonObject readIfChanged(String name) throws IOException, LicenseException {
        File file = new File(path, name);
        byte[] bytes;
        try (InputStream input = new FileInputStream(file)) {
            if (file.length() > FILE_MAX) throw new IOException(name + " is larger than " + FILE_MAX + " bytes");
            bytes = Machine.readAll(input);
        } catch (FileNotFoundException error) {
            if (file.exists()) throw error;
            return known.remove(name) == null ? null : new JsonObject();
        }
        byte[] hash = Texts.sha256(bytes);
        if (Arrays.equals(known.put(name, hash), hash)) return null;
        JsonObject json = Json.parse(bytes);
        Long version = json == null ? null : Json.whole(json, "version");
        if (version == null) {
            // It was replaced in one step, so the disk lost it, or somebody wrote into it. The application goes on with what is left.
            putAside(name);
            return new JsonObject();
        }
        if (version == VERSION) return json;
        throw new LicenseException(LicenseException.CACHE, file + " is of version " + version + ", this library knows " + VERSION
            + ": update the application, or give it a data folder of its own");
    }

    private void putAside(String name) throws IOException {
        File aside = new File(path, name.replace(".json", ".damaged"));
        move(new File(path, name), aside);
        known.remove(name);
        damaged.add(aside.getPath());
    }

    private List<String> names(String prefix, String suffix) {
        String[] all = path.list();
        List<String> found = new ArrayList<>();
        for (String name : all == null ? new String[0] : all) {
            boolean isOne = name.length() > prefix.length() + suffix.length() && name.startsWith(prefix) && name.endsWith(suffix);
            if (isOne) found.add(name.substring(prefix.length(), name.length() - suffix.length()));
        }
        return found;
    }

    // ---- writing ----

    private void write() throws IOException {
        for (Long day : state.touchedDays) {
            if (state.days.containsKey(day)) writeFile(dayFile(day), state.writeDay(day));
            else removeFile(dayFile(day));
        }
        state.touchedDays.clear();
        for (State.Part part : state.touched) {
            writeFile(fileOf(part), state.write(part));
            written.add(part);
        }
        state.touched.clear();
    }

    private void writeFile(String name, JsonObject content) throws IOException {
        JsonObject versioned = new JsonObject();
        versioned.put("version", VERSION);
        versioned.putAll(content);
        byte[] bytes = Json.bytes(versioned);
        File made = new File(path, "." + name + ".tmp");
        try (FileOutputStream output = new FileOutputStream(made)) {
            output.write(bytes);
            output.getFD().sync();
        }
        move(made, new File(path, name));
        known.put(name, Texts.sha256(bytes));
    }

    private void removeFile(String name) throws IOException {
        known.remove(name);
        File file = new File(path, name);
        if (!file.delete() && file.exists()) throw new IOException(name + " cannot be removed");
    }

    private static void move(File from, File to) throws IOException {
        // Android's file systems replace what is there, and it has java.nio.file from level 26 only.
        if (File.separatorChar == '\\') Windows.move(from, to);
        else if (!from.renameTo(to)) throw new IOException(from + " cannot be renamed");
    }

    /** Where a rename does not replace. Never reached on Android. */
    @IgnoreJRERequirement
    private static final class Windows {
        static void move(File from, File to) throws IOException {
            java.nio.file.Files.move(from.toPath(), to.toPath(), java.nio.file.StandardCopyOption.REPLACE_EXISTING,
                java.nio.file.StandardCopyOption.ATOMIC_MOVE);
        }
    }
}
