// The library in Node against a real server: `tollkeeper sandbox` and what its commands say.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { existsSync } from 'node:fs';
import { readFile, utimes, writeFile } from 'node:fs/promises';
import { FileStorage } from '../../static/sdk/javascript/tollkeeper-node.mjs';
import { Sandbox, TestClock, Tollkeeper, afterwards, failure, folder, sdkFolder, thrown, tollkeeper } from './support.mjs';

const { License } = Tollkeeper;
const limits = { timeout: 60_000 };

/** A proxy in the way of a server; `change(path, answer)` may tamper with what comes back. */
async function proxy(t, target, change) {
  const server = createServer(async (incoming, outgoing) => {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const reply = await fetch(target + incoming.url, { method: incoming.method, headers: { 'Content-Type': incoming.headers['content-type'] ?? 'text/plain' }, body: chunks.length > 0 ? Buffer.concat(chunks) : undefined });
    const { status = reply.status, body } = change(incoming.url, Buffer.from(await reply.arrayBuffer()), reply);
    outgoing.writeHead(status, { 'Content-Type': reply.headers.get('Content-Type') ?? 'text/plain' }).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterwards(t, () => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

/** Another process takes the lock of a cache and does this; ends when it has ended. */
async function heldElsewhere(cache, then) {
  const script = `import { FileStorage } from ${JSON.stringify(new URL('tollkeeper-node.mjs', sdkFolder).href)};
    await new FileStorage(${JSON.stringify(cache)}).lock('state', 1000, async () => { ${then}; await new Promise((resolve) => setTimeout(resolve, 10_000)); });`;
  const { signal } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]).catch((error) => error);
  assert.equal(signal, 'SIGKILL');
}

async function untilHeld(cache) {
  for (let tries = 0; tries < 200 && !existsSync(join(cache, 'state.lock')); tries += 1) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Ends the license with the test. */
async function licensed(t, settings) {
  const license = await License.initialize(settings);
  afterwards(t, () => license.close());
  return license;
}

test('a license key is all it takes: authorized over the site’s own TLS, and use is counted exactly', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const license = await licensed(t, { licenseKey: sandbox.licenseKey(), vendorPublicKey: sandbox.vendorPublicKey, product: 'dbr', dataFolder: await folder(t) });
  assert.deepEqual([license.status.origin, license.status.server, license.status.handshakeCode], ['server', sandbox.https, '216998-scan']);
  license.check();
  license.record('QR Code', 3, { at: Date.now() - 400_000 });
  license.record('EAN', 4, { at: Date.now() - 400_000 });
  await license.report();
  await license.report();
  assert.equal(await sandbox.total(), 7);
});

test('the application works on while the server is gone, and reports when it is back', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const clock = new TestClock();
  const settings = sandbox.settings({ dataFolder: await folder(t), ...clock.settings });
  await (await License.initialize(settings)).close();
  await sandbox.stop();
  const license = await licensed(t, settings);
  assert.deepEqual([license.status.origin, license.status.failures.map(({ code }) => code)], ['cache', [302]]);
  license.record('QR Code', 11);
  await license.close();
  clock.advance(180);
  const later = await licensed(t, settings);
  later.record('QR Code', 2);
  clock.advance(180);
  await later.report();
  await sandbox.startAgain();
  await sandbox.moveClock({ advance: '10m' });
  await later.renew();
  await later.tick();
  assert.deepEqual([later.status.origin, await sandbox.total()], ['server', 13]);
});

test('when the main server is gone, the standby of another vendor key serves', limits, async (t) => {
  const [main, standby] = [await Sandbox.start(t), await Sandbox.start(t)];
  const settings = main.settings({ standbyServerURL: standby.http, vendorPublicKey: main.vendorPublicKey + standby.vendorPublicKey, dataFolder: await folder(t) });
  await (await License.initialize(settings)).close();
  await main.stop();
  const license = await licensed(t, settings);
  assert.deepEqual([license.status.server, license.status.failures[0].server], [standby.http, main.http]);
  license.record('QR Code', 5, { at: Date.now() - 400_000 });
  await license.report();
  assert.equal(await standby.total(), 5);
});

test('a server that is silent is left after its time, and one that says 100 at once', limits, async (t) => {
  const [main, standby] = [await Sandbox.start(t), await Sandbox.start(t)];
  const settings = main.settings({ standbyServerURL: standby.http, vendorPublicKey: main.vendorPublicKey + standby.vendorPublicKey, dataFolder: await folder(t), timeoutSeconds: 1 });
  await main.faults({ silent: true });
  const license = await licensed(t, settings);
  assert.match(license.status.failures[0].message, /did not answer within 1 s/);
  await main.faults({ silent: false, refuse: 100 });
  await license.renew();
  assert.deepEqual([license.status.server, license.status.failures[0].code], [standby.http, 100]);
});

test('a report whose answer is lost counts once', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const license = await licensed(t, sandbox.settings({ dataFolder: await folder(t) }));
  const events = [];
  license.on('report', ({ accepted, duplicate }) => events.push([accepted, duplicate]));
  license.on('warning', ({ code }) => events.push(code));
  await sandbox.faults({ drop_reports: true });
  license.record('QR Code', 9, { at: Date.now() - 400_000 });
  await license.report();
  await sandbox.faults({ drop_reports: false });
  await license.renew();
  await license.tick();
  assert.deepEqual([events, await sandbox.total()], [[302, [0, 1]], 9]);
});

