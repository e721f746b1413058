// The page "Handshake codes" in a real browser, against a real server; what it shows to
// developers is run.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Site, looksRight, send } from './admin.mjs';
import { launch } from './chromium.mjs';
import { sdkFolder } from './support.mjs';

const run = promisify(execFile);
const limits = { timeout: 80_000 };
let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const flash = (page) => page.locator('.flash').first().innerText();
const codes = '/admin/handshakes';

async function licensed(t, options) {
  const site = await Site.start(t);
  const page = await site.setUp(browser, options);
  await page.goto(site.url + codes);
  assert.match(await page.locator('main').innerText(), /There is no handshake code yet/);
  if (options?.javaScriptEnabled !== false) await looksRight(page);
  await site.install();
  return page;
}

for (const javaScriptEnabled of [true, false]) {
  test(`a handshake code is made, edited, ordered, starred and deleted ${javaScriptEnabled ? 'with' : 'without'} a script`, limits, async (t) => {
    const page = await licensed(t, { javaScriptEnabled });
    const { site } = page;
    const check = () => (javaScriptEnabled ? looksRight(page) : undefined);
    await page.goto(`${site.url}${codes}/new`);
    await check();
    await page.fill('#custom', 'line 4');
    await page.getByRole('checkbox', { name: /100000001/ }).check();
    await page.getByRole('checkbox', { name: /100000002/ }).check();
    await page.fill('#domains', 'scan.example.com\nhttp://bad domain');
    await page.getByRole('button', { name: 'Make the handshake code' }).click();
    assert.match(await page.locator('#custom-error').innerText(), /not a handshake code/);
    await page.fill('#custom', 'line4');
    await page.getByRole('button', { name: 'Make the handshake code' }).click();
    assert.match(await page.locator('#domains-error').innerText(), /domain/);
    assert.equal(await page.locator('#domains').inputValue(), 'scan.example.com\nhttp://bad domain', 'what was typed is kept');
    assert.ok(await page.getByRole('checkbox', { name: /100000002/ }).isChecked());
    await check();
    await page.fill('#domains', 'scan.example.com');
    await page.getByRole('button', { name: 'Make the handshake code' }).click();
    assert.match(await flash(page), /216998-line4 is ready/);
    await check();

    // Order: the one that ends first is first, until it is said otherwise.
    // A page that was just sent may still be on its way.
    const isOrder = async (expected) => {
      const found = () => page.locator('ol.order li a').allInnerTexts().catch(() => []);
      for (let tries = 0; tries < 100 && (await found()).join() !== expected.join(); tries += 1) await page.waitForTimeout(50);
      assert.deepEqual(await found(), expected);
    };
    await isOrder(['100000002', '100000001']);
    assert.match(await page.locator('ol.order').innerText(), /ends earlier/);
    await page.getByRole('button', { name: 'Item 100000001 one up' }).click();
    await isOrder(['100000001', '100000002']);
    assert.match(await page.locator('ol.order').innerText(), /your order/);
    await page.getByRole('button', { name: 'Back to the default order' }).click();
    await isOrder(['100000002', '100000001']);
    if (javaScriptEnabled) {
      await page.locator('ol.order li').nth(1).dragTo(page.locator('ol.order li').nth(0), { targetPosition: { x: 20, y: 4 } });
      await page.getByRole('button', { name: 'Save the order after dragging' }).click();
      await isOrder(['100000001', '100000002']);
    }

    // Another name: the old one goes on until it is removed.
    await page.fill('#custom', 'line5');
    await page.locator('#edit').getByRole('button', { name: 'Save' }).click();
    await page.waitForURL(`${site.url}${codes}/216998-line5`);
    assert.deepEqual((await site.handshakes())[1].aliases, ['216998-line4']);
    await page.getByText('Remove 216998-line4…').click();
    await page.getByRole('button', { name: 'Remove 216998-line4' }).click();
    assert.deepEqual((await site.handshakes())[1].aliases, []);
    await page.fill('#custom', '100');
    await page.locator('#edit').getByRole('button', { name: 'Save' }).click();
    assert.match(await page.locator('#custom-error').innerText(), /exists already/);

    // The password is shown once.
    await page.goto(`${site.url}${codes}/216998-line5`);
    const key = await page.locator('#license-key').innerText();
    await page.getByText('Set the session password…').click();
    await page.getByRole('button', { name: 'Generate' }).click();
    const password = await page.locator('#new-password').innerText();
    assert.ok(password.length > 15);
    await check();
    const fresh = await page.locator('#license-key').innerText();
    assert.notEqual(fresh, key);
    assert.equal(JSON.parse(Buffer.from(fresh.slice(4), 'base64url')).session_password, password);
    await page.goto(`${site.url}${codes}/216998-line5`);
    assert.equal(await page.locator('#new-password').count(), 0);
    await page.getByText('Change the session password…').click();
    await page.fill('#password', 'x'.repeat(200));
    await page.getByRole('button', { name: 'Set it' }).click();
    assert.match(await page.locator('#password-error').innerText(), /1 to 128/);
    await page.getByText('Remove the session password…').click();
    await page.getByRole('button', { name: 'Remove it' }).click();
    assert.equal((await site.handshakes())[1].has_session_password, false);

    await page.goto(site.url + codes);
    await check();
    await page.getByRole('button', { name: /make default.*216998-line5/ }).click();
    assert.match(await flash(page), /216998-line5 is the default/);
    await page.fill('#q', 'line5');
    await page.getByRole('button', { name: 'Show' }).click();
    assert.equal(await page.locator('tbody tr').count(), 1);
    await page.getByRole('link', { name: '216998-line5' }).click();
    await page.getByText('Delete this handshake code…').click();
    await page.getByRole('button', { name: 'Delete 216998-line5' }).click();
    assert.match(await flash(page), /216998-line5 is deleted/);
    assert.equal((await site.handshakes()).length, 1);
    assert.equal(await send(page, `${codes}/216998-100/delete`, {}, false), 403);
    assert.deepEqual(page.trouble.filter((text) => !text.includes('400')), []);
  });
}

