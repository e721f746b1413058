// The library in a browser: pages of another origin than the license server's, under a strict
// Content-Security-Policy.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { launch, newPage, watched } from './chromium.mjs';
import { Sandbox, afterwards, sdkFolder, tollkeeper } from './support.mjs';

const limits = { timeout: 60_000 };
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const MODULE = `
import Tollkeeper, { License } from '/tollkeeper.mjs';
window.Tollkeeper = Tollkeeper;
window.shift = Number(localStorage.getItem('shift') ?? 0);
window.begin = async (settings) => {
  const clock = { now: () => Date.now() + window.shift * 1000, monotonic: () => performance.now() + window.shift * 1000 };
  window.events = [];
  window.license = await License.initialize({ ...settings, ...clock });
  license.on('report', ({ accepted, duplicate }) => events.push({ accepted, duplicate }));
  license.on('warning', ({ code, message }) => events.push({ code, message }));
  return { ...license.status, error: null };
};
window.failed = (promise) => promise.then(() => null, ({ code, message, userMessage }) => ({ code, message, userMessage }));
`;

/** Serves an application's pages: the library, one page with the module, and what `pages` adds. */
async function website(t, connect, pages = {}) {
  const types = { html: 'text/html', js: 'text/javascript', mjs: 'text/javascript' };
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    const body = { '/favicon.ico': '', '/app.html': '<script type="module" src="/app.js"></script>', '/app.js': MODULE, ...pages }[path] ?? (await readFile(new URL(`.${path}`, sdkFolder)).catch(() => null));
    response.writeHead(body === null ? 404 : 200, { 'Content-Type': types[path.split('.').pop()] ?? 'text/plain', 'Content-Security-Policy': `default-src 'self'; connect-src 'self' ${connect.join(' ')}` });
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterwards(t, () => server.close());
  server.url = `http://127.0.0.1:${server.address().port}`;
  return server;
}

/** A sandbox, a website, and a page of it with the library loaded. */
async function setUp(t, pages = () => ({})) {
  const sandbox = await Sandbox.start(t);
  const site = await website(t, [sandbox.http, sandbox.https], pages(sandbox));
  const page = await newPage(browser);
  afterwards(t, () => page.context().close());
  const open = async (tab = page) => {
    await tab.goto(`${site.url}/app.html`);
    await tab.waitForFunction('window.begin !== undefined');
    return tab;
  };
  return { sandbox, site, page, open, settings: (more) => sandbox.settings({ flushSeconds: 1, ...more }) };
}

