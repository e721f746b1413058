package dev.tollkeeper;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;

/** What the machine tells of itself and of this process. */
final class Machine {
    // Makers leave placeholders that thousands of machines share.
    private static final List<String> PLACEHOLDERS =
        Arrays.asList("uninitialized", "none", "default string", "to be filled by o.e.m.", "not specified", "system serial number", "0123456789");

    private Machine() {}

    /**
     * The UUID that follows from the machine, the same as other languages' clients tell: the
     * system's id with the CPU's, on ARM with the network cards' addresses, hashed, so that nothing
     * can be read back. {@code null} where the system tells no id.
     */
    static String hardwareUuid() {
        String arch = System.getProperty("os.arch", "");
        return hardwareUuid(new File("/"), arch.startsWith("arm") || arch.startsWith("aarch64"));
    }

    static String hardwareUuid(File root, boolean isArm) {
        String machine = read(root, "etc/machine-id").toLowerCase(java.util.Locale.ROOT);
        if (!isTelling(machine)) machine = read(root, "var/lib/dbus/machine-id").toLowerCase(java.util.Locale.ROOT);
        if (!isTelling(machine)) return null;
        String second = isArm ? networkAddresses(root) : cpuModel(read(root, "proc/cpuinfo"));
        byte[] hash = Texts.sha256(Texts.utf8("tollkeeper device\0" + machine + "\0" + second));
        return Texts.uuidOf(Arrays.copyOf(hash, 16), 8);
    }

    /** The archive or main class that runs; on Android the process's name. {@code null} where neither is told. */
    static String processName() {
        // Of Oracle's and OpenJDK's virtual machines; Android has none.
        String command = System.getProperty("sun.java.command", "").trim();
        String first = command.isEmpty() ? read(new File("/"), "proc/self/cmdline").split("\0", 2)[0] : command.split(" ", 2)[0];
        String name = first.substring(Math.max(first.lastIndexOf('/'), first.lastIndexOf('\\')) + 1);
        return name.isEmpty() ? null : name;
    }

    private static boolean isTelling(String fact) {
        return !fact.isEmpty() && !fact.matches("[0-]*|[f-]*") && !PLACEHOLDERS.contains(fact);
    }

    private static String cpuModel(String cpuinfo) {
        StringBuilder model = new StringBuilder();
        for (String name : new String[] {"model name", "Hardware", "CPU implementer", "CPU part"}) {
            for (String line : cpuinfo.split("\n")) {
                int colon = line.indexOf(':');
                if (colon < 0 || !line.substring(0, colon).trim().equals(name)) continue;
                String value = line.substring(colon + 1).trim();
                if (!value.isEmpty()) model.append(model.length() == 0 ? "" : " / ").append(value);
                break;
            }
        }
        return model.toString();
    }

    /** Of the cards that are part of the machine: bridges and tunnels come and go. */
    private static String networkAddresses(File root) {
        File[] cards = new File(root, "sys/class/net").listFiles();
        TreeSet<String> addresses = new TreeSet<>();
        for (File card : cards == null ? new File[0] : cards) {
            if (new File(card, "device").exists()) addresses.add(read(card, "address"));
        }
        return Texts.join(" ", addresses);
    }

    private static String read(File folder, String name) {
        try (InputStream input = new FileInputStream(new File(folder, name))) {
            return new String(readAll(input), StandardCharsets.UTF_8).trim();
        } catch (IOException error) {
            return "";
        }
    }

    static byte[] readAll(InputStream input) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        byte[] buffer = new byte[8_192];
        for (int read = input.read(buffer); read >= 0; read = input.read(buffer)) all.write(buffer, 0, read);
        return all.toByteArray();
    }
}