test('a wrong session password is 102, with what to tell whom', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const settings = sandbox.settings({ handshakeCode: '216998-locked', applicationId: 'com.example.scanner', dataFolder: await folder(t) });
  const error = await failure(License.initialize({ ...settings, sessionPassword: 'open window' }));
  assert.deepEqual([error.code, error.sdkCode, error.failures.length], [102, -20102, 1]);
  assert.match(error.message, /password/);
  assert.match(error.userMessage, /administrator/);
  assert.equal((await failure(License.initialize({ ...settings, sessionPassword: 'open sesame', applicationId: 'com.example.other' }))).code, 114);
  await licensed(t, { ...settings, sessionPassword: 'open sesame' });
});

test('a forged answer is refused, and one that is lost does no harm', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  let tamper = (body) => body;
  const mainServerURL = await proxy(t, sandbox.http, (path, body, reply) => (path.endsWith('/authorize') && reply.ok ? { body: tamper(body) } : { body }));
  const settings = sandbox.settings({ mainServerURL, dataFolder: await folder(t) });
  tamper = (body) => {
    const answer = JSON.parse(body);
    const [head, payload, signature] = answer.authorization.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url'));
    const longer = Buffer.from(JSON.stringify({ ...claims, exp: claims.exp + 365 * 86_400 })).toString('base64url');
    return JSON.stringify({ ...answer, authorization: `${head}.${longer}.${signature}` });
  };
  assert.deepEqual([(await failure(License.initialize(settings))).code], [304]);
  tamper = () => '';
  assert.equal((await failure(License.initialize(settings))).code, 302);
  let kept = null;
  tamper = (body) => (kept = body);
  const license = await licensed(t, settings);
  tamper = () => kept;
  await license.renew();
  assert.deepEqual([license.status.origin, license.status.failures[0].code], ['cache', 304], 'an old answer is none to a new request');
});

test('a server with another authority than the key says is not trusted, and a web server is none', limits, async (t) => {
  const [right, other] = [await Sandbox.start(t), await Sandbox.start(t)];
  const dataFolder = await folder(t);
  const settings = { licenseKey: right.licenseKey(), vendorPublicKey: right.vendorPublicKey, product: 'dbr', dataFolder, mainServerURL: other.https };
  const error = await failure(License.initialize(settings));
  assert.equal(error.code, 303);
  assert.match(error.message, /is not the server that the license key names/);
  const untrusted = await failure(License.initialize(right.settings({ mainServerURL: right.https, dataFolder })));
  assert.equal(untrusted.code, 303);
  assert.match(untrusted.message, /its certificate is not trusted/);
  const web = await proxy(t, right.http, () => ({ status: 200, body: '<h1>Welcome</h1>' }));
  assert.match((await failure(License.initialize(right.settings({ mainServerURL: web, dataFolder })))).message, /not a license server/);
  const stranger = await failure(License.initialize(right.settings({ vendorPublicKey: other.vendorPublicKey, dataFolder })));
  assert.equal(stranger.code, 304);
  assert.match(stranger.message, /a vendor that this application does not know/);
});