/** Waits until the server counted so much; a page that ends may still be writing when the next one begins. */
async function counted(sandbox, expected, ask = () => {}) {
  for (let tries = 0; tries < 50; tries += 1) {
    await ask();
    if ((await sandbox.total()) >= expected) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(await sandbox.total(), expected);
}

test('a script tag is enough, over the site’s own HTTPS', limits, async (t) => {
  const tag = (sandbox) => ({
    '/tag.html': `<script src="/tollkeeper.js" data-license-key="${sandbox.licenseKey()}" data-vendor-public-key="${sandbox.vendorPublicKey}" data-product="dbr" data-flush-seconds="1"></script>`,
  });
  const { sandbox, site, page } = await setUp(t, tag);
  await page.goto(`${site.url}/tag.html`);
  const status = await page.evaluate(async () => (await Tollkeeper.ready).status);
  assert.deepEqual([status.isLicensed, status.origin, status.server, status.handshakeCode], [true, 'server', sandbox.https, '216998-scan']);
  await page.evaluate(async () => {
    const license = await Tollkeeper.ready;
    license.record('QR Code', 2, { at: Date.now() - 400_000 });
    await license.report();
  });
  const isOne = await page.evaluate(async () => {
    const ready = Tollkeeper.ready;
    const { License } = await import('/tollkeeper.mjs');
    return Tollkeeper.ready === ready && (await ready) instanceof License;
  });
  assert.deepEqual([await sandbox.total(), isOne, page.trouble], [2, true, []]);
});

test('a module authorizes across origins, and what was counted outlives a reload', limits, async (t) => {
  const { sandbox, page, open, settings } = await setUp(t);
  await open();
  const first = await page.evaluate((given) => begin(given), settings());
  await page.evaluate(async () => {
    license.record('QR Code', 3);
    await license.flush();
  });
  await page.reload();
  await page.waitForFunction('window.begin !== undefined');
  await page.evaluate(() => (window.shift = 200));
  await sandbox.moveClock({ advance: '10m' });
  const second = await page.evaluate((given) => begin(given), settings());
  assert.equal(second.clientUuid, first.clientUuid);
  await page.evaluate(() => license.report());
  assert.deepEqual([await sandbox.total(), page.trouble], [3, []]);
});

test('offline the page works on, and reports when the network is back', limits, async (t) => {
  const { sandbox, page, open, settings } = await setUp(t);
  await open();
  await page.evaluate((given) => begin(given), settings());
  await page.context().setOffline(true);
  const origin = await page.evaluate(async () => {
    await license.renew();
    license.check();
    license.record('QR Code', 4, { at: Date.now() - 400_000 });
    await license.report();
    return license.status.origin;
  });
  assert.equal(origin, 'cache');
  await page.context().setOffline(false);
  await page.evaluate(async () => {
    await license.renew();
    await license.tick();
  });
  assert.equal(await sandbox.total(), 4);
  await sandbox.stop();
  await page.reload();
  await page.waitForFunction('window.begin !== undefined');
  const again = await page.evaluate((given) => begin(given), settings());
  assert.deepEqual([again.origin, again.failures[0].code], ['cache', 302]);
});

test('a page that ends sends what is due on its way out', limits, async (t) => {
  const { sandbox, page, open, settings } = await setUp(t);
  await open();
  await page.evaluate((given) => begin(given), settings());
  await page.evaluate(async () => {
    license.record('QR Code', 5, { at: Date.now() - 400_000 });
    await license.flush();
  });
  assert.equal(await sandbox.total(), 0);
  await page.goto('about:blank');
  await counted(sandbox, 5);
  // Also when the tab is closed; and what a next page sends once more is not counted twice.
  const tab = await open(watched(await page.context().newPage()));
  await tab.evaluate((given) => begin(given), settings());
  await tab.evaluate(async () => {
    license.record('QR Code', 2, { at: Date.now() - 400_000 });
    await license.flush();
  });
  await tab.close();
  await counted(sandbox, 7);
  await open();
  await page.evaluate((given) => begin(given), settings());
  await page.evaluate(() => license.report());
  assert.equal(await sandbox.total(), 7);
});

test('use that was just recorded is on disk when the page is left', limits, async (t) => {
  const { sandbox, page, open, settings } = await setUp(t);
  await open();
  // Some is on its way to the disk, and some came after that.
  const rounds = [[6], [5, 0], [0, 4, 3], [2, 1]];
  for (const counts of rounds) {
    await page.evaluate((given) => begin(given), settings({ flushSeconds: 3_600 }));
    await page.evaluate((each) => {
      for (const [index, count] of each.entries()) {
        if (index > 0) void license.flush();
        if (count > 0) license.record('QR Code', count);
      }
    }, counts);
    // Another site may be another process, and a browser that is busy does not wait for what this one writes.
    await page.reload();
    await page.waitForFunction('window.begin !== undefined');
  }
  await sandbox.moveClock({ advance: '10m' });
  await page.evaluate(() => (window.shift = 400));
  await page.evaluate((given) => begin(given), settings());
  await counted(sandbox, 21, () => page.evaluate(() => license.report()));
});

test('tabs of one origin are one device, and nothing is lost or counted twice', limits, async (t) => {
  const { sandbox, page, open, settings } = await setUp(t);
  const tabs = [page, ...(await Promise.all(Array.from({ length: 3 }, async () => watched(await page.context().newPage()))))];
  await Promise.all(tabs.map((tab) => open(tab)));
  const states = await Promise.all(tabs.map((tab) => tab.evaluate((given) => begin(given), settings())));
  assert.equal(new Set(states.map(({ clientUuid }) => clientUuid)).size, 1);
  await Promise.all(
    tabs.map((tab) =>
      tab.evaluate(async () => {
        for (let n = 0; n < 10; n += 1) {
          license.record('QR Code', 1, { at: Date.now() - 400_000 - n * 60_000 });
          await license.flush();
        }
        await license.renew();
        await license.report();
      }),
    ),
  );
  await page.evaluate(() => license.report());
  assert.equal(await sandbox.total(), 40);
  assert.equal(JSON.parse(await tollkeeper('device', 'list', '--data', sandbox.data, '--json')).length, 1);
  assert.deepEqual(tabs.flatMap((tab) => tab.trouble), []);
});

test('instances are shared between tabs, and those of a closed tab are free again', limits, async (t) => {
  const { page, open, settings } = await setUp(t);
  const tab = watched(await page.context().newPage());
  await Promise.all([open(), open(tab)]);
  for (const each of [page, tab]) await each.evaluate((given) => begin(given), settings({ handshakeCode: '216998-instances', instances: 4 }));
  await tab.evaluate(() => license.takeInstances(3));
  assert.equal((await page.evaluate(() => failed(license.takeInstances(2)))).code, 120);
  assert.deepEqual([await page.evaluate(() => license.idleInstances), await tab.evaluate(() => license.idleInstances)], [1, 1]);
  await tab.close();
  // The browser takes a moment to see that the tab is gone.
  let error = {};
  for (let tries = 0; tries < 50 && error !== null; tries += 1) error = await page.evaluate(() => failed(license.takeInstances(4)));
  assert.equal(error, null);
});

test('a floating license is given back when the last tab closes it, and not when a tab just ends', limits, async (t) => {
  const { sandbox, page, open, settings } = await setUp(t);
  const isHeld = async () => JSON.parse(await tollkeeper('device', 'list', '--data', sandbox.data, '--json')).some(({ seats }) => seats.length > 0);
  const begin = (tab) => tab.evaluate((given) => window.begin(given), settings({ handshakeCode: '216998-instances', instances: 4 }));
  const tab = watched(await page.context().newPage());
  await Promise.all([open(), open(tab)]);
  await begin(page);
  await begin(tab);
  await page.evaluate(() => license.close());
  assert.equal(await isHeld(), true, 'the other tab is at work');
  await tab.evaluate(() => license.close());
  assert.equal(await isHeld(), false);
  await begin(tab);
  await tab.close();
  assert.equal(await isHeld(), true, 'nobody had the time');
  await begin(page);
  // The browser takes a moment to see that the tab is gone.
  for (let tries = 0; tries < 50 && (await page.evaluate(async () => (await navigator.locks.query()).held.length)) > 1; tries += 1);
  await page.evaluate(() => license.close());
  assert.equal(await isHeld(), false);
});

test('a page that waited for its license takes instances as soon as it is told of it', limits, async (t) => {
  const { page, open, settings } = await setUp(t);
  await open();
  const taken = await page.evaluate(async (given) => {
    let isDown = true;
    const send = (url, request) => (isDown ? Promise.reject(new Tollkeeper.LicenseError(302, 'it cannot be reached')) : Tollkeeper.platform.send(url, request));
    const license = await Tollkeeper.License.start({ ...given, send });
    const later = new Promise((resolve, reject) => license.on('change', ({ isLicensed }) => isLicensed && license.takeInstances(3).then(() => resolve(license.idleInstances), reject)));
    isDown = false;
    const stuck = new Promise((resolve) => setTimeout(() => resolve('stuck'), 10_000));
    const idle = await Promise.race([license.renew().then(() => later), stuck]);
    await Promise.race([license.close(), stuck]);
    const { held } = await navigator.locks.query();
    return [idle, held.filter(({ name }) => name.includes('session')).length];
  }, settings({ handshakeCode: '216998-instances', instances: 4 }));
  assert.deepEqual(taken, [1, 0]);
  assert.deepEqual(page.trouble, []);
});

test('refusals reach the page with what to tell whom', limits, async (t) => {
  const { sandbox, page, open, settings } = await setUp(t);
  await open();
  const fail = (more) => page.evaluate((given) => failed(begin(given)), settings(more));
  assert.deepEqual(await fail({ handshakeCode: '216998-none' }).then(({ code }) => code), 101);
  assert.equal((await fail({ handshakeCode: '216998-server' })).code, 108);
  const domain = await fail({ handshakeCode: '216998-domain' });
  assert.ok(domain.code === 103 || (domain.code === 302 && domain.message.includes("this page's domain is missing")), JSON.stringify(domain));
  await sandbox.faults({ refuse: 120 });
  const limit = await fail();
  assert.deepEqual([limit.code, limit.userMessage], [120, 'All licenses are in use or used up. Please try again later, or ask your administrator for more.']);
});

test('a page that ends sends no more than a browser lets it, and nothing is lost', limits, async (t) => {
  const { sandbox, page, open, settings } = await setUp(t);
  await open();
  await page.evaluate(async (given) => {
    window.sizes = [];
    const send = (url, request) => {
      if (request.isLast) sizes.push(request.body.length);
      return Tollkeeper.platform.send(url, request);
    };
    await begin({ ...given, send });
    for (let slot = 0; slot < 200; slot += 1) {
      for (let type = 0; type < 20; type += 1) license.record(`${'ä'.repeat(20)} ${type}`, 1, { at: Date.now() - 400_000 - slot * 180_000 });
    }
    await license.flush();
    dispatchEvent(new Event('pagehide'));
  }, settings());
  const [size, ...more] = await page.evaluate(() => sizes);
  assert.ok(size > 50_000 && size < 65_536 && more.length === 0, `${size}`);
  await page.evaluate(() => license.report());
  assert.equal(await sandbox.total(), 4_000);
});

test('where nothing can be stored the page is told what to do, and may do without', limits, async (t) => {
  const { page, open, settings } = await setUp(t);
  const blocked = [
    () => Object.defineProperty(globalThis, 'indexedDB', { value: undefined }),
    () => (IDBFactory.prototype.open = () => { throw new DOMException('denied', 'SecurityError'); }),
  ];
  for (const block of blocked) {
    await open();
    await page.evaluate(block);
    const error = await page.evaluate((given) => failed(begin(given)), settings());
    assert.equal(error.code, 306);
    assert.match(error.message, /allow this site to store data; private windows and blocked cookies forbid it/);
    assert.match(error.userMessage, /cannot store its license on this device/);
    const status = await page.evaluate((given) => begin({ ...given, storage: Tollkeeper.memoryStorage() }), settings());
    assert.equal(status.origin, 'server');
    await page.evaluate(() => license.close());
  }
});

test('a page without a secure context is told what it lacks', limits, async (t) => {
  const { site, page, settings } = await setUp(t);
  await page.goto(`${site.url.replace('127.0.0.1', 'plain.test')}/app.html`);
  await page.waitForFunction('window.begin !== undefined');
  const error = await page.evaluate((given) => failed(begin(given)), settings());
  assert.equal(error.code, 304);
  assert.match(error.message, /secure contexts only, so serve the page by https/);
});

test('sealed bodies work in the browser', limits, async (t) => {
  const { sandbox, page, open, settings } = await setUp(t);
  await open();
  const types = [];
  page.on('request', (request) => request.method() === 'POST' && types.push(request.headers()['content-type']));
  await page.evaluate((given) => begin(given), settings({ sealed: true }));
  await page.evaluate(async () => {
    license.record('QR Code', 3, { at: Date.now() - 400_000 });
    await license.report();
  });
  assert.equal(await sandbox.total(), 3);
  assert.deepEqual([...new Set(types)], ['application/tk-sealed']);
});

test('the server serves the library: any page may load it, and a copy is known by its tag', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const get = (path, headers = {}) => fetch(sandbox.http + path, { headers, redirect: 'manual' });
  const script = await get('/sdk/javascript/tollkeeper.js');
  const header = (name) => script.headers.get(name);
  assert.deepEqual(
    [header('Content-Type'), header('Cache-Control'), header('Access-Control-Allow-Origin'), header('X-Content-Type-Options')],
    ['text/javascript; charset=utf-8', 'no-cache', '*', 'nosniff'],
  );
  assert.equal(await script.text(), await readFile(new URL('tollkeeper.js', sdkFolder), 'utf8'));
  assert.equal((await get('/sdk/javascript/tollkeeper.js', { 'If-None-Match': header('ETag') })).status, 304);
  assert.equal((await get('/sdk/javascript/tollkeeper.js', { 'If-None-Match': '"other"' })).status, 200);
  assert.match(await (await get('/sdk/')).text(), /href="\/sdk\/javascript\/"/);
  assert.match(await (await get('/sdk/javascript/')).text(), /tollkeeper\.mjs/);
  assert.equal((await get('/sdk/javascript')).headers.get('Location'), '/sdk/javascript/');
  assert.equal((await get('/sdk/javascript/../../style.css')).status, 404);
  assert.equal((await get('/sdk/cobol/x')).status, 404);
  assert.match(await (await get('/')).text(), /href="\/sdk\/"/);
});

