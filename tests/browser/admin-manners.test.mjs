// What a viewer sees, and what works without JavaScript.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AdminSite, CARE_PATHS, isClean } from './admin-site.mjs';
import { launch } from './chromium.mjs';

const limits = { timeout: 80_000 };
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const text = (page, selector) => page.textContent(selector).then((content) => content.replace(/\s+/g, ' ').trim());

test('a viewer sees every page and finds nothing to change', limits, async (t) => {
  const site = await AdminSite.start(t);
  const { uuid } = await site.authorize();
  await site.logIn(t, browser);
  await site.addViewer('vera');
  const vera = await site.logIn(t, browser, { name: 'vera' });
  for (const path of [...CARE_PATHS.filter((path) => path !== '/admin/security/password'), `/admin/devices/${uuid}`]) {
    assert.equal((await vera.visit(path)).status(), 200, path);
    assert.deepEqual(await vera.locator('main button:enabled:not([data-copy]):not([data-js])').allTextContents().then((all) => all.filter((label) => !['Search', 'Filter'].includes(label))), [], path);
    await isClean(vera, path);
  }
  const csrf = await vera.inputValue('[name=csrf]');
  const answer = await vera.request.post(`${site.https}/admin/settings`, { form: { csrf, site_name: 'Mine' } });
  assert.equal(answer.status(), 403);
});

test('without JavaScript everything is done all the same', limits, async (t) => {
  const site = await AdminSite.start(t);
  const { uuid } = await site.authorize();
  const page = await site.logIn(t, browser, { javaScriptEnabled: false });
  await page.visit(`/admin/devices/${uuid}`);
  await page.click('summary:has-text("Release")');
  await page.click('button:has-text("Release the seat")');
  assert.match(await text(page, '.flash'), /is free/);
  await page.visit('/admin/settings');
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
