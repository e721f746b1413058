/**
 * Tollkeeper's client library: gets an application its license from a license server on your
 * own network, keeps it while there is no network, and reports use.
 *
 * A classic script without dependencies; it sets `globalThis.Tollkeeper`. Applications with
 * modules import `tollkeeper.mjs` (browsers) or the package (Node). README.md tells the rest.
 *
 *   errors · texts and times · settings · genuineness · product keys · carried by hand ·
 *   sealed bodies · storage · site time and pauses · deduplicator · license · script tag
 */
(() => {
  'use strict';

  // A page may load it as a script and as a module too: it is one library, with one `ready`.
  if (globalThis.Tollkeeper !== undefined) return;

  const SLOT_SECONDS = 180;
  const DAY_SECONDS = 86_400;
  const REPORT_MAX_AGE_SECONDS = 30 * DAY_SECONDS;
  const REPORTS_MAX = 1_000;
  /** A server takes a MiB with all that is around the reports. */
  const BATCH_BYTES_MAX = 900_000;
  /** Browsers send at most 64 KiB for a page that ends. */
  const KEEPALIVE_BYTES_MAX = 60_000;
  /** Most servers of which a device tells what it has seen of them. */
  const SEEN_MAX = 8;
  const TYPES_MAX = 64;
  const COUNT_MAX = 1_000_000_000;
  const NEVER = Number.MAX_SAFE_INTEGER;

  // ---- errors --------------------------------------------------------------------------------

  const TITLES = {
    100: 'This server is not serving now',
    101: 'Handshake code does not exist',
    102: 'Session password is wrong',
    103: 'Domain does not match the handshake code',
    104: 'No license item of this handshake code fits',
    105: 'Handshake code not usable by this protocol version',
    106: 'Product does not match',
    107: 'Version not covered',
    108: 'Deployment type not covered',
    109: 'Edition not covered',
    111: 'License item has expired',
    112: 'License item is not yet effective',
    113: 'License item is invalid or revoked',
    114: 'Application does not match the handshake code',
    115: 'Charge way does not match the license item',
    120: 'License has exceeded its limit',
    121: 'Organization is unknown or has no default handshake code',
    122: 'Handshake code belongs to another organization',
    123: 'Neither handshake code nor organization given',
    124: 'A needed license item is missing',
    130: 'Too many requests',
    151: 'Device clone detected',
    200: 'Malformed request',
    201: 'Usage report is too old',
    202: 'Usage report is from the future',
    203: 'Device is not authorized to report',
    204: 'Module not covered',
    210: "The server's license is not valid here",
    300: 'The license library failed',
    301: 'License settings cannot be used',
    302: 'No license server could be reached',
    303: 'The license server is not trusted',
    304: "The license server's answer is not genuine",
    305: 'The authorization has ended',
    306: 'The data folder cannot be used',
    307: 'The product key is not genuine',
    308: 'The license server cannot take sealed requests',
  };

  const USER_MESSAGES = [
    [[100, 130, 210], 'The license server is busy or being set up. Please try again in a few minutes.'],
    [[120], 'All licenses are in use or used up. Please try again later, or ask your administrator for more.'],
    [[111, 305], 'The license has ended. Please connect to the network and try again, or ask your administrator to renew it.'],
    [[112], 'The license has not begun yet. Please ask your administrator when it does.'],
    [[151], 'This device was copied or restored from a backup. Please ask your administrator to reset it.'],
    [[107, 109, 124, 204], 'This feature is not part of the license. Please ask your administrator.'],
    [[302], 'The license server cannot be reached. Please check the network connection and try again.'],
    [[303, 304], 'The license server could not be verified. Please tell your administrator.'],
    [[306], 'This application cannot store its license on this device. Please tell your administrator.'],
  ];
  const USER_MESSAGE_ELSE = 'This application is not licensed correctly. Please tell your administrator the code.';

  /** Another server may say otherwise, and the authorization in force goes on. */
  const TEMPORARY = new Set([100, 130, 210, 302, 303, 304, 308]);
  /** A server that does not know the name may be the wrong one of two. */
  const MAYBE_WRONG_SERVER = new Set([101, 121]);

  /** Why there is no license, or why something that was asked for was not done. */
  class LicenseError extends Error {
    /**
     * @param {number} code The number of the table in README.md.
     * @param {string} message For the developer: what happened, which value, what to do.
     * @param {{server: string, code: number, message: string}[]} [failures] Why each server that was asked did not serve.
     */
    constructor(code, message, failures = []) {
      super(message);
      this.name = 'LicenseError';
      /** The number of the table in README.md. */
      this.code = code;
      /** Why each server that was asked did not serve. */
      this.failures = failures;
    }

    /** The number that applications show: −(20000 + code). */
    get sdkCode() {
      return -(20_000 + this.code);
    }

    /** The kind of failure in a few words. */
    get title() {
      return TITLES[this.code] ?? 'The license server refused';
    }

    /** What to tell the end user, who can do little more than try again or ask somebody. */
    get userMessage() {
      return USER_MESSAGES.find(([codes]) => codes.includes(this.code))?.[1] ?? USER_MESSAGE_ELSE;
    }
  }

  const wrong = (message) => new LicenseError(301, message);
  const asLicenseError = (error) => (error instanceof LicenseError ? error : new LicenseError(300, `this library failed, tell its maker: ${error?.stack ?? error}`));

  /** Why an authorization is not believed. The reasons are those of the shared test vectors. */
  class Distrust extends Error {
    constructor(reason) {
      super(Distrust.TEXTS[reason]);
      this.reason = reason;
    }

    static TEXTS = {
      malformed: 'the authorization cannot be read',
      unknown_vendor: "the server's certificate is signed by a vendor that this application does not know",
      bad_signature: 'the authorization or its certificate was changed after signing',
      wrong_server: 'the authorization names another server than its certificate',
      wrong_organization: 'the authorization is for another organization',
      certificate_not_valid: "the server's certificate was not valid when the authorization was given",
      wrong_nonce: 'the authorization answers another request',
      wrong_device: 'the authorization is for another device',
      wrong_code: 'the authorization is for another handshake code',
      not_yet: 'the authorization has not begun',
      expired: 'the authorization has ended',
    };
  }

  // ---- texts and times -----------------------------------------------------------------------

  const utf8 = new TextEncoder();
  const toUtf8 = (text) => utf8.encode(text);
  const fromUtf8 = (bytes) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  const byteLength = (text) => toUtf8(text).length;
  const counted = (number, what) => `${number} ${what}${number === 1 ? '' : 's'}`;
  const shorten = (text) => (text.length > 60 ? `${text.slice(0, 57)}...` : text);

  /** @param {...Uint8Array} parts */
  function concat(...parts) {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  function toBase64url(bytes) {
    let text = '';
    for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  }

  /** Strict: no padding, no white space, no stray bits. `null` when it is not base64url. */
  function fromBase64url(text) {
    if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return null;
    const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
    return toBase64url(bytes) === text ? bytes : null;
  }

  /** The object in these bytes; `null` when they are no JSON object or nested too deep. */
  function parseObject(bytes) {
    if (bytes === null || bytes[0] !== 0x7b) return null;
    try {
      const value = JSON.parse(fromUtf8(bytes));
      const depth = (inner) => (inner !== null && typeof inner === 'object' ? 1 + Object.values(inner).reduce((most, each) => Math.max(most, depth(each)), 0) : 0);
      return depth(value) > 16 ? null : value;
    } catch {
      return null;
    }
  }

  const isText = (value) => typeof value === 'string' && value !== '';
  /** What this very object holds: callers and servers may name things like `constructor`, which every object inherits. */
  const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);
  const quoted = (value) => (typeof value === 'string' ? JSON.stringify(value) : String(value));
  const isUuid = (text) => typeof text === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text) && /[1-9a-f]/i.test(text);
  const sameUuid = (a, b) => isUuid(a) && isUuid(b) && a.toLowerCase() === b.toLowerCase();
  const lower = (text) => text.replace(/[A-Z]/g, (c) => c.toLowerCase());
  const sameWord = (a, b) => lower(a) === lower(b);
  const permits = (list, given) => list.length === 0 || (given != null && list.some((word) => sameWord(word, given)));

  /** Seconds since 1970 of an RFC 3339 time; NaN when it is none. */
  function secondsOf(text) {
    const isTime = typeof text === 'string' && /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(text);
    return isTime ? Math.floor(Date.parse(text.replace(' ', 'T').toUpperCase()) / 1_000) : NaN;
  }

  const timeOf = (seconds) => new Date(seconds * 1_000).toISOString().replace('.000Z', 'Z');

  /** Start of the 3-minute slot (UTC) that holds this moment, both in seconds since 1970. */
  const slotOf = (seconds) => Math.floor(seconds / SLOT_SECONDS) * SLOT_SECONDS;

  function randomBytes(length) {
    return crypto.getRandomValues(new Uint8Array(length));
  }

  function uuidOf(bytes, version) {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  }

  const randomUuid = () => uuidOf(randomBytes(16), 4);

  /** UUID version 7 with the slot's time: ids that grow are the quickest for a server to take. */
  function reportId(slot) {
    const bytes = randomBytes(16);
    new DataView(bytes.buffer).setUint32(0, Math.floor((slot * 1_000) / 0x10000));
    new DataView(bytes.buffer).setUint16(4, (slot * 1_000) % 0x10000);
    return uuidOf(bytes, 7);
  }

  // ---- settings ------------------------------------------------------------------------------

  /** @returns What a license key holds. Throws {@link LicenseError} 301 when it is none. */
  function parseLicenseKey(text) {
    const again = 'copy it whole from the handshake code’s page';
    const key = text.trim();
    if (!key.startsWith('TK1.')) throw wrong(`licenseKey: a license key begins with TK1.: ${again}`);
    if (key.length > 8_192) throw wrong('licenseKey: a license key has at most 8192 characters');
    const body = parseObject(fromBase64url(key.slice(4)));
    const isGood =
      body !== null &&
      Array.isArray(body.servers) &&
      body.servers.every((server) => typeof server === 'string') &&
      typeof body.organization_id === 'string' &&
      typeof body.handshake_code === 'string' &&
      [body.session_password, body.ca].every((text) => text == null || typeof text === 'string');
    if (!isGood) throw wrong(`licenseKey: the license key is damaged: ${again}`);
    if (body.servers.length === 0) throw wrong('licenseKey: the license key names no server');
    return { ...body, session_password: body.session_password ?? null, ca: body.ca ?? null };
  }

  const SPKI_ED25519 = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

  /** The 32 bytes of each public key in a text: PEM blocks, or the base64 of one alone. */
  function parseVendorKeys(text) {
    const bare = /^[A-Za-z0-9+/=\s]+$/.test(text);
    const bodies = bare ? [text] : Array.from(text.matchAll(/-----BEGIN PUBLIC KEY-----([^-]*)-----END PUBLIC KEY-----/g), (match) => match[1]);
    const again = 'give the text of the vendor.pub that "tollkeeper vendor keygen" wrote';
    if (text.trim() === '' || bodies.length === 0) throw wrong(`vendorPublicKey is not set or holds no PUBLIC KEY: ${again}`);
    return bodies.map((body) => {
      let der = new Uint8Array();
      try {
        der = Uint8Array.from(atob(body.replace(/\s/g, '')), (c) => c.charCodeAt(0));
      } catch {
        // What is not base64 is no key either.
      }
      if (der.length !== 44 || SPKI_ED25519.some((byte, at) => der[at] !== byte)) throw wrong(`vendorPublicKey: it is damaged or of another kind than Ed25519: ${again}`);
      return der.slice(12);
    });
  }

  const DEPLOYMENT_TYPES = ['browser', 'mobile', 'server', 'desktop', 'embedded'];
  const CHARGE_WAYS = ['scan', 'page', 'device', 'concurrent_device', 'concurrent_instance', 'server', 'domain'];

  const text = (name, value) => {
    if (typeof value !== 'string') throw wrong(`${name} must be a text, not ${JSON.stringify(value)}`);
    return value === '' ? undefined : value;
  };
  const oneOf = (choices) => (name, value) => {
    if (value === '' || choices.includes(value)) return value || undefined;
    throw wrong(`${name}: '${value}' is none of ${choices.join(', ')}`);
  };
  const whole = (least, most) => (name, value) => {
    const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
    if (Number.isInteger(number) && number >= least && number <= most) return number;
    throw wrong(`${name}: ${JSON.stringify(value)} is not a whole number from ${least} to ${most}`);
  };
  const func = (name, value) => {
    if (typeof value !== 'function') throw wrong(`${name} must be a function`);
    return value;
  };

  const SETTINGS = {
    vendorPublicKey: text,
    licenseKey: text,
    mainServerURL: text,
    standbyServerURL: text,
    organizationId: text,
    handshakeCode: text,
    sessionPassword: text,
    certificateAuthority: text,
    productKey: text,
    product: text,
    productVersion: text,
    edition: text,
    deploymentType: oneOf(DEPLOYMENT_TYPES),
    limitedModules: (name, value) => {
      const list = typeof value === 'string' ? value.split(',').map((word) => word.trim()).filter(Boolean) : value;
      if (Array.isArray(list) && list.length <= 64 && list.every(isText)) return list;
      throw wrong(`${name} must be a list of at most 64 module names, such as ["qr-code", "1d"]`);
    },
    chargeWay: oneOf(CHARGE_WAYS),
    instances: whole(1, 1_000_000),
    maxBufferDays: whole(1, 365),
    uuidMethod: oneOf(['random', 'hardware']),
    dataFolder: text,
    applicationId: text,
    processName: text,
    sealed: (name, value) => {
      if ([true, 'true', '1'].includes(value)) return true;
      if ([false, 'false', '0', ''].includes(value)) return false;
      throw wrong(`${name} must be true or false`);
    },
    flushSeconds: whole(1, 3_600),
    releaseOnClose: oneOf(['instances', 'seat', 'nothing']),
    timeoutSeconds: whole(1, 600),
    // For tests, and for places that are neither a browser nor Node.
    storage: (name, value) => {
      if (typeof value?.transact === 'function' && typeof value?.lock === 'function') return value;
      throw wrong(`${name} must be a storage such as Tollkeeper.memoryStorage()`);
    },
    now: func,
    monotonic: func,
    random: func,
    send: func,
  };

  /**
   * Checks that settings make sense together, before anything is asked or written.
   *
   * @param {object} given Settings by their names; README.md has the table.
   * @returns {object} The settings with defaults filled in and the license key taken apart.
   * @throws {LicenseError} 301, naming the setting and what to set.
   */
  function checkSettings(given) {
    if (given === null || typeof given !== 'object') throw wrong('the settings must be an object such as { licenseKey, vendorPublicKey, product }');
    const set = {};
    for (const [name, value] of Object.entries(given)) {
      if (!Object.hasOwn(SETTINGS, name)) throw wrong(`there is no setting '${name}': the settings are ${Object.keys(SETTINGS).join(', ')}`);
      if (value != null) set[name] = SETTINGS[name](name, value);
    }
    if (set.product === undefined) throw wrong('product is not set: name the product that runs, such as dbr');
    const vendorKeys = parseVendorKeys(set.vendorPublicKey ?? '');
    if (set.productKey !== undefined) {
      for (const [name, what] of [['licenseKey', 'a license key'], ['handshakeCode', 'a handshake code'], ['organizationId', 'an organization ID']]) {
        if (set[name] !== undefined) throw wrong(`productKey cannot be used together with ${what}: product keys work without a server; leave out one of the two`);
      }
    }
    const key = set.licenseKey === undefined ? null : parseLicenseKey(set.licenseKey);
    const main = set.mainServerURL ?? key?.servers[0];
    const others = set.standbyServerURL !== undefined ? [set.standbyServerURL] : set.mainServerURL !== undefined ? [] : (key?.servers.slice(1) ?? []);
    if (main === undefined && others.length > 0) throw wrong('standbyServerURL is set, but mainServerURL is not: set the main server first');
    // With a code alone, everything is carried by hand.
    if (main === undefined && [set.productKey, set.handshakeCode, set.organizationId].every((given) => given === undefined)) {
      throw wrong('no license server and no product key is set: give licenseKey, or mainServerURL with handshakeCode, or productKey');
    }
    const servers = [main, ...others].filter((server) => server !== undefined).map(cleanUrl);
    const platform = Tollkeeper.platform;
    if (set.uuidMethod === 'hardware' && !platform.hardwareUuid) throw wrong('uuidMethod: a browser does not tell anything about the machine: leave it out, or set random');
    const authority = set.certificateAuthority ?? key?.ca ?? undefined;
    if (set.certificateAuthority !== undefined && !/^sha256:[0-9a-f]{64}$/i.test(authority) && !authority.includes('-----BEGIN CERTIFICATE-----')) {
      throw wrong(`certificateAuthority: '${shorten(authority)}' is neither sha256: with a fingerprint nor a PEM certificate`);
    }
    const plain = authority === undefined ? undefined : servers.find((server) => !/^https:/i.test(server));
    if (plain !== undefined) {
      // Somebody who can change settings or answers must not get passwords and use in clear where the site asked for its own authority.
      throw wrong(`the server URL '${plain}' has no encryption, but ${set.certificateAuthority === undefined ? 'the license key' : 'certificateAuthority'} names a certificate authority: use https://`);
    }
    const nonempty = (value) => (value === '' ? undefined : (value ?? undefined));
    return {
      ...set,
      vendorKeys,
      servers,
      authority,
      organizationId: set.organizationId ?? nonempty(key?.organization_id),
      handshakeCode: set.handshakeCode ?? nonempty(key?.handshake_code),
      sessionPassword: set.sessionPassword ?? nonempty(key?.session_password),
      deploymentType: set.deploymentType ?? platform.deploymentType,
      limitedModules: set.limitedModules ?? [],
      instances: set.instances ?? 1,
      processName: set.processName ?? platform.processName,
      sealed: set.sealed ?? false,
      flushSeconds: set.flushSeconds ?? 10,
      releaseOnClose: set.releaseOnClose ?? 'instances',
      timeoutSeconds: set.timeoutSeconds ?? 20,
      now: set.now ?? (() => Date.now()),
      monotonic: set.monotonic ?? (() => performance.now()),
      random: set.random ?? Math.random,
      send: set.send ?? platform.send,
    };
  }

  function cleanUrl(server) {
    let url;
    try {
      url = new URL(server);
    } catch {
      // Told below.
    }
    if (url?.protocol !== 'https:' && url?.protocol !== 'http:') throw wrong(`the server URL '${server}' must start with https://, such as https://license.example.com:48443`);
    return server.replace(/\/+$/, '');
  }

  // ---- genuineness ---------------------------------------------------------------------------

  /** WebCrypto with Ed25519, without which no answer can be told from a forged one. */
  async function needCrypto() {
    if (!globalThis.crypto?.subtle) {
      throw new LicenseError(304, 'answers cannot be verified here, because WebCrypto is missing: browsers have it in secure contexts only, so serve the page by https:// (or from localhost)');
    }
    try {
      await crypto.subtle.importKey('raw', new Uint8Array(32), { name: 'Ed25519' }, true, ['verify']);
    } catch (error) {
      if (error?.name === 'NotSupportedError') {
        throw new LicenseError(304, 'answers cannot be verified here, because this browser has no Ed25519: use Chrome or Edge 137, Firefox 129, Safari 17, Node 20 or newer');
      }
    }
  }

  /** An Ed25519 public key with its RFC 7638 thumbprint, by which documents name it. */
  async function verifyingKey(bytes) {
    const key = await crypto.subtle.importKey('raw', bytes, { name: 'Ed25519' }, true, ['verify']);
    const jwk = `{"crv":"Ed25519","kty":"OKP","x":"${toBase64url(bytes)}"}`;
    return { key, kid: toBase64url(new Uint8Array(await crypto.subtle.digest('SHA-256', toUtf8(jwk)))) };
  }

  /** Reads a compact JWS strictly: one algorithm, one `typ`. `null` when it has another form. */
  function parseJws(text, typ, maxBytes) {
    const parts = typeof text === 'string' && text.length <= maxBytes ? text.split('.') : [];
    if (parts.length !== 3) return null;
    const [header, payload, signature] = parts.map(fromBase64url);
    const head = parseObject(header);
    const body = parseObject(payload);
    if (head === null || body === null || signature?.length !== 64) return null;
    if (head.alg !== 'EdDSA' || head.typ !== typ || typeof head.kid !== 'string' || 'crit' in head) return null;
    if ('svr' in head && typeof head.svr !== 'string') return null;
    return { head, body, signature, signed: toUtf8(`${parts[0]}.${parts[1]}`) };
  }

  const isSignedBy = (jws, key) => crypto.subtle.verify({ name: 'Ed25519' }, key.key, jws.signature, jws.signed);

  /** A server certificate that one of these vendors signed; throws {@link Distrust}. */
  async function checkCertificate(text, vendors) {
    const jws = parseJws(text, 'tk-server+jws', 8_192);
    if (jws === null) throw new Distrust('malformed');
    const vendor = vendors.find((key) => key.kid === jws.head.kid);
    if (vendor === undefined) throw new Distrust('unknown_vendor');
    if (!(await isSignedBy(jws, vendor))) throw new Distrust('bad_signature');
    const { body } = jws;
    const raw = body.jwk?.kty === 'OKP' && body.jwk.crv === 'Ed25519' && typeof body.jwk.x === 'string' ? fromBase64url(body.jwk.x) : null;
    const [from, to] = [secondsOf(body.not_before), secondsOf(body.not_after)];
    if (raw?.length !== 32 || !isUuid(body.server_uuid) || !isText(body.organization_id) || !(from < to)) throw new Distrust('malformed');
    return { ...body, key: await verifyingKey(raw), isValidAt: (seconds) => seconds >= from && seconds <= to };
  }

  const isClaims = (body) =>
    ['iat', 'nbf', 'exp'].every((name) => Number.isSafeInteger(body[name])) &&
    ['nonce', 'org', 'hs', 'hid'].every((name) => typeof body[name] === 'string') &&
    isUuid(body.iss) &&
    isUuid(body.sub) &&
    Array.isArray(body.items) &&
    body.items.every((item) => typeof item?.product === 'string' && typeof item.charge_way === 'string' && Number.isSafeInteger(item.instances));

  /**
   * Checks the whole chain (vendor, server certificate, authorization), and that the
   * authorization is the one that was asked for. Whether it is in force is for {@link checkTime}.
   *
   * @param {string} authorization A compact JWS.
   * @param {{key: CryptoKey, kid: string}[]} vendors The vendors whose word counts.
   * @param {{clientUuid: string, nonce?: string, organizationId?: string, handshakeCode?: string}} expected
   * @returns {Promise<object>} The claims.
   * @throws {Distrust}
   */
  async function checkChain(authorization, vendors, expected) {
    const jws = parseJws(authorization, 'tk-authorization+jws', 32_768);
    if (jws === null || jws.head.svr === undefined) throw new Distrust('malformed');
    const certificate = await checkCertificate(jws.head.svr, vendors);
    if (jws.head.kid !== certificate.key.kid || !(await isSignedBy(jws, certificate.key))) throw new Distrust('bad_signature');
    const claims = jws.body;
    if (!isClaims(claims)) throw new Distrust('malformed');
    if (!sameUuid(certificate.server_uuid, claims.iss)) throw new Distrust('wrong_server');
    if (certificate.organization_id !== claims.org) throw new Distrust('wrong_organization');
    if (!certificate.isValidAt(claims.iat)) throw new Distrust('certificate_not_valid');
    if (expected.nonce != null && expected.nonce !== claims.nonce) throw new Distrust('wrong_nonce');
    if (!sameUuid(expected.clientUuid, claims.sub)) throw new Distrust('wrong_device');
    if (expected.organizationId != null && expected.organizationId !== claims.org) throw new Distrust('wrong_organization');
    if (expected.handshakeCode != null && !sameWord(expected.handshakeCode, claims.hs)) throw new Distrust('wrong_code');
    return claims;
  }

  /** Whether the authorization is in force at `now`, seconds since 1970; throws {@link Distrust}. */
  function checkTime(claims, now) {
    if (now < claims.nbf) throw new Distrust('not_yet');
    if (now >= claims.exp) throw new Distrust('expired');
  }

  // ---- product keys --------------------------------------------------------------------------

  function coversVersion(versions, given) {
    const patterns = (versions ?? '').split(',').map((pattern) => pattern.trim()).filter(Boolean);
    const covers = (pattern) => {
      const wanted = pattern.split('.');
      const parts = given.split('.');
      // A final `*` is any rest, none included; `9.6` covers 9.6.30: what is bought is a line.
      return wanted.every((part, at) => (part === '*' ? at + 1 === wanted.length || at < parts.length : part === parts[at]));
    };
    return patterns.length === 0 || (given != null && patterns.some(covers));
  }

  const isAddress = (host) => host.startsWith('[') || host.includes(':') || /^\d+$/.test(host.split('.').at(-1));

  /** Whether a host lies inside a licensed domain: equal to it or below it. */
  function coversHost(domain, host) {
    const name = lower(host.replace(/\.$/, ''));
    const wanted = lower(domain);
    if (wanted === '' || name === wanted) return wanted !== '';
    return wanted.includes('.') && !isAddress(name) && name.endsWith(`.${wanted}`) && name.length > wanted.length + 1;
  }

  const words = (list) => list === undefined || (Array.isArray(list) && list.length <= 64 && list.every(isText));

  const isProductKey = (body) =>
    body.product_key_version === '1' &&
    Number.isSafeInteger(body.product_key_id) &&
    body.product_key_id > 0 &&
    isText(body.product) &&
    words(body.editions) &&
    words(body.modules) &&
    (body.deployment_types === undefined || (Array.isArray(body.deployment_types) && body.deployment_types.every((kind) => DEPLOYMENT_TYPES.includes(kind)))) &&
    (body.versions === undefined || typeof body.versions === 'string') &&
    secondsOf(body.valid_from) < secondsOf(body.valid_to) &&
    (body.machine == null || isUuid(body.machine)) &&
    (body.domain == null || isText(body.domain));

  /**
   * Reads product keys separated by `;` and checks each signature. One that cannot be believed
   * refuses them all, because nobody gives it on purpose.
   *
   * @throws {LicenseError} 307
   */
  async function readProductKeys(text, vendors) {
    const pieces = text.split(';').map((piece) => piece.trim()).filter(Boolean);
    if (pieces.length < 1 || pieces.length > 16) throw new LicenseError(307, `${pieces.length} product keys were given: give 1 to 16, separated by ';'`);
    const keys = [];
    for (const [index, piece] of pieces.entries()) {
      const fail = (why) => new LicenseError(307, `${pieces.length === 1 ? 'the product key' : `product key ${index + 1} of ${pieces.length}`} ${why}`);
      const jws = parseJws(piece, 'tk-product-key+jws', 65_536);
      if (jws === null) throw fail('is damaged: copy it whole from what the vendor sent');
      const vendor = vendors.find((key) => key.kid === jws.head.kid);
      if (vendor === undefined) throw fail(`is signed by the unknown key ${shorten(jws.head.kid)}: ask the vendor for one for this application`);
      if (!(await isSignedBy(jws, vendor))) throw fail('was changed after signing: copy it whole from what the vendor sent');
      if (!isProductKey(jws.body)) throw fail('says something that this version of the client cannot read: use a newer client');
      keys.push({ editions: [], modules: [], deployment_types: [], ...jws.body });
    }
    return keys;
  }

  /** Code and words why a key does not fit, with how far it got; `null` when it fits but for modules of other keys. */
  function misfit(key, request, now) {
    const [from, to] = [secondsOf(key.valid_from), secondsOf(key.valid_to)];
    const none = 'none given';
    const checks = [
      [106, sameWord(key.product, request.product), key.product, request.product],
      [107, coversVersion(key.versions, request.version), key.versions, request.version ?? none],
      [108, key.deployment_types.length === 0 || key.deployment_types.includes(request.deploymentType), key.deployment_types.join(', '), request.deploymentType ?? none],
      [109, permits(key.editions, request.edition), key.editions.join(', '), request.edition ?? none],
      [204, request.modules.length === 0 || request.modules.some((module) => permits(key.modules, module)), key.modules.join(', '), request.modules.join(', ')],
      [112, now >= from, `from ${key.valid_from}`, timeOf(now)],
      [111, now <= to, `until ${key.valid_to}`, timeOf(now)],
      [113, key.machine == null || sameUuid(key.machine, request.machine), `machine ${key.machine}`, request.machine ?? none],
      [103, key.domain == null || (request.host != null && coversHost(key.domain, request.host)), `${key.domain} or a host in it`, request.host ?? none],
    ];
    const rank = checks.findIndex(([, fits]) => !fits);
    if (rank < 0) return null;
    const [code, , expected, given] = checks[rank];
    return { rank, code, message: `product key ${key.product_key_id}: ${TITLES[code]} (expected ${expected}, given ${given})` };
  }

  const MODULE_RANK = 4;

  /**
   * The keys that cover a request: the first that covers it alone, else several whose modules
   * together are enough. The refusal is that of the key that got furthest.
   *
   * @throws {LicenseError} The code of the table.
   */
  function checkProductKeys(keys, request, now) {
    const tried = keys.map((key) => ({ key, refusal: misfit(key, request, now) }));
    const fitting = tried.filter(({ refusal }) => refusal === null).map(({ key }) => key);
    const alone = fitting.find((key) => request.modules.every((module) => permits(key.modules, module)));
    if (alone !== undefined) return [alone];
    let missing = [...request.modules];
    const covering = fitting.filter((key) => {
      const before = missing.length;
      missing = missing.filter((module) => !permits(key.modules, module));
      return missing.length < before;
    });
    if (missing.length === 0 && covering.length > 0) return covering;
    const lacking = missing[0];
    // Of keys that fit, one for the missing module may have failed later: it got further.
    const helps = (key) => lacking === undefined || fitting.length === 0 || permits(key.modules, lacking);
    let furthest = null;
    if (lacking !== undefined && fitting.length > 0) {
      const covered = fitting.flatMap((key) => key.modules).join(', ');
      furthest = { rank: MODULE_RANK, code: 204, message: `product key ${fitting[0].product_key_id}: ${TITLES[204]} (expected ${covered}, given ${lacking})` };
    }
    for (const { key, refusal } of tried) {
      if (refusal !== null && helps(key) && (furthest === null || refusal.rank > furthest.rank)) furthest = refusal;
    }
    throw new LicenseError(furthest?.code ?? 104, furthest?.message ?? 'no product key was given');
  }

  // ---- carried by hand -----------------------------------------------------------------------

  const CARRIED = {
    request: { prefix: 'TKR1.', label: 'TOLLKEEPER AUTHORIZATION REQUEST', name: 'an authorization request' },
    authorization: { prefix: 'TKA1.', label: 'TOLLKEEPER AUTHORIZATION', name: 'an authorization file' },
    reports: { prefix: 'TKU1.', label: 'TOLLKEEPER USAGE REPORTS', name: 'a usage report file' },
    receipt: { prefix: 'TKC1.', label: 'TOLLKEEPER USAGE RECEIPT', name: 'a usage receipt' },
  };

  /** @returns {{line: string, file: string}} The one line for a QR code, and the file with a summary for people. */
  function writeCarried(kind, content, summary = '') {
    const { prefix, label } = CARRIED[kind];
    const line = prefix + toBase64url(toUtf8(JSON.stringify(content)));
    const told = summary.trimEnd().replaceAll('-----', '- - -');
    const file = `${told === '' ? '' : `${told}\n\n`}-----BEGIN ${label}-----\n${line.match(/.{1,64}/g).join('\n')}\n-----END ${label}-----\n`;
    return { line, file };
  }

  /** Reads a line or a file; throws {@link LicenseError} 304 saying what it is instead. */
  function readCarried(kind, given) {
    const { prefix, name } = CARRIED[kind];
    const fail = (why) => new LicenseError(304, `this is not ${name}: ${why}; carry the whole text or file`);
    const bare = given.replace(/^\ufeff/, '').trim();
    let line = bare.replace(/\s+/g, '');
    if (!bare.startsWith('TK')) {
      const blocks = Array.from(bare.matchAll(/^[ \t]*-----BEGIN ([A-Z ]+)-----[ \t]*\r?\n([^]*?)-----END ([A-Z ]+)-----/gm));
      if (blocks.length !== 1) throw fail(blocks.length === 0 ? 'it has no BEGIN and END lines' : 'it holds several documents');
      const [, begun, body, ended] = blocks[0];
      if (begun !== ended) throw fail('its END line belongs to another document');
      if (begun !== CARRIED[kind].label) throw fail(`it is a ${begun}`);
      if (body.split('\n').some((part) => /\S\s+\S/.test(part))) throw fail('there is something else between its BEGIN and END lines');
      line = body.replace(/\s+/g, '');
    }
    if (!line.startsWith(prefix)) {
      const other = Object.values(CARRIED).find((known) => line.startsWith(known.prefix));
      throw fail(other === undefined ? 'it is text of another kind' : `it is ${other.name}`);
    }
    const content = parseObject(fromBase64url(line.slice(prefix.length)));
    if (content === null) throw fail('it is damaged');
    return content;
  }

  // ---- sealed bodies (HPKE, RFC 9180: X25519, HKDF-SHA256, AES-128-GCM) ---------------------

  const KEM_SUITE = concat(toUtf8('KEM'), new Uint8Array([0, 0x20]));
  const HPKE_SUITE = concat(toUtf8('HPKE'), new Uint8Array([0, 0x20, 0, 1, 0, 1]));
  const EMPTY = new Uint8Array();

  async function hmac(key, data) {
    // A key of no bytes and one of zeros are the same to HMAC, but not to every WebCrypto.
    const imported = await crypto.subtle.importKey('raw', key.length === 0 ? new Uint8Array(32) : key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    return new Uint8Array(await crypto.subtle.sign('HMAC', imported, data));
  }

  const extract = (suite, salt, label, input) => hmac(salt, concat(toUtf8('HPKE-v1'), suite, toUtf8(label), input));

  /** At most 32 bytes, so one block of HKDF-Expand is enough. */
  async function expand(suite, secret, label, info, length) {
    const block = concat(new Uint8Array([0, length]), toUtf8('HPKE-v1'), suite, toUtf8(label), info, new Uint8Array([1]));
    return (await hmac(secret, block)).slice(0, length);
  }

  /** The context that both sides have, from the Diffie-Hellman result on. */
  async function sealingContext(dh, enc, recipient, path) {
    const shared = await expand(KEM_SUITE, await extract(KEM_SUITE, EMPTY, 'eae_prk', dh), 'shared_secret', concat(enc, recipient), 32);
    const info = toUtf8(`tollkeeper sealed v1 ${path}`);
    const hashes = [await extract(HPKE_SUITE, EMPTY, 'psk_id_hash', EMPTY), await extract(HPKE_SUITE, EMPTY, 'info_hash', info)];
    const schedule = concat(new Uint8Array([0]), ...hashes);
    const secret = await extract(HPKE_SUITE, shared, 'secret', EMPTY);
    const exporter = await expand(HPKE_SUITE, secret, 'exp', schedule, 32);
    const cipher = async (key, iv, aad) => ({ key: await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt']), params: { name: 'AES-GCM', iv, additionalData: aad } });
    const exported = (name, length) => expand(HPKE_SUITE, exporter, 'sec', toUtf8(name), length);
    return {
      request: await cipher(await expand(HPKE_SUITE, secret, 'key', schedule, 16), await expand(HPKE_SUITE, secret, 'base_nonce', schedule, 12), EMPTY),
      answer: async (status) => cipher(await exported('tollkeeper answer key', 16), await exported('tollkeeper answer nonce', 12), toUtf8(String(status))),
    };
  }

  /**
   * Seals a request to a server's key.
   *
   * @param {{x: string}} jwk The server's sealing key.
   * @param {string} path Such as `/api/v1/authorize`.
   * @param {Uint8Array} plain The JSON.
   * @returns {Promise<{body: Uint8Array, open: (status: number, body: Uint8Array) => Promise<Uint8Array>}>}
   */
  async function seal(jwk, path, plain) {
    const recipient = fromBase64url(jwk.x);
    const x25519 = { name: 'X25519' };
    const pair = await crypto.subtle.generateKey(x25519, true, ['deriveBits']);
    const theirs = await crypto.subtle.importKey('raw', recipient, x25519, true, []);
    const dh = new Uint8Array(await crypto.subtle.deriveBits({ ...x25519, public: theirs }, pair.privateKey, 256));
    const enc = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
    const context = await sealingContext(dh, enc, recipient, path);
    const sealed = new Uint8Array(await crypto.subtle.encrypt(context.request.params, context.request.key, plain));
    return {
      body: concat(enc, sealed),
      open: async (status, body) => {
        const { key, params } = await context.answer(status);
        return new Uint8Array(await crypto.subtle.decrypt(params, key, body));
      },
    };
  }

  // ---- storage -------------------------------------------------------------------------------

  /** The records of one transaction; what `put` and `delete` change is written together. */
  class Records {
    #values;
    /** Keys that were changed. */
    changed = new Set();

    /** @param {Iterable<[string, any]>} entries */
    constructor(entries) {
      this.#values = new Map(entries);
    }

    get(key) {
      return this.#values.get(key);
    }

    /** Entries whose key begins so, in the order of their keys. */
    entries(prefix) {
      return Array.from(this.#values).filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
    }

    put(key, value) {
      this.#values.set(key, value);
      this.changed.add(key);
    }

    delete(key) {
      this.#values.delete(key);
      this.changed.add(key);
    }
  }

  const cacheError = (why) =>
    new LicenseError(306, `the cache in IndexedDB cannot be used (${why}): allow this site to store data; private windows and blocked cookies forbid it`);

  /** Runs one after the other what would get in each other's way. */
  class Queue {
    #last = Promise.resolve();

    /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
    run(work) {
      const mine = this.#last.then(work);
      this.#last = mine.catch(() => {});
      return mine;
    }
  }

  /** What a transaction answers that had to make way. */
  const MADE_WAY = Symbol('made way');

  /** What all tabs of one origin share. A transaction of the database keeps them apart. */
  class IndexedDbStorage {
    #opening = null;
    #database = null;
    #running = new Set();

    #open() {
      this.#opening ??= new Promise((resolve, reject) => {
        const fail = (why) => {
          this.#opening = null;
          reject(cacheError(why));
        };
        if (!globalThis.indexedDB) return fail('there is none here');
        let request;
        try {
          request = indexedDB.open('tollkeeper', 1);
        } catch (error) {
          return fail(error.message);
        }
        request.onupgradeneeded = () => request.result.createObjectStore('records', { keyPath: 'key' });
        request.onerror = () => fail(request.error?.message ?? 'it does not open');
        request.onblocked = () => fail('another version of this page holds it: close its other tabs');
        request.onsuccess = () => {
          const database = request.result;
          this.#database = database;
          const forget = () => (this.#opening = this.#database = null);
          database.onversionchange = () => {
            database.close();
            forget();
          };
          database.onclose = forget;
          resolve(database);
        };
      });
      return this.#opening;
    }

    /** `work` runs again when the transaction had to make way; see {@link interrupt}. */
    async transact(prefixes, work) {
      for (;;) {
        const answer = await this.#transactOnce(prefixes, work);
        if (answer !== MADE_WAY) return answer;
      }
    }

    async #transactOnce(prefixes, work) {
      const database = await this.#open();
      return new Promise((resolve, reject) => {
        let transaction;
        try {
          transaction = database.transaction('records', 'readwrite', { durability: 'strict' });
        } catch (error) {
          this.#opening = null;
          return reject(cacheError(error.message));
        }
        const running = { work, transaction, isCertain: false, madeWay: false };
        this.#running.add(running);
        const store = transaction.objectStore('records');
        const found = [];
        let [waiting, result, failure] = [prefixes.length, undefined, null];
        const run = () => {
          if (running.madeWay) return;
          try {
            const records = new Records(found);
            result = work(records);
            for (const key of records.changed) {
              const value = records.get(key);
              if (value === undefined) store.delete(key);
              else store.put({ key, value });
            }
            // From here on it ends well, even if the page does not live to hear of it.
            transaction.commit();
            running.isCertain = true;
          } catch (error) {
            failure = error;
            transaction.abort();
          }
        };
        for (const prefix of prefixes) {
          const range = prefix.endsWith('/') ? IDBKeyRange.bound(prefix, `${prefix}\uffff`) : IDBKeyRange.only(prefix);
          store.getAll(range).onsuccess = (event) => {
            for (const { key, value } of event.target.result) found.push([key, value]);
            waiting -= 1;
            if (waiting === 0) run();
          };
        }
        transaction.oncomplete = () => {
          this.#running.delete(running);
          resolve(result);
        };
        transaction.onabort = () => {
          this.#running.delete(running);
          if (running.madeWay) resolve(MADE_WAY);
          else reject(failure ?? cacheError(transaction.error?.message ?? 'a transaction was given up'));
        };
      });
    }

    /**
     * Takes the transactions that are under way back, so that what is appended next is written at once: a
     * browser forgets what waits behind another transaction when the page ends. If the page lives on, they
     * run again. Whether that of `work` is certain to end well already.
     */
    interrupt(work) {
      let isCertain = false;
      for (const running of this.#running) {
        if (running.work === work && running.isCertain) isCertain = true;
        if (running.isCertain || running.madeWay) continue;
        running.madeWay = true;
        running.transaction.abort();
      }
      return isCertain;
    }

    /** Writes one record at once, without a turn of the event loop: the page may end before there is another one. */
    append(key, value) {
      return new Promise((resolve, reject) => {
        if (this.#database === null) return reject(cacheError('it is closed'));
        const transaction = this.#database.transaction('records', 'readwrite', { durability: 'strict' });
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(cacheError(transaction.error?.message ?? 'a transaction was given up'));
        transaction.objectStore('records').put({ key, value });
        transaction.commit();
      });
    }

    lock(name, waitMs, work) {
      let isHeld = false;
      const hold = () => {
        isHeld = true;
        return work();
      };
      return navigator.locks.request(`tollkeeper ${name}`, { signal: AbortSignal.timeout(waitMs) }, hold).catch((error) => {
        throw isHeld ? error : new LicenseError(302, 'another tab of this site has been asking the license server for too long: close it or try again');
      });
    }

    /** Shows the other tabs that this one lives, from when the promise is kept; the function that it gives ends that. */
    holdSession(session) {
      return new Promise((resolve, reject) => {
        navigator.locks.request(`tollkeeper session ${session}`, () => new Promise((release) => resolve(release))).catch((error) => reject(cacheError(error.message)));
      });
    }

    async aliveSessions() {
      const { held } = await navigator.locks.query();
      return new Set(held.map(({ name }) => name.replace('tollkeeper session ', '')));
    }

    async close() {
      const database = await this.#opening?.catch(() => null);
      database?.close();
      this.#opening = this.#database = null;
    }
  }

  /** Forgets everything when the page ends: the device is a new one each time. */
  class MemoryStorage {
    #values = new Map();
    #alone = new Queue();

    async transact(prefixes, work) {
      const isAsked = ([key]) => prefixes.some((prefix) => (prefix.endsWith('/') ? key.startsWith(prefix) : key === prefix));
      const records = new Records(structuredClone(Array.from(this.#values).filter(isAsked)));
      const result = work(records);
      for (const key of records.changed) {
        const value = records.get(key);
        if (value === undefined) this.#values.delete(key);
        else this.#values.set(key, structuredClone(value));
      }
      return result;
    }

    lock(_name, _waitMs, work) {
      return this.#alone.run(work);
    }
  }

  // ---- site time and pauses ------------------------------------------------------------------

  /**
   * What time it is at the site, as far as this device can tell, in whole seconds. A license is
   * judged by `tell`, which never goes back: turning the device's clock back does not lengthen a
   * license. Use is dated by `use`, which follows the device's clock: a clock that once ran ahead
   * must not date all use ahead until a server is reached.
   */
  class SiteTime {
    /**
     * What to keep on disk: the latest time at the site and the device's clock then; how far the
     * site's clock is before the device's; how often a server's time was learned, because of two
     * tabs the one that knows more is right; the latest time that a server signed.
     */
    kept = { lastSite: 0, lastLocal: 0, skew: 0, learned: 0, proven: 0 };
    #clock;
    /** Both clocks when `kept.lastSite` was told. */
    #seen;
    /** Both clocks when {@link SiteTime.hasJumped} was asked. */
    #checked;
    /** The monotonic clock when `kept.proven` was heard of, or the application began. */
    #provenSince;

    /** @param {() => {local: number, monotonic: number}} clock */
    constructor(clock) {
      this.#clock = clock;
      this.#seen = this.#checked = clock();
      this.#provenSince = this.#seen.monotonic;
    }

    /** Goes on from what was kept when the application last ran. */
    begin(kept) {
      this.kept = { ...this.kept, ...kept };
      this.#seen = this.#clock();
    }

    /**
     * What another tab kept meanwhile counts too: what it learned from a server in place of all
     * that was thought before, else whatever is later. Whether this set the time back by more than
     * a slot.
     */
    merge(kept) {
      if (kept === undefined) return false;
      const before = this.tell();
      const learned = kept.learned ?? 0;
      if (learned > this.kept.learned) {
        this.begin(kept);
        this.#provenSince = this.#seen.monotonic;
      } else if (learned === this.kept.learned) {
        if (kept.lastSite > before) this.begin({ ...kept, proven: this.kept.proven });
        this.#prove(kept.proven ?? 0);
      }
      return before - this.tell() > SLOT_SECONDS;
    }

    tell() {
      const { local, monotonic } = this.#clock();
      const went = monotonic - this.#seen.monotonic;
      const jump = local - this.#seen.local - went;
      let { skew } = this.kept;
      // The clock was wrong by just that much: now it is right.
      if (Math.abs(jump) > SLOT_SECONDS && Math.abs(jump - skew) <= SLOT_SECONDS) skew = 0;
      // Somebody set it back: what was measured before must not make the time even earlier.
      else if (local < this.kept.lastLocal) skew = Math.max(0, skew);
      const lastSite = Math.max(this.kept.lastSite + Math.max(0, went), local + skew);
      this.kept = { ...this.kept, lastSite, lastLocal: local, skew };
      this.#seen = { local, monotonic };
      return lastSite;
    }

    /** The time of what is done now. May be earlier than before, but never than what a server signed. */
    use() {
      this.tell();
      const { local, monotonic } = this.#clock();
      return Math.max(local + this.kept.skew, this.kept.proven + Math.max(0, monotonic - this.#provenSince));
    }

    /** A genuine answer told the server's time, just now. It may set the time back: a clock that ran ahead once must not end licenses for ever. */
    learn(server) {
      this.#seen = this.#clock();
      const { local, monotonic } = this.#seen;
      this.kept = { lastSite: server, lastLocal: local, skew: server - local, learned: this.kept.learned + 1, proven: server };
      this.#provenSince = monotonic;
    }

    /** A genuine answer of that time was carried here: it is not earlier now, but nobody knows how long the answer travelled. */
    raise(server) {
      this.#prove(server);
      const lastSite = Math.max(this.tell(), server);
      this.kept = { ...this.kept, lastSite };
    }

    /** Whether the device's clock was set, or the device slept, for more than a slot since this was asked last. */
    hasJumped() {
      const { local, monotonic } = this.#clock();
      const jump = local - this.#checked.local - (monotonic - this.#checked.monotonic);
      this.#checked = { local, monotonic };
      return Math.abs(jump) > SLOT_SECONDS;
    }

    #prove(server) {
      if (server <= this.kept.proven) return;
      this.kept.proven = server;
      this.#provenSince = this.#clock().monotonic;
    }
  }

  /** Pauses between tries that fail grow, and each has a random length, so that a server that comes back is not asked by all devices at once. */
  class Backoff {
    #failures = 0;

    reset() {
      this.#failures = 0;
    }

    /** Seconds to wait after a further failure; `atLeast` is what the server asked for. */
    next(isLicensed, random, atLeast) {
      const [first, most] = isLicensed ? [SLOT_SECONDS, 3_600] : [10, 600];
      const pause = Math.min(first * 2 ** Math.min(this.#failures, 10), most);
      this.#failures += 1;
      const asked = Math.min(Math.max(atLeast, 0), DAY_SECONDS);
      return Math.max(1, Math.floor(pause * (0.5 + random)), Math.floor(asked * (1 + 0.5 * random)));
    }
  }

  // ---- deduplicator --------------------------------------------------------------------------

  /** Which barcodes of a video stream count: the same one in one frame once, and within the pause after it counted not again. */
  class Deduplicator {
    #pauseMs;
    #counted = new Map();
    #swept = 0;

    /** @param {{pauseSeconds?: number}} [options] The pause after which a barcode counts again; 3 seconds when not given. */
    constructor({ pauseSeconds = 3 } = {}) {
      if (!(pauseSeconds >= 0)) throw wrong(`pauseSeconds: ${pauseSeconds} is not a number of seconds`);
      this.#pauseMs = pauseSeconds * 1_000;
    }

    /**
     * The barcodes of one frame that count.
     *
     * @template {{format: string, text: string}} B
     * @param {B[]} barcodes
     * @param {number} [at] The frame's time in milliseconds, by any clock that goes forward.
     * @returns {B[]}
     */
    countFrame(barcodes, at = performance.now()) {
      return barcodes.filter(({ format, text }) => this.isNew(format, text, at));
    }

    /** Whether this barcode, seen at this time (milliseconds), counts. */
    isNew(format, text, at = performance.now()) {
      if (at - this.#swept > this.#pauseMs) {
        for (const [barcode, counted] of this.#counted) {
          if (at - counted >= this.#pauseMs) this.#counted.delete(barcode);
        }
        this.#swept = at;
      }
      const barcode = JSON.stringify([format, text]);
      const counted = this.#counted.get(barcode);
      // In one frame the time is the same; a pause of nothing still counts a frame once.
      if (counted !== undefined && (at === counted || at - counted < this.#pauseMs)) return false;
      this.#counted.set(barcode, at);
      return true;
    }
  }

  // ---- license -------------------------------------------------------------------------------

  const AUTHORIZE = '/api/v1/authorize';
  const REPORTS = '/api/v1/reports';
  const RELEASE = '/api/v1/release';
  const SERVER = '/api/v1/server';
  /** Two servers may each take their time before another tab gives up. */
  const LOCK_WAIT_MS = 60_000;
  /** The longest that closing waits for servers, in all: a person waits for the application to end. */
  const CLOSE_MS = 3_000;
  const NAP_SECONDS = 30;
  const GIVEN_BACK = 'the license was given back: initialize again to take one';
  const PRIVATE = Symbol('made by License.initialize');

  const isFloatingItem = ({ charge_way: way }) => way === 'concurrent_instance';
  /** Whether all that these claims grant is instances. */
  const isFloating = (claims) => claims !== null && claims.items.length > 0 && claims.items.every(isFloatingItem);

  /** The license of an application. Get one with {@link License.initialize}. */
  class License {
    #config;
    #vendors;
    #storage = null;
    #time;
    #backoff = new Backoff();
    /** What waits for servers, one after the other. */
    #asking = new Queue();
    /** What only the disk is needed for: it never waits for a server. */
    #writing = new Queue();
    #listeners = { change: new Set(), report: new Set(), warning: new Set() };
    #session = randomUuid();
    /** That others see that this one lives: a promise of what ends it. */
    #shown = null;
    #clientUuid = null;
    /** What is asked for, in few characters: a kept authorization fits only the same request. */
    #askedFor = '';
    #keys = null;
    #status;
    #claims = null;
    #grant = null;
    #counts = new Map();
    /** The flush that is under way: what it took, and the work of its transaction. */
    #flushing = null;
    #held = 0;
    /** Instances that other tabs or processes hold, as last read. */
    #heldByOthers = 0;
    /** For each server, the highest number of a fact that it told this device, as last read. */
    #seen = {};
    /** Reports on disk that are still to be sent, for a page that ends without warning. */
    #due = new Map();
    #leaving = new Set();
    /** The server that took the reports that were sent last; `null` when there were none. */
    #taker = null;
    #sealingKeys = new Map();
    #renewAt = 0;
    #reportAt = NEVER;
    #timer = null;
    #isClosed = false;
    /** The end that is under way, or was; and until when it waits for servers, by `performance.now()`. */
    #closing = null;
    #closeBy = null;
    /** Whether the other licenses of this device know of this one. */
    #isEntered = false;
    /** Listeners that are being called; and whether none is called any more. */
    #emitting = 0;
    #isSilent = false;
    #stopWatching = () => {};

    /** Use {@link License.initialize}. */
    constructor(key, config) {
      if (key !== PRIVATE) throw wrong('a License is made by License.initialize(settings)');
      this.#config = config;
      this.#time = new SiteTime(() => ({ local: Math.floor(config.now() / 1_000), monotonic: Math.floor(config.monotonic() / 1_000) }));
      this.#setStatus({ error: new LicenseError(302, 'no server was asked yet') });
    }

    /**
     * Gets the license: from the main server, else the standby, else the authorization kept from
     * before, else by product keys.
     *
     * @param {object} settings README.md has the table.
     * @returns {Promise<License>}
     * @throws {LicenseError} Why there is no license.
     */
    static async initialize(settings) {
      const license = await License.start(settings);
      const { error } = license.status;
      if (error === null) return license;
      await license.close();
      throw error;
    }

    /**
     * The same for an application that goes on and waits when there is no license yet: it is asked
     * for again and again, and `on('change')` tells.
     *
     * @throws {LicenseError} For what waiting does not mend: 301, 304 (no WebCrypto), 306, 307 and misfits of product keys.
     */
    static async start(settings) {
      const license = await License.#open(settings);
      if (license.#keys === null) {
        await license.#asking.run(() => license.#round(true));
        license.#watch();
      }
      return license;
    }

    /** Without asking anybody. */
    static async #open(settings) {
      const config = checkSettings(settings);
      await needCrypto();
      const license = new License(PRIVATE, config);
      license.#vendors = await Promise.all(config.vendorKeys.map(verifyingKey));
      if (config.productKey === undefined) await license.#openCache();
      else await license.#openKeys();
      return license;
    }

    /** What the application may do now, as plain data. */
    get status() {
      return this.#status;
    }

    /** Whether {@link License.check} would let this module (or the product) work. */
    isLicensed(module) {
      try {
        this.check(module);
        return true;
      } catch {
        return false;
      }
    }

    /**
     * Throws unless this module, or without one the product, is licensed now. Asks nobody: it may
     * be called at every use.
     *
     * @param {string} [module]
     * @throws {LicenseError} 204: the module is not in the license; else why there is none.
     */
    check(module) {
      if (this.#isClosed) throw new LicenseError(302, 'this license was closed: initialize again to take one');
      if (this.#keys !== null) {
        checkProductKeys(this.#keys, this.#keyRequest(module == null ? [] : [module]), this.#time.tell());
        return;
      }
      if (this.#status.error !== null) throw this.#status.error;
      const { product } = this.#config;
      if (this.#time.tell() >= this.#claims.exp) throw this.#ended();
      if (module == null || this.#ownItems().some((item) => permits(item.modules ?? [], module))) return;
      throw new LicenseError(204, `the module '${module}' of '${product}' is not in this license: name it in limitedModules, or ask the vendor for an item that has it`);
    }

    /**
     * Counts use. It is on disk at the latest `flushSeconds` later.
     *
     * @param {string} type The barcode's format, or `scanned`, `captured`, `imported` … for pages.
     * @param {number} [count]
     * @param {{module?: string, at?: Date | number, unit?: 'scan' | 'page'}} [more] The module that
     *   processed pages; the use's own time by the device's clock, when it was not just now; the
     *   unit, where the charge way does not say it.
     * @throws {LicenseError} 200 for values that no report can hold; why there is no license, when there never was one.
     */
    record(type, count = 1, { module, at, unit } = {}) {
      const bad = (what) => new LicenseError(200, what);
      // Half a surrogate pair is no text that a server could read.
      const isName = (value) => isText(value) && byteLength(value) <= 64 && !/[\p{Cc}\p{Cs}]/u.test(value);
      if (!isName(type)) throw bad("a type must be 1 to 64 printable bytes, such as 'QR Code'");
      if (module != null && !isName(module)) throw bad('a module must be 1 to 64 printable bytes');
      needWhole('count', count);
      if (unit != null && unit !== 'scan' && unit !== 'page') throw bad(`the unit '${unit}' is neither scan nor page`);
      if (this.#isClosed) throw new LicenseError(302, 'this license was closed: initialize again to go on counting');
      if (this.#keys !== null) return;
      if (this.#grant === null) throw this.#status.error;
      const ago = at == null ? 0 : Math.floor((this.#config.now() - Number(at)) / 1_000);
      if (Number.isNaN(ago)) throw bad(`at: '${at}' is neither a Date nor milliseconds since 1970`);
      const slot = slotOf(this.#time.use() - Math.min(Math.max(ago, 0), REPORT_MAX_AGE_SECONDS));
      this.#count(JSON.stringify([slot, unit ?? this.#unit(), module ?? null]), type, count);
    }

    /**
     * Takes instances, as many as are granted to this device and not held by other tabs or
     * processes. They are reported in every slot in which they are held and something is recorded.
     *
     * @throws {LicenseError} 120: there are not so many; 200: that is no number of instances; else why there is no license.
     */
    async takeInstances(number = 1) {
      needWhole('number', number);
      this.check();
      if (this.#keys !== null) return void (this.#held += number);
      await this.#writing.run(async () => {
        // Others must see that this one lives before they see what it holds; it does until the end.
        await this.#show();
        const gone = await this.#goneSessions();
        this.check();
        const granted = this.#status.instances;
        await this.#storage.transact(['held/'], (records) => {
          const others = this.#othersHold(records, gone);
          if (this.#held + others + number > granted) {
            throw new LicenseError(
              120,
              `${number} more instances are too many: ${granted} are granted to this device, ${this.#held} are held here and ${others} elsewhere on it; set 'instances' higher, or give some back`,
            );
          }
          records.put(`held/${this.#session}`, this.#held + number);
        });
        this.#held += number;
      });
    }

    /** Gives instances back; more than are held here are all of them. @throws {LicenseError} 200: that is no number of instances. */
    async giveBackInstances(number = 1) {
      needWhole('number', number);
      const rest = () => Math.max(0, this.#held - number);
      if (this.#keys !== null) return void (this.#held = rest());
      await this.#writing.run(async () => {
        const key = `held/${this.#session}`;
        await this.#storage.transact([key], (records) => (rest() > 0 ? records.put(key, rest()) : records.delete(key)));
        this.#held = rest();
      });
    }

    /** Instances that are granted to this device and that nobody holds, as last heard: other tabs and processes are looked at with every flush. */
    get idleInstances() {
      return this.isLicensed() ? Math.max(0, this.#status.instances - this.#held - this.#heldByOthers) : 0;
    }

    /** Puts what was counted on disk now. */
    async flush() {
      await this.#writing.run(() => this.#flush());
    }

    /** Sends the reports of all slots that are over, now. */
    report() {
      return this.#asking.run(async () => {
        await this.#writing.run(() => this.#flush(0));
        await this.#send();
      });
    }

    /** Asks the servers now, as at the start. @throws {LicenseError} Why there is no license. */
    async renew() {
      if (this.#keys === null) await this.#asking.run(() => this.#round(true));
      if (this.#status.error !== null) throw this.#status.error;
    }

    /** Does what is due at this moment. A timer calls it; tests with a clock of their own do too. */
    async tick() {
      await this.flush();
      await this.#askWhatIsDue();
    }

    /**
     * Gives the license back: its seat or its instances are free for another device. What was done
     * is reported first. The application must initialize again to go on.
     *
     * @throws {LicenseError} No server answered, or none could take the reports; the license goes on.
     */
    async release() {
      if (this.#keys === null) await this.#asking.run(() => this.#release());
      await this.close();
    }

    /**
     * Puts what was counted on disk and ends. What the setting `releaseOnClose` says is given back, usually a floating license,
     * if nobody else on this device needs it; named seats are kept, see {@link License.release}. Waits for servers 3 seconds
     * at most; when none answers, the kept authorization lasts until it ends. No listener is called any more when the promise
     * is kept; one that closes is the last. Never rejects.
     */
    close() {
      // A listener that closes is the last one that hears anything.
      if (this.#emitting > 0) this.#isSilent = true;
      this.#closing ??= this.#end();
      return this.#closing;
    }

    async #end() {
      this.#isClosed = true;
      this.#closeBy = performance.now() + CLOSE_MS;
      this.#stopWatching();
      clearTimeout(this.#timer);
      if (this.#keys === null && this.#storage !== null) {
        if (this.#held > 0) await this.giveBackInstances(this.#held).catch((error) => this.#warn(error));
        await this.flush();
        // A question that is on its way still ends in the cache, even if nobody waits for it any more.
        await this.#inTime(this.#asking.run(() => this.#giveBackAtTheEnd()));
        await this.#exit();
        if (this.#config.storage === undefined) await this.#storage.close?.();
      }
      this.#isSilent = true;
    }

    /** Milliseconds that servers may still take, of at most so many. */
    #timeLeft(atMost) {
      return this.#closeBy === null ? atMost : Math.max(1, Math.ceil(Math.min(atMost, this.#closeBy - performance.now())));
    }

    async #inTime(work) {
      let timer;
      const waited = new Promise((resolve) => (timer = setTimeout(resolve, this.#timeLeft(CLOSE_MS) + 500)));
      await Promise.race([work.catch((error) => this.#warn(error)), waited]);
      clearTimeout(timer);
    }

    /**
     * Hears of what happens: `change` (the status is another), `report` (a server took reports),
     * `warning` (a {@link LicenseError} that does not stop the application).
     *
     * @param {'change' | 'report' | 'warning'} name
     * @param {(what: any) => void} listener
     * @returns {() => void} Ends it.
     */
    on(name, listener) {
      if (!Object.hasOwn(this.#listeners, name)) throw wrong(`there is no event '${name}': the events are ${Object.keys(this.#listeners).join(', ')}`);
      this.#listeners[name].add(listener);
      return () => void this.#listeners[name].delete(listener);
    }

    // -- by hand --

    /**
     * The request of a device without network, to be carried to the server.
     *
     * @param {object} settings As for {@link License.initialize}; its servers are not asked.
     * @returns {Promise<{line: string, file: string}>} One line for a QR code; a file for `tollkeeper device authorize-file`.
     */
    static async requestByHand(settings) {
      const license = await License.#open(settings);
      try {
        if (license.#keys !== null) throw wrong('productKey is set: product keys need no request');
        const { request } = await license.#prepare();
        const summary = `Tollkeeper authorization request of device ${request.client_uuid} for '${request.product}'\nOn the server: tollkeeper device authorize-file FILE --out ANSWER`;
        return writeCarried('request', request, summary);
      } finally {
        await license.close();
      }
    }

    /**
     * Takes the authorization that was carried here, as line or file. {@link License.initialize}
     * with the same settings then finds it.
     *
     * @throws {LicenseError} 304: it is not genuine, or answers another request.
     */
    static async importAuthorization(settings, given) {
      const license = await License.#open(settings);
      try {
        if (license.#keys !== null) throw wrong('productKey is set: product keys need no authorization');
        const answer = readCarried('authorization', given);
        const pending = await license.#storage.transact(['device'], (records) => license.#device(records).pending[license.#askedFor]);
        const claims = await license.#verify(answer, pending ?? '');
        checkTime(claims, Math.max(license.#time.tell(), claims.iat));
        await license.#accept(answer, claims, '', []);
      } catch (error) {
        throw error instanceof Distrust ? new LicenseError(304, `${error.message}: carry the answer to the last request that this device wrote`) : error;
      } finally {
        await license.close();
      }
    }

    /**
     * Everything that was done and not acknowledged, to be carried to the server (`tollkeeper device
     * import-reports`); `null` when there is nothing. What was done by this license comes first, then
     * what was done under others: before settings were changed, or by other applications here.
     */
    async reportsByHand() {
      if (this.#keys !== null) return null;
      const groups = await this.#writing.run(async () => {
        await this.#flush(0);
        return this.#storage.transact(['report/', 'grant/'], (records) => this.#byGrant(records));
      });
      if (groups.length === 0) return null;
      const [first, ...further] = groups;
      const number = groups.reduce((sum, { reports }) => sum + reports.length, 0);
      const request = this.#withSeen({ client_uuid: this.#clientUuid, ...first, ...(further.length > 0 ? { further } : {}) });
      const summary = `Tollkeeper usage reports of device ${this.#clientUuid}: ${counted(number, 'report')}\nOn the server: tollkeeper device import-reports FILE`;
      return writeCarried('reports', request, summary);
    }

    #byGrant(records) {
      const groups = new Map([[this.#askedFor, []]]);
      for (const [, { grant, report }] of records.entries('report/')) {
        if (!groups.has(grant)) groups.set(grant, []);
        groups.get(grant).push(report);
      }
      return Array.from(groups, ([grant, reports]) => ({ authorization: records.get(`grant/${grant}`)?.authorization, reports })).filter(
        ({ authorization, reports }) => authorization !== undefined && reports.length > 0,
      );
    }

    /** Takes the receipt for carried reports: what the server has need not be kept here. @throws {LicenseError} 304 */
    async importReceipt(given) {
      const answer = readCarried('receipt', given);
      if (!isReportsAnswer(answer)) throw new LicenseError(304, 'this usage receipt is damaged: carry the whole text or file');
      if (this.#keys === null) await this.#takeAnswer(answer, [], '');
    }

    // -- opening --

    async #openKeys() {
      const { limitedModules } = this.#config;
      this.#keys = await readProductKeys(this.#config.productKey, this.#vendors);
      const covering = checkProductKeys(this.#keys, this.#keyRequest(limitedModules), this.#time.tell());
      const expiresAt = Math.min(...covering.map((key) => secondsOf(key.valid_to)));
      this.#setStatus({ origin: 'product-key', expiresAt: new Date(expiresAt * 1_000), instances: this.#config.instances, items: covering });
    }

    #keyRequest(modules) {
      const { product, productVersion: version, edition, deploymentType } = this.#config;
      const { hardwareUuid } = Tollkeeper.platform;
      return { product, version, edition, deploymentType, modules, machine: hardwareUuid?.() ?? null, host: globalThis.location?.hostname ?? null };
    }

    async #openCache() {
      const config = this.#config;
      this.#storage = config.storage ?? (await Tollkeeper.platform.openStorage(config));
      const bound = config.uuidMethod === 'hardware' ? Tollkeeper.platform.hardwareUuid() : null;
      if (config.uuidMethod === 'hardware' && bound === null) throw wrong("uuidMethod is hardware, but this machine's system tells no id (/etc/machine-id): use random, or give it one");
      const base = toUtf8(JSON.stringify(this.#bareRequest()));
      this.#askedFor = toBase64url(new Uint8Array(await crypto.subtle.digest('SHA-256', base)).slice(0, 16));
      const device = await this.#storage.transact(['device', 'grant/'], (records) => {
        const found = this.#device(records);
        if (bound !== null && found.clientUuid !== bound) {
          // Another machine's cache, or a machine that is known by another name now.
          Object.assign(found, { clientUuid: bound, tickets: {}, pending: {} });
          for (const [key] of records.entries('grant/')) records.delete(key);
        }
        records.put('device', found);
        return found;
      });
      this.#clientUuid = device.clientUuid;
      this.#time.begin(device.time);
    }

    /** The device's record; made anew when somebody cleared the site's data. */
    #device(records) {
      const device = records.get('device') ?? { clientUuid: this.#clientUuid ?? randomUuid(), time: undefined, tickets: {}, codes: {}, pending: {}, seen: this.#seen };
      this.#seen = device.seen ?? {};
      return device;
    }

    /** A request with what this device has seen of its servers: one that was restored from an older backup knows by it what it lost. */
    #withSeen(request) {
      return Object.keys(this.#seen).length === 0 ? request : { ...request, seen: this.#seen };
    }

    #bareRequest() {
      const config = this.#config;
      const request = {
        organization_id: config.organizationId,
        handshake_code: config.handshakeCode,
        session_password: config.sessionPassword,
        product: config.product,
        product_version: config.productVersion,
        edition: config.edition,
        deployment_type: config.deploymentType,
        modules: config.limitedModules.length > 0 ? config.limitedModules : undefined,
        charge_way: config.chargeWay,
        instances: config.instances,
        max_buffer_days: config.maxBufferDays,
        validation: { domain: globalThis.location?.hostname || undefined, application_id: config.applicationId, process_name: config.processName },
      };
      return JSON.parse(JSON.stringify(request));
    }

    // -- authorization --

    get #grantKey() {
      return `grant/${this.#askedFor}`;
    }

    /** The request, with a nonce that is on disk until it is answered: a lost answer must not look like a clone. */
    #prepare() {
      return this.#storage.transact(['device', this.#grantKey], (records) => {
        const device = this.#device(records);
        device.pending[this.#askedFor] ??= toBase64url(randomBytes(32));
        records.put('device', device);
        const request = this.#withSeen({ client_uuid: this.#clientUuid, ...this.#bareRequest(), nonce: device.pending[this.#askedFor] });
        const naming = this.#naming();
        const ticketFor = (server) => {
          const known = own(own(device.codes, server) ?? {}, naming) ?? Object.values(device.codes).find((codes) => Object.hasOwn(codes, naming))?.[naming];
          return known === undefined ? undefined : own(device.tickets, known);
        };
        return { request, ticketFor, grant: records.get(this.#grantKey) ?? null };
      });
    }

    #naming() {
      return `${this.#config.organizationId ?? ''}|${this.#config.handshakeCode ?? ''}`;
    }

    /** One round: main server, standby, what was kept. */
    async #round(isForced) {
      try {
        await this.#storage.lock('ask', this.#timeLeft(LOCK_WAIT_MS), async () => {
          await this.#askServers(isForced);
          // Whoever gives the license back looks around while nobody else asks.
          await this.#enter().catch((error) => this.#warn(error));
        });
      } catch (error) {
        // The cache, its lock or this library failed. An authorization that is in force goes on.
        await this.#fail([], 0, asLicenseError(error));
        await this.#enter().catch(() => {});
      }
    }

    async #askServers(isForced) {
      const { request, ticketFor, grant } = await this.#prepare();
      if (!isForced && (await this.#adopt(grant)) && this.#renewAt > this.#time.tell()) return;
      const failures = [];
      let leastPause = 0;
      const { servers } = this.#config;
      for (const [index, server] of servers.entries()) {
        let answer;
        let claims;
        try {
          answer = await this.#ask(server, AUTHORIZE, { ...request, ticket: ticketFor(server) }, { tries: servers.length - index });
          claims = await this.#verify(answer, request.nonce);
          checkTime(claims, claims.iat);
        } catch (error) {
          const known = error instanceof Distrust ? new LicenseError(304, `${error.message}: it is not used`) : error;
          if (!(known instanceof LicenseError)) throw error;
          const { code, message } = known;
          failures.push({ server, code, message });
          leastPause = Math.max(leastPause, error.retryAfter ?? 0);
          if (TEMPORARY.has(code) || MAYBE_WRONG_SERVER.has(code)) continue;
          break;
        }
        await this.#accept(answer, claims, server, failures);
        this.#soon(() => this.#send());
        return;
      }
      await this.#fail(failures, leastPause);
    }

    async #verify(answer, nonce) {
      const { authorization, ticket, refresh_after, origin, safe } = answer;
      if (![authorization, ticket, refresh_after, origin].every(isText) || safe === null || typeof safe !== 'object') throw new Distrust('malformed');
      return checkChain(authorization, this.#vendors, this.#expected(nonce));
    }

    #expected(nonce) {
      const { organizationId, handshakeCode } = this.#config;
      return { clientUuid: this.#clientUuid, nonce, organizationId, handshakeCode };
    }

    /** Takes a genuine authorization into use. */
    async #accept(answer, claims, server, failures) {
      const isCarried = server === '';
      const refreshAfter = Math.min(Math.max(secondsOf(answer.refresh_after) || claims.exp, claims.iat), claims.exp);
      const interval = answer.report_interval_seconds;
      const grant = {
        authorization: answer.authorization,
        refreshAfter,
        reportInterval: Number.isInteger(interval) ? Math.min(Math.max(interval, 1), DAY_SECONDS) : SLOT_SECONDS,
        server,
        servers: this.#config.servers,
        expiresAt: claims.exp,
        handshakeCode: claims.hs,
        refusal: null,
      };
      try {
        await this.#storage.transact(['device', this.#grantKey, 'report/'], (records) => {
          const device = this.#device(records);
          delete device.pending[this.#askedFor];
          // A computed name is always the object's own, also `__proto__`.
          device.tickets = { ...device.tickets, [claims.hid]: answer.ticket };
          device.codes = { ...device.codes, [server]: { ...own(device.codes, server), [this.#naming()]: claims.hid } };
          this.#time.merge(device.time);
          if (isCarried) this.#time.raise(claims.iat);
          else this.#time.learn(claims.iat);
          device.time = this.#time.kept;
          records.put('device', device);
          records.put(this.#grantKey, grant);
          takeNews(records, answer);
          for (const [key, stored] of records.entries('report/')) {
            if (stored.progress === 'failed') records.put(key, { ...stored, progress: 'pending' });
          }
        });
      } catch (error) {
        // Without the cache there is no other tab that could know better.
        if (!isCarried) this.#time.learn(claims.iat);
        this.#warn(error);
      }
      this.#backoff.reset();
      this.#reportAt = this.#time.tell() + grant.reportInterval;
      this.#use(grant, claims, isCarried ? 'carried' : 'server', failures);
    }

    /** Works by this authorization from now on. */
    #use(grant, claims, origin, failures) {
      this.#grant = grant;
      this.#claims = claims;
      // Devices that began together do not all renew in the same second.
      const spread = Math.floor((claims.exp - grant.refreshAfter) * 0.1 * this.#config.random());
      // Where no server is set, nothing is ever due.
      this.#renewAt = this.#config.servers.length === 0 ? NEVER : Math.max(grant.refreshAfter + spread, this.#time.tell() + 1);
      this.#setStatus({
        origin,
        server: grant.server || null,
        organizationId: claims.org,
        handshakeCode: claims.hs,
        expiresAt: new Date(claims.exp * 1_000),
        refreshAfter: new Date(grant.refreshAfter * 1_000),
        items: claims.items,
        instances: Math.max(1, ...claims.items.map((item) => item.instances)),
        failures,
      });
    }

    /** Takes what another tab got or lost meanwhile; whether there is an authorization in force. */
    async #adopt(grant) {
      const before = this.#grant;
      if (grant === null || (grant.authorization === this.#grant?.authorization && (grant.refusal === null) === (this.#grant.refusal === null))) return false;
      try {
        const claims = await checkChain(grant.authorization, this.#vendors, this.#expected());
        // A server may have answered meanwhile.
        if (this.#grant !== before || (this.#claims !== null && claims.iat < this.#claims.iat)) return false;
        if (grant.refusal !== null) {
          this.#grant = grant;
          this.#setStatus({ error: new LicenseError(grant.refusal.code, grant.refusal.message) });
          // Somebody gave back what is used here: no server has said no.
          if (grant.refusal.message === GIVEN_BACK && this.#config.servers.length > 0) {
            this.#renewAt = this.#time.tell();
            void this.#askWhatIsDue().catch((error) => this.#warn(error));
          }
          return false;
        }
        checkTime(claims, this.#time.tell());
        this.#use(grant, claims, grant.server === '' ? 'carried' : 'server', []);
        return true;
      } catch {
        // Of no use; the next round says why.
        return false;
      }
    }

    /** No server granted: the authorization of before may do. */
    async #fail(failures, leastPause, trouble = null) {
      const verdict = failures.findLast(({ code }) => !TEMPORARY.has(code)) ?? null;
      const kept = await this.#findKept(verdict);
      if (verdict !== null) {
        this.#setStatus({ error: new LicenseError(verdict.code, `${verdict.server}: ${verdict.message}`, failures) });
      } else if (kept.claims !== undefined) {
        this.#use(kept.grant, kept.claims, kept.grant.server === '' ? 'carried' : 'cache', failures);
        // Where no server is set, nothing is wrong with what was carried.
        if (trouble === null && failures.length === 0) return this.#rest(0);
        const error = trouble ?? this.#explain(failures, null);
        this.#warn(new LicenseError(error.code, `${error.message}; the authorization of before goes on until ${timeOf(kept.claims.exp)}`, failures));
      } else {
        this.#setStatus({ error: trouble ?? this.#explain(failures, kept.reason) });
      }
      this.#rest(leastPause);
      // A server that says no still takes what was done.
      if (verdict !== null) this.#soon(() => this.#send());
    }

    /** Waits before the next try. */
    #rest(leastPause) {
      const site = this.#time.tell();
      const pause = this.#backoff.next(this.#status.error === null, this.#config.random(), leastPause);
      this.#renewAt = this.#config.servers.length === 0 ? NEVER : site + pause;
      this.#reportAt = Math.min(this.#reportAt, site + SLOT_SECONDS);
    }

    /** The authorization of before, if it is genuine and in force; a verdict ends it. */
    async #findKept(verdict) {
      const find = (records) => {
        const grant = records.get(this.#grantKey);
        if (grant !== undefined && verdict !== null) records.put(this.#grantKey, { ...grant, refusal: { code: verdict.code, message: verdict.message } });
        return records.get(this.#grantKey) ?? null;
      };
      const grant = await this.#storage.transact([this.#grantKey], find).catch(() => this.#grant);
      if (grant === null) return { reason: null };
      try {
        const claims = await checkChain(grant.authorization, this.#vendors, this.#expected());
        // Use is counted under it even when it does not let the application work any more.
        this.#grant = grant;
        if (grant.refusal !== null) return { reason: null };
        checkTime(claims, this.#time.tell());
        return { grant, claims };
      } catch (error) {
        return { reason: error.reason ?? null };
      }
    }

    #explain(failures, reason) {
      if (failures.length === 0) {
        const carry = 'carry a new request (License.requestByHand) to the license server';
        if (reason === 'expired') return new LicenseError(305, `the authorization that was carried here has ended: ${carry}`);
        if (reason !== null) return new LicenseError(302, `the authorization that was carried here cannot be used: ${carry}`);
        return new LicenseError(302, 'no server is set, and no authorization was carried here: set licenseKey or mainServerURL, or carry a request (License.requestByHand) to the license server');
      }
      const told = failures.map(({ server, message }) => `${server}: ${message}`).join('; ');
      if (reason === 'expired') return new LicenseError(305, `the authorization of before has ended, and no server renewed it: ${told}`, failures);
      const isSame = failures.length > 0 && failures.every(({ code }) => code === failures[0].code);
      return new LicenseError(isSame ? failures[0].code : 302, `no server gave an authorization: ${told}`, failures);
    }

    #ended() {
      const message = `the authorization ended at ${timeOf(this.#claims.exp)} and could not be renewed: connect this device to its license server`;
      return new LicenseError(305, message, this.#status.failures);
    }

    // -- asking --

    /**
     * POSTs JSON; the answer's object, `null` for none. Throws {@link LicenseError} with `retryAfter`. `tries` is how
     * many requests may still follow if this server is silent, itself included: each has its share of the time.
     */
    async #ask(server, path, content, { isLast = false, tries = 1 } = {}) {
      const plain = toUtf8(JSON.stringify(content));
      const sealed = this.#config.sealed ? await seal(await this.#sealingKey(server, tries), path, plain) : null;
      const reply = await this.#config.send(server + path, {
        method: 'POST',
        contentType: sealed === null ? 'application/json' : 'application/tk-sealed',
        body: sealed?.body ?? plain,
        timeoutMs: this.#timeoutMs(tries),
        authority: this.#config.authority,
        isLast,
      });
      const body = sealed === null ? reply.body : await this.#unseal(server, sealed, reply);
      if (reply.status === 204) return null;
      const value = parseObject(body);
      if (reply.status >= 200 && reply.status < 300) {
        if (value === null) throw new LicenseError(302, `what answers at ${server} is not a license server: its answer cannot be read`);
        return value;
      }
      const isProblem = Number.isInteger(value?.code);
      // Whatever the code says: a server that is not well says nothing about the license.
      const code = isProblem && (reply.status < 500 || TEMPORARY.has(value.code)) ? value.code : 302;
      const message = isProblem ? String(value.detail ?? value.title ?? TITLES[code]) : `the answer with status ${reply.status} is none of a license server's`;
      throw Object.assign(new LicenseError(code, message), { retryAfter: reply.retryAfter });
    }

    /** When the license is closed, a server that is silent must leave their time to the tries that follow. */
    #timeoutMs(tries) {
      const most = this.#config.timeoutSeconds * 1_000;
      return this.#closeBy === null ? most : Math.min(most, Math.ceil(this.#timeLeft(CLOSE_MS) / tries));
    }

    async #unseal(server, sealed, reply) {
      if (!reply.contentType.startsWith('application/tk-sealed')) {
        if (reply.status === 204) return EMPTY;
        this.#sealingKeys.delete(server);
        const detail = parseObject(reply.body)?.detail ?? `status ${reply.status}`;
        throw Object.assign(new LicenseError(308, `the server did not open the sealed request: ${detail}`), { retryAfter: reply.retryAfter });
      }
      return sealed.open(reply.status, reply.body).catch(() => {
        throw new LicenseError(304, 'the sealed answer was changed on its way: it is not used');
      });
    }

    /** The server's sealing key, out of a certificate that a trusted vendor signed. */
    async #sealingKey(server, tries) {
      const known = this.#sealingKeys.get(server);
      if (known !== undefined) return known;
      const { authority, send } = this.#config;
      const reply = await send(server + SERVER, { method: 'GET', timeoutMs: this.#timeoutMs(tries), authority });
      const certificates = parseObject(reply.body)?.certificates;
      for (const text of Array.isArray(certificates) ? certificates : []) {
        const certificate = await checkCertificate(text, this.#vendors).catch(() => null);
        const jwk = certificate?.isValidAt(this.#time.tell()) ? certificate.sealing_jwk : null;
        if (jwk?.kty !== 'OKP' || jwk.crv !== 'X25519' || fromBase64url(String(jwk.x))?.length !== 32) continue;
        try {
          await crypto.subtle.importKey('raw', fromBase64url(jwk.x), { name: 'X25519' }, true, []);
        } catch {
          throw new LicenseError(308, 'this browser has no X25519, which sealed requests need: use Chrome or Edge 133, Firefox 130, Safari 17, Node 20 or newer, or set sealed to false');
        }
        this.#sealingKeys.set(server, jwk);
        return jwk;
      }
      throw new LicenseError(308, `the server ${server} has no sealing key that a trusted vendor signed and that is in its dates: have its license activated anew, or set sealed to false`);
    }

    async #release() {
      await this.#giveBack(async () => false);
      this.#setStatus({ error: new LicenseError(302, GIVEN_BACK) });
    }

    /** Reports what was done, and gives the license back unless it `isNeeded`. */
    async #giveBack(isNeeded) {
      const grant = this.#grant;
      if (grant !== null && grant.refusal === null) {
        if (this.#config.servers.length === 0) {
          throw new LicenseError(302, 'this authorization was carried here, and no server is set: carry the report file to the license server, whose administrator releases the device');
        }
        const isFlushed = await this.#writing.run(() => this.#flush(0));
        if (!isFlushed) throw new LicenseError(306, 'the license was not given back, because what was counted could not be stored: see the warning');
        await this.#storage.transact(['open/', 'report/'], (records) => this.#closeAll(records));
        const trouble = await this.#send();
        if (trouble !== null && TEMPORARY.has(trouble.code)) {
          throw new LicenseError(trouble.code, `the license was not given back, because what was done could not be reported: ${trouble.message}`, trouble.failures);
        }
        await this.#storage.lock('ask', this.#timeLeft(LOCK_WAIT_MS), async () => {
          const grants = await this.#readGrants();
          if (await isNeeded(grants)) return;
          await this.#tellRelease(grant, grants);
          // Nothing that is about the same items lets this device work any more.
          const refusal = { code: 302, message: GIVEN_BACK };
          const names = [this.#grantKey, ...this.#findSharing(grants).map(({ name }) => name)];
          await this.#storage.transact(['grant/'], (records) => {
            for (const name of names) {
              const known = records.get(name);
              if (known !== undefined && known.refusal === null) records.put(name, { ...known, refusal });
            }
          });
          this.#grant = { ...grant, refusal };
        });
      }
    }

    // -- who uses it, and giving it back at the end --

    /** Others see that this one lives, from when the promise is kept until {@link License.#exit}. Of several that ask for it, the first one's promise is everybody's. */
    #show() {
      this.#shown ??= Promise.resolve(this.#storage.holdSession?.(this.#session)).catch((error) => {
        this.#shown = null;
        throw error;
      });
      return this.#shown;
    }

    /**
     * Shows the other licenses of this device that this one is used. A page with no item that any of them gives back by
     * itself need not: what shows it keeps pages from being kept for "back".
     */
    async #enter() {
      const { releaseOnClose } = this.#config;
      const isShown = (this.#claims?.items ?? []).some(isFloatingItem) || releaseOnClose === 'seat' || globalThis.document === undefined;
      if (this.#isEntered || this.#isClosed || this.#status.error !== null || !isShown) return;
      // Others must see that this one lives before they see what it uses.
      await this.#show();
      const key = `use/${this.#session}`;
      await this.#storage.transact([key], (records) => records.put(key, this.#askedFor));
      this.#isEntered = true;
    }

    async #exit() {
      const key = `use/${this.#session}`;
      if (this.#isEntered) await this.#storage.transact([key], (records) => records.delete(key)).catch((error) => this.#warn(error));
      this.#isEntered = false;
      const shown = this.#shown;
      this.#shown = null;
      (await shown?.catch(() => null))?.();
    }

    /** All genuine grants of this device, for whatever application and code. */
    async #readGrants() {
      const kept = await this.#storage.transact(['grant/'], (records) => records.entries('grant/'));
      const now = this.#time.tell();
      const grants = [];
      for (const [name, { authorization, refusal }] of kept) {
        const claims = await checkChain(authorization, this.#vendors, { clientUuid: this.#clientUuid }).catch(() => null);
        if (claims !== null) grants.push({ name, authorization, claims, isInForce: refusal === null && now < claims.exp });
      }
      return grants;
    }

    /** What this application was granted, as it is kept: another tab may have renewed it. */
    #ownClaims(grants) {
      return grants.find(({ name }) => name === this.#grantKey)?.claims ?? this.#claims;
    }

    /** Those that are about an item that ours is about as well; ours is one of them. */
    #findSharing(grants) {
      const ours = new Set(this.#ownClaims(grants)?.items.map((item) => item.item_id));
      return grants.filter(({ claims }) => claims.items.some((item) => ours.has(item.item_id)));
    }

    /** Whether somebody else on this device uses one of our items. What those left that are gone is removed. */
    async #isUsedByOthers(grants) {
      const users = await this.#storage.transact(['use/'], (records) => records.entries('use/'));
      const others = users.map(([key, grant]) => ({ session: key.slice('use/'.length), grant })).filter(({ session }) => session !== this.#session);
      if (others.length === 0) return false;
      const alive = await this.#storage.aliveSessions?.();
      const gone = others.filter(({ session }) => alive !== undefined && !alive.has(session));
      if (gone.length > 0) await this.#storage.transact(['use/'], (records) => gone.forEach(({ session }) => records.delete(`use/${session}`)));
      const sharing = this.#findSharing(grants);
      const isShared = (grant) => grant === this.#askedFor || sharing.some(({ name, isInForce }) => isInForce && name === `grant/${grant}`);
      return others.some((other) => !gone.includes(other) && isShared(other.grant));
    }

    /** Whether closing must not give the license back, because of others on this device. */
    async #isNeeded(grants) {
      if (await this.#isUsedByOthers(grants)) return true;
      // An application with a named seat must be able to start with no network, and what is withdrawn is withdrawn whole.
      return this.#config.releaseOnClose === 'instances' && this.#findSharing(grants).some(({ claims, isInForce }) => isInForce && !isFloating(claims));
    }

    /** What the application wants given back is, if nobody else needs it and a server takes it in time. */
    async #giveBackAtTheEnd() {
      const { releaseOnClose, servers } = this.#config;
      const isWanted = releaseOnClose === 'seat' || (releaseOnClose === 'instances' && isFloating(this.#claims));
      if (!isWanted || !this.#isEntered || this.#status.error !== null || servers.length === 0 || performance.now() >= this.#closeBy) return;
      try {
        // Of those that close at the same moment, each is gone before it looks: so the last one sees nobody.
        await this.#exit();
        if (!(await this.#isNeeded(await this.#readGrants()))) await this.#giveBack((grants) => this.#isNeeded(grants));
      } catch (error) {
        const { code, message, failures } = asLicenseError(error);
        this.#warn(new LicenseError(code, `the license was closed, and could not be given back: ${message}`, failures));
      }
    }

    /** Makes everything ready to be sent, also the slot that goes on: who has given the license back may not report any more. */
    #closeAll(records) {
      const isOurs = ({ grant }) => grant === this.#askedFor;
      closeOpen(records, NEVER, isOurs);
      for (const [key, stored] of records.entries('report/')) {
        if (isOurs(stored) && stored.progress === 'failed') records.put(key, { ...stored, progress: 'pending' });
      }
    }

    /**
     * Tells the server that just took the reports, or else gave the license; else another one. What is freed are our own
     * items. A server takes the last authorization that it gave this device under the code, whichever application's it is.
     */
    async #tellRelease(grant, grants) {
      const own = this.#ownClaims(grants);
      const ofCode = grants.filter(({ claims }) => claims.hid === own?.hid);
      // Where nothing is kept, this is the last that is known.
      const known = { authorization: grant.authorization, claims: { iat: 0, ...(own === this.#claims ? own : null) } };
      const { authorization } = ofCode.reduce((latest, each) => (each.claims.iat > latest.claims.iat ? each : latest), known);
      const request = { client_uuid: this.#clientUuid, authorization, items: own?.items.map((item) => item.item_id) };
      const servers = this.#serversFrom(this.#taker ?? grant.server);
      let failure;
      for (const [index, server] of servers.entries()) {
        try {
          await this.#ask(server, RELEASE, request, { tries: servers.length - index });
          return;
        } catch (error) {
          failure = error;
          if (!TEMPORARY.has(error.code)) break;
        }
      }
      throw failure;
    }

    #serversFrom(first) {
      return this.#config.servers.toSorted((a, b) => (b === first) - (a === first));
    }

    // -- use and reports --

    #ownItems() {
      return this.#claims.items.filter((item) => sameWord(item.product, this.#config.product));
    }

    #unit() {
      const ways = this.#claims === null ? [] : this.#ownItems().map((item) => item.charge_way);
      return ways.includes('page') && !ways.includes('scan') ? 'page' : 'scan';
    }

    #count(key, type, count) {
      const types = this.#counts.get(key) ?? new Map();
      types.set(type, (types.get(type) ?? 0) + count);
      this.#counts.set(key, types);
    }

    /**
     * Sessions that hold instances and live no more. Who holds some shows first that it lives, and
     * so one is gone only if it is not seen alive after what it holds was read.
     */
    async #goneSessions() {
      if (this.#storage.aliveSessions === undefined) return new Set();
      const holders = await this.#storage.transact(['held/'], (records) => records.entries('held/').map(([key]) => key.slice('held/'.length)));
      const others = holders.filter((session) => session !== this.#session);
      if (others.length === 0) return new Set();
      const alive = await this.#storage.aliveSessions();
      return new Set(others.filter((session) => !alive.has(session)));
    }

    #othersHold(records, gone) {
      let others = 0;
      for (const [key, held] of records.entries('held/')) {
        const session = key.slice('held/'.length);
        if (session === this.#session) continue;
        if (gone.has(session)) records.delete(key);
        else others += held;
      }
      this.#heldByOthers = others;
      return others;
    }

    /** What was counted since the last flush, with all that its reports need. */
    #takeCounts() {
      const counts = Array.from(this.#counts, ([key, types]) => [key, Array.from(types)]);
      this.#counts = new Map();
      return { counts, under: { grant: this.#askedFor, handshakeCode: this.#grant?.handshakeCode, product: this.#config.product } };
    }

    #putBack({ counts }) {
      for (const [key, types] of counts) for (const [type, count] of types) this.#count(key, type, count);
    }

    /** Adds counts to the reports of their slots on disk, and closes those of slots that are over by `lag` seconds. Whether that could be done. */
    async #flush(lag = this.#config.flushSeconds) {
      if (this.#storage === null) return true;
      const taken = this.#takeCounts();
      const write = (records) => this.#write(records, taken, lag);
      this.#flushing = { taken, write };
      try {
        taken.gone = await this.#goneSessions();
        const { grant, closed } = await this.#storage.transact(['device', 'late/', 'open/', 'held/', this.#grantKey], write);
        // They are on disk: nothing that goes wrong from here on may put them back.
        taken.counts = [];
        for (const stored of closed) if (stored.grant === this.#askedFor) this.#due.set(stored.report.report_id, stored.report);
        if (!this.#isClosed && (await this.#adopt(grant)) && !this.#isEntered) this.#soon(() => this.#storage.lock('ask', this.#timeLeft(LOCK_WAIT_MS), () => this.#enter()));
        return true;
      } catch (error) {
        this.#putBack(taken);
        this.#warn(error);
        return false;
      } finally {
        this.#flushing = null;
      }
    }

    #write(records, taken, lag) {
      const instances = Math.max(1, this.#held + this.#othersHold(records, taken.gone));
      const late = records.entries('late/');
      for (const { counts, under } of [...late.map(([, value]) => value), taken]) {
        for (const [key, types] of counts) addToOpen(records, JSON.parse(key), types, { ...under, instances });
      }
      for (const [key] of late) records.delete(key);
      this.#keepTime(records, taken.counts.length > 0);
      const closed = closeOpen(records, this.#time.use() - lag);
      return { grant: records.get(this.#grantKey) ?? null, closed };
    }

    /** The time is kept when something is written anyway, and once a slot. */
    #keepTime(records, isWriting) {
      const device = this.#device(records);
      if (this.#time.merge(device.time)) {
        // What is due was planned by a time that is not so any more.
        const site = this.#time.tell();
        if (this.#config.servers.length > 0) this.#renewAt = Math.min(this.#renewAt, site);
        this.#reportAt = Math.min(this.#reportAt, site);
      }
      const { kept } = this.#time;
      const hasPassed = Math.abs(kept.lastSite - (device.time?.lastSite ?? 0)) >= SLOT_SECONDS;
      if (!isWriting && !hasPassed) return;
      records.put('device', { ...device, time: kept });
    }

    /** Sends what there is, in as many requests as it takes; what went wrong, if anything did. */
    async #send() {
      // With no server set, reports are carried by hand.
      if (this.#grant === null || this.#config.servers.length === 0) return null;
      try {
        return await this.#storage.lock('ask', this.#timeLeft(LOCK_WAIT_MS), async () => {
          this.#taker = null;
          for (;;) {
            const batch = await this.#storage.transact(['report/', 'grant/'], (records) => this.#nextBatch(records));
            const trouble = batch === null ? null : await this.#submit(batch);
            if (batch === null || trouble !== null) return trouble;
          }
        });
      } catch (error) {
        this.#warn(error);
        return asLicenseError(error);
      }
    }

    /** Reports of one grant that our servers can take. Forgets on the way what nobody takes any more. */
    #nextBatch(records) {
      const now = this.#time.use();
      const isOver = (slot) => now - (slot + SLOT_SECONDS) > REPORT_MAX_AGE_SECONDS;
      for (const [key, { report }] of records.entries('report/')) if (isOver(secondsOf(report.slot))) records.delete(key);
      const stored = records.entries('report/').map(([, value]) => value);
      const grants = new Map(records.entries('grant/').map(([key, grant]) => [key.slice('grant/'.length), grant]));
      for (const [name, grant] of grants) {
        const isUsed = name === this.#askedFor || stored.some((report) => report.grant === name);
        if (!isUsed && isOver(grant.expiresAt)) records.delete(`grant/${name}`);
      }
      const servers = JSON.stringify(this.#config.servers);
      const pending = stored.filter(({ grant, progress }) => progress === 'pending' && JSON.stringify(grants.get(grant)?.servers) === servers);
      this.#due = new Map(pending.filter(({ grant }) => grant === this.#askedFor).map(({ report }) => [report.report_id, report]));
      if (pending.length === 0) return null;
      const [{ grant }] = pending;
      const reports = takeWithin(pending.filter((other) => other.grant === grant).map(({ report }) => report), BATCH_BYTES_MAX);
      return this.#withSeen({ client_uuid: this.#clientUuid, authorization: grants.get(grant).authorization, reports });
    }

    /** Sends one batch; why it cannot be sent now, if so. */
    async #submit(batch) {
      const ids = batch.reports.map(({ report_id }) => report_id);
      let failure;
      const servers = this.#serversFrom(this.#taker ?? (this.#status.origin === 'server' ? this.#status.server : null));
      for (const [index, server] of servers.entries()) {
        try {
          // Whichever server takes them is told of the license that is given back; when the last one does not, nobody is.
          const left = servers.length - index;
          const answer = await this.#ask(server, REPORTS, batch, { tries: left > 1 ? left + 1 : 1 });
          if (!isReportsAnswer(answer)) throw new LicenseError(302, `what answers at ${server} is not a license server: its answer cannot be read`);
          this.#taker = server;
          await this.#takeAnswer(answer, ids, server);
          return null;
        } catch (error) {
          if (!(error instanceof LicenseError) || error.code === 306) throw error;
          failure = error;
          const bad = error.code === 200 ? ids[Number(/reports\[(\d+)\]/.exec(error.message)?.[1])] : undefined;
          if (bad !== undefined) {
            // One report that no server can read must not hold up all others.
            const answer = { accepted: [], duplicate: [], rejected: [{ report_id: bad, code: 200, detail: error.message }], origin: '', sequence: 0, safe: {} };
            await this.#takeAnswer(answer, [bad], server);
            return null;
          }
          if (!TEMPORARY.has(error.code)) break;
        }
      }
      // Not again in this session, but after the next authorization, which is due earlier now.
      await this.#change((stored) => (ids.includes(stored.report.report_id) ? { ...stored, progress: 'failed' } : stored));
      for (const id of ids) this.#due.delete(id);
      const pause = this.#backoff.next(this.#status.error === null, this.#config.random(), failure.retryAfter ?? 0);
      this.#renewAt = Math.min(this.#renewAt, this.#time.tell() + pause);
      const trouble = new LicenseError(failure.code, `${counted(ids.length, 'usage report')} could not be sent, and will be sent later: ${failure.message}`, failure.failures);
      this.#warn(trouble);
      return trouble;
    }

    /** Changes stored reports; `undefined` drops one. */
    #change(change) {
      return this.#storage.transact(['report/'], (records) => {
        for (const [key, stored] of records.entries('report/')) {
          const changed = change(stored);
          if (changed === undefined) records.delete(key);
          else if (changed !== stored) records.put(key, changed);
        }
      });
    }

    /** A server took a submission; `ids` are those that were sent. */
    async #takeAnswer(answer, ids, server) {
      const taken = new Set([...answer.accepted, ...answer.duplicate]);
      const rejected = new Map(answer.rejected.map((each) => [each.report_id, each]));
      const dropped = [];
      await this.#storage.transact(['device', 'report/'], (records) => {
        dropped.length = 0;
        for (const [key, stored] of records.entries('report/')) {
          const id = stored.report.report_id;
          const no = rejected.get(id);
          // A slot that the server thinks has not begun, or a device that it does not know yet, may be right later.
          const waits = no === undefined ? ids.includes(id) && !taken.has(id) : no.code === 202 || no.code === 203;
          if (taken.has(id)) records.put(key, { ...stored, progress: 'accepted', origin: answer.origin, sequence: answer.sequence });
          else if (waits) records.put(key, { ...stored, progress: 'failed' });
          else if (no !== undefined) {
            records.delete(key);
            dropped.push({ code: no.code, detail: String(no.detail ?? ''), report: stored.report });
          }
        }
        if (answer.origin === '') return;
        const device = this.#device(records);
        this.#seen = addSeen(this.#seen, answer);
        records.put('device', { ...device, seen: this.#seen });
        takeNews(records, answer, ids);
      });
      for (const id of [...ids, ...taken]) this.#due.delete(id);
      this.#emit('report', { server, accepted: answer.accepted.length, duplicate: answer.duplicate.length, rejected: dropped });
    }

    // -- life --

    /** Asks servers for what is due. */
    #askWhatIsDue() {
      return this.#asking.run(async () => {
        if (this.#isClosed || this.#keys !== null) return;
        // The clock was set, or the device slept: only a server knows what time it is now.
        const hasJumped = this.#time.hasJumped() && this.#config.servers.length > 0;
        const site = this.#time.tell();
        if (!hasJumped && this.#status.error === null && site >= this.#claims.exp) this.#setStatus({ error: this.#ended() });
        if (hasJumped || site >= this.#renewAt) await this.#round(hasJumped);
        if (this.#time.tell() >= this.#reportAt) {
          this.#reportAt = this.#time.tell() + (this.#grant?.reportInterval ?? SLOT_SECONDS);
          await this.#send();
        }
      });
    }

    #watch() {
      const fail = (error) => this.#warn(error);
      let isAsking = false;
      const ask = async () => {
        isAsking = true;
        await this.#askWhatIsDue().catch(fail);
        isAsking = false;
      };
      const again = () => {
        if (this.#isClosed) return;
        const due = isAsking ? NEVER : Math.min(this.#renewAt, this.#reportAt) - this.#time.tell();
        const use = this.#time.use();
        const slotEnd = slotOf(use) + SLOT_SECONDS - use;
        const nap = Math.min(this.#config.flushSeconds, NAP_SECONDS, slotEnd, Math.max(1, due));
        this.#timer = setTimeout(async () => {
          await this.flush().catch(fail);
          // A server may take its time; the next flush does not wait for it.
          if (!isAsking) void ask();
          again();
        }, nap * 1_000);
        // A license alone does not keep a Node program running.
        this.#timer.unref?.();
      };
      again();
      const flush = () => void this.flush();
      if (globalThis.document === undefined) {
        this.#stopWatching = Tollkeeper.platform.onExit?.(flush) ?? (() => {});
        return;
      }
      const leave = () => this.#leave();
      // A tab that was hidden may be gone without another word; one that is shown again has time to catch up on.
      const onVisibility = () => (document.visibilityState === 'hidden' ? leave() : void this.tick().catch(fail));
      addEventListener('pagehide', leave);
      document.addEventListener('visibilitychange', onVisibility);
      this.#stopWatching = () => {
        removeEventListener('pagehide', leave);
        document.removeEventListener('visibilitychange', onVisibility);
      };
    }

    /** The page may end any moment: counts go to disk, and what is due goes out at once, outliving the page. */
    #leave() {
      if (this.#storage.append !== undefined) this.#append();
      // Sealing takes longer than a page that ends has; what is on disk is sent next time.
      if (this.#grant === null || this.#config.sealed || this.#config.servers.length === 0) return;
      const waiting = Array.from(this.#due.values()).filter(({ report_id }) => !this.#leaving.has(report_id));
      const { authorization } = this.#grant;
      const reports = takeWithin(waiting, KEEPALIVE_BYTES_MAX - authorization.length);
      if (reports.length === 0) return;
      const ids = reports.map(({ report_id }) => report_id);
      for (const id of ids) this.#leaving.add(id);
      const server = this.#status.server ?? this.#config.servers[0];
      void this.#ask(server, REPORTS, this.#withSeen({ client_uuid: this.#clientUuid, authorization, reports }), { isLast: true })
        .then((answer) => (isReportsAnswer(answer) ? this.#takeAnswer(answer, ids, server) : undefined))
        // They stay on disk and are sent again; the server takes each once.
        .catch(() => {})
        .finally(() => ids.forEach((id) => this.#leaving.delete(id)));
    }

    /** Counts go to disk without a turn of the event loop, also those of a flush that may not live to its end. */
    #append() {
      const isFlushing = this.#flushing !== null && this.#flushing.taken.counts.length > 0;
      if (!isFlushing && this.#counts.size === 0) return;
      const parts = [this.#takeCounts()];
      const isCertain = this.#storage.interrupt(this.#flushing?.write);
      if (isFlushing && !isCertain) {
        const { taken } = this.#flushing;
        parts.push({ counts: taken.counts, under: taken.under });
        taken.counts = [];
      }
      // The next flush, of whichever tab, adds them to the reports.
      for (const part of parts) {
        if (part.counts.length > 0) this.#storage.append(`late/${randomUuid()}`, part).catch(() => this.#putBack(part));
      }
    }

    #soon(work) {
      void this.#asking.run(work).catch((error) => this.#warn(error));
    }

    #setStatus(changes) {
      const nothing = { origin: null, server: null, organizationId: null, handshakeCode: null, expiresAt: null, refreshAfter: null, items: [], instances: 0, failures: [], error: null };
      const status = { clientUuid: this.#clientUuid, ...nothing, ...changes };
      this.#status = Object.freeze({ isLicensed: status.error === null, ...status, failures: status.error?.failures ?? status.failures });
      this.#emit('change', this.#status);
    }

    #warn(error) {
      this.#emit('warning', asLicenseError(error));
    }

    #emit(name, what) {
      this.#emitting += 1;
      for (const listener of this.#listeners[name]) {
        if (this.#isSilent) break;
        try {
          listener(what);
        } catch (error) {
          console.error(error);
        }
      }
      this.#emitting -= 1;
    }
  }

  // ---- reports on disk -----------------------------------------------------------------------

  const isObject = (value) => value !== null && typeof value === 'object';
  const isReportsAnswer = (answer) =>
    [answer?.accepted, answer?.duplicate, answer?.rejected].every(Array.isArray) && answer.rejected.every(isObject) && Number.isSafeInteger(answer.sequence) && isObject(answer.safe);

  function needWhole(name, number) {
    if (!Number.isInteger(number) || number < 1 || number > COUNT_MAX) throw new LicenseError(200, `${name}: ${quoted(number)} is not a whole number from 1 to ${COUNT_MAX}`);
  }

  /** As many reports as a request takes. */
  function takeWithin(reports, bytesMax) {
    let bytes = 0;
    const tooMany = reports.findIndex((report) => (bytes += byteLength(JSON.stringify(report)) + 1) > bytesMax);
    return reports.slice(0, tooMany < 0 ? REPORTS_MAX : Math.min(tooMany, REPORTS_MAX));
  }

  /** Adds counts to the open report of their slot. What one report cannot hold goes into a further one. */
  function addToOpen(records, [slot, unit, module], types, { grant, handshakeCode, product, instances }) {
    const isSame = ({ grant: under, report }) =>
      under === grant && secondsOf(report.slot) === slot && report.unit === unit && (report.module ?? null) === module && report.handshake_code === handshakeCode && report.product === product;
    for (const [type, count] of types) {
      for (let left = count; left > 0; ) {
        const room = ({ counts }) => (Object.hasOwn(counts, type) || Object.keys(counts).length < TYPES_MAX ? COUNT_MAX - (own(counts, type) ?? 0) : 0);
        let [key, open] = records.entries('open/').find(([, value]) => isSame(value) && room(value.report) > 0) ?? [];
        if (open === undefined) {
          const report = { report_id: reportId(slot), slot: timeOf(slot), handshake_code: handshakeCode, product, unit, ...(module === null ? {} : { module }), counts: {}, instances };
          [key, open] = [`open/${report.report_id}`, { grant, report }];
        }
        const taken = Math.min(left, room(open.report));
        // A computed name is always the object's own, also `__proto__`.
        const counts = { ...open.report.counts, [type]: (own(open.report.counts, type) ?? 0) + taken };
        records.put(key, { grant, report: { ...open.report, counts, instances: Math.max(open.report.instances, instances) } });
        left -= taken;
      }
    }
  }

  /** Makes reports of the slots that ended before `until`; returns them. */
  function closeOpen(records, until, isMeant = () => true) {
    const over = records.entries('open/').filter(([, open]) => isMeant(open) && secondsOf(open.report.slot) + SLOT_SECONDS <= until);
    return over.map(([key, { grant, report }]) => {
      const stored = { grant, report, progress: 'pending' };
      records.delete(key);
      records.put(`report/${report.slot.slice(0, 10)}/${report.report_id}`, stored);
      return stored;
    });
  }

  /** What was seen of servers, with an answer to reports. Of too many, the one that was heard longest ago is forgotten; what names itself by no UUID is no server. */
  function addSeen(seen, { origin, sequence }) {
    if (!isUuid(origin)) return seen;
    const others = Object.entries(seen).filter(([server]) => server !== origin);
    return Object.fromEntries([...others, [origin, Math.max(own(seen, origin) ?? 0, sequence)]].slice(-SEEN_MAX));
  }

  /**
   * What a server tells of its site. What was reported in facts that are lost is sent again, to
   * whichever server answers, although it was safe before; what was `sent` just now not at once. What
   * no single loss can take any more need not be kept; what another server has not got from the one
   * that answers is sent there.
   */
  function takeNews(records, answer, sent = []) {
    const again = (key, { grant, report }, progress) => records.put(key, { grant, report, progress });
    for (const [key, stored] of records.entries('report/')) {
      if (stored.progress === 'accepted' && isLost(answer.lost, stored)) again(key, stored, sent.includes(stored.report.report_id) ? 'failed' : 'pending');
    }
    for (const [key, stored] of records.entries('report/')) {
      if (stored.progress !== 'accepted') continue;
      if (own(answer.safe, stored.origin) >= stored.sequence) records.delete(key);
      else if (stored.origin !== answer.origin) again(key, stored, 'pending');
    }
  }

  /** Whether the fact that holds a report is in a range that its server lost. What makes no sense in `lost` is passed over. */
  function isLost(lost, { origin, sequence }) {
    const ranges = isObject(lost) ? own(lost, origin) : undefined;
    const isNumber = (value) => Number.isInteger(value) && value >= 0;
    return Array.isArray(ranges) && ranges.some((range) => Array.isArray(range) && range.length === 2 && range.every(isNumber) && range[0] <= sequence && sequence <= range[1]);
  }

  // ---- platform and script tag ---------------------------------------------------------------

  async function sendByFetch(url, { method, contentType, body, timeoutMs, isLast = false }) {
    const options = { method, body, keepalive: isLast, cache: 'no-store', credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer', signal: AbortSignal.timeout(timeoutMs) };
    try {
      const response = await fetch(url, { ...options, headers: contentType === undefined ? {} : { 'Content-Type': contentType } });
      const answer = new Uint8Array(await response.arrayBuffer());
      return { status: response.status, contentType: response.headers.get('Content-Type') ?? '', retryAfter: Number(response.headers.get('Retry-After')) || 0, body: answer };
    } catch (error) {
      if (error.name === 'TimeoutError') throw new LicenseError(302, `it did not answer within ${timeoutMs / 1_000} s`);
      // A browser does not tell a page which of them it was.
      const { origin } = new URL(url);
      throw new LicenseError(302, `it cannot be reached (${error.message}): open ${origin}/health in this browser; if that works, its certificate is trusted, and this page's domain is missing in the handshake code or its Content-Security-Policy lacks connect-src ${origin}`);
    }
  }

  /** Everything that this library gives. */
  const Tollkeeper = {
    version: '0.1.0',
    License,
    LicenseError,
    Deduplicator,
    checkSettings,
    /** A storage that forgets everything when the page ends, for places without IndexedDB. */
    memoryStorage: () => new MemoryStorage(),
    /** The license of the script tag's settings; `null` when it has none. @type {Promise<License> | null} */
    ready: null,
    /** What differs between a browser and Node. */
    platform: {
      deploymentType: 'browser',
      processName: undefined,
      hardwareUuid: undefined,
      openStorage: () => new IndexedDbStorage(),
      onExit: undefined,
      send: sendByFetch,
    },
    /** The formats by themselves, for tools and tests. */
    formats: { settings: Object.keys(SETTINGS), codes: Object.keys(TITLES).map(Number), parseLicenseKey, parseVendorKeys, verifyingKey, slotOf, timeOf, secondsOf, checkChain, checkTime, readProductKeys, checkProductKeys, writeCarried, readCarried, seal, sealingContext, toBase64url, fromBase64url, Records, Backoff, SiteTime },
  };

  globalThis.Tollkeeper = Tollkeeper;

  const attributes = globalThis.document?.currentScript?.dataset ?? {};
  const named = Object.keys(attributes).flatMap((attribute) => {
    const name = Object.keys(SETTINGS).find((setting) => setting.toLowerCase() === attribute.toLowerCase());
    return name === undefined ? [] : [[name, attributes[attribute]]];
  });
  if (named.length > 0) Tollkeeper.ready = License.initialize(Object.fromEntries(named));
})();