test('the example page authorizes, counts and tells what is wrong', limits, async (t) => {
  const sandbox = await Sandbox.start(t);
  const page = await newPage(browser);
  afterwards(t, () => page.context().close());
  const fragment = new URLSearchParams({ licenseKey: sandbox.licenseKey(), vendorPublicKey: sandbox.vendorPublicKey, product: 'dbr' });
  await page.goto(`${sandbox.https}/sdk/javascript/example.html#${fragment}`);
  await page.getByRole('button', { name: 'Get the license' }).click();
  await page.getByText('Licensed', { exact: true }).waitFor();
  for (let n = 0; n < 3; n += 1) await page.getByRole('button', { name: 'Count a scan' }).click();
  await page.getByText('3 scans').waitFor();
  await page.getByRole('button', { name: 'Give back' }).click();
  await page.getByText('The license was given back', { exact: false }).first().waitFor();
  await page.getByLabel('License key').fill('TK1.x');
  await page.getByRole('button', { name: 'Get the license' }).click();
  await page.getByText('-20301', { exact: false }).first().waitFor();
  assert.deepEqual(page.trouble, []);
});

test('the example page shows what was asked for as no problem, and what is wrong in view', limits, async (t) => {
  const { sandbox, site, page } = await setUp(t);
  await page.setViewportSize({ width: 400, height: 700 });
  const fragment = new URLSearchParams({ licenseKey: sandbox.licenseKey(), vendorPublicKey: sandbox.vendorPublicKey, product: 'dbr' });
  await page.goto(`${site.url}/example.html#${fragment}`);
  const get = page.getByRole('button', { name: 'Get the license' });
  await get.click();
  await page.getByRole('button', { name: 'Send reports now' }).click();
  await page.getByText('nothing to send yet').waitFor();
  await page.getByRole('button', { name: 'Give back' }).click();
  await page.getByText('The license was given back').waitFor();
  assert.equal(await page.getByRole('alert').isVisible(), false);
  await page.getByLabel('License key').fill('TK1.x');
  await get.click();
  const box = await page.getByRole('alert').boundingBox();
  assert.ok(box.y >= 0 && box.y + box.height <= 700, JSON.stringify(box));
  assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 400);
  assert.deepEqual(page.trouble, []);
});