test('what is shown to developers runs as it is', limits, async (t) => {
  const page = await licensed(t);
  const { site } = page;
  await page.goto(`${site.url}${codes}/216998-100`);
  await looksRight(page);
  const snippet = (id) => page.locator(`#snippet-${id}`).textContent();
  const env = { ...process.env, HOME: site.dir };
  // The first item in the order of use is the one for devices: its product is filled in.
  assert.match(await snippet('node'), /"dwt"/);

  await mkdir(site.path('node_modules'));
  await symlink(fileURLToPath(sdkFolder), site.path('node_modules/tollkeeper'));
  await writeFile(site.path('snippet.mjs'), await snippet('node'));
  await run('node', [site.path('snippet.mjs')], { cwd: site.dir, env });

  await symlink(`${site.data}/tls/ca.pem`, site.path('ca.pem'));
  await writeFile(site.path('snippet.sh'), `${await snippet('curl')}`);
  const { stdout } = await run('sh', [site.path('snippet.sh')], { cwd: site.dir, env });
  assert.ok(JSON.parse(stdout).authorization, stdout);

  await writeFile(site.path('snippet.c'), await snippet('c'));
  await run('cc', ['-Wall', '-Werror', '-c', '-I', fileURLToPath(new URL('../c/', sdkFolder)), '-o', site.path('snippet.o'), site.path('snippet.c')]);

  // In a page of the same server, whose certificate the browser takes here.
  for (const id of ['script-tag', 'es-module']) {
    const text = await snippet(id);
    const html = id === 'script-tag' ? text : `<script type="module">${text}</script>`;
    const visitor = await browser.newPage({ ignoreHTTPSErrors: true });
    const said = [];
    visitor.on('dialog', (dialog) => (said.push(dialog.message()), dialog.dismiss()));
    visitor.on('pageerror', (error) => said.push(error.message));
    await visitor.route(`${site.url}/sdk/javascript/try.html`, (route) => route.fulfill({ contentType: 'text/html', body: `<!DOCTYPE html>${html}` }));
    const [answer] = await Promise.all([visitor.waitForResponse((response) => response.url().endsWith('/authorize')), visitor.goto(`${site.url}/sdk/javascript/try.html`)]);
    assert.equal(answer.status(), 200, await answer.text());
    assert.deepEqual(said, [], id);
    await visitor.close();
  }
  assert.deepEqual(page.trouble, []);
});
