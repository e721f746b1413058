// The page "Statistics" and "Home" in a real browser: a known history, down to the exact numbers.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { PASSWORD, looksRight } from './admin.mjs';
import { launch, newPage } from './chromium.mjs';
import { Sandbox } from './support.mjs';

const limits = { timeout: 80_000 };
const SLOT = 180_000;
let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** A device that says by hand what it did. */
class Device {
  constructor(sandbox, code = '216998-scan') {
    Object.assign(this, { sandbox, code, uuid: randomUUID() });
  }

  async #post(path, body) {
    const answer = await fetch(`${this.sandbox.http}/api/v1/${path}`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    return answer.json();
  }

  async authorize(fields = {}) {
    const nonce = Buffer.from(randomUUID()).toString('base64url');
    const answer = await this.#post('authorize', { client_uuid: this.uuid, handshake_code: this.code, product: 'dbr', nonce, ...fields });
    this.authorization = answer.authorization;
    return answer;
  }

  /** `slotsAgo` slots before the sandbox's own time. */
  async scan(slotsAgo, counts) {
    const now = Date.parse((await this.sandbox.time()));
    const slot = new Date(Math.floor(now / SLOT) * SLOT - slotsAgo * SLOT).toISOString().replace('.000', '');
    const report = { report_id: randomUUID(), slot, handshake_code: this.code, product: 'dbr', unit: 'scan', counts };
    const { accepted } = await this.#post('reports', { client_uuid: this.uuid, authorization: this.authorization, reports: [report] });
    assert.equal(accepted.length, 1);
    return slot;
  }
}

/** A sandbox at noon, with an administrator who is logged in. */
async function setUp(t, options) {
  const sandbox = await Sandbox.start(t);
  sandbox.time = async () => (await (await fetch(`${sandbox.http}/sandbox`)).json()).time;
  const noon = new Date(Date.parse(await sandbox.time()) + 86_400_000).toISOString().replace(/T.*/, 'T12:00:00Z');
  await sandbox.moveClock({ set: noon });
  const page = await newPage(browser, options);
  await page.goto(`${sandbox.https}/admin/`);
  await page.fill('#password', PASSWORD);
  await page.fill('#again', PASSWORD);
  await Promise.all([page.waitForURL(`${sandbox.https}/admin/`), page.click('button.primary')]);
  return { sandbox, page, day: noon.slice(0, 10), open: (path) => page.goto(sandbox.https + path) };
}

/** Follows a link or sends a form, to the end. */
const follow = (page, link) => Promise.all([page.waitForEvent('load'), link.click()]);

const cells = (page, selector) => page.locator(selector).evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText.trim())));

/** Two devices today, one of them refused once. */
async function history(sandbox) {
  const [one, two] = [new Device(sandbox), new Device(sandbox)];
  await one.authorize();
  await two.authorize();
  await new Device(sandbox).authorize({ product: 'other' });
  await one.scan(25, { 'QR Code': 4, 'EAN-13': 1 });
  await two.scan(25, { 'QR Code': 3 });
  await one.scan(2, { 'QR Code': 2 });
  return [one, two];
}

test('the statistics show a known history to the last number', limits, async (t) => {
  const { sandbox, page, day, open } = await setUp(t);
  const [one, two] = await history(sandbox);
  await open('/admin/statistics?handshake=216998-scan&range=7');
  assert.equal(await page.locator('h1').innerText(), 'Handshake code 216998-scan');
  for (const ring of ['all', 'period', 'today']) {
    assert.deepEqual(await cells(page, `#ring-${ring}-card .legend tbody tr`), [['QR Code', '9', '90.0 %'], ['EAN-13', '1', '10.0 %']]);
    assert.equal(await page.locator(`#ring-${ring}-card .total`).innerHTML(), '10');
  }
  await page.getByText('The same as a table').click();
  const days = await cells(page, '.twin tbody tr');
  assert.equal(days.length, 7);
  assert.deepEqual(days[0], [day, '10', '2', '2', '2']);
  assert.ok(days.slice(1).every(([, ...numbers]) => numbers.every((number) => number === '0')));
  assert.match(await page.locator('svg.chart.wide title').first().innerHTML(), new RegExp(`Scans each day, .* to ${day}`));
  assert.ok((await page.locator('svg.chart.wide .day title').allInnerTexts()).length === 7 || (await page.locator('svg.chart.wide .day').count()) === 7);

  // Slots open out of their two hours.
  const rows = await cells(page, '#day tbody tr');
  assert.deepEqual(rows, [
    ['▸ 10:00–12:00', '10', 'EAN-13 1, QR Code 9', '2', '3', '0', '0'],
    ['▸ 12:00–14:00', '0', '', '0', '0', '2', '1'],
  ]);
  await follow(page, page.getByRole('link', { name: '▸ 10:00–12:00' }));
  assert.deepEqual(await cells(page, '#day tbody tr.inner'), [
    ['10:45–10:48', '8', 'EAN-13 1, QR Code 7', '2', '2', '0', '0'],
    ['11:54–11:57', '2', 'QR Code 2', '1', '1', '0', '0'],
  ]);
  await follow(page, page.getByRole('link', { name: 'By device' }));
  const byDevice = Object.fromEntries((await cells(page, '#day tbody tr')).map(([uuid, ...numbers]) => [uuid, numbers]));
  assert.deepEqual(byDevice, { [one.uuid]: ['7', '2'], [two.uuid]: ['3', '1'] });
  await follow(page, page.getByRole('link', { name: 'Authorizations', exact: true }));
  const outcomes = (await cells(page, '#day tbody tr')).map((row) => row[2]);
  assert.deepEqual(outcomes.slice(0, 2), ['authorized', 'authorized']);
  assert.match(outcomes[2], /^10[46] /);
  await follow(page, page.locator('#day').getByRole('link', { name: 'Reports' }));
  const reports = await cells(page, '#day tbody tr');
  assert.deepEqual(reports.map((row) => row[2]).sort(), ['2', '3', '5']);
  assert.deepEqual(reports.map(([slot]) => slot.slice(11, 16)), ['10:45', '10:45', '11:54']);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'CSV' }).click()]);
  assert.equal(download.suggestedFilename(), `216998-scan-${day}-reports.csv`);
  assert.deepEqual(page.trouble, []);
});

