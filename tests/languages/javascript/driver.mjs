// Does what it is told, one line at a time, through the JavaScript library: what tests/c/driver.c does in C.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Deduplicator, License, LicenseError } from '../../../static/sdk/javascript/tollkeeper-node.mjs';
import { checkVector } from '../../browser/vector-cases.mjs';

const settings = {};
const deduplicator = new Deduplicator();
const ORIGINS = { cache: 'kept', 'product-key': 'product_key' };
let license = null;

const say = (text) => process.stdout.write(`${text}\n`);
const read = (path) => readFileSync(path, 'utf8');

function put(name, value = '') {
  if (value === '') delete settings[name];
  else settings[name] = value;
}

async function begin(how) {
  license = await how(settings);
  listen();
}

function listen() {
  license.on('change', ({ error }) => say(`event changed ${error?.sdkCode ?? 0}`));
  license.on('report', ({ accepted, duplicate, rejected }) => say(`event report ${accepted} ${duplicate} ${rejected.length}`));
  license.on('warning', ({ sdkCode, message }) => say(`event warning ${sdkCode} ${message}`));
}

function jsonOf({ isLicensed, origin, server, expiresAt, handshakeCode, clientUuid, instances, error, failures }) {
  return JSON.stringify({
    licensed: isLicensed,
    origin: ORIGINS[origin] ?? origin,
    server,
    expires_at: expiresAt?.toISOString().replace('.000Z', 'Z') ?? null,
    handshake_code: handshakeCode,
    client_uuid: clientUuid,
    instances,
    code: error?.code ?? 0,
    message: error?.message ?? null,
    failures,
  });
}

const commands = {
  set: (name, value) => put(name, value),
  'set-file': (name, path) => put(name, read(path)),
  initialize: () => begin(License.initialize),
  async 'initialize-closing'() {
    await begin(License.initialize);
    license.on('change', async ({ isLicensed }) => {
      if (isLicensed) return;
      await license.close();
      say('event closed');
    });
  },
  start: () => begin(License.start),
  close: () => license.close(),
  release: () => license.release(),
  check: (module) => license.check(module),
  record: (count, kind) => license.record(kind, Number(count)),
  'record-page': (count, module) => license.record('scanned', Number(count), { unit: 'page', module }),
  'record-at': (at, kind) => license.record(kind, 1, { at: Number(at) * 1_000 }),
  take: (count) => license.takeInstances(Number(count)),
  give: (count) => license.giveBackInstances(Number(count)),
  flush: () => license.flush(),
  async renew() {
    await license.renew();
    await license.report();
  },
  status: () => jsonOf(license.status),
  request: async () => (await License.requestByHand(settings)).file,
  'request-line': async () => (await License.requestByHand(settings)).line,
  import: (path) => License.importAuthorization(settings, read(path)),
  'report-file': async () => (await license.reportsByHand())?.file,
  vector: async (kind, one) => JSON.stringify(await checkVector(kind, JSON.parse(one))),
  'import-receipt': (path) => license.importReceipt(read(path)),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [, command, rest] = /^(\S+) ?(.*)$/.exec(line);
  const hasTwo = ['set', 'set-file', 'record', 'record-page', 'record-at', 'seen', 'vector'].includes(command);
  const cut = hasTwo ? rest.indexOf(' ') : -1;
  const words = rest === '' ? [] : cut < 0 ? [rest] : [rest.slice(0, cut), rest.slice(cut + 1)];
  try {
    if (command === 'idle') {
      say(license.idleInstances);
    } else if (command === 'seen') {
      say(Number(deduplicator.isNew('QR', words[1], Number(words[0]))));
    } else {
      const text = await commands[command](...words);
      say(typeof text === 'string' ? `0 ${text.replaceAll('\n', '~')}` : '0');
    }
  } catch (error) {
    if (!(error instanceof LicenseError)) throw error;
    say(`${error.sdkCode} ${error.message} | ${error.userMessage}`);
  }
}
await license?.close();
