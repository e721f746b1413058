package dev.tollkeeper;

import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.RejectedExecutionException;

/** Calls that do not wait. */
final class Async {
    /** Work that gives nothing. */
    interface Action {
        void run() throws LicenseException;
    }

    private static final ExecutorService THREADS = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work, "tollkeeper-call");
        thread.setDaemon(true);
        return thread;
    });

    private Async() {}

    /** Does it on another thread, and tells the end on the executor, if there is one. A call that is given up tells nobody. */
    static <T> Future<T> run(Callable<T> work, Executor executor, LicenseCallback<T> callback) {
        FutureTask<T> task = new FutureTask<T>(work) {
            @Override
            protected void done() {
                if (callback == null) return;
                try {
                    tell(get(), null);
                } catch (ExecutionException error) {
                    tell(null, LicenseException.of(error.getCause()));
                } catch (CancellationException | InterruptedException error) {
                    // Nobody wants to hear of it.
                }
            }

            private void tell(T result, LicenseException error) {
                if (executor == null) callback.done(result, error);
                else execute(executor, () -> callback.done(result, error));
            }
        };
        THREADS.execute(task);
        return task;
    }

    static Future<Void> run(Action action, Executor executor, LicenseCallback<Void> callback) {
        Callable<Void> work = () -> {
            action.run();
            return null;
        };
        return run(work, executor, callback);
    }

    /** Has the application's executor do this. One that was shut down belongs to an application that wants to hear nothing any more. */
    static void execute(Executor executor, Runnable work) {
        try {
            executor.execute(work);
        } catch (RejectedExecutionException error) {
            // As above.
        }
    }
}
