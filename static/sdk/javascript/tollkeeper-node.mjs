/**
 * The client library for Node: a cache in a folder that several processes share, servers
 * trusted by the fingerprint in the license key, and the machine's own UUID where it is wanted.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdir, open, readFile, readdir, rename, unlink, utimes } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { homedir, hostname } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Tollkeeper from './tollkeeper.mjs';

const { LicenseError, formats } = Tollkeeper;

// ---- cache ---------------------------------------------------------------------------------

/** A lock that its holder was not seen to renew for so long belongs to nobody any more: on another machine, and here, where a process may have been busy, but its number may also be another's by now. */
const STALE_MS = 30_000;
const STALE_HERE_MS = 120_000;
const RENEW_MS = 5_000;

/**
 * Records in JSON files below a folder: `report/2026-11-22/ID` is kept in
 * `report-2026-11-22.json`. Each file is replaced in one step; changes of several files stand in
 * `changes.json` first, so that a crash leaves all of them or none.
 */
export class FileStorage {
  #folder;
  #ready = null;

  /** @param {string} folder Made when it is missing; only its owner may look inside. */
  constructor(folder) {
    this.#folder = folder;
  }

  async transact(prefixes, work) {
    return this.#guarded(async () => {
      this.#ready ??= mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await this.#ready;
      return this.lock('state', 60_000, async () => {
        await this.#finishChanges();
        const files = await this.#filesOf(prefixes);
        const entries = await Promise.all(files.map(async (file) => Object.entries(await this.#read(file))));
        const isAsked = ([key]) => prefixes.some((prefix) => (prefix.endsWith('/') ? key.startsWith(prefix) : key === prefix));
        const before = new Map(entries.flat());
        const records = new formats.Records(structuredClone(Array.from(before).filter(isAsked)));
        const result = work(records);
        const changes = {};
        for (const key of records.changed) {
          const file = fileOf(key);
          changes[file] ??= await this.#read(file);
          const value = records.get(key);
          if (value === undefined) delete changes[file][key];
          else changes[file][key] = value;
        }
        await this.#write(changes);
        return result;
      });
    });
  }

  /** Keeps other processes out while `work` runs. A lock whose process died is taken over. */
  async lock(name, waitMs, work) {
    this.#ready ??= mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await this.#guarded(() => this.#ready);
    const path = join(this.#folder, `${name}.lock`);
    const own = holderOf(randomUUID());
    const giveUpAt = performance.now() + waitMs;
    while (!(await this.#guarded(() => takeLock(path, own)))) {
      if (performance.now() > giveUpAt) throw new LicenseError(302, `another process has held ${path} for too long: wait until it has done, or end it`);
      await sleep(5 + Math.random() * 20);
    }
    const stopRenewing = keepRenewing(path);
    try {
      return await work();
    } finally {
      stopRenewing();
      if ((await readFile(path, 'utf8').catch(() => '')) === own) await unlink(path).catch(() => {});
    }
  }

  /** Shows other processes that this one lives, from when the promise is kept: a file of its own, by its process id. */
  async holdSession(session) {
    const path = join(this.#folder, `session-${session}.lock`);
    await this.#guarded(() => takeLock(path, holderOf(session)));
    const stopRenewing = keepRenewing(path);
    return () => {
      stopRenewing();
      void unlink(path).catch(() => {});
    };
  }

  async aliveSessions() {
    const alive = new Set();
    for (const name of await readdir(this.#folder).catch(() => [])) {
      const session = /^session-(.+)\.lock$/.exec(name)?.[1];
      if (session === undefined) continue;
      const path = join(this.#folder, name);
      if (await isStale(path)) await unlink(path).catch(() => {});
      else alive.add(session);
    }
    return alive;
  }

  async #filesOf(prefixes) {
    const names = await readdir(this.#folder);
    const isAsked = (file) => prefixes.some((prefix) => (prefix.endsWith('/') ? file === fileOf(prefix) || file.startsWith(`${prefix.slice(0, -1)}-`) : file === fileOf(prefix)));
    return names.filter((name) => name.endsWith('.json') && name !== CHANGES && isAsked(name));
  }

  async #read(file) {
    try {
      return JSON.parse(await readFile(join(this.#folder, file), 'utf8'));
    } catch (error) {
      if (error.code === 'ENOENT') return {};
      if (error instanceof SyntaxError) throw new LicenseError(306, `${join(this.#folder, file)} is damaged (${error.message}): delete it; the device asks for a new authorization`);
      throw error;
    }
  }

  async #write(changes) {
    const files = Object.keys(changes);
    if (files.length === 0) return;
    if (files.length > 1) await this.#replace(CHANGES, changes);
    for (const file of files) await this.#apply(file, changes[file]);
    if (files.length > 1) await unlink(join(this.#folder, CHANGES));
  }

  /** What a process that died had begun to write. */
  async #finishChanges() {
    if (!existsSync(join(this.#folder, CHANGES))) return;
    const changes = await this.#read(CHANGES);
    for (const [file, content] of Object.entries(changes)) await this.#apply(file, content);
    await unlink(join(this.#folder, CHANGES));
  }

  async #apply(file, content) {
    if (Object.keys(content).length > 0) await this.#replace(file, content);
    else await unlink(join(this.#folder, file)).catch(() => {});
  }

  async #replace(file, content) {
    const path = join(this.#folder, file);
    const handle = await open(`${path}.new`, 'w', 0o600);
    try {
      await handle.writeFile(JSON.stringify(content));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${path}.new`, path);
  }

  async #guarded(work) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof LicenseError || error.code === undefined) throw error;
      throw new LicenseError(306, `the data folder ${this.#folder} cannot be used (${error.message}): set dataFolder to a folder that this process may write`);
    }
  }
}

const CHANGES = 'changes.json';

/** `open/ID` and `open/` in open.json; `report/DAY/ID` in report-DAY.json; `device` in device.json. */
function fileOf(key) {
  const parts = key.split('/');
  return `${(parts.length > 1 ? parts.slice(0, -1) : parts).join('-')}.json`;
}

/** Shows that the holder of a lock lives. The returned function ends that. */
function keepRenewing(path) {
  const timer = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), RENEW_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** Where process numbers mean the same: one boot of one machine, one container. `null` where the system does not tell. */
const PROCESSES = (() => {
  if (process.platform !== 'linux') return hostname();
  try {
    return [hostname(), readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), readlinkSync('/proc/self/ns/pid')].join(' ');
  } catch {
    return null;
  }
})();

const holderOf = (id) => JSON.stringify({ pid: process.pid, processes: PROCESSES, id });

/** Whether the lock could be taken. */
async function takeLock(path, own) {
  try {
    const handle = await open(path, 'wx', 0o600);
    await handle.writeFile(own);
    await handle.close();
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  if (!(await isStale(path))) return false;
  // Of several that see a stale lock, one removes it, and only after looking once more.
  const breaker = `${path}.stale`;
  try {
    await (await open(breaker, 'wx', 0o600)).close();
  } catch {
    if (await isStale(breaker)) await unlink(breaker).catch(() => {});
    return false;
  }
  if (await isStale(path)) await unlink(path).catch(() => {});
  await unlink(breaker).catch(() => {});
  return false;
}

/** Locks as they were last seen, and since when they have looked so by a clock that nobody sets. */
const seen = new Map();

/**
 * Whether nobody holds this lock any more: its process is known to have ended, or it was not
 * renewed all the while that this process has watched it. Its age says nothing: clocks of two
 * machines differ, and each may be set.
 */
async function isStale(path) {
  let text;
  let look;
  try {
    // Opened anew, so that a file system over the network tells what is there now.
    const handle = await open(path, 'r');
    try {
      text = await handle.readFile('utf8');
      look = `${(await handle.stat()).mtimeMs} ${text}`;
    } finally {
      await handle.close();
    }
  } catch {
    seen.delete(path);
    return false;
  }
  const now = performance.now();
  const known = seen.get(path);
  if (known?.look !== look) seen.set(path, { look, since: now });
  const watchedMs = known?.look === look ? now - known.since : 0;
  let holder = {};
  try {
    holder = JSON.parse(text);
  } catch {
    // Just made and not written yet, or by a process that died just then.
  }
  const isHere = PROCESSES !== null && holder.processes === PROCESSES;
  return (isHere && !isAlive(holder.pid)) || watchedMs > (isHere ? STALE_HERE_MS : STALE_MS);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

// ---- the way to a server -------------------------------------------------------------------

/** The certificate authority of a site, PEM, by its fingerprint. */
const authorities = new Map();

async function send(url, { method, contentType, body, timeoutMs, authority }) {
  const ca = url.startsWith('https:') && authority !== undefined ? await authorityOf(url, authority, timeoutMs) : undefined;
  return exchange(url, { method, contentType, body, timeoutMs, ca });
}

async function authorityOf(url, authority, timeoutMs) {
  if (!authority.startsWith('sha256:')) return authority;
  const expected = authority.toLowerCase();
  const known = authorities.get(expected);
  if (known !== undefined) return known;
  const { origin } = new URL(url);
  // Nothing secret goes over this connection; what comes back is proven by the fingerprint.
  const reply = await exchange(`${origin}/api/v1/server`, { method: 'GET', timeoutMs, isAnybody: true });
  let pem = '';
  try {
    pem = JSON.parse(new TextDecoder().decode(reply.body)).ca_pem;
  } catch {
    // Told below.
  }
  const body = /-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/.exec(pem)?.[1] ?? '';
  const found = `sha256:${createHash('sha256').update(Buffer.from(body, 'base64')).digest('hex')}`;
  if (found !== expected) {
    throw new LicenseError(303, `what answers is not the server that the license key names: its certificate authority is ${found}, the key says ${expected}; copy the key anew, or see who answers at ${origin}`);
  }
  authorities.set(expected, pem);
  return pem;
}

function exchange(url, { method, contentType, body, timeoutMs, ca, isAnybody = false }) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': contentType, 'Content-Length': body.length };
    const fail = (error) => {
      const isTrust = /^(CERT_|ERR_TLS_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|ERR_SSL_|EPROTO|HOSTNAME_MISMATCH|INVALID_CA)/.test(error.code ?? '');
      const trust = 'give the license key that the server shows now, or certificateAuthority, or NODE_EXTRA_CA_CERTS';
      reject(isTrust ? new LicenseError(303, `its certificate is not trusted (${error.message}): ${trust}`) : new LicenseError(302, `it cannot be reached (${error.message})`));
    };
    const begin = url.startsWith('https:') ? httpsRequest : httpRequest;
    const signal = AbortSignal.timeout(timeoutMs);
    // A server that has several certificates shows that of the site's authority to whoever offers this protocol.
    const ALPNProtocols = ca === undefined ? undefined : ['http/1.1', 'tk-site-ca'];
    const outgoing = begin(url, { method, headers, ca, ALPNProtocols, rejectUnauthorized: !isAnybody, agent: false, signal }, (incoming) => {
      const chunks = [];
      incoming.on('data', (chunk) => chunks.push(chunk));
      incoming.on('error', fail);
      incoming.on('end', () => {
        const { 'content-type': type = '', 'retry-after': retryAfter } = incoming.headers;
        resolve({ status: incoming.statusCode, contentType: type, retryAfter: Number(retryAfter) || 0, body: new Uint8Array(Buffer.concat(chunks)) });
      });
    });
    outgoing.on('error', (error) => (signal.aborted ? reject(new LicenseError(302, `it did not answer within ${timeoutMs / 1_000} s`)) : fail(error)));
    outgoing.end(body);
  });
}

// ---- the machine ---------------------------------------------------------------------------

/**
 * The UUID that follows from the machine, the same as other languages' clients tell: the
 * system's id with the CPU's, on ARM with the network cards' addresses, hashed, so that nothing
 * can be read back. `null` where the system tells no id.
 */
export function hardwareUuid(root = '/') {
  const read = (name) => {
    try {
      return readFileSync(join(root, name), 'utf8').trim();
    } catch {
      return '';
    }
  };
  const machine = ['etc/machine-id', 'var/lib/dbus/machine-id'].map((name) => read(name).toLowerCase()).find(isTelling);
  if (machine === undefined) return null;
  const second = process.arch.startsWith('arm') ? networkAddresses(root, read) : cpuModel(read('proc/cpuinfo'));
  const bytes = createHash('sha256').update(`tollkeeper device\0${machine}\0${second}`).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x80;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

// Makers leave placeholders that thousands of machines share.
function isTelling(fact) {
  return fact !== '' && !/^[0-]*$|^[f-]*$/.test(fact) && !['uninitialized', 'none', 'default string', 'to be filled by o.e.m.', 'not specified', 'system serial number', '0123456789'].includes(fact);
}

function cpuModel(cpuinfo) {
  const lines = cpuinfo.split('\n').map((line) => [line.slice(0, line.indexOf(':')).trim(), line.slice(line.indexOf(':') + 1).trim()]);
  const value = (name) => lines.find(([key]) => key === name)?.[1];
  return ['model name', 'Hardware', 'CPU implementer', 'CPU part'].map(value).filter(Boolean).join(' / ');
}

function networkAddresses(root, read) {
  const cards = join(root, 'sys/class/net');
  const builtIn = existsSync(cards) ? readdirSync(cards).filter((card) => existsSync(join(cards, card, 'device'))) : [];
  return builtIn.map((card) => read(join('sys/class/net', card, 'address'))).sort().join(' ');
}

Object.assign(Tollkeeper.platform, {
  deploymentType: 'server',
  processName: process.argv[1] === undefined ? undefined : basename(process.argv[1]),
  hardwareUuid,
  openStorage: ({ dataFolder }) => new FileStorage(join(dataFolder ?? join(homedir(), '.tollkeeper'), 'node')),
  onExit: (flush) => {
    // Once: a flush that fails must not keep the program running.
    process.once('beforeExit', flush);
    return () => void process.off('beforeExit', flush);
  },
  send,
});

export * from './tollkeeper.mjs';
export default Tollkeeper;
