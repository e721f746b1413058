package dev.tollkeeper;

import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Semaphore;

/**
 * A file that is locked by one at a time, of all threads and processes of the machine.
 *
 * <p>The system's lock is the process's: it keeps no thread out, and is gone as soon as any handle of
 * the file is closed. So each file has one handle in a process, which all share.
 */
final class LockFile implements Closeable {
    /** How often a lock is tried that another process holds. */
    private static final long LOOK_MS = 5;

    private static final Map<String, LockFile> OPEN = new HashMap<>();

    private final String path;
    /** Also held while it is read or written: all have one place in it. */
    private final RandomAccessFile file;
    private final boolean isWritable;
    private final Semaphore turn = new Semaphore(1, true);
    private FileLock lock;
    private int users;

    private LockFile(String path, boolean isWritable) throws IOException {
        this.path = path;
        this.isWritable = isWritable;
        file = new RandomAccessFile(path, isWritable ? "rw" : "r");
    }

    /** Makes it, if it is missing. To be closed as often as it was opened. */
    static LockFile open(File file) throws IOException {
        return open(file, true);
    }

    /** One that is there: to see what it says, and whether another process has it locked. */
    static LockFile openToRead(File file) throws IOException {
        return open(file, false);
    }

    private static LockFile open(File file, boolean isWritable) throws IOException {
        String path = file.getCanonicalPath();
        synchronized (OPEN) {
            LockFile known = OPEN.get(path);
            if (known == null) OPEN.put(path, known = new LockFile(path, isWritable));
            known.users++;
            return known;
        }
    }

    static boolean isOpen(File file) throws IOException {
        synchronized (OPEN) {
            return OPEN.containsKey(file.getCanonicalPath());
        }
    }

    /** Waits until it is ours, whoever interrupts: a thread that is to end still leaves the folder whole. */
    void lock() throws IOException {
        turn.acquireUninterruptibly();
        boolean isInterrupted = false;
        try {
            while (!tryTake()) {
                try {
                    Thread.sleep(LOOK_MS);
                } catch (InterruptedException error) {
                    isInterrupted = true;
                }
            }
        } finally {
            if (lock == null) turn.release();
            if (isInterrupted) Thread.currentThread().interrupt();
        }
    }

    /** Whether it is ours now. */
    boolean tryLock() throws IOException {
        if (!turn.tryAcquire()) return false;
        try {
            return tryTake();
        } finally {
            if (lock == null) turn.release();
        }
    }

    private boolean tryTake() throws IOException {
        try {
            // Never the channel's own waiting lock: it closes the file when the thread is interrupted. What is only read gives a shared lock only.
            lock = file.getChannel().tryLock(0, Long.MAX_VALUE, !isWritable);
        } catch (OverlappingFileLockException error) {
            // Another copy of this library in the same process, as of a second web application.
            return false;
        }
        return lock != null;
    }

    void unlock() throws IOException {
        try {
            lock.release();
        } finally {
            lock = null;
            turn.release();
        }
    }

    /** Writes what it says, in place of what it said. */
    void write(String text) throws IOException {
        synchronized (file) {
            file.setLength(0);
            file.write(Texts.utf8(text));
        }
    }

    /** What it says. */
    String read() throws IOException {
        synchronized (file) {
            byte[] bytes = new byte[(int) Math.min(file.length(), 1_024)];
            file.seek(0);
            file.readFully(bytes);
            return Texts.fromUtf8(bytes);
        }
    }

    @Override
    public void close() throws IOException {
        synchronized (OPEN) {
            if (--users > 0) return;
            OPEN.remove(path);
            file.close();
        }
    }
}
