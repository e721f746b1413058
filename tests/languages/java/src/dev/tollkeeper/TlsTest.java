package dev.tollkeeper;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whom a device trusts on the way to its server. Certificates are made by the JDK's keytool. */
class TlsTest {
    @TempDir
    Path folder;

    private String keytool(String input, String... words) throws Exception {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin/keytool").toString()));
        command.addAll(Arrays.asList(words));
        command.addAll(List.of("-keystore", folder.resolve("keys").toString(), "-storepass", "changeit"));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        process.getOutputStream().write(Texts.utf8(input));
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), command + ": " + output);
        return output;
    }

    private String authority(String alias) throws Exception {
        keytool("", "-genkeypair", "-alias", alias, "-keyalg", "EC", "-dname", "CN=" + alias, "-ext", "bc:c", "-validity", "3650");
        String output = keytool("", "-exportcert", "-alias", alias, "-rfc");
        return output.substring(output.indexOf("-----BEGIN"));
    }

    /** What a server asks an authority to sign. */
    private String request() throws Exception {
        keytool("", "-genkeypair", "-alias", "server", "-keyalg", "EC", "-dname", "CN=server");
        return keytool("", "-certreq", "-alias", "server");
    }

    /** A certificate that begins so many days from now and lasts 30 days. */
    private X509Certificate[] leaf(String request, String authority, int days, String usage) throws Exception {
        String start = (days < 0 ? "" : "+") + days + "d";
        String made = keytool(request, "-gencert", "-alias", authority, "-rfc", "-startdate", start, "-validity", "30", "-ext", "eku=" + usage);
        byte[] der = Tls.singleCertificate(made.substring(made.indexOf("-----BEGIN")).split("(?<=-----END CERTIFICATE-----)")[0]);
        return new X509Certificate[] {(X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(der))};
    }

    @Test
    void oneAuthorityIsTrustedAlsoByAClockThatStandsBehind() throws Exception {
        String pem = authority("site");
        String request = request();
        long now = System.currentTimeMillis() / 1_000;
        Tls.OneAuthority trusted = Tls.OneAuthority.of(pem, 0);
        trusted.checkServerTrusted(leaf(request, "site", -5, "serverAuth"), "ECDHE_ECDSA");
        // What has not begun by the device's clock has begun: its authority signed it.
        X509Certificate[] coming = leaf(request, "site", 5, "serverAuth");
        trusted.checkServerTrusted(coming, "ECDHE_ECDSA");
        Tls.OneAuthority later = Tls.OneAuthority.of(pem, now + 40 * 86_400);
        assertThrows(CertificateException.class, () -> later.checkServerTrusted(coming, "ECDHE_ECDSA"), "it is over by what a server signed");
        X509Certificate[] over = leaf(request, "site", -60, "serverAuth");
        assertThrows(CertificateException.class, () -> trusted.checkServerTrusted(over, "ECDHE_ECDSA"));
        X509Certificate[] client = leaf(request, "site", -5, "clientAuth");
        assertThrows(CertificateException.class, () -> trusted.checkServerTrusted(client, "ECDHE_ECDSA"));
        authority("stranger");
        X509Certificate[] strange = leaf(request, "stranger", -5, "serverAuth");
        assertThrows(CertificateException.class, () -> trusted.checkServerTrusted(strange, "ECDHE_ECDSA"));
        assertThrows(CertificateException.class, () -> trusted.checkServerTrusted(trusted.getAcceptedIssuers(), "ECDHE_ECDSA"));
    }

    @Test
    void aFingerprintIsOfExactlyOneCertificate() throws Exception {
        String pem = authority("site");
        String told = keytool("", "-list", "-alias", "site", "-v").replaceAll("(?s).*SHA256: ([0-9A-F:]+).*", "$1");
        assertEquals("sha256:" + told.replace(":", "").toLowerCase(), Tls.fingerprintOf(pem));
        assertNull(Tls.fingerprintOf(pem + pem));
        assertNull(Tls.fingerprintOf("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"));
        assertTrue(assertThrows(CertificateException.class, () -> Tls.trusting("", 0)).getMessage().contains("exactly one"));
    }
}
