package dev.tollkeeper;

import com.grack.nanojson.JsonArray;
import com.grack.nanojson.JsonObject;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.Proxy;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.net.URL;
import java.security.GeneralSecurityException;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocketFactory;

/**
 * The way to one server of an application: connects when there is something to say, trusts the
 * site's authority, seals what is said where the application wants that.
 */
final class Link {
    /** How long a device waits for a server. It has another one to ask, and a person waits. */
    static final int WHOLE_MS = 20_000;
    private static final int CONNECT_MS = 5_000;
    /** The largest answer that is read. */
    private static final int ANSWER_MAX = 4 << 20;
    private static final String SERVER = "/api/v1/server";

    /** What a server answered. */
    private static final class Reply {
        final int status;
        final String contentType;
        final long retryAfter;
        final byte[] body;

        Reply(int status, String contentType, long retryAfter, byte[] body) {
            this.status = status;
            this.contentType = contentType;
            this.retryAfter = retryAfter;
            this.body = body;
        }

        boolean isSuccess() {
            return status >= 200 && status < 300;
        }

        /** Whether whoever answers asks to come again. */
        boolean isBusy() {
            return status == 429 || status == 503;
        }
    }

    /** Why there is no answer. */
    private static final class Trouble extends Exception {
        private static final long serialVersionUID = 1L;
        final int code;
        final long retryAfter;

        Trouble(int code, String message, long retryAfter) {
            super(message);
            this.code = code;
            this.retryAfter = retryAfter;
        }
    }

    private final String url;
    private final Config config;
    private final boolean isEncrypted;
    private SSLSocketFactory trusted;
    /** The authority that is trusted, PEM, once it is known. */
    private String authority;
    /** What requests are sealed to, once it is known. */
    private byte[] sealingKey;
    /** When what is asked just now takes too long, whatever it consists of: {@link System#nanoTime}. */
    private long giveUpAt;

    /** To the server with this URL. Nothing is connected yet. */
    Link(String url, Config config) {
        this.url = url;
        this.config = config;
        isEncrypted = Texts.startsWithIgnoringCase(url, "https:");
    }

    String authority() {
        return authority;
    }

    /**
     * Sends, and tells what became of it, within {@code limit} milliseconds. {@code known} is the authority's certificate from an
     * earlier time; {@code proven} a time that is past.
     */
    Event ask(String path, byte[] body, String known, long proven, long limit) {
        giveUpAt = System.nanoTime() + Math.min(WHOLE_MS, limit) * 1_000_000;
        try {
            if (isEncrypted && config.authority != null && trusted == null) connect(known, proven);
            return config.isSealed ? askSealed(path, body) : answer(send("POST", path, "application/json", body, trusted));
        } catch (Trouble trouble) {
            return new Event.Unanswered(trouble.code, trouble.getMessage(), trouble.retryAfter);
        } catch (GeneralSecurityException error) {
            return new Event.Unanswered(LicenseException.NOT_TRUSTED, "the certificate authority cannot be used: " + error.getMessage(), 0);
        }
    }

    private static Event answer(Reply reply) {
        return new Event.Answered(reply.status, reply.body, reply.retryAfter);
    }

    private void connect(String known, long proven) throws Trouble, GeneralSecurityException {
        boolean isPem = config.authority.contains("-----BEGIN CERTIFICATE-----");
        authority = isPem ? config.authority : known != null ? known : fetchAuthority();
        trusted = Tls.trusting(authority, proven);
    }

