package dev.tollkeeper;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** A process of Driver.java. */
final class DriverProcess implements AutoCloseable {
    final Process process;
    private final BufferedReader output;

    DriverProcess() throws Exception {
        String java = Path.of(System.getProperty("java.home"), "bin/java").toString();
        String source = Path.of(System.getProperty("tollkeeper.root"), "tests/languages/java/Driver.java").toString();
        String tests = Path.of(Vectors.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toString();
        ProcessBuilder command = new ProcessBuilder(java, "-cp", System.getProperty("tollkeeper.jar") + File.pathSeparator + tests, source);
        process = command.redirectError(ProcessBuilder.Redirect.INHERIT).start();
        output = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    void say(String command) throws Exception {
        process.getOutputStream().write(Texts.utf8(command + "\n"));
        process.getOutputStream().flush();
    }

    /** Its answer to a command. */
    String tell(String command) throws Exception {
        say(command);
        for (String line = output.readLine(); ; line = output.readLine()) {
            if (line == null) throw new AssertionError("it ended at '" + command + "'");
            if (!line.startsWith("event ")) return line;
        }
    }

    /** It must answer that this was done. */
    void done(String command) throws Exception {
        String answer = tell(command);
        assertTrue(answer.equals("0") || answer.startsWith("0 "), command + ": " + answer);
    }

    /** Tells it a server and a folder. */
    void configure(Sandbox server, Path vendorPublicKey, Path folder) throws Exception {
        done("set-file vendorPublicKey " + vendorPublicKey);
        done("set licenseKey " + server.licenseKey());
        done("set handshakeCode " + SharingTest.CODE);
        done("set product dbr");
        done("set dataFolder " + folder);
    }

    /** Reads so many units that it works, then kills it, and gives how many there were in all. */
    int killAfter(int units) throws Exception {
        int read = 0;
        while (read < units) read += isUnit(output.read()) ? 1 : 0;
        // The process's own method would close what it wrote.
        process.toHandle().destroyForcibly();
        process.waitFor();
        for (int next = output.read(); next >= 0; next = output.read()) read += isUnit(next) ? 1 : 0;
        return read;
    }

    private static boolean isUnit(int read) {
        assertTrue(read >= 0, "it ended");
        return read == '+';
    }

    @Override
    public void close() throws Exception {
        if (!process.isAlive()) return;
        process.getOutputStream().close();
        assertEquals(0, process.waitFor());
    }
}
