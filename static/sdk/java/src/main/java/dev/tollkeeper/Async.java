package dev.tollkeeper;

import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;

/** Calls that do not wait. */
final class Async {
    private static final ExecutorService THREADS = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work, "tollkeeper-call");
        thread.setDaemon(true);
        return thread;
    });

    private Async() {}

    /** Does it on another thread, and tells the end on the executor, if there is one. A call that is given up tells nobody. */
    static <T> Future<T> run(Callable<T> work, final Executor executor, final LicenseCallback<T> callback) {
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
                else executor.execute(() -> callback.done(result, error));
            }
        };
        THREADS.execute(task);
        return task;
    }
}
