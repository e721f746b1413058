// What the tests stand on: real servers to talk to, a site of our own making that signs what
// it is told to, and clocks that go when they are told to.
import { execFile, spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import Tollkeeper from '../../static/sdk/javascript/tollkeeper-node.mjs';

export { Tollkeeper };
export const sdkFolder = new URL('../../static/sdk/javascript/', import.meta.url);

const program = process.env.TOLLKEEPER_PROGRAM;
if (program === undefined) throw new Error('TOLLKEEPER_PROGRAM is not set: run tests/browser/run, or set it to the tollkeeper binary');

const run = promisify(execFile);
/** Runs a command of the binary; its output. */
export const tollkeeper = async (...words) => (await run(program, words)).stdout;

const endings = new WeakMap();

/** Does this after the test: what was begun last ends first. */
export function afterwards(test, work) {
  if (!endings.has(test)) {
    endings.set(test, []);
    test.after(async () => {
      for (const each of endings.get(test).reverse()) await each();
    });
  }
  endings.get(test).push(work);
}

/** A new folder that is gone after the test. */
export async function folder(test) {
  const path = await mkdtemp(join(tmpdir(), 'tollkeeper-'));
  afterwards(test, () => rm(path, { recursive: true, force: true }));
  return path;
}

/** `tollkeeper sandbox`: a license server with a clock and faults, and a vendor of its own. */
export class Sandbox {
  static async start(test, { data, https = '127.0.0.1:0', http = '127.0.0.1:0' } = {}) {
    const sandbox = new Sandbox();
    sandbox.data = data ?? (await folder(test));
    await sandbox.#begin(https, http);
    afterwards(test, () => sandbox.stop());
    return sandbox;
  }

  async #begin(https, http) {
    const child = spawn(program, ['sandbox', '--data', this.data, '--listen', https, '--http', http], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    let text = '';
    await new Promise((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        text += chunk;
        if (text.includes('Stop with Ctrl-C')) resolve();
      });
      child.stderr.on('data', (chunk) => (text += chunk));
      child.on('exit', () => reject(new Error(`the sandbox ended: ${text}`)));
    });
    this.https = /on (https:\/\/[^,]+),/.exec(text)[1];
    this.http = /without encryption: (http:\S+)/.exec(text)[1];
    this.state = await (await fetch(`${this.http}/sandbox`)).json();
    this.vendorPublicKey = this.state.vendor_public_key;
  }

  /** The same server again, on the same addresses. */
  async startAgain() {
    await this.#begin(this.https.replace('https://', ''), this.http.replace('http://', ''));
  }

  async stop() {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.on('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  }

  licenseKey(code = '216998-scan') {
    return this.state.handshake_codes.find(({ handshake_code }) => handshake_code === code).license_key;
  }

  async #post(path, body) {
    const answer = await fetch(`${this.http}/sandbox/${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  moveClock(change) {
    return this.#post('clock', change);
  }

  faults(change) {
    return this.#post('faults', change);
  }

  /** Units that the server counted for a handshake code. */
  async total(code = '216998-scan') {
    return JSON.parse(await tollkeeper('usage', 'show', '--data', this.data, '--handshake', code, '--json')).total;
  }

  /** Settings of an application in Node, by plain HTTP. */
  settings(more = {}) {
    return { mainServerURL: this.http, handshakeCode: '216998-scan', vendorPublicKey: this.vendorPublicKey, product: 'dbr', ...more };
  }
}

/** A clock that goes when it is told to. */
export class TestClock {
  constructor(start = Date.now()) {
    this.ms = start;
    this.went = 0;
    this.now = () => this.ms;
    this.monotonic = () => this.went;
  }

  advance(seconds) {
    this.ms += seconds * 1_000;
    this.went += seconds * 1_000;
  }

  /** For settings: this clock, and pauses without chance. */
  get settings() {
    return { now: this.now, monotonic: this.monotonic, random: () => 0.5 };
  }
}

const base64url = (bytes) => Buffer.from(bytes).toString('base64url');

/** An Ed25519 key that signs documents. */
export class Signer {
  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const { x } = publicKey.export({ format: 'jwk' });
    this.privateKey = privateKey;
    this.jwk = { kty: 'OKP', crv: 'Ed25519', x };
    this.kid = createHash('sha256').update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest('base64url');
    this.pem = publicKey.export({ format: 'pem', type: 'spki' });
  }

  sign(typ, payload, more = {}) {
    const signed = `${base64url(JSON.stringify({ alg: 'EdDSA', kid: this.kid, typ, ...more }))}.${base64url(JSON.stringify(payload))}`;
    return `${signed}.${base64url(sign(null, signed, this.privateKey))}`;
  }
}

/**
 * A site that answers what the test wants, through the `send` setting instead of a network.
 * `site.servers.a.answer = (path, body) => …` replaces what a server would say.
 */
export class FakeSite {
  constructor(clock, names = ['a', 'b']) {
    this.clock = clock;
    this.vendor = new Signer();
    this.asked = [];
    this.servers = Object.fromEntries(names.map((name) => [name, this.#server(name)]));
    this.send = async (url, { body }) => {
      const { hostname, pathname } = new URL(url);
      const content = JSON.parse(Buffer.from(body).toString());
      this.asked.push({ server: hostname, path: pathname, content });
      const server = this.servers[hostname];
      const answer = await (server.answer ?? ((path, request) => server.usual(path, request)))(pathname, content);
      const { status = 200, retryAfter = 0, ...rest } = answer;
      return { status, retryAfter, contentType: 'application/json', body: Buffer.from(JSON.stringify(rest)) };
    };
  }

  #server(name) {
    const key = new Signer();
    const server = {
      uuid: randomUUID(),
      key,
      reports: new Map(),
      sequence: 0,
      safe: {},
      items: [{ item_id: 1, product: 'dbr', editions: [], modules: [], charge_way: 'scan', instances: 4, valid_to: '2099-01-01T00:00:00Z' }],
      answer: null,
      down: () => (server.answer = () => Promise.reject(new Tollkeeper.LicenseError(302, 'it cannot be reached'))),
      refuse: (code, status = 403, more = {}) => (server.answer = () => ({ status, code, detail: `refused with ${code}`, ...more })),
      up: () => (server.answer = null),
    };
    server.certificate = (change = {}, vendor = this.vendor) =>
      vendor.sign('tk-server+jws', { server_uuid: server.uuid, organization_id: '216998', jwk: key.jwk, not_before: '2020-01-01T00:00:00Z', not_after: '2090-01-01T00:00:00Z', ...change });
    server.claims = (request) => {
      const iat = Math.floor(this.clock.ms / 1_000);
      const hs = request.handshake_code ?? '216998-default';
      return { iss: server.uuid, sub: request.client_uuid, iat, nbf: iat, exp: iat + 7 * 86_400, jti: randomUUID(), nonce: request.nonce, org: '216998', hs, hid: `id-of-${hs}`, items: server.items };
    };
    server.authorize = (request, change = {}, certificate = server.certificate()) => {
      const claims = { ...server.claims(request), ...change };
      return {
        authorization: key.sign('tk-authorization+jws', claims, { svr: certificate }),
        expires_at: Tollkeeper.formats.timeOf(claims.exp),
        refresh_after: Tollkeeper.formats.timeOf(claims.iat + 86_400),
        report_interval_seconds: 180,
        ticket: `ticket ${(server.sequence += 1)} of ${name}`,
        server_time: Tollkeeper.formats.timeOf(claims.iat),
        origin: server.uuid,
        safe: { [server.uuid]: server.sequence, ...server.safe },
      };
    };
    server.take = ({ reports }) => {
      const fresh = reports.filter(({ report_id }) => !server.reports.has(report_id));
      for (const report of fresh) server.reports.set(report.report_id, report);
      server.sequence += 1;
      const ids = (list) => list.map(({ report_id }) => report_id);
      return {
        accepted: ids(fresh),
        duplicate: ids(reports.filter((report) => !fresh.includes(report))),
        rejected: [],
        origin: server.uuid,
        sequence: server.sequence,
        safe: { [server.uuid]: server.sequence, ...server.safe },
        server_time: Tollkeeper.formats.timeOf(Math.floor(this.clock.ms / 1_000)),
      };
    };
    server.usual = (path, request) => {
      if (path.endsWith('/authorize')) return server.authorize(request);
      if (path.endsWith('/reports')) return server.take(request);
      return { status: 204 };
    };
    server.total = () => [...server.reports.values()].flatMap(({ counts }) => Object.values(counts)).reduce((sum, count) => sum + count, 0);
    return server;
  }

  settings(more = {}) {
    const [main, standby] = Object.keys(this.servers).map((name) => `https://${name}`);
    return {
      mainServerURL: main,
      standbyServerURL: standby,
      handshakeCode: '216998-line4',
      vendorPublicKey: this.vendor.pem,
      product: 'dbr',
      storage: Tollkeeper.memoryStorage(),
      send: this.send,
      ...this.clock.settings,
      ...more,
    };
  }
}

/** The error that this promise must end with. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Tollkeeper.LicenseError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

/** The error that this must throw at once. */
export function thrown(work) {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}
