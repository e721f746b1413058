package dev.tollkeeper;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.tollkeeper.internal.nanojson.JsonObject;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** {@code tollkeeper sandbox}: a license server with a clock and faults, and a vendor of its own. */
final class Sandbox implements AutoCloseable {
    static final String CODE = "216998-scan";

    final Path data;
    String https;
    String http;
    private JsonObject state;
    private Process process;

    Sandbox(Path data) throws IOException {
        this.data = data;
        begin("127.0.0.1:0", "127.0.0.1:0");
    }

    private static String program() {
        String program = System.getenv("TOLLKEEPER_PROGRAM");
        assertNotNull(program, "TOLLKEEPER_PROGRAM is not set: name the tollkeeper binary");
        return program;
    }

    private void begin(String secure, String plain) throws IOException {
        ProcessBuilder command = new ProcessBuilder(program(), "sandbox", "--data", data.toString(), "--listen", secure, "--http", plain);
        process = command.redirectErrorStream(true).start();
        BufferedReader output = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        StringBuilder said = new StringBuilder();
        for (String line = output.readLine(); ; line = output.readLine()) {
            assertNotNull(line, "the sandbox ended: " + said);
            said.append(line).append('\n');
            if (line.contains("Stop with Ctrl-C")) break;
        }
        https = find("on (https://[^,]+),", said);
        http = find("without encryption: (http:\\S+)", said);
        state = Json.parse(ask("GET", http + "/sandbox", null));
    }

    private static String find(String pattern, CharSequence text) {
        Matcher found = Pattern.compile(pattern).matcher(text);
        assertTrue(found.find(), () -> pattern + " in " + text);
        return found.group(1);
    }

    /** The same server again, on the same addresses. */
    void startAgain() throws IOException {
        begin(https.replace("https://", ""), http.replace("http://", ""));
    }

    void stop() throws InterruptedException {
        process.destroy();
        process.waitFor();
    }

    @Override
    public void close() throws InterruptedException {
        stop();
    }

    String vendorPublicKey() {
        return state.getString("vendor_public_key");
    }

    String licenseKey() {
        for (JsonObject code : Json.objects(state, "handshake_codes")) {
            if (CODE.equals(code.getString("handshake_code"))) return code.getString("license_key");
        }
        throw new AssertionError("no " + CODE);
    }

    /** Of its certificate authority. */
    String fingerprint() throws LicenseException {
        return LicenseKey.parse(licenseKey()).authority;
    }

    void advance(String duration) throws IOException {
        ask("POST", http + "/sandbox/clock", "{\"advance\":\"" + duration + "\"}");
    }

    void faults(String json) throws IOException {
        ask("POST", http + "/sandbox/faults", json);
    }

    private static byte[] ask(String method, String url, String body) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        connection.setRequestMethod(method);
        if (body != null) {
            connection.setDoOutput(true);
            connection.setRequestProperty("Content-Type", "application/json");
            try (OutputStream output = connection.getOutputStream()) {
                output.write(Texts.utf8(body));
            }
        }
        assertEquals(200, connection.getResponseCode(), url);
        try (InputStream input = connection.getInputStream()) {
            return input.readAllBytes();
        }
    }

    /** Units that the server counted. */
    long total() throws Exception {
        return total(CODE);
    }

    long total(String code) throws Exception {
        return Json.whole(usage(code), "total");
    }

    /** Devices that reported. */
    long devices(String code) throws Exception {
        return Json.whole(usage(code), "devices");
    }

    private JsonObject usage(String code) throws Exception {
        return Json.parse(Texts.utf8(run("usage", "show", "--data", data.toString(), "--handshake", code, "--json").trim()));
    }

    /** A further license of items, each as a license file says it, under a code of their own. */
    void sell(String code, String... items) throws Exception {
        Path home = Files.createTempDirectory(data, "sold");
        StringBuilder told = new StringBuilder("organization_id = \"216998\"\n");
        List<String> ids = new ArrayList<>();
        for (String item : items) {
            ids.add(find("item_id = (\\d+)", item));
            told.append("[[items]]\nvalid_from = 2020-01-01\nvalid_to = 2099-12-31\n").append(item).append('\n');
        }
        String list = Files.writeString(home.resolve("items.toml"), told).toString();
        String request = home.resolve("server.req").toString();
        String bare = home.resolve("new.lic").toString();
        String sold = home.resolve("sold.lic").toString();
        String key = state.getString("vendor_key_file");
        run("license", "request", "--data", data.toString(), "--out", request);
        run("vendor", "issue", "--key", key, "--items", list, "--out", bare);
        run("vendor", "activate", "--key", key, "--license", bare, "--request", request, "--out", sold);
        run("license", "import", sold, "--data", data.toString());
        run("handshake", "add", code, "--items", String.join(",", ids), "--data", data.toString());
    }

    /** A command of the binary; its output. */
    static String run(String... words) throws Exception {
        List<String> command = new ArrayList<>(Arrays.asList(words));
        command.add(0, program());
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), command + ": " + output);
        return output;
    }

    /** Settings of an application by its license key. */
    LicenseSettings settings(Path folder) {
        LicenseSettings settings = new LicenseSettings().setLicenseKey(licenseKey()).setVendorPublicKey(vendorPublicKey());
        return settings.setProduct("dbr").setDataFolder(folder.toFile());
    }
}
