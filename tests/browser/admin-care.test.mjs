// The pages for what an administrator looks after: readable by all, and devices.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { AdminSite, CARE_PATHS, isClean } from './admin-site.mjs';
import { launch } from './chromium.mjs';

const limits = { timeout: 80_000 };
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

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
      for (const path of [...CARE_PATHS, `/admin/devices/${uuid}`]) {
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
  // The link lies over its whole row.
  await page.click('tbody tr td:nth-child(5)', { force: true });
  assert.ok(page.url().endsWith(uuid), 'a row is a link');
  assert.match(await text(page, '.refusal'), /106 Product does not match.*productdwtother/);
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
