// Set-up, login and sessions in a real browser.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PASSWORD, looksRight } from './admin.mjs';
import { launch, newPage, watched } from './chromium.mjs';
import { Sandbox } from './support.mjs';

const limits = { timeout: 80_000 };
let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

async function visit(t, options) {
  const sandbox = await Sandbox.start(t);
  const page = await newPage(browser, options);
  await page.goto(`${sandbox.https}/admin/`);
  return { sandbox, page };
}

async function setUp(page) {
  await page.fill('#password', PASSWORD);
  await page.fill('#again', PASSWORD);
  await page.getByRole('button', { name: 'Set up and log in' }).click();
}

async function logIn(page, name = 'admin', password = PASSWORD) {
  await page.fill('#name', name);
  await page.fill('#password', password);
  await page.getByRole('button', { name: 'Log in' }).click();
}

const path = (page) => new URL(page.url()).pathname + new URL(page.url()).search;

for (const javaScriptEnabled of [true, false]) {
  test(`the first visit sets the password up, and says at the field what is wrong${javaScriptEnabled ? '' : ', without a script'}`, limits, async (t) => {
    const { page } = await visit(t, { javaScriptEnabled });
    assert.equal(path(page), '/admin/setup');
    if (javaScriptEnabled) await looksRight(page);
    // Browsers refuse short ones by themselves; the server must as well.
    await page.locator('#password').evaluate((input) => input.removeAttribute('minlength')).catch(() => {});
    for (const [password, again, told] of [
      ['aaaaaaaaaaaaaaa', 'aaaaaaaaaaaaaaa', /repeats a few characters/],
      ['password12345', 'password12345', /'password'/],
      [PASSWORD, 'another one entirely', /repetition differ/],
    ]) {
      await page.fill('#password', password);
      await page.fill('#again', again);
      await page.getByRole('button').click();
      assert.match(await page.locator('#password-error').innerText(), told);
      assert.equal(await page.getAttribute('#password', 'aria-invalid'), 'true');
    }
    await page.fill('#name', 'no spaces');
    await setUp(page);
    assert.match(await page.locator('#name-error').innerText(), /letters, digits/);
    assert.equal(await page.inputValue('#name'), 'no spaces', 'what was typed stays');
    await page.fill('#name', 'anna');
    await setUp(page);
    assert.equal(path(page), '/admin/');
    assert.match(await page.locator('.who').innerText(), /anna/);
  });
}

test('whoever is not logged in is led to the login and then to where they wanted', limits, async (t) => {
  const { sandbox, page } = await visit(t);
  await setUp(page);
  await page.getByRole('button', { name: 'Log out' }).click();
  assert.equal(path(page), '/admin/login');
  await looksRight(page);
  await page.goto(`${sandbox.https}/admin/statistics?range=7`);
  assert.equal(path(page), '/admin/login?next=%2Fadmin%2Fstatistics%3Frange%3D7');
  await logIn(page, 'admin', 'wrong password here');
  assert.equal(await page.locator('#login-error').innerText(), 'Name or password is wrong.');
  assert.equal(await page.inputValue('#name'), 'admin');
  await looksRight(page);
  await logIn(page, 'nobody', PASSWORD);
  assert.equal(await page.locator('#login-error').innerText(), 'Name or password is wrong.', 'nobody learns which users exist');
  await logIn(page, 'ADMIN');
  assert.equal(path(page), '/admin/statistics?range=7');
  await page.goto(`${sandbox.https}/admin/login?next=https://elsewhere.test/`);
  assert.equal(await page.inputValue('input[name=next]'), '/admin/', 'only pages of this server');
  await page.goto(`${sandbox.https}/admin/setup`);
  assert.equal(path(page), '/admin/login', 'set-up happens once');
});