test('measures, modes and periods are links that keep each other', limits, async (t) => {
  const { sandbox, page, day, open } = await setUp(t);
  await history(sandbox);
  await sandbox.moveClock({ advance: '1d' });
  // That was too long for the session.
  await open('/admin/');
  await page.fill('#name', 'admin');
  await page.fill('#password', PASSWORD);
  await follow(page, page.getByRole('button', { name: 'Log in' }));
  const late = new Device(sandbox);
  await late.authorize();
  await late.scan(2, { 'QR Code': 5 });
  await open('/admin/statistics?handshake=216998-scan');
  const chosen = () => page.locator('.choices [aria-current]').allInnerTexts();
  const values = async () => (await page.locator('svg.chart.wide .day title').evaluateAll((titles) => titles.map((title) => title.textContent))).slice(-2).map((text) => text.split(': ')[1]);
  assert.deepEqual(await chosen(), ['Scans', 'Per day', '30 days', 'By time']);
  assert.deepEqual(await values(), ['10', '5']);
  await follow(page, page.getByRole('link', { name: 'Accumulative' }));
  assert.deepEqual(await values(), ['10', '15']);
  await follow(page, page.getByRole('link', { name: 'Devices', exact: true }).and(page.locator('.choices a')));
  assert.deepEqual(await values(), ['2', '3']);
  await follow(page, page.getByRole('link', { name: 'Per day' }));
  assert.deepEqual(await values(), ['2', '1']);
  await follow(page, page.getByRole('link', { name: 'Concurrent' }));
  assert.deepEqual(await values(), ['2', '1']);
  await follow(page, page.getByRole('link', { name: 'All history' }));
  assert.deepEqual(await chosen(), ['Concurrent', 'Per day', 'All history', 'By time']);
  assert.equal(await page.locator('svg.chart.wide .day').count(), 2);
  await page.fill('#from', day);
  await page.fill('#to', day);
  await follow(page, page.locator('form', { has: page.locator('#from') }).getByRole('button'));
  assert.equal(await page.locator('svg.chart.wide .day').count(), 1);
  await page.fill('#from', '2030-01-01');
  await follow(page, page.locator('form', { has: page.locator('#from') }).getByRole('button'));
  assert.match(await page.locator('#range-error').innerText(), /later/);
  assert.equal(await page.inputValue('#from'), '2030-01-01', 'what was typed stays');
  // A click on a day leads to its details.
  await open('/admin/statistics?handshake=216998-scan&range=7');
  await follow(page, page.locator('svg.chart.wide .day rect').nth(5));
  assert.match(await page.locator('#day h2').innerText(), new RegExp(day));
});

test('figures on Home and Statistics move by themselves', limits, async (t) => {
  const { sandbox, page, open } = await setUp(t);
  const device = new Device(sandbox);
  await device.authorize();
  await open('/admin/');
  assert.equal(await page.locator('#figure-units').innerText(), '0');
  await device.scan(2, { 'QR Code': 1234 });
  await page.locator('#figure-units', { hasText: /^1,234$/ }).waitFor({ timeout: 20_000 });
  assert.equal(await page.locator('#figure-active').innerText(), '1');
  assert.deepEqual(page.trouble, []);
});

test('both pages look right, with and without a history', limits, async (t) => {
  const { sandbox, page, open } = await setUp(t);
  for (const path of ['/admin/', '/admin/statistics']) {
    await open(path);
    await looksRight(page);
  }
  await history(sandbox);
  for (const path of ['/admin/', '/admin/statistics?handshake=216998-scan&open=5', '/admin/statistics?item=100000001', '/admin/statistics?handshake=216998-scan&by=authorizations']) {
    await open(path);
    await looksRight(page);
  }
});

test('without a script everything is there', limits, async (t) => {
  const { sandbox, page, open } = await setUp(t, { javaScriptEnabled: false });
  await history(sandbox);
  await open('/admin/statistics');
  await page.selectOption('#handshake', '216998-scan');
  await follow(page, page.locator('form', { has: page.locator('#handshake') }).getByRole('button'));
  assert.equal(await page.locator('h1').innerText(), 'Handshake code 216998-scan');
  await follow(page, page.getByRole('link', { name: '▸ 10:00–12:00' }));
  assert.equal(await page.locator('#day tbody tr.inner').count(), 2);
});
