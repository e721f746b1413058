// The library by itself: settings, rounds, time, counting and reports, against a site of our
// own making and a clock that goes when it is told to.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeSite, Signer, TestClock, Tollkeeper, failure, folder, thrown } from './support.mjs';

const { License, LicenseError, Deduplicator, checkSettings, formats } = Tollkeeper;
const DAY = 86_400;

/** A site, its clock, and settings that share one cache. */
function site() {
  const clock = new TestClock(Date.parse('2026-11-22T05:03:10Z'));
  const fake = new FakeSite(clock);
  const storage = Tollkeeper.memoryStorage();
  return { clock, fake, storage, a: fake.servers.a, b: fake.servers.b, settings: (more) => fake.settings({ storage, ...more }) };
}

test('settings that cannot be are refused at once, naming what to set', async () => {
  const vendorPublicKey = new Signer().pem;
  const good = { vendorPublicKey, product: 'dbr', mainServerURL: 'https://main:48443', handshakeCode: '216998-line4' };
  assert.deepEqual(checkSettings(good).servers, ['https://main:48443']);
  const keyWithAuthority = `TK1.${formats.toBase64url(Buffer.from(JSON.stringify({ servers: ['https://a'], organization_id: '', handshake_code: '216998-line4', ca: `sha256:${'0'.repeat(64)}` })))}`;
  assert.deepEqual(checkSettings({ ...good, mainServerURL: 'http://main:80' }).servers, ['http://main:80'], 'where no authority is named, the site may do without encryption');
  const cases = [
    [{ product: '' }, 'product is not set'],
    [{ vendorPublicKey: undefined }, 'vendorPublicKey is not set'],
    [{ vendorPublicKey: '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----' }, 'vendorPublicKey: it is damaged'],
    [{ productKey: 'eyJ' }, 'productKey cannot be used together with a handshake code'],
    [{ licenseKey: 'TK1.x' }, 'licenseKey: '],
    [{ mainServerURL: undefined, handshakeCode: undefined }, 'no license server and no product key is set'],
    [{ certificateAuthority: `sha256:${'0'.repeat(64)}`, standbyServerURL: 'http://standby:80' }, "the server URL 'http://standby:80' has no encryption, but certificateAuthority names"],
    [{ licenseKey: keyWithAuthority, mainServerURL: 'http://main:80' }, "the server URL 'http://main:80' has no encryption, but the license key names"],
    [{ mainServerURL: undefined, standbyServerURL: 'https://b' }, 'standbyServerURL is set, but mainServerURL is not'],
    [{ mainServerURL: 'main:48443' }, 'must start with https://'],
    [{ handshakecode: 'x' }, "there is no setting 'handshakecode'"],
    [{ instances: 0 }, 'instances: 0 is not a whole number'],
    [{ maxBufferDays: 366 }, 'maxBufferDays'],
    [{ chargeWay: 'free' }, "chargeWay: 'free' is none of"],
    [{ sealed: 'maybe' }, 'sealed must be true or false'],
    [{ certificateAuthority: 'abc' }, 'certificateAuthority'],
  ];
  for (const [change, words] of cases) {
    const error = thrown(() => checkSettings({ ...good, ...change }));
    assert.ok(error instanceof LicenseError && error.code === 301 && error.sdkCode === -20301 && error.message.includes(words), error.message);
  }
  assert.equal((await failure(License.initialize({ ...good, product: '' }))).code, 301);
});

test('fields override what the license key says, and texts are taken for numbers and lists', () => {
  const vendorPublicKey = new Signer().pem;
  const key = { servers: ['https://a:1', 'https://b:1'], organization_id: '216998', handshake_code: '216998-k', session_password: 'open' };
  const licenseKey = `TK1.${formats.toBase64url(Buffer.from(JSON.stringify(key)))}`;
  const config = checkSettings({ licenseKey, vendorPublicKey, product: 'dbr' });
  assert.deepEqual([config.servers, config.handshakeCode, config.sessionPassword], [['https://a:1', 'https://b:1'], '216998-k', 'open']);
  const mine = checkSettings({ licenseKey, vendorPublicKey, product: 'dbr', handshakeCode: '216998-mine', standbyServerURL: 'https://c/', instances: '3', limitedModules: 'qr-code, 1d', sealed: 'true' });
  assert.deepEqual([mine.servers, mine.handshakeCode, mine.instances, mine.limitedModules, mine.sealed], [['https://a:1', 'https://c'], '216998-mine', 3, ['qr-code', '1d'], true]);
  const bare = vendorPublicKey.replace(/-----[^-]+-----|\s/g, '');
  assert.deepEqual(checkSettings({ licenseKey, vendorPublicKey: bare, product: 'dbr' }).vendorKeys, config.vendorKeys);
});

test('the same barcode counts once in a frame, and again after the pause', () => {
  const seen = new Deduplicator();
  const [a, b] = [{ format: 'QR', text: 'a' }, { format: 'QR', text: 'b' }];
  assert.deepEqual(seen.countFrame([a, { ...a }, { format: 'EAN', text: 'a' }, b], 0).length, 3);
  assert.equal(seen.isNew('QR', 'a', 2_999), false);
  assert.equal(seen.isNew('QR', 'a', 3_000), true);
  assert.equal(seen.isNew('QR', 'a', 5_000), false);
  assert.equal(seen.isNew('QR', 'b', 5_000), true);
  const eager = new Deduplicator({ pauseSeconds: 0 });
  assert.deepEqual([eager.isNew('QR', 'a', 1), eager.isNew('QR', 'a', 1), eager.isNew('QR', 'a', 2)], [true, false, true]);
});

test('pauses double to their limit, and what the server asks for is the least', () => {
  const pauses = (isLicensed) => {
    const backoff = new formats.Backoff();
    return Array.from({ length: 8 }, () => backoff.next(isLicensed, 0.5, 0));
  };
  assert.deepEqual(pauses(true), [180, 360, 720, 1_440, 2_880, 3_600, 3_600, 3_600]);
  assert.deepEqual(pauses(false), [10, 20, 40, 80, 160, 320, 600, 600]);
  assert.equal(new formats.Backoff().next(true, 0, 0), 90);
  assert.equal(new formats.Backoff().next(false, 1, 120), 180);
});

test('turning the clock back does not lengthen a license', () => {
  const at = { local: 1_000, monotonic: 0 };
  const time = new formats.SiteTime(() => at);
  assert.equal(time.tell(), 1_000);
  Object.assign(at, { local: 400, monotonic: 50 });
  assert.equal(time.tell(), 1_050, 'the monotonic clock goes on');
  Object.assign(at, { local: 100, monotonic: 0 });
  const next = new formats.SiteTime(() => at);
  next.begin(time.kept);
  assert.equal(next.tell(), 1_050, 'over a restart too');
  next.learn(5_000);
  Object.assign(at, { local: 110, monotonic: 10 });
  assert.equal(next.tell(), 5_010, "the server's clock is the measure");
});

test('a clock that once ran ahead dates no use ahead, and what another tab learned later wins', () => {
  const at = { local: 10_000, monotonic: 0 };
  const move = (local, monotonic) => Object.assign(at, { local, monotonic });
  const time = new formats.SiteTime(() => at);
  time.learn(10_100);
  move(900_000, 10);
  assert.deepEqual([time.tell(), time.use()], [900_100, 900_100]);
  move(10_020, 20);
  assert.deepEqual([time.tell(), time.use()], [900_110, 10_120], 'the license goes on by the later time, use by the right one');
  move(3_000, 30);
  assert.equal(time.use(), 10_130, 'what a server signed has passed in any case');
  const other = new formats.SiteTime(() => at);
  move(10_040, 40);
  other.begin(time.kept);
  other.learn(10_141);
  assert.equal(time.merge(other.kept), true);
  assert.deepEqual([time.tell(), time.use()], [10_141, 10_141]);
  move(20_040, 50);
  assert.equal(other.tell(), 20_141);
  move(20_141, 60);
  other.learn(10_160);
  move(10_170, 70);
  assert.deepEqual([other.use(), other.tell()], [10_170, 10_170], 'a clock that was wrong and is set right needs no correction');
  assert.equal(other.merge({ ...time.kept, lastSite: 900_200, learned: 1 }), false);
  assert.equal(other.tell(), 10_170, 'what was before must not push the time ahead again');
  other.merge({ ...other.kept, lastSite: 20_000 });
  assert.equal(other.tell(), 20_000);
});

