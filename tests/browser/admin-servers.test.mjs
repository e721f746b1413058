// The pages "Servers" and "Backups": a backup is made, checked, taken away and restored; two
// servers become a pair, change their roles and part. With a script and without.
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AdminSite, isClean, password } from './admin-site.mjs';
import { launch } from './chromium.mjs';

const limits = { timeout: 80_000 };
const SERVERS = '/admin/servers';
const BACKUPS = '/admin/servers/backups';
const UNLICENSED = /No installed license names the partner: .* cannot serve/;
const screenshots = fileURLToPath(new URL('../../target/screenshots/', import.meta.url));
let browser;
before(async () => {
  browser = await launch();
  await mkdir(screenshots, { recursive: true });
});
after(() => browser?.close());

const plain = (content) => content.replace(/\s+/g, ' ').trim();
const text = (page, selector) => page.textContent(selector).then(plain);

/** Looks until it is so, for at most 20 seconds; what was seen. */
async function until(what, look) {
  const end = Date.now() + 20_000;
  let seen;
  do {
    seen = await look();
    if (what instanceof RegExp ? what.test(seen) : what === seen) return seen;
    await setTimeout(100);
  } while (Date.now() < end);
  return assert.fail(`never ${what}, but: ${seen}`);
}

/** Presses a button, and waits for the whole page that comes. */
async function press(page, name) {
  await page.getByRole('button', { name, exact: true }).first().click();
  await page.waitForLoadState();
}

/** Loads the page until it tells this. */
const told = (page, path, what, selector = 'main') => until(what, () => page.visit(path).then(() => text(page, selector)));

/** A server that begins anew must be found again, on the port that it had. */
async function freeAddress() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

/** The server began anew, and nobody is logged in any more: logs in again. */
async function logInAgain(page, site, path) {
  // Asked beside the page, whose console stays silent while the server is away.
  const ask = () => page.request.get(site.https + path, { maxRedirects: 0 }).then((answer) => answer.status(), () => 'silent');
  await until(303, ask);
  // A page that shows how far it is has asked in vain meanwhile.
  page.trouble = page.trouble.filter((line) => !line.includes('ERR_CONNECTION_REFUSED'));
  await page.visit(path);
  assert.match(page.url(), /\/admin\/login/);
  await page.fill('[name=name]', 'admin');
  await page.fill('[name=password]', password);
  await press(page, 'Log in');
  assert.equal(page.url(), site.https + path);
}

/** Sends the form for a new handshake code. */
async function addCode(page, custom) {
  await page.visit('/admin/handshakes/new');
  await page.fill('#custom', custom);
  await page.getByRole('checkbox', { name: /100000001/ }).check();
  await press(page, 'Make the handshake code');
}

/** Pictures on a desk and on a phone, in light and in dark; axe finds nothing on any. */
async function look(page, name) {
  const usual = page.viewportSize();
  // Whoever pressed something far below has scrolled.
  await page.evaluate(() => scrollTo(0, 0));
  for (const [device, width] of [['desktop', 1280], ['phone', 400]]) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.screenshot({ path: `${screenshots}servers-${name}-${device}-${colorScheme}.png`, fullPage: true });
      await isClean(page, `${name} on a ${device} in ${colorScheme}`);
    }
  }
  await page.setViewportSize(usual);
  await page.emulateMedia({ colorScheme: 'light' });
}

/** Fills in where and with what to join, and sends it. */
async function join(page, url, token) {
  // What a refusal left open stays as it is.
  if (!(await page.isVisible('#url'))) await page.click('summary:has-text("Or join another server")');
  await page.fill('#url', url);
  await page.fill('#token', token);
  await press(page, 'Join');
}

/** Two servers that are none yet: the one with a license, the other one new. */
async function twoServers(t, options) {
  const addresses = [await freeAddress(), await freeAddress()];
  const [one, two] = await Promise.all([AdminSite.start(t, addresses[0]), AdminSite.startEmpty(t, addresses[1])]);
  const [first, second] = await Promise.all([one, two].map((site) => site.logIn(t, browser, options)));
  return { one, two, first, second };
}

