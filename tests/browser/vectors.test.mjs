// The formats that all languages share, by the vectors in tests/vectors (made on the server's side).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import Tollkeeper from '../../static/sdk/javascript/tollkeeper-node.mjs';

const { formats, LicenseError } = Tollkeeper;
const where = process.env.TOLLKEEPER_VECTORS ?? fileURLToPath(new URL('../vectors', import.meta.url));
const vectors = (name) => JSON.parse(readFileSync(join(where, `${name}.json`), 'utf8'));
const text = (bytes) => Buffer.from(bytes).toString();
const vendorsOf = ({ vendor_public_key }) => Promise.all(formats.parseVendorKeys(vendor_public_key).map(formats.verifyingKey));

test('slots', () => {
  for (const { at, slot } of vectors('slots').cases) {
    assert.equal(formats.timeOf(formats.slotOf(Date.parse(at) / 1_000)), slot, at);
  }
});

test('license keys', () => {
  const { good, bad } = vectors('license_keys');
  for (const { text: key, ...expected } of good) assert.deepEqual({ ...formats.parseLicenseKey(key) }, expected, key);
  for (const { text: key, why } of bad) assert.throws(() => formats.parseLicenseKey(key), { code: 301 }, why);
});

test('chains', async () => {
  const all = vectors('chains');
  const vendors = await vendorsOf(all);
  for (const { name, authorization, expected, now, result, expires_at } of all.cases) {
    const wanted = { clientUuid: expected.client_uuid, nonce: expected.nonce, organizationId: expected.organization_id, handshakeCode: expected.handshake_code };
    const check = async () => {
      const claims = await formats.checkChain(authorization, vendors, wanted);
      formats.checkTime(claims, formats.secondsOf(now));
      return formats.timeOf(claims.exp);
    };
    const found = await check().then((end) => ['ok', end], (error) => [error.reason ?? String(error), undefined]);
    assert.deepEqual(found, [result, result === 'ok' ? expires_at : undefined], name);
  }
});

test('product keys', async () => {
  const all = vectors('product_keys');
  const vendors = await vendorsOf(all);
  for (const { name, text: keys, request, now, result, keys: ids } of all.cases) {
    const wanted = { ...request, deploymentType: request.deployment_type, modules: request.modules ?? [] };
    const check = async () => formats.checkProductKeys(await formats.readProductKeys(keys, vendors), wanted, formats.secondsOf(now)).map((key) => key.product_key_id);
    const found = await check().then((covering) => ['ok', covering], (error) => [error.code ?? String(error), undefined]);
    assert.deepEqual(found, [result, result === 'ok' ? ids : undefined], name);
  }
});

test('errors', () => {
  for (const { code, sdk_code, title, user_message } of vectors('errors').cases) {
    const error = new LicenseError(code, '');
    assert.deepEqual([error.sdkCode, error.title, error.userMessage], [sdk_code, title, user_message], String(code));
  }
});

test('sealed bodies', async () => {
  const { private_key, jwk, cases } = vectors('sealed');
  const x25519 = { name: 'X25519' };
  const key = await crypto.subtle.importKey('jwk', { ...jwk, d: private_key }, x25519, false, ['deriveBits']);
  const recipient = formats.fromBase64url(jwk.x);
  /** The recipient's side, from the same key schedule as the library's. */
  const contextOf = async (enc, path) => {
    const theirs = await crypto.subtle.importKey('raw', enc, x25519, true, []);
    const dh = new Uint8Array(await crypto.subtle.deriveBits({ ...x25519, public: theirs }, key, 256));
    return formats.sealingContext(dh, enc, recipient, path);
  };
  for (const { name, path, body, result, plaintext, answers = [] } of cases) {
    const bytes = formats.fromBase64url(body) ?? new Uint8Array();
    const openRequest = async () => {
      const { request } = await contextOf(bytes.slice(0, 32), path);
      return text(await crypto.subtle.decrypt(request.params, request.key, bytes.slice(32)));
    };
    assert.equal(await openRequest().catch(() => 'refused'), result === 'ok' ? plaintext : 'refused', name);
    for (const answer of answers) {
      const { key: cipher, params } = await (await contextOf(bytes.slice(0, 32), path)).answer(answer.status);
      assert.equal(text(await crypto.subtle.decrypt(params, cipher, formats.fromBase64url(answer.body))), answer.plaintext, `${name} ${answer.status}`);
    }
  }
  // And the library's own sealing is opened with the private key, and hears the answer.
  const sealed = await formats.seal(jwk, '/api/v1/authorize', Buffer.from('{"a":1}'));
  const context = await contextOf(sealed.body.slice(0, 32), '/api/v1/authorize');
  assert.equal(text(await crypto.subtle.decrypt(context.request.params, context.request.key, sealed.body.slice(32))), '{"a":1}');
  const { key: cipher, params } = await context.answer(403);
  const answer = new Uint8Array(await crypto.subtle.encrypt(params, cipher, Buffer.from('{"code":120}')));
  assert.equal(text(await sealed.open(403, answer)), '{"code":120}');
  await assert.rejects(sealed.open(200, answer), 'the status is part of what is sealed');
});

test('carried by hand', () => {
  for (const { kind, line, file, json } of vectors('carried').cases) {
    assert.deepEqual(formats.readCarried(kind, line), json, kind);
    assert.deepEqual(formats.readCarried(kind, file), json, kind);
    const written = formats.writeCarried(kind, json, 'A summary');
    assert.deepEqual(formats.readCarried(kind, written.file), json);
    assert.deepEqual(formats.readCarried(kind, written.line), json);
    for (const other of ['request', 'authorization', 'reports', 'receipt'].filter((each) => each !== kind)) {
      assert.throws(() => formats.readCarried(other, line), { code: 304 });
      assert.throws(() => formats.readCarried(other, file), { code: 304 });
    }
  }
});