test('a clock that jumps makes a renewal due at once', async () => {
  const { clock, fake, settings } = site();
  const license = await License.initialize(settings());
  const rounds = () => fake.asked.filter(({ path }) => path.endsWith('authorize')).length;
  clock.advance(60);
  clock.ms += 170_000;
  await license.tick();
  assert.equal(rounds(), 1, 'a little is what clocks do');
  clock.ms += 200_000;
  await license.tick();
  await license.tick();
  assert.equal(rounds(), 2);
  clock.ms -= 200_000;
  await license.tick();
  assert.equal(rounds(), 3);
  await license.close();
});

test('use is counted in its own slot after a clock that ran ahead was set right', async () => {
  const { clock, a, b, settings } = site();
  const license = await License.initialize(settings());
  a.down();
  b.down();
  clock.ms += 2 * DAY * 1_000;
  await license.tick();
  clock.ms -= 2 * DAY * 1_000;
  await license.tick();
  license.check();
  license.record('QR Code', 3);
  clock.advance(180);
  a.up();
  await license.renew();
  await license.report();
  assert.deepEqual([...a.reports.values()].map(({ slot }) => slot), ['2026-11-22T05:03:00Z']);
  await license.close();
});

test('a tab whose time ran ahead is set right by what another tab learned, and reports', async () => {
  const { clock, a, b, settings } = site();
  const [one, two] = [await License.initialize(settings()), await License.initialize(settings())];
  a.down();
  b.down();
  clock.ms += 3 * DAY * 1_000;
  await one.tick();
  clock.ms -= 3 * DAY * 1_000;
  a.up();
  await two.renew();
  one.record('QR Code', 2);
  await one.flush();
  clock.advance(400);
  await one.tick();
  await one.tick();
  assert.equal(a.total(), 2);
  await one.close();
  await two.close();
});

test('the standby is asked when main fails, and what was kept when both do', async () => {
  const { fake, a, b, settings } = site();
  a.down();
  const license = await License.initialize(settings());
  assert.deepEqual([license.status.origin, license.status.server], ['server', 'https://b']);
  assert.deepEqual(license.status.failures.map(({ server, code }) => [server, code]), [['https://a', 302]]);
  await license.close();
  b.refuse(100, 503);
  const again = await License.initialize(settings());
  assert.deepEqual([again.status.origin, again.status.failures.map(({ code }) => code)], ['cache', [302, 100]]);
  again.check();
  await again.close();
  const other = await failure(License.initialize(settings({ edition: 'mobile' })));
  assert.equal(other.code, 302, 'another request does not fit what was kept');
  assert.match(other.message, /https:\/\/a: it cannot be reached; https:\/\/b: refused with 100/);
  assert.equal(fake.asked.at(-1).content.client_uuid, license.status.clientUuid, 'the device keeps its UUID');
});

test('a refusal is the verdict at once, and ends the authorization that was kept', async () => {
  const { fake, a, b, settings } = site();
  await (await License.initialize(settings())).close();
  a.refuse(113);
  const before = fake.asked.length;
  const error = await failure(License.initialize(settings()));
  assert.deepEqual([error.code, error.title, fake.asked.slice(before).filter(({ path }) => path.endsWith('authorize')).length], [113, 'License item is invalid or revoked', 1]);
  a.down();
  b.down();
  assert.equal((await failure(License.initialize(settings()))).code, 302, 'nothing is kept any more');
});

test('101 and 121 go on to the next server, and are the verdict when none grants', async () => {
  const { a, b, settings } = site();
  a.refuse(101, 404);
  const license = await License.initialize(settings());
  assert.equal(license.status.server, 'https://b');
  await license.close();
  b.down();
  assert.equal((await failure(License.initialize(settings()))).code, 101);
  a.refuse(100, 503);
  assert.equal((await failure(License.initialize(settings()))).code, 302, 'and what was kept is gone');
});

test('a server that is not well says nothing about the license, whatever its code', async () => {
  const { a, b, settings } = site();
  await (await License.initialize(settings())).close();
  a.refuse(113, 502);
  b.answer = () => ({ status: 404, hello: 'world' });
  const license = await License.initialize(settings());
  assert.deepEqual([license.status.origin, license.status.failures.map(({ code }) => code)], ['cache', [302, 302]]);
  await license.close();
});

test('an answer that is not genuine is not used', async () => {
  const { clock, a, b, settings } = site();
  const thief = new Signer();
  b.down();
  const forgeries = {
    'by a stranger': (request) => a.authorize(request, {}, a.certificate({}, thief)),
    'of another device': (request) => a.authorize(request, { sub: a.uuid }),
    'of another request': (request) => a.authorize(request, { nonce: 'AAAAAAAAAAAAAAAAAAAAAA' }),
    'of another server': (request) => a.authorize(request, { iss: b.uuid }),
    'of another organization': (request) => a.authorize(request, { org: '7' }),
    'of another code': (request) => a.authorize(request, { hs: '216998-other' }),
    'ended already': (request) => a.authorize(request, { exp: Math.floor(clock.ms / 1_000) }),
    'of an ended certificate': (request) => a.authorize(request, {}, a.certificate({ not_after: '2021-01-01T00:00:00Z' })),
    changed: (request) => {
      const answer = a.authorize(request);
      const [head, , signature] = answer.authorization.split('.');
      return { ...answer, authorization: `${head}.${formats.toBase64url(Buffer.from(JSON.stringify({ ...a.claims(request), exp: 4e9 })))}.${signature}` };
    },
    'of no form': () => ({ authorization: 'x' }),
  };
  for (const [name, forge] of Object.entries(forgeries)) {
    a.answer = (_path, request) => forge(request);
    const error = await failure(License.initialize(settings()));
    assert.deepEqual(error.failures.map(({ code }) => code), [304, 302], name);
  }
  a.up();
  await (await License.initialize(settings({ handshakeCode: '216998-LINE4' }))).close();
});

test('the nonce is kept until an answer arrives, and the ticket is shown the next time', async () => {
  const { fake, a, b, settings } = site();
  b.down();
  // The answer is lost on its way.
  a.answer = (path, request) => {
    a.usual(path, request);
    throw new LicenseError(302, 'the connection broke');
  };
  await failure(License.initialize(settings()));
  a.up();
  const license = await License.initialize(settings());
  await license.renew();
  const [lost, first, second] = fake.asked.filter(({ server, path }) => server === 'a' && path.endsWith('authorize')).map(({ content }) => content);
  assert.equal(first.nonce, lost.nonce);
  assert.equal(first.ticket, undefined);
  assert.notEqual(second.nonce, first.nonce);
  assert.match(second.ticket, /ticket \d+ of a/);
  await license.close();
});