    /** The authority's certificate, once it has proven to be the one with the fingerprint of the license key. */
    private String fetchAuthority() throws Trouble, GeneralSecurityException {
        // The only connection of ours that trusts nobody in particular: it carries this one question. What comes back is proven by the fingerprint.
        Reply reply = send("GET", SERVER, null, null, Tls.unverified());
        JsonObject told = reply.isSuccess() ? Json.parse(reply.body) : null;
        String pem = told == null ? "" : told.getString("ca_pem", "");
        String found = Tls.fingerprintOf(pem);
        if (found == null) {
            String message = "what answers tells no certificate authority (status " + reply.status + "): see who answers at " + url;
            throw new Trouble(reply.isBusy() ? LicenseException.NO_SERVER : LicenseException.NOT_TRUSTED, message, reply.retryAfter);
        }
        if (found.equalsIgnoreCase(config.authority)) return pem;
        String message = "what answers is not the server that the license key names: its certificate authority is " + found + ", the key says "
            + config.authority + "; copy the key anew, or see who answers at " + url;
        throw new Trouble(LicenseException.NOT_TRUSTED, message, 0);
    }

    private Event askSealed(String path, byte[] body) throws Trouble {
        if (sealingKey == null) sealingKey = findSealingKey();
        Sealed sealed;
        try {
            sealed = Sealed.seal(sealingKey, path, body);
        } catch (GeneralSecurityException error) {
            throw new Trouble(LicenseException.NOT_SEALABLE, "the request cannot be sealed: " + error.getMessage(), 0);
        }
        Reply reply = send("POST", path, Sealed.CONTENT_TYPE, sealed.body, trusted);
        if (reply.isSuccess() && reply.body.length == 0) return answer(reply);
        boolean isSealed = reply.contentType.startsWith(Sealed.CONTENT_TYPE);
        byte[] opened = isSealed ? sealed.openAnswer(reply.status, reply.body) : null;
        if (opened != null) return new Event.Answered(reply.status, opened, reply.retryAfter);
        // Whoever answers before the server is busy cannot seal: the pause that it asks for is taken, nothing else is.
        if (!isSealed && reply.isBusy()) throw busy(reply);
        // It may have another key now, or somebody on the way answered in its place.
        sealingKey = null;
        String what = isSealed ? "an answer that cannot be opened" : "an answer that is not sealed";
        throw new Trouble(LicenseException.NOT_SEALABLE, url + " gave " + what + " (status " + reply.status + ") to a sealed request", 0);
    }

    /**
     * The key of a certificate that a trusted vendor signed. Its dates do not matter here: whoever is
     * named in it can open what is sealed to it, and the answer is checked with its dates.
     */
    private byte[] findSealingKey() throws Trouble {
        Reply reply = send("GET", SERVER, null, null, trusted);
        if (reply.isBusy()) throw busy(reply);
        JsonObject told = Json.parse(reply.body);
        JsonArray certificates = told == null ? null : told.getArray("certificates");
        for (Object text : certificates == null ? new JsonArray() : certificates) {
            try {
                ServerCertificate certificate = ServerCertificate.verify(String.valueOf(text), config.vendors);
                boolean isOurs = config.organizationId == null || config.organizationId.equals(certificate.organizationId);
                if (isOurs && certificate.sealingKey != null) return certificate.sealingKey;
            } catch (Distrust distrust) {
                // Of another vendor; the next one may be ours.
            }
        }
        throw new Trouble(LicenseException.NOT_SEALABLE,
            url + " has no certificate of this vendor that names a key to seal to: its administrator must have the license activated anew", 0);
    }

    private Trouble busy(Reply reply) {
        return new Trouble(LicenseException.NO_SERVER, url + " is busy (status " + reply.status + ")", reply.retryAfter);
    }

