// A site of its own for tests of the admin pages: a real server with a license, somebody who is
// logged in, and what axe says of a page.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { newPage } from './chromium.mjs';
import { afterwards, folder } from './support.mjs';

const program = process.env.TOLLKEEPER_PROGRAM;
const axe = await readFile(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

/** The pages for what an administrator looks after. */
export const CARE_PATHS = ['devices', 'devices/refusals', 'devices/offline', 'alerts', 'alerts/ways', 'alerts/history', 'servers', 'audit', 'security', 'security/users/admin', 'security/sessions', 'security/tokens', 'security/certificate', 'security/password', 'settings'].map((path) => `/admin/${path}`);

export const password = 'four words are enough';

const ITEMS = `organization_id = "216998"
license_id = 100
alias = "Line 4"

[[items]]
item_id = 100000001
product = "dbr"
charge_way = "scan"
quota = 100
valid_from = 2026-01-01
valid_to = 2099-12-31

[[items]]
item_id = 100000002
product = "dwt"
charge_way = "device"
period = "quarter"
quota = 10
release_allowance = 1
valid_from = 2026-01-01
valid_to = 2099-12-31
`;

/** A server with the license 100 of organization 216998. */
export class AdminSite {
  static async start(test, listen) {
    const site = await AdminSite.#new(test);
    await writeFile(join(site.folder, 'items.toml'), ITEMS);
    await site.run('vendor', 'keygen', '--out', 'vendor');
    await site.run('license', 'request', '--out', 'site.req');
    await site.run('vendor', 'issue', '--key', 'vendor/vendor.key', '--items', 'items.toml', '--out', 'new.lic');
    await site.run('vendor', 'activate', '--key', 'vendor/vendor.key', '--license', 'new.lic', '--request', 'site.req', '--out', 'site.lic');
    await site.run('license', 'import', 'site.lic');
    await site.#serve(test, listen);
    return site;
  }

  /** A server on which nothing was set up. */
  static async startEmpty(test, listen) {
    const site = await AdminSite.#new(test);
    await site.#serve(test, listen);
    return site;
  }

  static async #new(test) {
    const site = new AdminSite();
    site.folder = await folder(test);
    site.data = join(site.folder, 'data');
    return site;
  }

  get #options() {
    return { cwd: this.folder, env: { PATH: process.env.PATH, TOLLKEEPER_TRUSTED_VENDORS: 'vendor/vendor.pub', TOLLKEEPER_LIMITS_DEVICE_REQUESTS_PER_MINUTE: '0' } };
  }

  /** Runs a command about this site; its output. */
  async run(...words) {
    return (await promisify(execFile)(program, words, this.#options)).stdout;
  }

  /** A user who may look, with the usual password. */
  async addViewer(name) {
    const child = spawn(program, ['admin', 'user', 'add', name, '--role', 'viewer', '--password-stdin'], { ...this.#options, stdio: ['pipe', 'ignore', 'inherit'] });
    child.stdin.end(`${password}\n`);
    assert.equal(await new Promise((resolve) => child.on('exit', resolve)), 0);
  }

  /** A server that begins anew would take another free port, so it may be told its own. */
  async #serve(test, listen = '127.0.0.1:0') {
    const child = spawn(program, ['serve', '--listen', listen, '--http', '127.0.0.1:0'], { ...this.#options, stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    await new Promise((resolve, reject) => {
      child.stderr.on('data', (chunk) => {
        log += chunk;
        if (/http:\/\/\S+,/.test(log)) resolve();
      });
      child.on('exit', () => reject(new Error(`the server ended: ${log}`)));
    });
    afterwards(test, async () => {
      const gone = new Promise((resolve) => child.on('exit', resolve));
      child.kill('SIGTERM');
      await gone;
    });
    this.https = `https://${/https:\/\/([0-9.:]+)/.exec(log)[1]}`;
    this.http = `http://${/http:\/\/([0-9.:]+)/.exec(log)[1]}`;
  }

  /** What a device asks for; the answer or the problem. */
  async authorize(fields = {}) {
    const request = { client_uuid: randomUUID(), handshake_code: '216998-100', product: 'dwt', product_version: '9.6', edition: 'mobile', deployment_type: 'mobile', modules: [], nonce: randomBytes(16).toString('base64url'), ...fields };
    const answer = await fetch(`${this.http}/api/v1/authorize`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(request) });
    return { uuid: request.client_uuid, request, answer: await answer.json() };
  }

  /** A browser with somebody logged in; the first one sets the site up. */
  async logIn(test, browser, { name = 'admin', ...options } = {}) {
    const page = await newPage(browser, options);
    afterwards(test, () => page.context().close());
    await page.goto(`${this.https}/admin/`);
    if (page.url().endsWith('/admin/setup')) {
      await page.fill('[name=again]', password);
    }
    await page.fill('[name=name]', name);
    await page.fill('[name=password]', password);
    await page.click('button.primary');
    assert.equal(new URL(page.url()).pathname, '/admin/', await page.textContent('main'));
    page.visit = (path) => page.goto(`${this.https}${path}`);
    return page;
  }
}

/** axe finds nothing, nothing sticks out sideways, and the console is silent. */
export async function isClean(page, what = page.url()) {
  // The page's own policy forbids to add a script; the debugger may.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`), [], what);
  const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= seen, `${what} is ${wide} wide, ${seen} are seen`);
  assert.deepEqual(page.trouble.filter((text) => !/status of 40[0-9]/.test(text)), [], what);
}