test('the authorization is renewed when it is due, and a failed renewal waits longer each time', async () => {
  const { clock, fake, a, b, settings } = site();
  const license = await License.initialize(settings());
  const rounds = () => fake.asked.filter(({ server, path }) => server === 'a' && path.endsWith('authorize')).length;
  clock.advance(DAY - 60);
  await license.tick();
  assert.equal(rounds(), 1);
  // Refresh after a day, and at most a tenth of the rest later.
  clock.advance(60 + 0.1 * 6 * DAY);
  await license.tick();
  assert.equal(rounds(), 2);
  a.down();
  b.down();
  clock.advance(DAY + 0.1 * 6 * DAY);
  await license.tick();
  assert.deepEqual([rounds(), license.status.origin], [3, 'cache']);
  clock.advance(179);
  await license.tick();
  assert.equal(rounds(), 3);
  clock.advance(2);
  await license.tick();
  assert.equal(rounds(), 4);
  clock.advance(7 * DAY);
  const told = [];
  license.on('change', (status) => told.push(status.error?.code ?? status.origin));
  await license.tick();
  assert.deepEqual([license.isLicensed(), told[0]], [false, 305]);
  assert.equal(thrown(() => license.check()).code, 305);
  a.up();
  clock.advance(3_600 * 2);
  await license.tick();
  assert.deepEqual([license.status.origin, told.at(-1)], ['server', 'server']);
  await license.close();
});

test('an authorization that ended offline is told so, over a restart too', async () => {
  const { clock, a, b, settings } = site();
  await (await License.initialize(settings())).close();
  a.down();
  b.down();
  clock.advance(7 * DAY + 1);
  const error = await failure(License.initialize(settings()));
  assert.equal(error.code, 305);
  assert.match(error.userMessage, /connect to the network/);
  clock.ms -= 3 * DAY * 1_000;
  assert.equal((await failure(License.initialize(settings()))).code, 305, 'turning the clock back does not help');
});

test('a module is licensed when an item of the product has it', async () => {
  const { a, settings } = site();
  a.items = [
    { item_id: 1, product: 'dbr', modules: ['QR-Code'], charge_way: 'scan', instances: 1 },
    { item_id: 2, product: 'dwt', modules: [], charge_way: 'page', instances: 1 },
  ];
  const license = await License.initialize(settings());
  license.check();
  license.check('qr-code');
  assert.equal(thrown(() => license.check('ocr')).code, 204);
  assert.deepEqual([license.isLicensed('qr-code'), license.isLicensed('ocr')], [true, false]);
  await license.close();
});

test('a slot becomes one report, sent once, and kept until it is safe', async () => {
  const { clock, a, settings } = site();
  const license = await License.initialize(settings());
  license.record('QR Code');
  license.record('QR Code', 2);
  license.record('EAN', 4, { at: new Date(clock.ms) });
  license.record('QR Code', 5, { at: clock.ms - 180_000 });
  clock.advance(180);
  license.record('QR Code', 1);
  await license.report();
  const reports = [...a.reports.values()];
  assert.deepEqual(reports.map(({ slot, counts }) => [slot, counts]), [
    ['2026-11-22T05:00:00Z', { 'QR Code': 5 }],
    ['2026-11-22T05:03:00Z', { 'QR Code': 3, EAN: 4 }],
  ]);
  assert.ok(reports.every(({ report_id, unit, handshake_code, product, instances }) => report_id[14] === '7' && unit === 'scan' && handshake_code === '216998-line4' && product === 'dbr' && instances === 1));
  clock.advance(180);
  await license.report();
  await license.report();
  assert.deepEqual([a.total(), a.reports.size], [13, 3]);
  await license.close();
});

test('pages are counted per module, in the unit of the charge way', async () => {
  const { clock, a, settings } = site();
  a.items = [{ item_id: 1, product: 'dbr', modules: [], charge_way: 'page', instances: 1 }];
  const license = await License.initialize(settings());
  license.record('scanned', 2, { module: 'core' });
  license.record('scanned', 3, { module: 'ocr' });
  clock.advance(180);
  await license.report();
  assert.deepEqual([...a.reports.values()].map(({ unit, module, counts }) => [unit, module, counts.scanned]).sort(), [['page', 'core', 2], ['page', 'ocr', 3]]);
  for (const [type, count, more] of [['\ud800', 1], ['a', '1'], ['a', NaN], ['a', -1], ['a', 1, { module: '\n' }], ['', 1], ['x'.repeat(65), 1], ['a\nb', 1], ['a', 0], ['a', 1.5], ['a', 1, { unit: 'box' }], ['a', 1, { at: 'yesterday' }]]) {
    assert.equal(thrown(() => license.record(type, count, more)).code, 200, JSON.stringify(type));
  }
  await license.close();
});

test('types that JavaScript has a meaning for are counted like any other', async () => {
  const { clock, a, settings } = site();
  const names = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'QR Code'];
  const license = await License.initialize(settings());
  for (const count of [1, 2]) {
    for (const name of names) license.record(name, count);
    await license.flush();
  }
  clock.advance(180);
  await license.report();
  assert.deepEqual([...a.reports.values()].map(({ counts }) => Object.entries(counts).sort()), [names.map((name) => [name, 3]).sort()]);
  await license.close();
});

test('what a server names after something of JavaScript is no more than a name', async () => {
  const { clock, fake, a, b, settings } = site();
  a.answer = (path, request) => (path.endsWith('authorize') ? a.authorize(request, { hid: '__proto__' }) : { ...a.take(request), origin: 'constructor', safe: {} });
  const license = await License.initialize(settings());
  license.record('QR Code', 2);
  clock.advance(180);
  await license.report();
  await license.renew();
  assert.match(fake.asked.at(-1).content.ticket, /^ticket \d+ of a$/);
  a.down();
  await license.renew();
  await license.tick();
  assert.equal(b.total(), 2, 'nobody said that the report is safe');
  b.answer = (path, request) => (path.endsWith('reports') ? { ...b.take(request), safe: null } : b.usual(path, request));
  license.record('QR Code', 2);
  clock.advance(180);
  const warnings = [];
  license.on('warning', ({ code }) => warnings.push(code));
  await license.report();
  assert.deepEqual(warnings, [302]);
  await license.close();
});

test('more types than a report holds go into a further one', async () => {
  const { clock, a, settings } = site();
  const license = await License.initialize(settings());
  for (let n = 0; n < 150; n += 1) license.record(`T${n}`, 2);
  clock.advance(180);
  await license.report();
  assert.deepEqual([a.total(), a.reports.size], [300, 3]);
  await license.close();
});

test('counts are on disk after a flush, and a report that failed goes after the next authorization', async () => {
  const { clock, fake, a, b, settings } = site();
  const license = await License.initialize(settings());
  license.record('QR Code', 7);
  await license.tick();
  // The process dies here; another one of the same device goes on.
  const next = await License.initialize(settings());
  a.down();
  b.down();
  clock.advance(180);
  const warnings = [];
  next.on('warning', ({ code, message }) => warnings.push([code, /usage reports? could not be sent/.test(message)]));
  await next.report();
  assert.deepEqual(warnings, [[302, true]]);
  const tries = () => fake.asked.filter(({ path }) => path.endsWith('reports')).length;
  const before = tries();
  await next.report();
  assert.equal(tries(), before, 'not again in this session');
  a.up();
  clock.advance(400);
  await next.tick();
  await next.tick();
  assert.equal(a.total(), 7, 'a failed submission makes a renewal due, and that sends');
  await next.close();
  await license.close();
});

test('a report that is not safe yet is sent again when another server answers', async () => {
  const { clock, fake, a, b, settings } = site();
  a.safe = { [a.uuid]: 0 };
  b.safe = { [a.uuid]: 0 };
  const license = await License.initialize(settings());
  license.record('QR Code', 3);
  clock.advance(180);
  await license.report();
  assert.equal(a.total(), 3);
  await license.renew();
  await license.tick();
  assert.equal(fake.asked.filter(({ path }) => path.endsWith('reports')).length, 1, 'the same server is not asked again');
  a.down();
  await license.renew();
  await license.tick();
  assert.deepEqual([...b.reports.keys()], [...a.reports.keys()], 'under the same id');
  await license.close();
});

/** What a server usually answers, with a word on what was lost. */
const tellsLost = (server, lost) => (server.answer = (path, request) => ({ ...server.usual(path, request), lost }));

