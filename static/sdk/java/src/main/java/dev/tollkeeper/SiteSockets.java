package dev.tollkeeper;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.InetAddress;
import java.net.Socket;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/**
 * Connections that tell the server in the handshake that the site's own authority is trusted: one that
 * shows browsers a certificate of another authority then shows the site's.
 */
final class SiteSockets extends SSLSocketFactory {
    private static final String[] PROTOCOLS = {"http/1.1", "tk-site-ca"};
    /** Java 8u252 and Android 10 have it; before, such a server must be asked by an address that its own certificate is not for. */
    private static final Method SET_PROTOCOLS = find();

    private final SSLSocketFactory sockets;

    SiteSockets(SSLSocketFactory sockets) {
        this.sockets = sockets;
    }

    private static Method find() {
        try {
            return SSLParameters.class.getMethod("setApplicationProtocols", String[].class);
        } catch (NoSuchMethodException error) {
            return null;
        }
    }

    private static Socket told(Socket socket) throws IOException {
        if (SET_PROTOCOLS != null && socket instanceof SSLSocket) {
            SSLSocket secure = (SSLSocket) socket;
            SSLParameters parameters = secure.getSSLParameters();
            try {
                SET_PROTOCOLS.invoke(parameters, (Object) PROTOCOLS);
            } catch (IllegalAccessException | InvocationTargetException error) {
                throw new IOException("the protocols of a connection cannot be set", error);
            }
            secure.setSSLParameters(parameters);
        }
        return socket;
    }

    @Override
    public String[] getDefaultCipherSuites() {
        return sockets.getDefaultCipherSuites();
    }

    @Override
    public String[] getSupportedCipherSuites() {
        return sockets.getSupportedCipherSuites();
    }

    @Override
    public Socket createSocket() throws IOException {
        return told(sockets.createSocket());
    }

    @Override
    public Socket createSocket(Socket socket, String host, int port, boolean closes) throws IOException {
        return told(sockets.createSocket(socket, host, port, closes));
    }

    @Override
    public Socket createSocket(String host, int port) throws IOException {
        return told(sockets.createSocket(host, port));
    }

    @Override
    public Socket createSocket(String host, int port, InetAddress local, int localPort) throws IOException {
        return told(sockets.createSocket(host, port, local, localPort));
    }

    @Override
    public Socket createSocket(InetAddress host, int port) throws IOException {
        return told(sockets.createSocket(host, port));
    }

    @Override
    public Socket createSocket(InetAddress host, int port, InetAddress local, int localPort) throws IOException {
        return told(sockets.createSocket(host, port, local, localPort));
    }
}
