// The pages for what an administrator looks after: devices, audit, security, alerts, servers,
// settings.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { AdminSite, isClean, password } from './admin-site.mjs';
import { launch } from './chromium.mjs';

const limits = { timeout: 80_000 };
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const PATHS = ['devices', 'devices/refusals', 'devices/offline', 'alerts', 'servers', 'audit', 'security', 'security/users/admin', 'security/sessions', 'security/tokens', 'security/certificate', 'security/password', 'settings'].map((path) => `/admin/${path}`);

const text = (page, selector) => page.textContent(selector).then((content) => content.replace(/\s+/g, ' ').trim());

test('every page is readable by all, light and dark, wide and narrow', limits, async (t) => {
  const site = await AdminSite.start(t);
  const { uuid } = await site.authorize();
  await site.authorize({ client_uuid: uuid, product: 'other' });
  const page = await site.logIn(t, browser);
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1280, 400]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      for (const path of [...PATHS, `/admin/devices/${uuid}`]) {
        const answer = await page.visit(path);
        assert.equal(answer.status(), 200, path);
        await isClean(page, `${path} ${colorScheme} ${width}`);
      }
    }
  }
});

test('a device is found, its seat released, and why it was refused is told', limits, async (t) => {
  const site = await AdminSite.start(t);
  const { uuid } = await site.authorize();
  await site.authorize();
  await site.authorize({ client_uuid: uuid, product: 'other' });
  const page = await site.logIn(t, browser);
  await page.visit('/admin/devices');
  assert.equal(await page.locator('tbody tr').count(), 2);
  await page.fill('#search', uuid.slice(0, 13));
  await page.click('text=Search');
  assert.equal(await page.locator('tbody tr').count(), 1);
  await page.click('tbody tr td:nth-child(3)');
  assert.ok(page.url().endsWith(uuid), 'a row is a link');
  assert.match(await text(page, '.refusal'), /106 Product does not match.*product dwt other/);
  await page.click('summary:has-text("Release")');
  await page.click('button:has-text("Release the seat")');
  assert.match(await text(page, '.flash'), /seat of item 100000002 is free.*0 more times/);
  await page.click('summary:has-text("Reset")');
  await page.click('button:has-text("Reset this device")');
  assert.match(await text(page, '.flash'), /is reset/);
  await page.visit('/admin/devices?search=xyz');
  assert.match(await text(page, '#search-error'), /hexadecimal digits/);
  assert.equal(await page.inputValue('#search'), 'xyz');
});

test('a device without network is authorized by a pasted line and by a file', limits, async (t) => {
  const site = await AdminSite.start(t);
  const page = await site.logIn(t, browser, { acceptDownloads: true });
  const { request } = await site.authorize();
  const line = `TKR1.${Buffer.from(JSON.stringify({ ...request, client_uuid: '6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88' })).toString('base64url')}`;
  await page.visit('/admin/devices/offline');
  await page.fill('#request', line);
  await page.click('button:has-text("Authorize")');
  assert.match(await text(page, '#answer'), /6f1c2b9e-0d5a-4b7e-9a53-3f2d1c0b9a88 is authorized until/);
  assert.match(await text(page, '#authorization-line'), /^TKA1\./);
  await isClean(page);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('button:has-text("Download")')]);
  assert.equal(download.suggestedFilename(), 'authorization.txt');
  assert.match(await readFile(await download.path(), 'utf8'), /-----BEGIN TOLLKEEPER AUTHORIZATION-----\n/);
  await page.setInputFiles('#request_file', { name: 'request.txt', mimeType: 'text/plain', buffer: Buffer.from(line) });
  await page.fill('#request', '');
  await page.click('button:has-text("Authorize")');
  assert.match(await text(page, '#answer'), /is authorized until/);
  await page.fill('#reports', 'nonsense');
  await page.click('button:has-text("Take the reports")');
  assert.match(await text(page, '#reports-error'), /error 200/);
  assert.equal(await page.inputValue('#reports'), 'nonsense');
});

test('users, sessions, tokens and the own password are looked after', limits, async (t) => {
  const site = await AdminSite.start(t);
  const page = await site.logIn(t, browser);
  await page.visit('/admin/security');
  const add = async (name, word, again = word) => {
    await page.fill('#name', name);
    await page.fill('#password', word);
    await page.fill('#again', again);
    await page.click('button:has-text("Add user")');
  };
  await add('vera', password, 'something else');
  assert.match(await text(page, '#password-error'), /repetition differ/);
  assert.equal(await page.inputValue('#name'), 'vera');
  await add('vera', password);
  assert.match(await text(page, '.flash'), /vera may log in as viewer/);
  const vera = await site.logIn(t, browser, { name: 'vera' });
  await page.visit('/admin/security/sessions');
  await page.click('summary:has-text("End")');
  await page.click('button:has-text("End this session")');
  await vera.visit('/admin/devices');
  assert.match(vera.url(), /login/);
  await page.visit('/admin/security/tokens');
  await page.fill('#name', 'Monitoring');
  await page.click('button:has-text("Make token")');
  const token = await text(page, '#token');
  await isClean(page);
  const answer = await fetch(`${site.http}/api/v1/admin/licenses`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 200);
  await page.visit('/admin/security/tokens');
  assert.ok(!(await page.content()).includes(token), 'shown once');
  await page.click('summary:has-text("Delete")');
  await page.click('button:has-text("Delete token")');
  assert.match(await text(page, '.flash'), /is deleted/);
  await page.visit('/admin/security/password');
  await page.fill('#old', 'wrong');
  await page.fill('#password', 'five words are even better');
  await page.fill('#again', 'five words are even better');
  await page.click('button:has-text("Change password")');
  assert.match(await text(page, '#old-error'), /not your password/);
  await page.visit('/admin/security');
  await page.click('tbody tr:has-text("vera") td:nth-child(2)');
  await page.selectOption('#role', 'admin');
  await page.click('button:has-text("Save role")');
  assert.match(await text(page, '.flash'), /vera is admin/);
  await page.click('tbody a:has-text("vera")');
  await page.click('summary:has-text("Delete")');
  await page.click('button:has-text("Delete user")');
  assert.match(await text(page, '.flash'), /vera is deleted/);
});