/** Invites on the first one; what to join with. */
async function invite(page) {
  await page.visit(SERVERS);
  await press(page, 'Invite a server');
  const [, url, token] = /^tollkeeper standby join (https:\S+) (\S+)$/.exec(await text(page, '#join'));
  assert.equal(url, new URL(page.url()).origin);
  return { url, token };
}

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? 'with' : 'without';

  test(`a backup is made, checked, downloaded and restored ${how} a script`, limits, async (t) => {
    const site = await AdminSite.start(t, await freeAddress());
    const page = await site.logIn(t, browser, { javaScriptEnabled, acceptDownloads: true });
    const looks = javaScriptEnabled ? look : () => {};
    const made = () => page.locator('tbody tr:has-text("by hand")');
    await page.visit(BACKUPS);

    // The browser does not send a passphrase that is too short; a server that gets one refuses it.
    await page.fill('#passphrase', 'short');
    await press(page, 'Make a backup');
    assert.ok(await page.locator('#passphrase:invalid:focus').count());
    assert.equal(await page.inputValue('#passphrase'), 'short');
    await page.locator('#passphrase').evaluate((field) => field.removeAttribute('minlength'));
    await press(page, 'Make a backup');
    assert.match(await text(page, '[role=alert]'), /too short: give at least 8 characters/);
    await looks(page, 'backups-refused');
    await page.visit(BACKUPS);
    assert.equal(await made().count(), 0);

    await press(page, 'Make a backup');
    assert.match(await text(page, '.flash'), /A backup is being made/);
    await until(1, () => page.visit(BACKUPS).then(() => made().count()));
    const name = await made().locator('.mono').textContent();
    assert.match(name, /^tollkeeper-\d{8}T\d{6}Z-manual\.db$/);

    const [download] = await Promise.all([page.waitForEvent('download'), made().locator('a[download]').click()]);
    assert.equal(download.suggestedFilename(), name);
    const file = await readFile(await download.path());
    assert.equal(file.subarray(0, 16).toString('latin1'), 'SQLite format 3\0');

    await made().locator('summary').click();
    await looks(page, 'backups-list');
    await press(page, 'Check this backup now');
    assert.match(await text(page, '.card.good'), new RegExp(`^In order Looked at: every page of ${name}, and \\d+ facts in it`));
    if (javaScriptEnabled) await isClean(page);

    await addCode(page, 'later');
    assert.match(await text(page, '.flash'), /216998-later is ready/);
    await page.visit(BACKUPS);
    // What goes wrong while it is checked is told on the page; here there is no secret under a passphrase.
    await made().locator('summary').click();
    await made().locator('[type=password]').fill('seven dwarfs');
    await press(page, /^Restore /);
    assert.match(await text(page, '.flash'), /is being checked. If it is in order, the server begins anew with it/);
    const refused = page.locator('[role=alert]:has-text("was not restored, and nothing was changed")');
    await until(1, () => page.visit(BACKUPS).then(() => refused.count()));
    assert.match(await refused.textContent(), /manual\.key/);
    await made().locator('summary').click();
    await press(page, /^Restore /);
    assert.match(await text(page, '.flash'), /log in again in a moment/);
    await logInAgain(page, site, BACKUPS);
    assert.equal(await page.locator('tbody tr:has-text("replaced by a restore")').count(), 1);
    assert.equal(await made().locator('.mono').textContent(), name);
    await page.visit('/admin/handshakes');
    assert.match(await text(page, 'main'), /216998-100/);
    assert.doesNotMatch(await text(page, 'main'), /216998-later/);
    await page.visit('/admin/audit');
    assert.match(await text(page, 'main'), new RegExp(`the backup ${name} was restored by admin`));
  });

  test(`two servers become a pair, change their roles and part ${how} a script`, limits, async (t) => {
    const { one, two, first, second } = await twoServers(t, { javaScriptEnabled });
    const looks = javaScriptEnabled ? look : () => {};
    const { url, token } = await invite(first);
    await looks(first, 'invitation');
    await first.visit(SERVERS);
    assert.ok(!(await first.content()).includes(token), 'shown once');

    await second.visit(SERVERS);
    await join(second, url, 'not a token');
    assert.match(await text(second, '[role=alert]'), /The token is not whole: copy it/);
    assert.equal(await second.inputValue('#url'), url);
    await join(second, url, `${token.startsWith('A') ? 'B' : 'A'}${token.slice(1)}`);
    assert.match(await text(second, '[role=alert]'), /The token is unknown, was used, or is older than an hour/);
    assert.equal(await second.inputValue('#url'), url);
    await looks(second, 'join-refused');
    await join(second, url, token);
    assert.match(await text(second, '.flash'), /takes a copy of everything and begins anew with it: log in again/);
    await logInAgain(second, two, SERVERS);

    // Each knows the other one, by what it says itself.
    const uuids = [await text(first, '#server-uuid'), await text(second, '#server-uuid')];
    assert.notEqual(...uuids);
    assert.match(await told(first, SERVERS, /This server ?primary, serving .*Partner ?standby, following/), new RegExp(`Partner.*${uuids[1]}`));
    assert.match(await told(second, SERVERS, /This server ?standby, following .*Partner ?primary, serving/), new RegExp(`Partner.*${uuids[0]}`));
    assert.match(await text(first, 'main'), UNLICENSED);
    assert.equal(await first.locator('summary:has-text("Rehearse")').count(), 0, 'what cannot serve is not made to');
    await first.click('summary:has-text("Leave")');
    await looks(first, 'partner-unlicensed');

    await one.run('license', 'request', '--out', 'both.req');
    await one.run('vendor', 'activate', '--key', 'vendor/vendor.key', '--license', 'new.lic', '--request', 'both.req', '--out', 'both.lic');
    await one.run('license', 'import', 'both.lic');
    await first.visit(SERVERS);
    assert.doesNotMatch(await text(first, 'main'), UNLICENSED);
    await press(first, 'Exchange facts now');
    assert.match(await text(first, '.flash'), /Both servers hold the same facts/);
    assert.match(await text(first, 'main'), /If this machine were lost now: nothing/);
    await first.click('summary:has-text("Rehearse")');
    await looks(first, 'partner');
    await second.visit(SERVERS);
    assert.doesNotMatch(await text(second, 'main'), UNLICENSED);
    await looks(second, 'partner-standby');

    // What is set up is changed where it is served, and comes by itself.
    await addCode(second, 'line4');
    assert.match(await text(second, '[role=alert]'), /standby.*what is set up is changed on the server that serves, and comes to the other one by itself/);
    assert.ok((await text(second, '[role=alert]')).includes(one.https));
    assert.equal(await second.locator('nav a[href="/admin/handshakes"]').count(), 1, 'the way to the other pages');
    if (javaScriptEnabled) await isClean(second);
    await addCode(first, 'line4');
    assert.match(await text(first, '.flash'), /216998-line4 is ready/);
    await second.visit('/admin/handshakes');
    assert.doesNotMatch(await text(second, 'main'), /216998-line4/);
    await second.visit(SERVERS);
    await press(second, 'Exchange facts now');
    assert.match(await text(second, '.flash'), /Both servers hold the same facts/);
    await second.visit('/admin/handshakes');
    assert.match(await text(second, 'main'), /216998-line4/);

    await second.visit(SERVERS);
    await second.click('summary:has-text("Promote")');
    await press(second, 'Make this server the primary');
    assert.match(await text(second, '.flash'), /This server is the primary from now on/);
    await told(second, SERVERS, /This server ?primary, serving .*Partner ?standby, following/);
    await told(first, SERVERS, /This server ?standby, following .*Partner ?primary, serving/);
    await addCode(first, 'line5');
    assert.ok((await text(first, '[role=alert]')).includes(two.https));
    await addCode(second, 'line5');
    assert.match(await text(second, '.flash'), /216998-line5 is ready/);

    await second.visit(SERVERS);
    await second.click('summary:has-text("Leave")');
    await press(second, 'End the pairing');
    assert.match(await text(second, '.flash'), /no pair any more/);
    assert.match(await text(second, 'main'), /This server ?primary, serving .*Partner ?none is paired/);
    assert.match(await told(first, SERVERS, /Partner ?none is paired/), /This server ?standby/);
    if (javaScriptEnabled) await isClean(first);
    // It left with all that the pair had.
    await first.visit('/admin/handshakes');
    assert.match(await text(first, 'main'), /216998-line5/);
  });
}

