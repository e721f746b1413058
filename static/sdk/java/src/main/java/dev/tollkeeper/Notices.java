package dev.tollkeeper;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.Executor;

/** What the application's listener is to hear: gathered by any thread, told by one, while nothing is locked. */
final class Notices {
    /** One of them. */
    interface Notice {
        void tell(LicenseListener listener);
    }

    /** Something is wrong that does not stop the application. */
    static final class Warning implements Notice {
        private final LicenseException error;

        Warning(LicenseException error) {
            this.error = error;
        }

        @Override
        public void tell(LicenseListener listener) {
            listener.warning(error);
        }
    }

    private final LicenseListener listener;
    private final Executor executor;
    private final Runnable wake;
    private final Deque<Notice> waiting = new ArrayDeque<>();
    /** Who calls the listener, if anybody does; and whether nobody does any more. Under {@link #waiting}. */
    private Thread teller;
    private boolean isSilent;

    /** {@code listener} and {@code executor} may be {@code null}; {@code wake} is done when there is something to tell. */
    Notices(LicenseListener listener, Executor executor, Runnable wake) {
        this.listener = listener;
        this.executor = executor;
        this.wake = wake;
    }

    void add(Notice notice) {
        if (listener == null) return;
        synchronized (waiting) {
            if (isSilent) return;
            waiting.add(notice);
        }
        wake.run();
    }

    boolean isEmpty() {
        synchronized (waiting) {
            return waiting.isEmpty();
        }
    }

    /** Tells all there is. Whatever the listener does with the license works. */
    void tell() {
        for (Notice next = next(); next != null; next = next()) {
            Notice notice = next;
            if (executor == null) tell(notice);
            else Async.execute(executor, () -> tell(notice));
        }
    }

    /**
     * Calls the listener no more. Waits until it has returned, unless it is the listener who asks, or the application's
     * executor, which may be waiting for us, that calls it: there it may still run afterwards.
     */
    void silence() {
        boolean isInterrupted = false;
        synchronized (waiting) {
            isSilent = true;
            waiting.clear();
            while (executor == null && teller != null && teller != Thread.currentThread()) {
                try {
                    waiting.wait();
                } catch (InterruptedException error) {
                    isInterrupted = true;
                }
            }
        }
        if (isInterrupted) Thread.currentThread().interrupt();
    }

    private Notice next() {
        synchronized (waiting) {
            return waiting.poll();
        }
    }

    private void tell(Notice notice) {
        synchronized (waiting) {
            if (isSilent) return;
            teller = Thread.currentThread();
        }
        try {
            call(notice);
        } finally {
            synchronized (waiting) {
                teller = null;
                waiting.notifyAll();
            }
        }
    }

    private void call(Notice notice) {
        try {
            notice.tell(listener);
        } catch (RuntimeException error) {
            if (notice instanceof Warning) return;
            LicenseException told = new LicenseException(LicenseException.INTERNAL, "the application's listener threw " + error);
            told.initCause(error);
            add(new Warning(told));
        }
    }
}