test('what a restored server lost is sent to it again, although it is safe by its numbers', async () => {
  const { clock, fake, a, b, storage, settings } = site();
  const license = await License.initialize(settings());
  const sent = () => fake.asked.filter(({ path }) => path.endsWith('reports')).map(({ server, content }) => [server, content.reports.map(({ report_id }) => report_id)]);
  const kept = () => storage.transact(['report/'], (records) => records.entries('report/').map(([, { progress, sequence }]) => [progress, sequence]));
  a.safe = { [a.uuid]: 0 };
  for (const sequence of [70, 71]) {
    license.record('QR Code', 3);
    clock.advance(180);
    a.sequence = sequence - 1;
    await license.report();
  }
  const [[, [first]], [, [second]]] = sent();
  assert.deepEqual(await kept(), [['accepted', 70], ['accepted', 71]]);
  // It came back without the facts from 71 on.
  a.reports.delete(second);
  a.sequence = 95;
  a.safe = { [a.uuid]: 95 };
  tellsLost(a, { [a.uuid]: [[71, 90]] });
  await license.renew();
  await license.tick();
  assert.deepEqual([[...a.reports.keys()], sent().slice(2)], [[first, second], [['a', [second]]]], 'under the same id, and the other one was safe');
  assert.deepEqual(await kept(), [['accepted', 97]]);
  await license.renew();
  await license.tick();
  assert.equal(sent().length, 3, 'what was lost then is lost once');
  // The standby tells it too, and takes it.
  a.down();
  b.safe = { [a.uuid]: 200 };
  tellsLost(b, { [a.uuid]: [[71, 90], [96, 99]] });
  await license.renew();
  await license.tick();
  assert.deepEqual([[...b.reports.keys()], await kept()], [[second], []]);
  await license.close();
});

test('what was lost is heard in an answer to reports and in a receipt too, and asked about once', async () => {
  const { clock, fake, a, storage, settings } = site();
  const license = await License.initialize(settings());
  const progress = () => storage.transact(['report/'], (records) => records.entries('report/').map(([, stored]) => stored.progress));
  a.safe = { [a.uuid]: 0 };
  const report = async () => {
    license.record('QR Code', 1);
    clock.advance(180);
    const before = fake.asked.length;
    await license.report();
    return fake.asked.slice(before).map(({ content }) => content.reports.map(({ slot }) => slot));
  };
  a.sequence = 69;
  assert.deepEqual(await report(), [['2026-11-22T05:03:00Z']]);
  a.sequence = 100;
  tellsLost(a, { [a.uuid]: [[61, 100]] });
  assert.deepEqual(await report(), [['2026-11-22T05:06:00Z'], ['2026-11-22T05:03:00Z']], 'first the new one, then the lost one');
  tellsLost(a, { [a.uuid]: [[0, 999]] });
  assert.ok((await report()).length <= 3, 'a server that lost what it just took is not asked for ever');
  assert.deepEqual(await progress(), ['failed', 'failed', 'failed']);
  a.up();
  await license.renew();
  await license.tick();
  assert.deepEqual(await progress(), ['accepted', 'accepted', 'accepted']);
  const receipt = { ...a.take({ reports: [] }), lost: { [a.uuid]: [[101, 999]] }, safe: { [a.uuid]: 999 } };
  await license.importReceipt(formats.writeCarried('receipt', receipt).line);
  assert.deepEqual(await progress(), ['pending', 'pending', 'pending']);
  await license.close();
});

test('what makes no sense in lost costs neither a license nor a report', async () => {
  const bad = (uuid) => [null, 'all', 7, [[1, 100]], { [uuid]: null }, { [uuid]: 7 }, { [uuid]: [1, 100] }, { [uuid]: [[100, 1], ['1', '100'], [1], [1, 2, 100], [1.5, 100], [-1, 100], null, { from: 1 }] }, { constructor: [[1, 100]] }];
  for (let index = 0; index < bad('').length; index += 1) {
    const { clock, fake, a, settings } = site();
    const lost = bad(a.uuid)[index];
    const what = JSON.stringify(lost);
    a.safe = { [a.uuid]: 0 };
    tellsLost(a, lost);
    const license = await License.initialize(settings());
    license.record('QR Code', 2);
    clock.advance(180);
    await license.report();
    await license.renew();
    await license.tick();
    const reports = fake.asked.filter(({ path }) => path.endsWith('reports')).length;
    assert.deepEqual([license.status.server, a.total(), reports], ['https://a', 2, 1], what);
    // What makes sense beside it counts.
    a.reports.clear();
    tellsLost(a, { b: lost, [a.uuid]: [...(Array.isArray(lost?.[a.uuid]) ? lost[a.uuid] : [lost]), [0, 9]] });
    a.sequence = 20;
    await license.renew();
    await license.tick();
    assert.equal(a.total(), 2, what);
    await license.close();
  }
});

test('requests tell the highest fact that each server told, over a restart too', async () => {
  const { clock, fake, a, storage, settings } = site();
  const other = '7f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88';
  // As an older version left it.
  await (await License.initialize(settings())).close();
  await storage.transact(['device'], (records) => {
    const { seen, ...older } = records.get('device');
    assert.deepEqual(seen, {});
    records.put('device', older);
  });
  const license = await License.initialize(settings());
  const begun = fake.asked.length;
  for (const [origin, sequence] of [[a.uuid, 5], [a.uuid, 8], [a.uuid, 6], [other, 3], ['no server', 9]]) {
    license.record('QR Code', 1);
    clock.advance(180);
    a.answer = (path, request) => ({ ...a.usual(path, request), origin, sequence, safe: { [origin]: 9 } });
    await license.report();
  }
  a.up();
  const seen = () => fake.asked.slice(begun).map(({ content }) => content.seen);
  assert.ok(fake.asked.slice(0, begun).every(({ content }) => !('seen' in content)));
  assert.deepEqual(seen(), [undefined, { [a.uuid]: 5 }, { [a.uuid]: 8 }, { [a.uuid]: 8 }, { [a.uuid]: 8, [other]: 3 }]);
  license.record('QR Code', 1);
  clock.advance(180);
  const all = { [a.uuid]: 8, [other]: 3 };
  assert.deepEqual(formats.readCarried('reports', (await license.reportsByHand()).line).seen, all);
  await license.close();
  const next = await License.initialize(settings());
  assert.deepEqual(seen().at(-1), all);
  const uuids = Array.from({ length: 8 }, (_, index) => `0000000${index}-0d5a-4b7e-9a53-3f2d1c0b9a88`);
  await next.report();
  for (const origin of [...uuids.slice(0, 6), other, ...uuids.slice(6)]) {
    await next.importReceipt(formats.writeCarried('receipt', { ...a.take({ reports: [] }), origin, sequence: 2 }).line);
  }
  const { seen: most } = formats.readCarried('request', (await License.requestByHand(settings())).line);
  assert.deepEqual(most, { ...Object.fromEntries(uuids.slice(1).map((uuid) => [uuid, 2])), [other]: 3 }, 'at most eight, and those heard longest ago go');
  await next.close();
});

test('rejected reports are dropped or wait, by their code', async () => {
  const { clock, a, settings } = site();
  const license = await License.initialize(settings());
  const events = [];
  license.on('report', ({ accepted, rejected }) => events.push([accepted, rejected.map(({ code, report }) => [code, report.counts['QR Code']])]));
  const reject = (code) => {
    a.answer = (path, request) => {
      if (!path.endsWith('reports')) return a.usual(path, request);
      return { ...a.take({ reports: [] }), rejected: request.reports.map(({ report_id }) => ({ report_id, code, detail: 'no' })) };
    };
  };
  reject(202);
  license.record('QR Code', 2);
  clock.advance(180);
  await license.report();
  reject(203);
  await license.renew();
  await license.tick();
  reject(201);
  await license.renew();
  await license.tick();
  a.up();
  await license.renew();
  await license.tick();
  assert.deepEqual([events, a.total()], [[[0, []], [0, []], [0, [[201, 2]]]], 0]);
  await license.close();
});