test('an item that is over is 111 even where an authorization was kept', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const settings = sandbox.settings({ dataFolder: await folder(t) });
  await (await License.initialize(settings)).close();
  await sandbox.moveClock({ set: '2101-01-01T00:00:00Z' });
  const error = await failure(License.initialize(settings));
  assert.equal(error.code, 111);
  await sandbox.stop();
  assert.equal((await failure(License.initialize(settings))).code, 302, 'the verdict ended what was kept');
});

test('a product key works without a server, and not with a handshake code', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  await sandbox.stop();
  const make = async (...words) => (await tollkeeper('vendor', 'product-key', '--key', sandbox.state.vendor_key_file, '--valid-to', '2099-12-31', ...words)).trim();
  const productKey = await make('--product', 'dbr', '--module', 'core', '--versions', '9.*');
  const settings = { productKey, vendorPublicKey: sandbox.vendorPublicKey, product: 'dbr', productVersion: '9.6.30' };
  const license = await licensed(t, settings);
  assert.deepEqual([license.status.origin, license.status.expiresAt.getUTCFullYear()], ['product-key', 2099]);
  license.check('core');
  license.record('QR Code');
  assert.equal(thrown(() => license.check('ocr')).code, 204);
  const both = await licensed(t, { ...settings, productKey: `${productKey};${await make('--product', 'dbr', '--module', 'ocr')}`, limitedModules: ['core', 'ocr'] });
  both.check('ocr');
  assert.equal((await failure(License.initialize({ ...settings, handshakeCode: '216998-scan' }))).code, 301);
  assert.equal((await failure(License.initialize({ ...settings, productVersion: '10.0' }))).code, 107);
  assert.equal((await failure(License.initialize({ ...settings, productKey: `${productKey.slice(0, -4)}AAAA` }))).code, 307);
  assert.equal((await failure(License.initialize({ ...settings, vendorPublicKey: (await Sandbox.start(t)).vendorPublicKey }))).code, 307);
  const here = Tollkeeper.platform.hardwareUuid();
  if (here !== null) await licensed(t, { ...settings, productKey: await make('--product', 'dbr', '--machine', here) });
  const elsewhere = await make('--product', 'dbr', '--machine', '6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88');
  assert.equal((await failure(License.initialize({ ...settings, productKey: elsewhere }))).code, 113);
});

test('processes that share one folder are one device, and nothing is lost or counted twice', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const dataFolder = await folder(t);
  const worker = fileURLToPath(new URL('worker.mjs', import.meta.url));
  const settings = sandbox.settings({ dataFolder });
  const runs = Array.from({ length: 4 }, () => promisify(execFile)(process.execPath, [worker, JSON.stringify(settings), '20']));
  const uuids = new Set((await Promise.all(runs)).map(({ stdout }) => stdout.trim()));
  assert.equal(uuids.size, 1);
  const license = await licensed(t, settings);
  await license.report();
  assert.equal(await sandbox.total(), 80);
  const devices = JSON.parse(await tollkeeper('device', 'list', '--data', sandbox.data, '--json'));
  assert.deepEqual(devices.map(({ client_uuid }) => client_uuid), [...uuids]);
});

