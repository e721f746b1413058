// What the tests of the admin pages stand on: a real server, a vendor's desk, people with names.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { newPage } from './chromium.mjs';
import { afterwards, folder, tollkeeper } from './support.mjs';

export const PASSWORD = 'correct horse battery staple';
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

export const ITEMS = `
[[items]]
item_id = 100000001
product = "dbr"
charge_way = "scan"
quota = 12000
valid_from = 2026-01-01
valid_to = 2099-12-31

[[items]]
item_id = 100000002
product = "dwt"
charge_way = "device"
period = "quarter"
quota = 10
valid_from = 2026-01-01
valid_to = 2098-12-31
`;

/** `tollkeeper serve` on a free port, with a folder for what the vendor makes. */
export class Site {
  static async start(test) {
    const site = new Site();
    site.dir = await folder(test);
    site.data = join(site.dir, 'data');
    const child = spawn(process.env.TOLLKEEPER_PROGRAM, ['serve', '--data', site.data, '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    site.url = await new Promise((resolve, reject) => {
      const hear = (chunk) => {
        text += chunk;
        const found = /https:\/\/127\.0\.0\.1:\d+/.exec(text);
        if (found) resolve(found[0]);
      };
      child.stdout.on('data', hear);
      child.stderr.on('data', hear);
      child.on('exit', () => reject(new Error(`the server ended: ${text}`)));
    });
    afterwards(test, async () => {
      const gone = new Promise((resolve) => child.on('exit', resolve));
      child.kill('SIGTERM');
      await gone;
    });
    await tollkeeper('vendor', 'keygen', '--out', site.path('vendor'));
    return site;
  }

  path(name) {
    return join(this.dir, name);
  }

  read(name) {
    return readFile(this.path(name), 'utf8');
  }

  /** A license file of the vendor for this site (or for another request); its path. */
  async license({ id = 100, items = ITEMS, vendor = 'vendor', activated = true } = {}) {
    const file = (kind) => this.path(`${id}.${kind}`);
    await writeFile(file('toml'), `organization_id = "216998"\nlicense_id = ${id}\nalias = "Line ${id}"\n${items}`);
    await tollkeeper('license', 'request', '--data', this.data, '--out', file('req'));
    const request = activated ? ['--request', file('req')] : [];
    await tollkeeper('vendor', 'issue', '--key', this.path(`${vendor}/vendor.key`), '--items', file('toml'), ...request, '--out', file('lic'));
    return file('lic');
  }

  /** The same, installed by command. */
  async install(options) {
    await writeFile(join(this.data, 'vendors', 'vendor.pub'), await this.read('vendor/vendor.pub'));
    await tollkeeper('license', 'import', await this.license(options), '--data', this.data);
  }

  handshakes() {
    return tollkeeper('handshake', 'list', '--data', this.data, '--json').then(JSON.parse);
  }

  licenses() {
    return tollkeeper('license', 'list', '--data', this.data, '--json').then(JSON.parse);
  }

  /** Sets the site up as its administrator; `options` are the browser's. */
  async setUp(browser, options) {
    const page = await newPage(browser, options);
    page.site = this;
    await page.goto(`${this.url}/admin/setup`);
    await page.fill('#password', PASSWORD);
    await page.fill('#again', PASSWORD);
    await Promise.all([page.waitForURL(`${this.url}/admin/`), page.click('button.primary')]);
    return page;
  }
}

/** Nothing that axe finds in light or in dark, and no page that is wider than a phone. */
export async function looksRight(page) {
  const size = page.viewportSize();
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    // The page's policy lets no script in; the debugger's own is none of the page's.
    const source = await readFile(axe, 'utf8');
    await page.evaluate(source);
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
    const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join('; ')}`);
    assert.deepEqual(told, [], `${page.url()} in ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 400, height: 800 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 400, `${page.url()} is ${width} px wide at 400 px`);
  await page.setViewportSize(size);
}

/** What a browser would send, with or without the form's token; the status of the answer. */
export async function send(page, path, fields = {}, csrf = true) {
  const token = await page.locator('input[name=csrf]').first().inputValue();
  const answer = await page.request.post(page.site.url + path, { form: { ...(csrf ? { csrf: token } : {}), ...fields }, maxRedirects: 0 });
  return answer.status();
}