test('one report that no server can read does not hold up the others', async () => {
  const { clock, a, settings } = site();
  const license = await License.initialize(settings());
  license.record('bad', 1, { at: clock.ms - 180_000 });
  license.record('good', 5);
  clock.advance(180);
  a.answer = (path, request) => {
    const at = path.endsWith('reports') ? request.reports.findIndex(({ counts }) => 'bad' in counts) : -1;
    return at < 0 ? a.usual(path, request) : { status: 400, code: 200, detail: `reports[${at}].counts: is bad` };
  };
  await license.report();
  assert.equal(a.total(), 5);
  await license.close();
});

test('reports older than 30 days are purged', async () => {
  const { clock, a, b, settings } = site();
  const license = await License.initialize(settings());
  license.record('QR Code', 3);
  a.down();
  b.down();
  clock.advance(180);
  await license.report();
  await license.close();
  clock.advance(31 * DAY);
  a.up();
  const later = await License.initialize(settings());
  await later.report();
  assert.equal(a.total(), 0);
  await later.close();
});

test('a thousand reports and more go in several requests', async () => {
  const { clock, fake, a, b, settings } = site();
  const license = await License.initialize(settings());
  a.down();
  b.down();
  for (let n = 0; n < 1_500; n += 1) license.record('QR Code', 1, { at: clock.ms - n * 180_000 });
  await license.flush();
  a.up();
  await license.renew();
  await license.report();
  assert.equal(a.total(), 1_499, 'the slot that goes on is still open');
  const sizes = fake.asked.filter(({ server, path }) => server === 'a' && path.endsWith('reports')).map(({ content }) => content.reports.length);
  assert.deepEqual(sizes, [1_000, 499]);
  await license.close();
});

test('use after the end of a license is counted, because it was really done', async () => {
  const { clock, a, b, settings } = site();
  const license = await License.initialize(settings());
  a.refuse(120);
  b.refuse(120);
  await failure(license.renew());
  license.record('QR Code', 3);
  clock.advance(180);
  a.up();
  await license.report();
  assert.equal(a.total(), 3);
  await license.close();
  const never = await License.start(settings({ edition: 'mobile', mainServerURL: 'https://b', standbyServerURL: undefined }));
  assert.equal(thrown(() => never.record('QR Code')).code, 120);
  await never.close();
});

test('instances are taken within what is granted, and shared by all that use one cache', async () => {
  const { clock, a, settings } = site();
  const one = await License.initialize(settings());
  const two = await License.initialize(settings());
  await one.takeInstances(3);
  assert.equal((await failure(two.takeInstances(2))).code, 120);
  await two.takeInstances();
  one.record('QR Code');
  await one.flush();
  await one.giveBackInstances(2);
  await two.takeInstances(2);
  clock.advance(180);
  await one.report();
  assert.deepEqual([...a.reports.values()].map(({ instances }) => instances), [4]);
  await one.close();
  await two.close();
});

test('instances are never granted twice, and only whole numbers are', async () => {
  const { settings } = site();
  const license = await License.initialize(settings());
  const other = await License.initialize(settings());
  assert.equal(license.idleInstances, 4);
  const tries = await Promise.allSettled([license.takeInstances(3), license.takeInstances(3), other.takeInstances(3)]);
  assert.deepEqual([tries.map(({ status }) => status), license.idleInstances, other.idleInstances], [['fulfilled', 'rejected', 'rejected'], 1, 1]);
  for (const bad of [0, -50, '2', NaN, 1.5, Infinity, null, {}]) {
    for (const name of ['takeInstances', 'giveBackInstances']) {
      const error = await failure(license[name](bad));
      assert.deepEqual([error.code, /^number: .* is not a whole number from 1 to 1000000000$/.test(error.message)], [200, true], error.message);
    }
  }
  await license.giveBackInstances(2);
  await other.flush();
  assert.deepEqual([license.idleInstances, other.idleInstances], [3, 3]);
  await license.giveBackInstances(9);
  assert.equal(license.idleInstances, 4);
  await license.close();
  assert.equal(license.idleInstances, 0);
  await other.close();
});

test('a session shows that it lives before what it holds can be seen, and is looked for after that', async () => {
  const { storage, settings } = site();
  const log = [];
  const watched = {
    transact: (prefixes, work) => {
      if (prefixes.includes('held/')) log.push('read');
      return storage.transact(prefixes, (records) => {
        const result = work(records);
        if ([...records.changed].some((key) => key.startsWith('held/'))) log.push('write');
        return result;
      });
    },
    lock: (...given) => storage.lock(...given),
    holdSession: async () => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      log.push('lives');
      return () => log.push('ends');
    },
    aliveSessions: async () => {
      log.push('look');
      return new Set();
    },
  };
  await storage.transact([], (records) => records.put('held/gone', 3));
  const license = await License.initialize(settings({ storage: watched }));
  await license.takeInstances(4);
  await license.giveBackInstances(4);
  assert.equal(log.includes('ends'), false, 'whoever holds some again is never unseen in between');
  await license.close();
  assert.deepEqual(log.slice(0, 5), ['lives', 'read', 'look', 'read', 'write']);
  assert.equal(log.at(-1), 'ends');
});

test('counts are on disk in their time while a server is silent', { timeout: 20_000 }, async () => {
  const { clock, fake, a, storage, settings } = site();
  let answer = () => {};
  const kept = () => storage.transact(['open/', 'report/'], (records) => [...records.entries('open/'), ...records.entries('report/')].flatMap(([, { report }]) => Object.values(report.counts)).reduce((sum, count) => sum + count, 0));
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const license = await License.initialize(settings({ flushSeconds: 1 }));
  a.answer = () => new Promise((resolve) => (answer = () => resolve({ status: 503 })));
  clock.advance(3 * DAY);
  await wait(1_500);
  assert.equal(fake.asked.filter(({ path }) => path.endsWith('authorize')).length, 2, 'it is asked, and silent');
  license.record('QR Code', 3);
  await license.flush();
  assert.equal(await kept(), 3, 'at once when asked to');
  license.record('QR Code', 4);
  await wait(1_500);
  assert.equal(await kept(), 7, 'and by itself');
  await license.takeInstances(2);
  a.up();
  answer();
  await license.close();
});

test('counts are on disk when their slot ends', { timeout: 20_000 }, async () => {
  const { clock, storage, settings } = site();
  const begun = Date.now();
  const start = Date.parse('2026-11-22T05:05:58.900Z');
  clock.ms = start;
  const license = await License.initialize(settings({ flushSeconds: 60, now: () => start + Date.now() - begun, monotonic: () => performance.now() }));
  license.record('QR Code', 3);
  const running = setInterval(() => {}, 1_000);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  clearInterval(running);
  assert.equal(await storage.transact(['open/'], (records) => records.entries('open/').length), 1);
  await license.close();
});

test('a timer does what is due without being asked', { timeout: 20_000 }, async () => {
  const { clock, a, settings } = site();
  const license = await License.initialize(settings({ flushSeconds: 1 }));
  const reported = new Promise((resolve) => license.on('report', resolve));
  license.record('QR Code', 3);
  clock.advance(400);
  // A license alone does not keep a program running.
  const running = setInterval(() => {}, 1_000);
  assert.deepEqual([(await reported).accepted, a.total()], [1, 3]);
  clearInterval(running);
  await license.close();
});

