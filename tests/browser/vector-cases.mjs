// What the library says about one case of the vectors that all languages share (tests/vectors): `result`, which is
// 'ok' or the code or name of the failure, and what the case has under the same name. A case comes with what its file
// says beside the cases in it.
import assert from 'node:assert/strict';
import Tollkeeper from '../../static/sdk/javascript/tollkeeper-node.mjs';

const { formats, LicenseError } = Tollkeeper;
const text = (bytes) => Buffer.from(bytes).toString();
const vendorsOf = ({ vendor_public_key }) => Promise.all(formats.parseVendorKeys(vendor_public_key).map(formats.verifyingKey));
const CARRIED = ['request', 'authorization', 'reports', 'receipt'];

async function checkSealed({ private_key, jwk, path, body, answers = [] }) {
  const x25519 = { name: 'X25519' };
  const key = await crypto.subtle.importKey('jwk', { ...jwk, d: private_key }, x25519, false, ['deriveBits']);
  /** The recipient's side, from the same key schedule as the library's. */
  const contextOf = async (enc) => {
    const theirs = await crypto.subtle.importKey('raw', enc, x25519, true, []);
    const dh = new Uint8Array(await crypto.subtle.deriveBits({ ...x25519, public: theirs }, key, 256));
    return formats.sealingContext(dh, enc, formats.fromBase64url(jwk.x), path);
  };
  const open = async (context, bytes) => new Uint8Array(await crypto.subtle.decrypt(context.request.params, context.request.key, bytes.slice(32)));
  const bytes = formats.fromBase64url(body) ?? new Uint8Array();
  let plain;
  try {
    plain = await open(await contextOf(bytes.slice(0, 32)), bytes);
  } catch {
    return { result: 'refused' };
  }
  const opened = [];
  for (const answer of answers) {
    const { key: cipher, params } = await (await contextOf(bytes.slice(0, 32))).answer(answer.status);
    const plaintext = await crypto.subtle.decrypt(params, cipher, formats.fromBase64url(answer.body)).then(text, () => null);
    opened.push({ status: answer.status, body: answer.body, plaintext });
  }
  // And what the library seals is opened with the private key, and it hears the answer, with its own status only.
  const sealed = await formats.seal(jwk, path, plain);
  const context = await contextOf(sealed.body.slice(0, 32));
  assert.deepEqual(await open(context, sealed.body), plain);
  const { key: cipher, params } = await context.answer(403);
  const answer = new Uint8Array(await crypto.subtle.encrypt(params, cipher, Buffer.from('{"code":120}')));
  assert.equal(text(await sealed.open(403, answer)), '{"code":120}');
  await assert.rejects(sealed.open(200, answer), 'the status is part of what is sealed');
  return { result: 'ok', plaintext: text(plain), jwk, ...(opened.length > 0 ? { answers: opened } : {}) };
}

const CHECKS = {
  slots: ({ at }) => ({ result: 'ok', slot: formats.timeOf(formats.slotOf(formats.secondsOf(at))) }),
  errors({ code }) {
    const error = new LicenseError(code, '');
    return { result: 'ok', code: error.code, sdk_code: error.sdkCode, title: error.title, user_message: error.userMessage };
  },
  license_keys({ text: key }) {
    try {
      const { servers, organization_id, handshake_code, session_password, ca } = formats.parseLicenseKey(key);
      return { result: 'ok', servers, organization_id, handshake_code, session_password, ca };
    } catch (error) {
      return { result: error.code };
    }
  },
  async chains(one) {
    const { expected } = one;
    const wanted = { clientUuid: expected.client_uuid, nonce: expected.nonce, organizationId: expected.organization_id, handshakeCode: expected.handshake_code };
    const vendors = await vendorsOf(one);
    try {
      const claims = await formats.checkChain(one.authorization, vendors, wanted);
      formats.checkTime(claims, formats.secondsOf(one.now));
      return { result: 'ok', expires_at: formats.timeOf(claims.exp) };
    } catch (error) {
      return { result: error.reason ?? String(error) };
    }
  },
  async product_keys(one) {
    const wanted = { ...one.request, deploymentType: one.request.deployment_type, modules: one.request.modules ?? [] };
    const vendors = await vendorsOf(one);
    try {
      const keys = formats.checkProductKeys(await formats.readProductKeys(one.text, vendors), wanted, formats.secondsOf(one.now));
      return { result: 'ok', keys: keys.map((key) => key.product_key_id) };
    } catch (error) {
      return { result: error.code ?? String(error) };
    }
  },
  sealed: checkSealed,
  carried({ kind, line, file }) {
    const json = formats.readCarried(kind, line);
    const written = formats.writeCarried(kind, json, 'A summary');
    for (const again of [file, written.file, written.line]) assert.deepEqual(formats.readCarried(kind, again), json, kind);
    for (const other of CARRIED.filter((each) => each !== kind)) {
      for (const form of [line, file]) assert.throws(() => formats.readCarried(other, form), { code: 304 });
    }
    return { result: 'ok', json };
  },
};

/** The kinds of vectors there are: the names of the files. */
export const KINDS = Object.keys(CHECKS);

/** What the library says about a case. */
export async function checkVector(kind, one) {
  return CHECKS[kind](one);
}
