// The pages "License items" and "API" in a real browser, against a real server.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { ITEMS, Site, looksRight, send } from './admin.mjs';
import { launch } from './chromium.mjs';
import { tollkeeper } from './support.mjs';

const limits = { timeout: 80_000 };
let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const flash = (page) => page.locator('.flash').first().innerText();

/** From the first visit to the first license key, by pages alone. */
async function firstLicense(page) {
  const { site } = page;
  await page.goto(`${site.url}/admin/licenses`);
  await page.getByRole('link', { name: 'trusted vendors', exact: true }).click();
  await page.setInputFiles('#file', site.path('vendor/vendor.pub'));
  await page.getByRole('button', { name: 'Trust this vendor' }).click();
  assert.match(await flash(page), /is trusted/);
  await page.goto(`${site.url}/admin/licenses/request`);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download the request' }).click()]);
  await download.saveAs(site.path('site.req'));
  await writeFile(site.path('items.toml'), `organization_id = "216998"\nlicense_id = 100\nalias = "Line 4"\n${ITEMS}`);
  await tollkeeper('vendor', 'issue', '--key', site.path('vendor/vendor.key'), '--items', site.path('items.toml'), '--request', site.path('site.req'), '--out', site.path('site.lic'));
  await page.goto(`${site.url}/admin/licenses/import`);
  await page.setInputFiles('#file', site.path('site.lic'));
  await page.getByRole('button', { name: 'See what is in it' }).click();
}

test('the first visit reaches the first license key without the command line', limits, async (t) => {
  const site = await Site.start(t);
  const page = await site.setUp(browser);
  await page.goto(`${site.url}/admin/licenses`);
  await looksRight(page);
  await page.goto(`${site.url}/admin/licenses/vendors`);
  await looksRight(page);
  await page.goto(`${site.url}/admin/licenses/import`);
  assert.match(await page.locator('main').innerText(), /No vendor is trusted yet/);
  await looksRight(page);
  await page.goto(`${site.url}/admin/licenses/request`);
  await looksRight(page);
  await firstLicense(page);
  const preview = await page.locator('main').innerText();
  for (const word of ['License 100', 'Line 4', '216998', '100000001', '12,000', 'device, by quarter', '216998-100']) assert.ok(preview.includes(word), `${word} in ${preview}`);
  assert.deepEqual(await site.licenses(), [], 'a preview imports nothing');
  await looksRight(page);
  await page.getByRole('button', { name: 'Import license 100' }).click();
  assert.equal(await flash(page), 'License 100 is installed. Its items are in 216998-100.');
  assert.match(await page.locator('#license-key').innerText(), /^TK1\./);

  await page.goto(`${site.url}/admin/licenses`);
  await looksRight(page);
  assert.deepEqual(await page.locator('tbody tr td:first-child').allInnerTexts(), ['100000001', '100000002']);
  await page.getByRole('link', { name: 'Valid' }).click();
  assert.deepEqual(await page.locator('tbody tr td:first-child').allInnerTexts(), ['100000002', '100000001']);
  await page.fill('#q', 'DWT');
  await page.getByRole('button', { name: 'Show' }).click();
  assert.deepEqual(await page.locator('tbody tr td:first-child').allInnerTexts(), ['100000002']);
  // Anywhere in the row leads to the item.
  await page.locator('tbody tr td').nth(1).click({ force: true });
  await page.waitForURL(`${site.url}/admin/licenses/items/100000002`);
  assert.equal(await page.getByRole('link', { name: 'Statistics' }).nth(1).getAttribute('href'), '/admin/statistics?item=100000002');
  await looksRight(page);
  await page.locator('main').getByRole('link', { name: '100', exact: true }).click();
  await looksRight(page);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download the file' }).click()]);
  await download.saveAs(site.path('again.lic'));
  assert.match(await tollkeeper('license', 'import', site.path('again.lic'), '--data', site.data), /100/);
  await page.goto(`${site.url}/admin/api`);
  await looksRight(page);
  assert.match(await page.locator('main').innerText(), /\/api\/v1\/admin\/handshakes\/\{code\}\/order/);
  assert.deepEqual(page.trouble, []);
});

test('without a script all of it works as well', limits, async (t) => {
  const site = await Site.start(t);
  const page = await site.setUp(browser, { javaScriptEnabled: false });
  await firstLicense(page);
  await page.getByRole('radio', { name: 'All into a new handshake code' }).check();
  await page.fill('#custom', 'line4');
  await page.getByRole('button', { name: 'See what it would do' }).click();
  assert.match(await page.locator('main').innerText(), /A handshake code 216998-line4 is made/);
  await page.getByRole('button', { name: 'Import license 100' }).click();
  assert.equal(await flash(page), 'License 100 is installed. Its items are in 216998-line4.');
});