test('a failure of the library itself does not end what is in force', async () => {
  const { clock, fake, a, settings } = site();
  const license = await License.initialize(settings());
  const warnings = [];
  license.on('warning', ({ code, message }) => warnings.push([code, message.includes('a bug')]));
  a.answer = () => Promise.reject(Object.assign(new Error('a bug'), { code: 20 }));
  await license.renew();
  assert.deepEqual([license.status.origin, warnings], ['cache', [[300, true]]]);
  const asked = fake.asked.length;
  clock.advance(60);
  await license.tick();
  assert.equal(fake.asked.length, asked, 'and it waits before it tries again');
  await license.close();
});

test('release tells the server and ends the license', async () => {
  const { clock, fake, a, b, settings } = site();
  const license = await License.initialize(settings());
  license.record('QR Code', 2);
  clock.advance(180);
  await license.release();
  assert.deepEqual([a.total(), fake.asked.at(-1).path], [2, '/api/v1/release']);
  assert.equal(thrown(() => license.check()).code, 302);
  a.down();
  b.down();
  assert.equal((await failure(License.initialize(settings()))).code, 302, 'what was given back is not kept');
});

test('a license is given back only after all that was done is told', async () => {
  const { clock, fake, a, b, storage, settings } = site();
  const license = await License.initialize(settings());
  const other = await License.initialize(settings({ product: 'dwt' }));
  license.record('QR Code', 2);
  clock.advance(180);
  a.down();
  b.down();
  await license.report();
  license.record('QR Code', 3);
  other.record('scanned', 4);
  await other.flush();
  const error = await failure(license.release());
  assert.deepEqual([error.code, license.isLicensed()], [302, true]);
  assert.match(error.message, /was not given back, because what was done could not be reported/);
  b.up();
  a.answer = (path, request) => (path.endsWith('release') ? { status: 503, code: 100, detail: 'busy' } : a.usual(path, request));
  await license.release();
  assert.deepEqual(fake.asked.slice(-3).map(({ server, path }) => [server, path.split('/').at(-1)]), [['a', 'reports'], ['a', 'release'], ['b', 'release']]);
  assert.deepEqual([a.total(), await storage.transact(['open/'], (records) => records.entries('open/').length)], [5, 1], 'the slot that goes on too, but not the other application’s');
  await other.close();
});

test('closing gives back what nobody else on the device needs', async () => {
  const { fake, a, b, settings } = site();
  const released = () => fake.asked.filter(({ path }) => path.endsWith('/release')).length;
  const begin = (more) => License.initialize(settings(more));
  const close = async (more) => {
    const license = await begin(more);
    await license.close();
    return released();
  };
  assert.equal(await close(), 0, 'a seat is kept');
  assert.equal(await close({ releaseOnClose: 'seat' }), 1, 'unless the application wants otherwise');
  a.items[0].charge_way = 'concurrent_instance';
  assert.equal(await close({ releaseOnClose: 'nothing' }), 1);
  const [one, two, another] = [await begin(), await begin(), await begin({ edition: 'pro' })];
  two.record('QR Code', 3);
  await one.close();
  await another.close();
  assert.equal(released(), 1, 'others are at work');
  await two.close();
  assert.deepEqual([released(), a.total()], [2, 3], 'what was done is reported first');
  // The last authorization of the code, whose application it may be.
  assert.equal(fake.asked.at(-1).path, '/api/v1/release');
  a.down();
  b.down();
  for (const more of [{}, { edition: 'pro' }]) assert.equal((await failure(begin(more))).code, 302, 'what was given back is not kept');
});

/** Makes a server grant each product its items, and free what is given back by the last authorization of the device. */
function withSeats(clock, server, products) {
  const seats = new Set();
  let last = '';
  server.answer = (path, request) => {
    if (path.endsWith('/authorize')) {
      const items = products[request.product].map(([item_id, charge_way]) => ({ ...server.items[0], item_id, charge_way, product: request.product }));
      for (const { item_id } of items) seats.add(item_id);
      // Each a moment later than the one before.
      clock.advance(1);
      const answer = server.authorize(request, { items });
      last = answer.authorization;
      return answer;
    }
    if (!path.endsWith('/release')) return server.usual(path, request);
    if (request.authorization !== last) return { status: 403, code: 203, detail: 'the device was authorized again' };
    for (const item of request.items) seats.delete(item);
    return { status: 204 };
  };
  return () => [...seats].toSorted();
}

test('applications under one code give back their own items, by whatever the device got last', async () => {
  for (const order of [['dbr', 'dwt'], ['dwt', 'dbr']]) {
    const { clock, a, settings } = site();
    const held = withSeats(clock, a, { dbr: [[1, 'concurrent_instance']], dwt: [[2, 'concurrent_instance']] });
    const warnings = [];
    const begin = async (product) => {
      const license = await License.initialize(settings({ product, standbyServerURL: undefined }));
      license.on('warning', ({ message }) => warnings.push(message));
      return license;
    };
    const licenses = { dbr: await begin('dbr'), dwt: await begin('dwt') };
    assert.deepEqual(held(), [1, 2]);
    await licenses[order[0]].close();
    assert.deepEqual(held(), [order[0] === 'dbr' ? 2 : 1], 'the other one is at work');
    await licenses[order[1]].release();
    assert.deepEqual([held(), warnings], [[], []], 'the last authorization may be one that was given back');
  }
});

test('what shares an item with a named seat is not given back by closing, and frees its own items only', async () => {
  const { clock, fake, a, b, settings } = site();
  const held = withSeats(clock, a, { dbr: [[1, 'concurrent_instance']], dwt: [[1, 'concurrent_instance'], [2, 'device']] });
  const begin = (product, more) => License.initialize(settings({ product, ...more }));
  const [small, large] = [await begin('dbr'), await begin('dwt')];
  await large.close();
  await small.close();
  assert.deepEqual([held(), fake.asked.filter(({ path }) => path.endsWith('/release')).length], [[1, 2], 0], 'it must be able to start with no network');
  const servers = [a, b].map((server) => [server, server.answer]);
  for (const [server] of servers) server.down();
  await (await begin('dwt')).close();
  for (const [server, answer] of servers) server.answer = answer;
  await (await begin('dbr', { releaseOnClose: 'seat' })).close();
  assert.deepEqual(held(), [2]);
  await (await begin('dwt')).close();
  clock.advance(8 * DAY);
  await (await begin('dbr')).close();
  assert.deepEqual(held(), [2], 'an authorization that has ended lets nobody start');
});

test('a page with one floating item shows that it is at work', async (t) => {
  const { clock, a, storage, settings } = site();
  const held = withSeats(clock, a, { dbr: [[1, 'concurrent_instance']], dwt: [[1, 'concurrent_instance'], [2, 'device']], dlr: [[3, 'device']] });
  const listening = { addEventListener: () => {}, removeEventListener: () => {} };
  Object.assign(globalThis, listening, { document: { visibilityState: 'visible', ...listening } });
  t.after(() => ['document', ...Object.keys(listening)].forEach((name) => delete globalThis[name]));
  const [one, two, named] = [await License.initialize(settings({ product: 'dwt' })), await License.initialize(settings()), await License.initialize(settings({ product: 'dlr' }))];
  const users = await storage.transact(['use/'], (records) => records.entries('use/').length);
  assert.equal(users, 2, 'and one with named seats alone need not');
  await named.close();
  await two.close();
  await one.tick();
  assert.deepEqual([held(), one.isLicensed()], [[1, 2, 3], true]);
  const seat = await License.initialize(settings({ releaseOnClose: 'seat' }));
  await seat.close();
  await one.tick();
  assert.deepEqual([held(), one.isLicensed()], [[1, 2, 3], true]);
  await one.close();
});

test('who works by what another one got is at work too', async () => {
  const { fake, a, b, settings } = site();
  a.items[0].charge_way = 'concurrent_instance';
  const released = () => fake.asked.filter(({ path }) => path.endsWith('/release')).length;
  a.down();
  b.down();
  const waiting = await License.start(settings());
  a.up();
  const other = await License.initialize(settings());
  await waiting.tick();
  assert.equal(waiting.isLicensed(), true);
  await other.close();
  assert.equal(released(), 0);
  await waiting.close();
  assert.equal(released(), 1);
});

