// Every page there is, found by following links: nothing that axe finds, and a picture of each,
// on a desk and on a phone, in light and in dark, in target/screenshots/ for people to look at.
import assert from 'node:assert/strict';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PASSWORD } from './admin.mjs';
import { launch, newPage } from './chromium.mjs';
import { Sandbox, Tollkeeper, tollkeeper } from './support.mjs';

const folder = fileURLToPath(new URL('../../target/screenshots/', import.meta.url));
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const LOOKS = [
  ['desktop', 1280, 'light'],
  ['desktop', 1280, 'dark'],
  ['phone', 400, 'light'],
  ['phone', 400, 'dark'],
];
let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** What a site looks like that is in use: devices of several kinds, refusals, two users. */
async function inUse(sandbox) {
  for (let n = 0; n < 12; n += 1) {
    const license = await Tollkeeper.License.start(sandbox.settings({ storage: Tollkeeper.memoryStorage() }));
    if (!license.status.isLicensed) continue;
    for (const [kind, count] of [['QR Code', 20 + 7 * n], ['Code 128', 11], ['EAN-13', 3 * n + 1], ['Data Matrix', 2]]) license.record(kind, count, { at: Date.now() - 400_000 - 180_000 * n });
    await license.report();
    await license.close();
  }
  for (const code of ['216998-quarter', '216998-server', '216998-none']) {
    await Tollkeeper.License.initialize(sandbox.settings({ handshakeCode: code, storage: Tollkeeper.memoryStorage() })).then((license) => license.close(), () => {});
  }
}

/** The kind of a page: what differs between two devices or two days is one page. */
const kindOf = (url) => {
  const { pathname, searchParams } = new URL(url);
  const parts = pathname.replace(/\/$/, '').split('/').slice(2);
  const kinds = parts.map((part, n) => (n > 0 && /[0-9]/.test(part) ? 'one' : part));
  const by = searchParams.get('by');
  return [...kinds, ...(by ? [by] : [])].join('-') || 'home';
};

test('every page is found by links, axe finds nothing on it, and its picture is kept', { timeout: 600_000 }, async (t) => {
  const sandbox = await Sandbox.start(t);
  await inUse(sandbox);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const page = await newPage(browser, { viewport: { width: 1280, height: 900 } });
  const seen = new Map();
  const violations = [];

  const look = async (name) => {
    for (const [device, width, colorScheme] of LOOKS) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: `${folder}${name}-${device}-${colorScheme}.png`, fullPage: true });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (overflow > 0) violations.push(`${name} is ${overflow} px too wide at ${width} px`);
      if (device === 'phone') continue;
      await page.evaluate(axe);
      const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      for (const { id, nodes } of found.violations) violations.push(`${name} in ${colorScheme}: ${id}: ${nodes.map(({ target }) => target).join('; ')}`);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.emulateMedia({ colorScheme: 'light' });
  };

  await page.goto(`${sandbox.https}/admin/setup`);
  await look('setup');
  await page.fill('#password', PASSWORD);
  await page.fill('#again', PASSWORD);
  await page.getByRole('button').click();
  const queue = [`${sandbox.https}/admin/`];
  while (queue.length > 0) {
    const url = queue.shift();
    const kind = kindOf(url);
    if (seen.has(kind)) continue;
    seen.set(kind, url);
    const answer = await page.goto(url).catch((error) => (/Download is starting|ERR_ABORTED/.test(String(error)) ? null : Promise.reject(error)));
    if (answer === null) continue;
    assert.equal(answer.status(), 200, url);
    if (!(answer.headers()['content-type'] ?? '').startsWith('text/html')) continue;
    await look(kind);
    const links = await page.locator('a[href]').evaluateAll((all) => all.map(({ href, download }) => (download ? '' : typeof href === 'string' ? href : href.baseVal)));
    queue.push(...links.map((link) => new URL(link || '/', url).href.replace(/#.*/, '')).filter((link) => link.startsWith(`${sandbox.https}/admin/`)));
  }
  await page.getByRole('button', { name: 'Log out' }).click();
  await look('login');
  t.diagnostic(`${seen.size} kinds of pages: ${[...seen.keys()].join(', ')}`);
  assert.deepEqual(violations, []);
  assert.deepEqual(page.trouble, []);
  for (const needed of ['home', 'licenses', 'handshakes', 'statistics', 'devices', 'alerts', 'servers', 'audit', 'security', 'settings', 'api']) {
    assert.ok(seen.has(needed), `${needed} is reached by links`);
  }
});