test('a viewer sees the servers and the backups, and finds no form', limits, async (t) => {
  const { one, two, first, second } = await twoServers(t);
  await one.addViewer('vera');
  const { url, token } = await invite(first);
  await second.visit(SERVERS);
  await join(second, url, token);
  await logInAgain(second, two, SERVERS);
  await told(first, SERVERS, /Partner ?standby, following/);
  for (const [site, role] of [[one, 'primary'], [two, 'standby']]) {
    const vera = await site.logIn(t, browser, { name: 'vera' });
    for (const [path, what] of [[SERVERS, new RegExp(`This server ?${role}, .*Partner`)], [BACKUPS, /One is made every .*tollkeeper-\S+\.db/]]) {
      await told(vera, path, what);
      assert.equal(await vera.locator('main :is(form, input, textarea, summary, a[download])').count(), 0, path);
      await isClean(vera, path);
    }
    const csrf = await vera.inputValue('[name=csrf]');
    const backup = await text(vera, 'tbody code');
    assert.equal((await vera.request.get(`${site.https}/admin/servers/backups/${backup}/file`)).status(), 403, 'a backup holds everything');
    for (const path of [BACKUPS, `${BACKUPS}/${backup}/verify`, `${BACKUPS}/${backup}/restore`, ...['invite', 'join', 'sync', 'promote', 'rehearse', 'leave'].map((what) => `${SERVERS}/${what}`)]) {
      const answer = await vera.request.post(site.https + path, { form: { csrf, url, token, seconds: '60' } });
      assert.equal(answer.status(), 403, path);
    }
  }
});