test('a process that was killed while it wrote leaves a cache that works', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const dataFolder = await folder(t);
  const settings = sandbox.settings({ dataFolder });
  const first = await License.initialize(settings);
  first.record('QR Code', 2);
  await first.close();
  // What such a process leaves: its lock, and changes of which one file was written.
  const cache = join(dataFolder, 'node');
  await heldElsewhere(cache, 'process.kill(process.pid, "SIGKILL")');
  const open = JSON.parse(await readFile(join(cache, 'open.json'), 'utf8'));
  const [[key, value]] = Object.entries(open);
  value.report.counts['QR Code'] = 9;
  await writeFile(join(cache, 'changes.json'), JSON.stringify({ 'open.json': { [key]: value } }));
  await writeFile(join(cache, 'open.json.new'), '{"half');
  const clock = new TestClock(Date.now() + 400_000);
  await sandbox.moveClock({ advance: '10m' });
  const next = await licensed(t, { ...settings, ...clock.settings });
  await next.report();
  assert.equal(await sandbox.total(), 9);
});

test('a lock is taken over when its holder was not seen to live, whatever the clocks say', limits, async (t) => {
  const cache = await folder(t);
  const storage = new FileStorage(cache);
  const path = join(cache, 'ask.lock');
  const take = (waitMs) => storage.lock('ask', waitMs, async () => 'taken');
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() * 50);
  // A process of another machine, whose clock is an hour behind; it lives as long as it touches its lock.
  let beats = 0;
  const touch = () => utimes(path, new Date(), new Date(Date.now() - 3_600_000 - (beats += 1) * 1_000));
  await writeFile(path, JSON.stringify({ pid: 1, processes: 'elsewhere', id: 'x' }));
  await touch();
  const living = setInterval(() => void touch(), 40);
  assert.equal((await failure(take(60_000))).code, 302, 'it lives, however old its lock looks');
  clearInterval(living);
  assert.equal((await failure(take(20_000))).code, 302, 'it may still live');
  assert.equal(await take(40_000), 'taken');
});

test('a process that lives keeps its lock, and one that ended does not', limits, async (t) => {
  const cache = await folder(t);
  const storage = new FileStorage(cache);
  const living = heldElsewhere(cache, 'setTimeout(() => process.kill(process.pid, "SIGKILL"), 1500)');
  await untilHeld(cache);
  assert.equal((await failure(storage.lock('state', 300, async () => {}))).code, 302);
  await living;
  assert.equal(await storage.lock('state', 300, async () => 'taken'), 'taken');
  const session = await storage.holdSession('me');
  assert.deepEqual([...(await storage.aliveSessions())], ['me']);
  session();
});

test('instances and seats are taken and given back', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const dataFolder = await folder(t);
  const settings = sandbox.settings({ handshakeCode: '216998-instances', instances: 4, dataFolder });
  const license = await licensed(t, settings);
  assert.equal(license.status.instances, 4);
  const other = await licensed(t, settings);
  await license.takeInstances(3);
  assert.equal((await failure(other.takeInstances(2))).code, 120);
  await license.giveBackInstances(1);
  await other.takeInstances(2);
  assert.equal(other.idleInstances, 0);
  const devices = JSON.parse(await tollkeeper('device', 'list', '--data', sandbox.data, '--json')).length;
  const seats = async () => JSON.parse(await tollkeeper('device', 'list', '--data', sandbox.data, '--json')).flatMap((device) => device.seats.map(({ item_id }) => item_id % 100));
  const seat = await licensed(t, sandbox.settings({ handshakeCode: '216998-quarter', dataFolder: await folder(t) }));
  assert.deepEqual([devices, (await seats()).includes(3)], [1, true]);
  await seat.release();
  assert.equal((await seats()).includes(3), false);
});

test('two applications of a device under one code each give back their own', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const dataFolder = await folder(t);
  const begin = async (chargeWay) => {
    const license = await licensed(t, sandbox.settings({ handshakeCode: '216998-100', chargeWay, releaseOnClose: 'seat', dataFolder }));
    await sandbox.moveClock({ advance: '10s' });
    return license;
  };
  const held = async () => JSON.parse(await tollkeeper('device', 'list', '--data', sandbox.data, '--json')).flatMap((device) => device.seats.map(({ item_id }) => item_id % 100)).toSorted();
  const licenses = [await begin('concurrent_device'), await begin('concurrent_instance')];
  assert.deepEqual(await held(), [5, 6]);
  await licenses[0].close();
  assert.deepEqual(await held(), [6], 'by the authorization of the other one');
  await licenses[1].close();
  assert.deepEqual(await held(), []);
  const [earlier, later] = [await begin('concurrent_device'), await begin('concurrent_instance')];
  await later.close();
  assert.deepEqual(await held(), [5]);
  await earlier.close();
  assert.deepEqual(await held(), [], 'by one that was given back');
});

