package dev.tollkeeper;

import java.io.ByteArrayInputStream;
import java.security.GeneralSecurityException;
import java.security.cert.CertPathValidator;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/** TLS that trusts exactly one certificate authority. */
final class Tls {
    private static final Pattern PEM = Pattern.compile("-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----");
    private static final String SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1";
    private static final String ANY_USAGE = "2.5.29.37.0";

    private Tls() {}

    /** {@code null} when the text is not exactly one certificate. */
    static byte[] singleCertificate(String pem) {
        Matcher found = PEM.matcher(pem);
        byte[] der = found.find() ? Texts.fromBase64(found.group(1)) : null;
        return der == null || found.find() ? null : der;
    }

    /** "sha256:" and the SHA-256 of a certificate in hex; {@code null} when the text is none. */
    static String fingerprintOf(String pem) {
        byte[] der = singleCertificate(pem);
        return der == null ? null : "sha256:" + Texts.hex(Texts.sha256(der));
    }

    /** Trusts this authority, by no earlier time than {@code proven}, seconds since 1970. */
    static SSLSocketFactory trusting(String pem, long proven) throws GeneralSecurityException {
        return factory(OneAuthority.of(pem, proven));
    }

    /** Trusts whoever answers: for the one question whose answer proves itself. */
    static SSLSocketFactory unverified() throws GeneralSecurityException {
        return factory(new Anybody());
    }

    private static SSLSocketFactory factory(TrustManager trusted) throws GeneralSecurityException {
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {trusted}, null);
        return new SiteSockets(context.getSocketFactory());
    }

    /**
     * Chain as ever; whether the name fits is looked at by the connection. A device whose clock
     * stands years back, as without a battery after a cold start, must reach its server to learn the
     * time, and it trusts one authority only: so a certificate of that authority which has not begun
     * has begun.
     */
    static final class OneAuthority implements X509TrustManager {
        private final X509Certificate authority;
        private final long proven;

        private OneAuthority(X509Certificate authority, long proven) {
            this.authority = authority;
            this.proven = proven;
        }

        static OneAuthority of(String pem, long proven) throws CertificateException {
            byte[] der = singleCertificate(pem);
            if (der == null) throw new CertificateException("the certificate authority is not exactly one certificate in PEM");
            CertificateFactory certificates = CertificateFactory.getInstance("X.509");
            return new OneAuthority((X509Certificate) certificates.generateCertificate(new ByteArrayInputStream(der)), proven);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String method) throws CertificateException {
            List<X509Certificate> path = new ArrayList<>();
            Date now = new Date(Math.max(System.currentTimeMillis(), proven * 1_000));
            for (X509Certificate each : chain) {
                if (each.equals(authority)) break;
                path.add(each);
                if (each.getNotBefore().after(now)) now = each.getNotBefore();
            }
            if (path.isEmpty()) throw new CertificateException("it shows the authority's own certificate, which is for no server");
            List<String> usages = path.get(0).getExtendedKeyUsage();
            if (usages != null && !usages.contains(SERVER_AUTHENTICATION) && !usages.contains(ANY_USAGE)) {
                throw new CertificateException("it is not for a server");
            }
            try {
                PKIXParameters parameters = new PKIXParameters(Collections.singleton(new TrustAnchor(authority, null)));
                parameters.setRevocationEnabled(false);
                parameters.setDate(now);
                CertPathValidator.getInstance("PKIX").validate(CertificateFactory.getInstance("X.509").generateCertPath(path), parameters);
            } catch (GeneralSecurityException error) {
                throw new CertificateException(error.getMessage(), error);
            }
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String method) throws CertificateException {
            throw new CertificateException("there are no clients here");
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[] {authority};
        }
    }

    /** What comes over such a connection is proven by the fingerprint of the license key, or not used. */
    private static final class Anybody implements X509TrustManager {
        @Override
        public void checkServerTrusted(X509Certificate[] chain, String method) throws CertificateException {
            if (chain.length == 0) throw new CertificateException("it shows no certificate");
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String method) throws CertificateException {
            throw new CertificateException("there are no clients here");
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
