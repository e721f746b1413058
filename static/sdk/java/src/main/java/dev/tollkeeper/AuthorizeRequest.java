package dev.tollkeeper;

import com.grack.nanojson.JsonObject;
import java.util.Iterator;
import java.util.Map;

/** What a device asks for an authorization with, and what an answer must be. */
final class AuthorizeRequest {
    private AuthorizeRequest() {}

    /** As it would be sent to this server now, with a nonce that stays until it is answered: a lost answer must not look like a clone. */
    static JsonObject of(Config config, String server, State state) {
        String nonce = state.pending.get(config.askedFor);
        if (nonce == null) {
            nonce = Texts.toBase64url(Texts.random(32));
            state.pending.put(config.askedFor, nonce);
            state.touch(State.Part.GRANTS);
        }
        JsonObject request = new JsonObject();
        request.put("client_uuid", state.clientUuid);
        request.putAll(config.bareRequest());
        Json.put(request, "ticket", ticketFor(config.naming(), server, state));
        state.tellSeen(request);
        request.put("nonce", nonce);
        return request;
    }

    /** The ticket for the handshake code that this server, else another one, means by this. */
    private static String ticketFor(String naming, String server, State state) {
        Map<String, String> here = state.codes.get(server);
        String known = here == null ? null : here.get(naming);
        Iterator<Map<String, String>> others = state.codes.values().iterator();
        while (known == null && others.hasNext()) known = others.next().get(naming);
        return known == null ? null : state.tickets.get(known);
    }

    static boolean isAnswer(JsonObject answer) {
        return answer != null && answer.isString("authorization") && answer.isString("ticket") && answer.isString("refresh_after")
            && answer.isString("origin") && answer.getObject("safe") != null;
    }
}