test('the clock of the device may be wrong', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const clock = new TestClock(Date.parse('2001-01-01T00:00:00Z'));
  const license = await licensed(t, sandbox.settings({ dataFolder: await folder(t), ...clock.settings }));
  license.record('QR Code', 6);
  clock.advance(180);
  await sandbox.moveClock({ advance: '3m' });
  await license.report();
  assert.equal(await sandbox.total(), 6);
});

test('a device without network is served by files', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const dataFolder = await folder(t);
  const path = (name) => join(dataFolder, name);
  const clock = new TestClock();
  const settings = sandbox.settings({ mainServerURL: 'http://127.0.0.1:9', dataFolder, ...clock.settings });
  await writeFile(path('request.txt'), (await License.requestByHand(settings)).file);
  await tollkeeper('device', 'authorize-file', path('request.txt'), '--out', path('answer.txt'), '--data', sandbox.data);
  await License.importAuthorization(settings, await readFile(path('answer.txt'), 'utf8'));
  const license = await licensed(t, settings);
  assert.equal(license.status.origin, 'carried');
  license.record('QR Code', 8);
  clock.advance(180);
  await sandbox.moveClock({ advance: '3m' });
  await writeFile(path('reports.txt'), (await license.reportsByHand()).file);
  await tollkeeper('device', 'import-reports', path('reports.txt'), '--out', path('receipt.txt'), '--data', sandbox.data);
  await license.importReceipt(await readFile(path('receipt.txt'), 'utf8'));
  assert.deepEqual([await sandbox.total(), await license.reportsByHand()], [8, null]);
});

test('what was done before settings changed is carried by files too', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const dataFolder = await folder(t);
  const path = (name) => join(dataFolder, name);
  const settings = sandbox.settings({ dataFolder });
  const before = await License.initialize(settings);
  before.record('QR Code', 3, { at: Date.now() - 400_000 });
  await before.close();
  const license = await licensed(t, { ...settings, productVersion: '9.6.30' });
  license.record('QR Code', 4, { at: Date.now() - 400_000 });
  const carry = async ({ file }) => {
    await writeFile(path('reports.txt'), file);
    await tollkeeper('device', 'import-reports', path('reports.txt'), '--out', path('receipt.txt'), '--data', sandbox.data);
    await license.importReceipt(await readFile(path('receipt.txt'), 'utf8'));
  };
  await carry(await license.reportsByHand());
  // A server that reads only the first part leaves the rest for the next time.
  const rest = await license.reportsByHand();
  if (rest !== null) await carry(rest);
  assert.deepEqual([await sandbox.total(), await license.reportsByHand()], [7, null]);
});

test('sealed bodies hide everything from a proxy that ends TLS', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const types = [];
  const mainServerURL = await proxy(t, sandbox.http, (path, body, reply) => {
    if (!path.endsWith('/server')) types.push(reply.headers.get('Content-Type') ?? reply.status);
    return { body };
  });
  const settings = sandbox.settings({ mainServerURL, sealed: true, dataFolder: await folder(t) });
  const license = await licensed(t, settings);
  license.record('QR Code', 4, { at: Date.now() - 400_000 });
  await license.report();
  assert.equal(await sandbox.total(), 4);
  const error = await failure(License.initialize({ ...settings, handshakeCode: '216998-none' }));
  assert.equal(error.code, 101, 'refusals are sealed too');
  assert.ok(types.length >= 3 && types.every((type) => type === 'application/tk-sealed'), types.join());
  const old = await proxy(t, sandbox.http, (path, body) => (path.endsWith('/server') ? { body: JSON.stringify({ ...JSON.parse(body), certificates: [] }) } : { body }));
  assert.equal((await failure(License.initialize({ ...settings, mainServerURL: old, dataFolder: await folder(t) }))).code, 308);
});