    private Reply send(String method, String path, String contentType, byte[] body, SSLSocketFactory sockets) throws Trouble {
        try {
            // No proxy: the license server stands on the site's own network. No redirects: they would carry a handshake code to a server that
            // nobody named.
            HttpURLConnection connection = (HttpURLConnection) new URL(url + path).openConnection(Proxy.NO_PROXY);
            if (isEncrypted && sockets != null) ((HttpsURLConnection) connection).setSSLSocketFactory(sockets);
            if (isEncrypted && sockets != null && sockets != trusted) ((HttpsURLConnection) connection).setHostnameVerifier((host, tls) -> true);
            connection.setInstanceFollowRedirects(false);
            connection.setUseCaches(false);
            int left = (int) Math.max((giveUpAt - System.nanoTime()) / 1_000_000, 1);
            connection.setConnectTimeout(Math.min(CONNECT_MS, left));
            connection.setReadTimeout(left);
            connection.setRequestMethod(method);
            connection.setRequestProperty("User-Agent", "tollkeeper-java/" + License.VERSION);
            if (body != null) {
                connection.setDoOutput(true);
                connection.setRequestProperty("Content-Type", contentType);
            }
            return await(connection, body);
        } catch (SocketTimeoutException error) {
            throw new Trouble(LicenseException.NO_SERVER, "it did not answer in time", 0);
        } catch (SSLException error) {
            if (isBroken(error)) throw new Trouble(LicenseException.NO_SERVER, "it cannot be reached (" + error.getMessage() + ")", 0);
            String mend = "give the license key that the server shows now, or certificateAuthority";
            throw new Trouble(LicenseException.NOT_TRUSTED, "its certificate is not trusted (" + error.getMessage() + "): " + mend, 0);
        } catch (IOException error) {
            throw new Trouble(LicenseException.NO_SERVER, "it cannot be reached (" + error + ")", 0);
        }
    }

    /**
     * Waits for the answer, as long as there is time. A connection has limits for each of its parts alone, and none for names that are looked up
     * and servers that send byte after byte: so it works on another thread, which is left alone when the time is over.
     */
    private Reply await(HttpURLConnection connection, byte[] body) throws IOException {
        long until = giveUpAt;
        Callable<Reply> work = () -> exchange(connection, body, until);
        Future<Reply> coming = Async.run(work, null, null);
        while (true) {
            try {
                return coming.get(Math.max(until - System.nanoTime(), 0), TimeUnit.NANOSECONDS);
            } catch (TimeoutException error) {
                // This as well may wait.
                Async.run((Async.Action) connection::disconnect, null, null);
                throw new SocketTimeoutException();
            } catch (ExecutionException error) {
                if (error.getCause() instanceof IOException) throw (IOException) error.getCause();
                throw new IllegalStateException(error.getCause());
            } catch (InterruptedException error) {
                // Nobody has a reason to interrupt our threads.
            }
        }
    }

    private static Reply exchange(HttpURLConnection connection, byte[] body, long giveUpAt) throws IOException {
        connection.connect();
        // What is not sent by now is not sent: whoever asked goes on without it.
        if (System.nanoTime() - giveUpAt >= 0) throw new SocketTimeoutException();
        if (body != null) {
            try (OutputStream output = connection.getOutputStream()) {
                output.write(body);
            }
        }
        return read(connection, giveUpAt);
    }

    private static Reply read(HttpURLConnection connection, long giveUpAt) throws IOException {
        int status = connection.getResponseCode();
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        try (InputStream input = status >= 400 ? connection.getErrorStream() : connection.getInputStream()) {
            byte[] buffer = new byte[8_192];
            for (int read = input == null ? -1 : input.read(buffer); read >= 0; read = input.read(buffer)) {
                body.write(buffer, 0, read);
                if (body.size() > ANSWER_MAX) throw new IOException("its answer is larger than " + ANSWER_MAX + " bytes");
                if (System.nanoTime() - giveUpAt > 0) throw new SocketTimeoutException();
            }
        }
        String contentType = connection.getContentType();
        return new Reply(status, contentType == null ? "" : contentType, secondsOf(connection.getHeaderField("Retry-After")), body.toByteArray());
    }

    private static long secondsOf(String text) {
        return text != null && text.trim().matches("\\d{1,9}") ? Long.parseLong(text.trim()) : 0;
    }

    /** Whether the connection broke, rather than that whoever answers is not trusted. */
    private static boolean isBroken(SSLException error) {
        for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
            if (cause instanceof SocketException || cause instanceof EOFException || cause instanceof SocketTimeoutException) return true;
        }
        return false;
    }
}