test('a file is dropped or pasted, and what is wrong with it stands beside what to do', limits, async (t) => {
  const site = await Site.start(t);
  const page = await site.setUp(browser);
  const license = await readFile(await site.license(), 'utf8');
  const importing = `${site.url}/admin/licenses/import`;
  const paste = async (text) => {
    await page.goto(importing);
    await page.fill('#text', text);
    await page.getByRole('button', { name: 'See what is in it' }).click();
    assert.equal(await page.locator('#text').inputValue(), text.replaceAll('\r\n', '\n'), 'what was typed is kept');
    return page.locator('.flash.bad').innerText();
  };
  assert.match(await paste(''), /Nothing was chosen/);
  assert.match(await paste('hello'), /BEGIN TOLLKEEPER LICENSE/);
  assert.match(await paste(license), /unknown vendor|no trusted vendor|vendor[\s\S]*Trusted vendors/i);
  await looksRight(page);
  await writeFile(`${site.data}/vendors/vendor.pub`, await site.read('vendor/vendor.pub'));
  const fresh = await readFile(await site.license({ id: 101, activated: false }), 'utf8');
  assert.match(await paste(fresh), /is New[\s\S]*Activation request/);
  const other = await Site.start(t);
  await writeFile(site.path('other.toml'), `organization_id = "216998"\nlicense_id = 102\n${ITEMS}`);
  await tollkeeper('license', 'request', '--data', other.data, '--out', site.path('other.req'));
  await tollkeeper('vendor', 'issue', '--key', site.path('vendor/vendor.key'), '--items', site.path('other.toml'), '--request', site.path('other.req'), '--out', site.path('other.lic'));
  assert.match(await paste(await site.read('other.lic')), /another server[\s\S]*Activation request/);
  const lines = license.split('\n');
  const at = lines.findIndex((line) => line.startsWith('-----BEGIN')) + 8;
  lines[at] = [...lines[at]].reverse().join('');
  assert.match(await paste(lines.join('\n')), /signature|damaged/);
  assert.match(await paste(await site.read('vendor/vendor.pub')), /public key, not a license/);
  assert.match(await paste('<script>alert(1)</script>'), /BEGIN TOLLKEEPER LICENSE/);
  await page.setInputFiles('#file', { name: 'a.lic', mimeType: 'application/octet-stream', buffer: Buffer.from([0xff, 0xfe, 0]) });
  await page.getByRole('button', { name: 'See what is in it' }).click();
  assert.match(await page.locator('.flash.bad').innerText(), /not text/);
  assert.deepEqual(await site.licenses(), []);

  await page.goto(importing);
  const data = await page.evaluateHandle((text) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], 'site.lic'));
    return transfer;
  }, license);
  await page.dispatchEvent('form.drop', 'drop', { dataTransfer: data });
  await page.getByRole('heading', { name: 'License 100' }).waitFor();
  await page.getByRole('radio', { name: 'All into a new handshake code' }).check();
  await page.fill('#custom', 'no blanks!');
  await page.getByRole('button', { name: 'Import license 100' }).click();
  assert.match(await page.locator('#new-error').innerText(), /not a handshake code/);
  assert.equal(await page.locator('#custom').inputValue(), 'no blanks!');
  await looksRight(page);
  assert.deepEqual(page.trouble.filter((text) => !text.includes('400')), []);
});

test('a vendor’s key that is none is told at its field', limits, async (t) => {
  const site = await Site.start(t);
  const page = await site.setUp(browser);
  await page.goto(`${site.url}/admin/licenses/vendors`);
  await page.setInputFiles('#file', site.path('vendor/vendor.key'));
  await page.getByRole('button', { name: 'Trust this vendor' }).click();
  assert.match(await page.locator('#key-error').innerText(), /private key/);
  assert.equal(await page.locator('#text').inputValue(), '', 'a private key is not shown again');
  await page.fill('#text', 'nonsense');
  await page.getByRole('button', { name: 'Trust this vendor' }).click();
  assert.match(await page.locator('#key-error').innerText(), /vendor\.pub/);
  assert.equal(await page.locator('#text').inputValue(), 'nonsense');
  await looksRight(page);
  assert.equal(await send(page, '/admin/licenses/vendors', { text: await site.read('vendor/vendor.pub') }, false), 403);
  assert.equal(await send(page, '/admin/licenses/vendors', { text: await site.read('vendor/vendor.pub') }), 303);
  // What was trusted by mistake is taken back.
  await page.goto(`${site.url}/admin/licenses/vendors`);
  await page.getByText('Remove …').click();
  await looksRight(page);
  await page.getByRole('button', { name: 'Trust this vendor no longer' }).click();
  assert.match(await page.locator('main').innerText(), /trusted no longer[\s\S]*No vendor is trusted yet/);
});

test('a renewal and a revocation say what they do before they do it', limits, async (t) => {
  const site = await Site.start(t);
  await site.setUp(browser).then((page) => page.close());
  await site.install();
  const page = await (async () => {
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    await page.goto(`${site.url}/admin/login`);
    await page.fill('#name', 'admin');
    await page.fill('#password', 'correct horse battery staple');
    await Promise.all([page.waitForURL(`${site.url}/admin/`), page.click('button.primary')]);
    return Object.assign(page, { site });
  })();
  const renewal = await site.license({ id: 101, items: '[[items]]\nitem_id = 100000003\nproduct = "dbr"\ncharge_way = "scan"\nquota = 500\nrenews = 100000001\nvalid_from = 2026-01-01\nvalid_to = 2099-12-31\n' });
  const look = async (file) => {
    await page.goto(`${site.url}/admin/licenses/import`);
    await page.setInputFiles('#file', file);
    await page.getByRole('button', { name: 'See what is in it' }).click();
    return page.locator('main').innerText();
  };
  const shown = await look(renewal);
  assert.match(shown, /Item 100000003 joins the handshake code 216998-100/);
  assert.match(shown, /renews item 100000001/);
  await page.getByRole('button', { name: 'Import license 101' }).click();
  assert.deepEqual((await site.handshakes())[0].items.length, 3);
  assert.match(await look(renewal), /installed already/);

  await tollkeeper('vendor', 'revoke', '--key', site.path('vendor/vendor.key'), '--license', site.path('101.lic'), '--item', '100000003', '--reason', 'not paid', '--out', site.path('101.rev'));
  assert.match(await look(site.path('101.rev')), /not paid/);
  await looksRight(page);
  await page.getByRole('button', { name: 'Revoke 1 item' }).click();
  assert.match(await flash(page), /Revoked: item 100000003/);
  await page.goto(`${site.url}/admin/licenses/items/100000003`);
  assert.match(await page.locator('main').innerText(), /revoked[\s\S]*not paid/);
});