test('who is at work and finds the license given back by another renews it at once', async () => {
  const { a, settings } = site();
  a.items[0].charge_way = 'concurrent_instance';
  const [one, two] = [await License.initialize(settings()), await License.initialize(settings())];
  const heard = [];
  one.on('change', ({ error, origin }) => heard.push(error?.message ?? origin));
  await two.release();
  await one.tick();
  one.check();
  assert.deepEqual(heard, ['the license was given back: initialize again to take one', 'server']);
  const three = await License.initialize(settings());
  await three.release();
  const licensed = new Promise((resolve) => one.on('change', ({ isLicensed }) => isLicensed && resolve()));
  await one.flush();
  await licensed;
  await one.close();
});

test('a license that comes later may be taken from at once, when it is told', { timeout: 10_000 }, async () => {
  const { clock, a, b, storage, settings } = site();
  // As locks of a browser: who has it does not get it again.
  const held = new Map();
  const alone = {
    transact: (...given) => storage.transact(...given),
    lock: (...given) => storage.lock(...given),
    holdSession: async (session) => {
      while (held.has(session)) await held.get(session);
      let end;
      held.set(session, new Promise((resolve) => (end = resolve)));
      await new Promise((resolve) => setTimeout(resolve, 10));
      return () => {
        held.delete(session);
        end();
      };
    },
    aliveSessions: async () => new Set(held.keys()),
  };
  a.down();
  b.down();
  const license = await License.start(settings({ storage: alone }));
  let taken;
  license.on('change', ({ isLicensed }) => {
    if (isLicensed) taken ??= license.takeInstances(2);
  });
  a.up();
  clock.advance(600);
  const isStuck = await Promise.race([license.tick().then(() => taken), new Promise((resolve) => setTimeout(() => resolve('stuck'), 2_000))]);
  assert.equal(isStuck, undefined);
  assert.deepEqual([license.idleInstances, held.size], [2, 1]);
  await license.close();
  assert.equal(held.size, 0);
});

test('of two servers of which one is silent, the one that took the reports is told first, in time', { timeout: 30_000 }, async () => {
  const { fake, a, b, settings } = site();
  a.items[0].charge_way = b.items[0].charge_way = 'concurrent_instance';
  const given = [];
  const send = (url, request) => {
    given.push([new URL(url).hostname, url.split('/').at(-1), Math.round(request.timeoutMs / 100) / 10]);
    return Promise.race([fake.send(url, request), new Promise((_, reject) => setTimeout(() => reject(new LicenseError(302, 'it did not answer')), request.timeoutMs))]);
  };
  const license = await License.initialize(settings({ send }));
  license.record('QR Code', 2);
  given.length = 0;
  a.answer = () => new Promise(() => {});
  b.answer = (path, request) => (path.endsWith('/release') ? new Promise(() => {}) : b.usual(path, request));
  await license.close();
  assert.deepEqual(given, [['a', 'reports', 1], ['b', 'reports', 2], ['b', 'release', 1], ['a', 'release', 1]]);
  b.up();
  const next = await License.initialize(settings({ send, timeoutSeconds: 1 }));
  next.record('QR Code', 2);
  given.length = 0;
  await next.close();
  assert.deepEqual(given.map(([server, path]) => [server, path]), [['b', 'reports'], ['b', 'release']]);
});

test('an authorization that was carried here is not given back by taking it', async () => {
  const { fake, a, settings } = site();
  a.items[0].charge_way = 'concurrent_instance';
  const { line } = await License.requestByHand(settings());
  const request = Tollkeeper.formats.readCarried('request', line);
  await License.importAuthorization(settings(), Tollkeeper.formats.writeCarried('authorization', a.authorize(request)).line);
  assert.equal(fake.asked.length, 0);
});

test('closing waits a short time for servers that are silent, and what is kept lasts', { timeout: 30_000 }, async () => {
  const { fake, a, b, settings } = site();
  a.items[0].charge_way = 'concurrent_instance';
  const tooLong = (ms) => new Promise((_, reject) => setTimeout(() => reject(new LicenseError(302, 'it did not answer')), ms));
  const send = (url, request) => Promise.race([fake.send(url, request), tooLong(request.timeoutMs)]);
  const license = await License.initialize(settings({ send }));
  const warnings = [];
  license.on('warning', ({ message }) => warnings.push(message));
  license.record('QR Code', 2);
  const silence = () => new Promise(() => {});
  a.answer = b.answer = silence;
  const began = performance.now();
  await license.close();
  assert.ok(performance.now() - began < 8_000);
  assert.match(warnings.at(-1), /could not be given back/);
  a.answer = b.answer = () => ({ status: 503, code: 100, detail: 'busy' });
  const next = await License.initialize(settings());
  assert.equal(next.status.origin, 'cache');
  a.up();
  await next.close();
  assert.equal(a.total(), 2);
});

test('a listener that closes the license is the last one that is called', async () => {
  const { clock, a, settings } = site();
  const license = await License.initialize(settings());
  license.record('QR Code', 2);
  await license.flush();
  clock.advance(360);
  const heard = [];
  let closed;
  license.on('change', () => {
    heard.push('change');
    closed = license.close();
  });
  for (const name of ['change', 'report', 'warning']) license.on(name, () => heard.push(`${name} afterwards`));
  a.answer = (path, request) => (path.endsWith('/authorize') ? { status: 401, code: 102, detail: 'no' } : a.usual(path, request));
  await failure(license.renew());
  await closed;
  assert.deepEqual([heard, a.total()], [['change'], 2]);
});

test('what was done before settings changed is carried too', async () => {
  const { clock, a, b, settings } = site();
  const first = await License.initialize(settings());
  first.record('QR Code', 2);
  await first.close();
  const second = await License.initialize(settings({ edition: 'mobile' }));
  a.down();
  b.down();
  second.record('QR Code', 3);
  clock.advance(180);
  const { client_uuid, authorization, reports, further } = formats.readCarried('reports', (await second.reportsByHand()).line);
  const counts = (list) => list.map((report) => report.counts);
  assert.deepEqual([client_uuid, counts(reports), further.map((group) => counts(group.reports))], [second.status.clientUuid, [{ 'QR Code': 3 }], [[{ 'QR Code': 2 }]]]);
  assert.notEqual(further[0].authorization, authorization);
  await second.importReceipt(formats.writeCarried('receipt', a.take({ reports })).line);
  const rest = formats.readCarried('reports', (await second.reportsByHand()).line);
  assert.deepEqual([counts(rest.reports), rest.authorization, rest.further], [[{ 'QR Code': 2 }], further[0].authorization, undefined], 'what the receipt does not speak of is kept');
  await second.importReceipt(formats.writeCarried('receipt', a.take(rest)).line);
  assert.equal(await second.reportsByHand(), null);
  await second.close();
});

test('a device without network carries its request, and its reports, by hand', async () => {
  const { clock, fake, a, settings } = site();
  const { line, file } = await License.requestByHand(settings());
  assert.equal(fake.asked.length, 0);
  const request = formats.readCarried('request', file);
  assert.equal(formats.readCarried('request', line).nonce, request.nonce);
  const forged = formats.writeCarried('authorization', a.authorize({ ...request, nonce: 'AAAAAAAAAAAAAAAAAAAAAA' }));
  assert.match((await failure(License.importAuthorization(settings(), forged.line))).message, /answers another request: carry the answer to the last request/);
  await License.importAuthorization(settings(), formats.writeCarried('authorization', a.authorize(request), 'Hello').file);
  for (const server of Object.values(fake.servers)) server.down();
  const license = await License.initialize(settings());
  assert.equal(license.status.origin, 'carried');
  assert.equal(await license.reportsByHand(), null);
  license.record('QR Code', 6);
  clock.advance(180);
  const carried = formats.readCarried('reports', (await license.reportsByHand()).file);
  const receipt = formats.writeCarried('receipt', a.take(carried));
  await license.importReceipt(receipt.line);
  assert.deepEqual([a.total(), await license.reportsByHand()], [6, null]);
  await license.close();
});

