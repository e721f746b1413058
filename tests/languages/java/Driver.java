import dev.tollkeeper.CarriedText;
import dev.tollkeeper.Deduplicator;
import dev.tollkeeper.License;
import dev.tollkeeper.LicenseException;
import dev.tollkeeper.LicenseListener;
import dev.tollkeeper.LicenseSettings;
import dev.tollkeeper.LicenseStatus;
import dev.tollkeeper.ReportOutcome;
import dev.tollkeeper.Vectors;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/**
 * Does what it is told, one line at a time, through the library: the tests tell it. Each command is
 * answered by one line, "0" or "0 TEXT", or "CODE MESSAGE | USER MESSAGE". What listeners hear comes in
 * between as lines that begin with "event". The same as tests/c/driver.c.
 *
 * <p>Compiled together with {@code Vectors}, which is a test of the library's own package.
 */
public final class Driver implements LicenseListener {
    private final PrintStream output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final LicenseSettings settings = new LicenseSettings();
    private final Deduplicator deduplicator = new Deduplicator();
    private volatile License license;
    /** Whether the listener closes the license when it ends. */
    private volatile boolean isClosing;

    public static void main(String[] arguments) throws IOException {
        new Driver().run();
    }

    private void run() throws IOException {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(" ", 3);
            String first = words.length > 1 ? words[1] : null;
            String rest = words.length > 2 ? words[2] : null;
            try {
                output.println(answer(words[0], first, rest, line));
            } catch (LicenseException error) {
                output.println(error.getSdkCode() + " " + error.getMessage() + " | " + error.getUserMessage());
            }
        }
        if (license != null) license.close();
    }

    private String answer(String command, String first, String rest, String line) throws LicenseException, IOException {
        switch (command) {
            case "set":
                settings.set(first, rest);
                return "0";
            case "set-file":
                settings.set(first, read(rest));
                return "0";
            case "initialize":
                isClosing = false;
                license = License.initialize(settings, this);
                return "0";
            case "initialize-closing":
                isClosing = true;
                license = License.initialize(settings, this);
                return "0";
            case "race":
                return "0 " + race();
            case "start":
                license = License.start(settings, null);
                return "0";
            case "close":
                end();
                return "0";
            case "release":
                try {
                    license.release();
                } finally {
                    end();
                }
                return "0";
            case "check":
                license.check(first == null ? null : line.substring("check ".length()));
                return "0";
            case "record":
                license.record(rest, Long.parseLong(first));
                return "0";
            case "record-at":
                license.record(rest, 1, null, null, new Date(Long.parseLong(first) * 1_000));
                return "0";
            case "record-page":
                license.record("scanned", Long.parseLong(first), "page", rest, null);
                return "0";
            case "take":
                license.takeInstances(Integer.parseInt(first));
                return "0";
            case "give":
                license.giveBackInstances(Integer.parseInt(first));
                return "0";
            case "idle":
                // Looks at other processes.
                if (license != null) license.flush();
                return String.valueOf(license == null ? 0 : license.getIdleInstances());
            case "flush":
                license.flush();
                return "0";
            case "report":
                license.report();
                return "0";
            case "renew":
                license.renew();
                return "0";
            case "status":
                return "0 " + license.getStatus().toJson();
            case "request":
                return "0 " + License.requestByHand(settings).getFile().replace('\n', '~');
            case "request-line":
                return "0 " + License.requestByHand(settings).getLine();
            case "import":
                License.importAuthorization(settings, read(line.substring("import ".length())));
                return "0";
            case "report-file":
                CarriedText reports = license.reportsByHand();
                return reports == null ? "0" : "0 " + reports.getFile().replace('\n', '~');
            case "import-receipt":
                license.importReceipt(read(line.substring("import-receipt ".length())));
                return "0";
            case "vector":
                return "0 " + Vectors.check(first, rest);
            case "work":
                return work(first != null);
            case "seen":
                return deduplicator.isNew("QR", rest, Long.parseLong(first)) ? "1" : "0";
            default:
                return "-1 what is '" + command + "'?";
        }
    }

    /** A byte for every unit before it is counted, with idle times in between, until somebody kills us. */
    private String work(boolean isRenewing) throws LicenseException {
        Thread renewing = new Thread(this::renewForEver);
        renewing.setDaemon(true);
        if (isRenewing) renewing.start();
        for (int done = 1; ; done++) {
            output.print('+');
            output.flush();
            license.record("QR Code");
            LockSupport.parkNanos(done % 200 == 0 ? 1_200_000_000 : 500_000);
        }
    }

    private void renewForEver() {
        while (true) {
            try {
                license.renew();
            } catch (LicenseException error) {
                // As long as it counts.
            }
        }
    }

    /** Threads count until the license is closed under them; how much that was. */
    private long race() throws LicenseException {
        AtomicLong counted = new AtomicLong();
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number < 4; number++) threads.add(new Thread(() -> countUntilClosed(counted)));
        for (Thread each : threads) each.start();
        license.renew();
        license.close();
        for (Thread each : threads) {
            while (each.isAlive()) LockSupport.parkNanos(1_000_000);
        }
        return counted.get();
    }

    private void countUntilClosed(AtomicLong counted) {
        try {
            while (true) {
                license.record("QR Code");
                counted.incrementAndGet();
                license.getStatus();
            }
        } catch (LicenseException error) {
            // It is closed.
        }
    }

    private void end() {
        if (license != null) license.close();
        license = null;
    }

    private static String read(String path) throws IOException {
        return new String(Files.readAllBytes(Paths.get(path)), StandardCharsets.UTF_8);
    }

    @Override
    public void licenseChanged(LicenseStatus status) {
        LicenseException error = status.getError();
        long expiresAt = status.getExpiresAt() == null ? 0 : status.getExpiresAt().getTime() / 1_000;
        String told = error == null ? "0 " + expiresAt + " " : error.getSdkCode() + " " + expiresAt + " " + error.getMessage();
        output.println("event changed " + told);
        if (!isClosing || error == null) return;
        license.close();
        output.println("event closed");
    }

    @Override
    public void reportSent(ReportOutcome outcome) {
        output.println("event report " + outcome.getAccepted() + " " + outcome.getDuplicate() + " " + outcome.getRejected().size());
    }

    @Override
    public void warning(LicenseException error) {
        output.println("event warning " + error.getSdkCode() + " " + error.getMessage());
    }
}