test('the audit is filtered, exported, and its journal checked', limits, async (t) => {
  const site = await AdminSite.start(t);
  const page = await site.logIn(t, browser, { acceptDownloads: true });
  await page.visit('/admin/audit');
  await page.selectOption('#action', 'license_imported');
  await page.click('button:has-text("Filter")');
  assert.equal(await page.locator('tbody tr').count(), 1);
  assert.match(await text(page, 'tbody tr'), /console License imported license 100/);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('text=Export as CSV')]);
  assert.match(await readFile(await download.path(), 'utf8'), /license_imported,license 100,/);
  await page.click('button:has-text("Check now")');
  await page.waitForFunction(() => /Checked \d+ facts at .*: in order/.test(document.querySelector('#chain-check').textContent), null, { timeout: 20_000 });
});

test('settings and thresholds are set, and wrong ones are told at their fields', limits, async (t) => {
  const site = await AdminSite.start(t);
  const page = await site.logIn(t, browser);
  await page.visit('/admin/settings');
  await page.fill('#server_urls', 'main:48443');
  await page.fill('#site_name', 'Plant 3');
  await page.click('button:has-text("Save settings")');
  assert.match(await text(page, '#server_urls-error'), /write it as https:/);
  assert.equal(await page.inputValue('#site_name'), 'Plant 3');
  await page.fill('#server_urls', 'https://license.plant.example:48443');
  await page.selectOption('#utc_offset_minutes', '120');
  await page.click('button:has-text("Save settings")');
  assert.match(await text(page, '.flash'), /saved/);
  assert.equal(await text(page, '.site'), 'Plant 3');
  const key = JSON.parse(Buffer.from((await site.run('handshake', 'key', '216998-100')).trim().slice(4), 'base64url'));
  assert.deepEqual(key.servers, ['https://license.plant.example:48443']);
  await page.visit('/admin/audit');
  assert.match(await page.getAttribute('tbody time', 'title'), /UTC\+02:00/);
  await page.visit('/admin/alerts');
  await page.fill('#seats', '10, many');
  await page.click('button:has-text("Save thresholds")');
  assert.match(await text(page, '#seats-error'), /whole numbers/);
  await page.fill('#seats', '10');
  await page.click('button:has-text("Save thresholds")');
  await site.authorize();
  await page.visit('/admin/alerts');
  assert.match(await text(page, '#alerts-now'), /soon Item 100000002 .*1 of 10 seats/);
  page.on('dialog', (dialog) => dialog.accept());
  await page.click('button:has-text("Take the usual ones")');
  assert.match(await text(page, '#alerts-now'), /Nothing is over a threshold/);
});

test('a viewer sees every page and finds nothing to change', limits, async (t) => {
  const site = await AdminSite.start(t);
  const { uuid } = await site.authorize();
  await site.logIn(t, browser);
  await promiseOfUser(site, 'vera');
  const vera = await site.logIn(t, browser, { name: 'vera' });
  for (const path of [...PATHS.filter((path) => path !== '/admin/security/password'), `/admin/devices/${uuid}`]) {
    assert.equal((await vera.visit(path)).status(), 200, path);
    assert.deepEqual(await vera.locator('main button:enabled:not([data-copy]):not([data-js])').allTextContents().then((all) => all.filter((label) => !['Search', 'Filter'].includes(label))), [], path);
    await isClean(vera, path);
  }
  const csrf = await vera.inputValue('[name=csrf]');
  const answer = await vera.request.post(`${site.https}/admin/settings`, { form: { csrf, site_name: 'Mine' } });
  assert.equal(answer.status(), 403);
});

async function promiseOfUser(site, name) {
  const { spawn } = await import('node:child_process');
  const child = spawn(process.env.TOLLKEEPER_PROGRAM, ['admin', 'user', 'add', name, '--role', 'viewer', '--password-stdin', '--data', site.data], { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end(`${password}\n`);
  assert.equal(await new Promise((resolve) => child.on('exit', resolve)), 0);
}

test('without JavaScript everything is done all the same', limits, async (t) => {
  const site = await AdminSite.start(t);
  const { uuid } = await site.authorize();
  const page = await site.logIn(t, browser, { javaScriptEnabled: false });
  await page.visit(`/admin/devices/${uuid}`);
  await page.click('summary:has-text("Release")');
  await page.click('button:has-text("Release the seat")');
  assert.match(await text(page, '.flash'), /is free/);
  await page.visit('/admin/settings');
  await page.fill('#retention_days', '7');
  await page.$eval('form[action="/admin/settings"]', (form) => form.setAttribute('novalidate', '')).catch(() => {});
  await page.fill('#retention_days', '500');
  await page.click('button:has-text("Save settings")');
  assert.match(await text(page, '.flash'), /saved/);
  await page.visit('/admin/security/tokens');
  await page.fill('#name', 'Backup');
  await page.click('button:has-text("Make token")');
  assert.match(await text(page, '#token'), /^tka_/);
  await page.visit('/admin/alerts');
  await page.click('button:has-text("Take the usual ones")');
  assert.match(await text(page, '.flash'), /usual thresholds/);
  await page.visit('/admin/audit');
  await page.click('button:has-text("Check now")');
  await page.visit('/admin/audit');
  assert.match(await text(page, '#chain-check'), /Check/);
});