test('an authorization is not stretched by the time it was carried', async () => {
  const { clock, fake, a, settings } = site();
  const { line } = await License.requestByHand(settings());
  const answer = formats.writeCarried('authorization', a.authorize(formats.readCarried('request', line)));
  for (const server of Object.values(fake.servers)) server.down();
  clock.advance(6 * DAY);
  await License.importAuthorization(settings(), answer.line);
  clock.advance(DAY - 60);
  await (await License.initialize(settings())).close();
  clock.advance(60);
  assert.equal((await failure(License.initialize(settings()))).code, 305);
});

test('a device whose clock stands in the past counts by hand in a time that a server can take', async () => {
  const { clock, a, settings } = site();
  const answerTo = ({ line }) => formats.writeCarried('authorization', a.authorize(formats.readCarried('request', line))).line;
  const answer = answerTo(await License.requestByHand(settings()));
  clock.ms = 0;
  const alone = (more) => settings({ mainServerURL: undefined, standbyServerURL: undefined, ...more });
  await License.importAuthorization(alone(), answer);
  const license = await License.initialize(alone());
  license.record('QR Code', 2);
  clock.advance(180);
  const { reports } = formats.readCarried('reports', (await license.reportsByHand()).line);
  assert.deepEqual(reports.map(({ slot }) => slot), ['2026-11-22T05:03:00Z']);
  await license.close();
});

test('where no server is set, a license is carried by hand', async () => {
  const { clock, fake, a, settings } = site();
  const alone = (more) => settings({ mainServerURL: undefined, standbyServerURL: undefined, ...more });
  const none = await failure(License.initialize(alone()));
  assert.deepEqual([none.code, none.failures], [302, []]);
  assert.match(none.message, /no server is set, and no authorization was carried here: .*requestByHand/);
  const { line } = await License.requestByHand(alone());
  await License.importAuthorization(alone(), formats.writeCarried('authorization', a.authorize(formats.readCarried('request', line))).line);
  const license = await License.initialize(alone());
  const warnings = [];
  license.on('warning', ({ code }) => warnings.push(code));
  assert.deepEqual([license.status.origin, license.status.failures], ['carried', []]);
  license.record('QR Code', 6);
  clock.advance(200);
  await license.tick();
  await license.report();
  await license.renew();
  assert.match((await failure(license.release())).message, /carry the report file to the license server, whose administrator releases the device/);
  const carried = formats.readCarried('reports', (await license.reportsByHand()).line);
  await license.importReceipt(formats.writeCarried('receipt', a.take(carried)).line);
  assert.deepEqual([a.total(), await license.reportsByHand(), warnings], [6, null, []]);
  clock.advance(7 * DAY);
  await license.tick();
  assert.equal(license.status.error.code, 305);
  await license.close();
  assert.match((await failure(License.initialize(alone()))).message, /carried here has ended: carry a new request/);
  assert.equal(fake.asked.length, 0);
});

test('sealed requests say nothing on their way, and a server without a trusted sealing key gets none', async () => {
  const { clock, fake, a, settings } = site();
  const x25519 = { name: 'X25519' };
  const pair = await crypto.subtle.generateKey(x25519, true, ['deriveBits']);
  const { x } = await crypto.subtle.exportKey('jwk', pair.publicKey);
  const sealing_jwk = { kty: 'OKP', crv: 'X25519', x };
  const seen = [];
  let certificate = a.certificate({ sealing_jwk });
  let answerInClear = false;
  const send = async (url, request) => {
    const reply = (status, contentType, body) => ({ status, contentType, retryAfter: 0, body: new Uint8Array(body) });
    const { pathname } = new URL(url);
    if (request.method === 'GET') return reply(200, 'application/json', Buffer.from(JSON.stringify({ certificates: [certificate] })));
    seen.push([request.contentType, Buffer.from(request.body).toString('latin1').includes('216998')]);
    const enc = request.body.slice(0, 32);
    const theirs = await crypto.subtle.importKey('raw', enc, x25519, true, []);
    const dh = new Uint8Array(await crypto.subtle.deriveBits({ ...x25519, public: theirs }, pair.privateKey, 256));
    const context = await formats.sealingContext(dh, enc, formats.fromBase64url(x), pathname);
    const plain = await crypto.subtle.decrypt(context.request.params, context.request.key, request.body.slice(32));
    const answer = await fake.send(url, { body: plain });
    if (answerInClear) return answer;
    const { key, params } = await context.answer(answer.status);
    return reply(answer.status, 'application/tk-sealed', await crypto.subtle.encrypt(params, key, answer.body));
  };
  const sealed = (more) => settings({ sealed: true, standbyServerURL: undefined, send, ...more });
  const license = await License.initialize(sealed());
  license.record('QR Code', 3);
  clock.advance(180);
  await license.report();
  assert.equal(a.total(), 3);
  a.refuse(113);
  assert.equal((await failure(license.renew())).code, 113, 'refusals are sealed too');
  a.up();
  await license.renew();
  answerInClear = true;
  await license.renew();
  assert.deepEqual([license.status.origin, license.status.failures[0].code], ['cache', 308], 'nobody on the way may answer instead');
  await license.close();
  const before = seen.length;
  for (const bad of [a.certificate({}), a.certificate({ sealing_jwk }, new Signer()), a.certificate({ sealing_jwk, not_after: '2021-01-01T00:00:00Z' }), a.certificate({ sealing_jwk: { ...sealing_jwk, x: 'AA' } })]) {
    certificate = bad;
    assert.equal((await failure(License.initialize(sealed({ storage: Tollkeeper.memoryStorage() })))).code, 308);
  }
  assert.equal(seen.length, before);
  assert.ok(seen.every(([type, isReadable]) => type === 'application/tk-sealed' && !isReadable));
});

test('two processes that renew at the same time ask once', async () => {
  const { clock, fake, settings } = site();
  const one = await License.initialize(settings());
  const two = await License.initialize(settings());
  await one.tick();
  const before = fake.asked.length;
  clock.advance(2 * DAY);
  await Promise.all([one.tick(), two.tick()]);
  await Promise.all([one.tick(), two.tick()]);
  const asked = fake.asked.slice(before).filter(({ path }) => path.endsWith('authorize'));
  assert.equal(asked.length, 1);
  assert.equal(one.status.expiresAt.getTime(), two.status.expiresAt.getTime());
  await one.close();
  await two.close();
});

test('a cache that cannot be used is told with what to do, and counts wait', async (t) => {
  const { clock, a, settings } = site();
  const broken = Tollkeeper.memoryStorage();
  const transact = broken.transact.bind(broken);
  let isBroken = false;
  broken.transact = (...given) => (isBroken ? Promise.reject(new LicenseError(306, 'the disk is full')) : transact(...given));
  const license = await License.initialize(settings({ storage: broken }));
  const warnings = [];
  license.on('warning', ({ code }) => warnings.push(code));
  isBroken = true;
  license.record('QR Code', 4);
  await license.flush();
  assert.equal((await failure(license.release())).code, 306);
  license.check();
  isBroken = false;
  clock.advance(180);
  await license.report();
  assert.deepEqual([warnings, a.total()], [[306, 306], 4]);
  await license.close();
  const path = await folder(t);
  const error = await failure(License.initialize({ ...settings({ storage: undefined }), dataFolder: `${path}/\0` }));
  assert.equal(error.code, 306);
});
