// How alerts leave: set up, tested and told on the pages, with and without a script.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { mkdir } from 'node:fs/promises';
import { createServer as listen } from 'node:net';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { AdminSite, isClean } from './admin-site.mjs';
import { launch } from './chromium.mjs';
import { afterwards } from './support.mjs';

const limits = { timeout: 80_000 };
const folder = fileURLToPath(new URL('../../target/screenshots/', import.meta.url));
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const text = (page, selector) => page.textContent(selector).then((content) => content.replace(/\s+/g, ' ').trim());

/** A program behind a webhook, and what it got. */
async function hook(t) {
  const posted = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      posted.push({ headers: request.headers, body });
      response.end('thank you');
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterwards(t, () => new Promise((resolve) => server.close(resolve)));
  return { posted, url: `http://127.0.0.1:${server.address().port}/hook` };
}

/** A port on which nobody answers. */
async function closedPort() {
  const server = listen();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A page in both colours, on a desk and on a phone: axe finds nothing, and its picture is kept. */
async function looksWell(page, name) {
  await mkdir(folder, { recursive: true });
  for (const [device, width] of [['desktop', 1280], ['phone', 400]]) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height: 900 });
      // Without motion: a colour on its way to another has no contrast.
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.screenshot({ path: `${folder}${name}-${device}-${colorScheme}.png`, fullPage: true });
      await isClean(page, `${name} ${device} ${colorScheme}`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
}

test('ways out are set up and tested, and what is wrong stands at its field', limits, async (t) => {
  const site = await AdminSite.start(t);
  const page = await site.logIn(t, browser);
  await page.visit('/admin/alerts');
  await page.click('a:has-text("Set up and test")');
  await page.check('[name=mail_on]');
  await page.fill('#mail_host', 'http://mail');
  await page.fill('#mail_from', 'license@plant.example');
  await page.fill('#mail_to', 'anna@plant.example; bert');
  await page.fill('#mail_user', 'tollkeeper');
  await page.fill('#mail_password', 'correct horse');
  await page.click('button:has-text("Save mail settings")');
  assert.match(await text(page, '#mail_host-error'), /write only that/);
  assert.match(await text(page, '#mail_to-error'), /'bert', which is no mail address/);
  assert.equal(await page.inputValue('#mail_to'), 'anna@plant.example; bert');
  assert.equal(await page.inputValue('#mail_password'), '', 'a password is not sent back');
  await looksWell(page, 'alert-ways-errors');
  await page.fill('#mail_host', '127.0.0.1');
  await page.fill('#mail_port', String(await closedPort()));
  await page.selectOption('#mail_security', 'none');
  await page.fill('#mail_to', 'anna@plant.example; bert@plant.example');
  await page.fill('#mail_password', 'correct horse');
  await page.click('button:has-text("Save mail settings")');
  assert.match(await text(page, '.flash'), /saved\. Send a test/);
  assert.equal(await page.getAttribute('#mail_password', 'placeholder'), 'kept as it is');
  await page.click('button:has-text("Send a test by mail")');
  assert.match(await text(page, '.flash.bad'), /The test by mail failed\. The answer: .*refused/);
  assert.match(await text(page, '#mail-told'), /Failed on .*refused/);

  const webhook = await hook(t);
  await page.check('[name=webhook_on]');
  await page.fill('#webhook_url', webhook.url);
  await page.fill('#webhook_secret', 'open sesame');
  await page.click('button:has-text("Save webhook settings")');
  await page.click('button:has-text("Send a test by webhook")');
  assert.match(await text(page, '.flash'), /was taken\. The answer: status 200: thank you/);
  const [{ headers, body }] = webhook.posted;
  assert.equal(JSON.parse(body).test, true);
  assert.equal(headers['tollkeeper-signature'], `sha256=${createHmac('sha256', 'open sesame').update(`${headers['tollkeeper-timestamp']}.${body}`).digest('hex')}`);
  await page.check('[name=webhook_forget]');
  await page.click('button:has-text("Save webhook settings")');
  await page.click('button:has-text("Send a test by webhook")');
  assert.equal(webhook.posted[1].headers['tollkeeper-signature'], undefined);
  await looksWell(page, 'alert-ways-set');
  await page.visit('/admin/alerts');
  await looksWell(page, 'alerts-failing');
  const html = await page.content();
  await page.visit('/admin/audit');
  assert.match(await text(page, 'main'), /alert_webhook on; http:\/\/127\.0\.0\.1:\d+; the secret was taken away/);
  assert.ok(![html, await page.content()].join('').match(/correct horse|open sesame/), 'a secret is shown');
});

test('what is crossed is told by itself and stands in the history', limits, async (t) => {
  const site = await AdminSite.start(t);
  const webhook = await hook(t);
  const page = await site.logIn(t, browser, { javaScriptEnabled: false });
  await page.visit('/admin/alerts/history');
  assert.match(await text(page, 'main'), /Nothing yet\./);
  await page.visit('/admin/alerts/ways');
  await page.check('[name=webhook_on]');
  await page.fill('#webhook_url', webhook.url);
  await page.click('button:has-text("Save webhook settings")');
  await site.authorize();
  await page.visit('/admin/alerts');
  await page.fill('#seats', '10');
  await page.fill('#alert_check_minutes', '1');
  await page.click('button:has-text("Save thresholds")');
  // The thresholds hold at once.
  for (let tries = 0; tries < 300 && webhook.posted.length === 0; tries += 1) await page.waitForTimeout(100);
  assert.deepEqual(JSON.parse(webhook.posted[0].body).alerts.map(({ kind, item_id }) => [kind, item_id]), [['seats_10_percent', 100000002]]);
  await page.visit('/admin/alerts/history');
  assert.match(await text(page, '#alert-history tbody tr'), /soon Item 100000002 .*1 of 10 seats are taken/);
  const scripted = await site.logIn(t, browser);
  await scripted.visit('/admin/alerts/history');
  await looksWell(scripted, 'alert-history');
});

test('a viewer sees the ways out and cannot change or test them', limits, async (t) => {
  const site = await AdminSite.start(t);
  await site.logIn(t, browser);
  await site.addViewer('vera');
  const vera = await site.logIn(t, browser, { name: 'vera' });
  await vera.visit('/admin/alerts/ways');
  assert.equal(await vera.locator('main button').count(), 0);
  assert.ok(await vera.locator('#mail_host').isDisabled());
  const csrf = await vera.inputValue('[name=csrf]');
  for (const path of ['/admin/alerts/ways', '/admin/alerts/test']) {
    assert.equal((await vera.request.post(`${site.https}${path}`, { form: { csrf, way: 'mail' } })).status(), 403, path);
  }
  await isClean(vera);
});