test('failed logins lock out for a while, and the pause passes', limits, async (t) => {
  const { sandbox, page } = await visit(t);
  await setUp(page);
  await page.getByRole('button', { name: 'Log out' }).click();
  for (let n = 0; n < 8; n += 1) await logIn(page, 'admin', 'wrong password here');
  assert.match(await page.locator('#login-error').innerText(), /too many failed logins.* in \d+ seconds.*reset-password/);
  await logIn(page);
  assert.match(await page.locator('#login-error').innerText(), /too many/, 'even with the right password');
  await sandbox.moveClock({ advance: '1m' });
  await logIn(page);
  assert.equal(path(page), '/admin/');
});

test('a session ends after half an hour without use and after twelve hours', limits, async (t) => {
  const { sandbox, page } = await visit(t);
  await setUp(page);
  await sandbox.moveClock({ advance: '29m' });
  await page.reload();
  assert.equal(path(page), '/admin/');
  await sandbox.moveClock({ advance: '31m' });
  await page.reload();
  assert.equal(path(page), '/admin/login?next=%2Fadmin%2F');
  await logIn(page);
  for (let n = 0; n < 26; n += 1) {
    await sandbox.moveClock({ advance: '28m' });
    await page.reload();
  }
  assert.equal(path(page), '/admin/login?next=%2Fadmin%2F');
});

test('two tabs share a session, and both end with it', limits, async (t) => {
  const { sandbox, page } = await visit(t);
  await setUp(page);
  const tab = watched(await page.context().newPage());
  await tab.goto(`${sandbox.https}/admin/`);
  assert.equal(path(tab), '/admin/');
  await page.getByRole('button', { name: 'Log out' }).click();
  await tab.reload();
  assert.match(path(tab), /^\/admin\/login/);
  await tab.goBack();
  // A form of the ended session does nothing.
  const answer = await page.request.post(`${sandbox.https}/admin/logout`, { form: { csrf: 'x' }, maxRedirects: 0 });
  assert.equal(answer.status(), 303);
  assert.equal(answer.headers().location, '/admin/login');
});

test('pages carry the headers that keep them to themselves', limits, async (t) => {
  const { sandbox, page } = await visit(t);
  const answer = await page.request.get(`${sandbox.https}/admin/login`);
  const headers = answer.headers();
  assert.match(headers['content-security-policy'], /^default-src 'self';/);
  assert.doesNotMatch(headers['content-security-policy'], /unsafe/);
  assert.deepEqual(
    [headers['x-content-type-options'], headers['x-frame-options'], headers['referrer-policy'], headers['cache-control']],
    ['nosniff', 'DENY', 'same-origin', 'no-store'],
  );
  assert.match(headers['strict-transport-security'], /max-age=/);
  await setUp(page);
  const [cookie] = (await page.context().cookies()).filter(({ name }) => name === '__Host-tollkeeper');
  assert.deepEqual([cookie.httpOnly, cookie.secure, cookie.sameSite, cookie.path], [true, true, 'Strict', '/']);
  await page.goto(`${sandbox.https}/admin/`);
  const style = /href="(\/static\/admin\.[0-9a-f]{12}\.css)"/.exec(await page.content())[1];
  const asset = await page.request.get(sandbox.https + style);
  assert.match(asset.headers()['cache-control'], /immutable/);
  assert.deepEqual([asset.headers()['content-encoding'], answer.headers()['content-encoding']], ['gzip', undefined]);
  const again = (tag) => page.request.get(sandbox.https + style, { headers: { 'If-None-Match': tag } }).then((got) => got.status());
  assert.deepEqual([await again(asset.headers().etag), await again('"other"')], [304, 200]);
  assert.equal((await page.request.get(sandbox.https + style.replace(/[0-9a-f]{12}/, '000000000000'))).status(), 404);
  for (const path of ['/', 'licenses', 'statistics', 'devices', 'audit', 'security']) {
    const stranger = await (await newPage(browser)).request.get(`${sandbox.https}/admin/${path}`, { maxRedirects: 0 });
    assert.equal(stranger.status(), 303, path);
    assert.doesNotMatch(await stranger.text(), /216998/);
  }
});
