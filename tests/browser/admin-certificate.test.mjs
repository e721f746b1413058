// An own HTTPS certificate, brought by the page: without a script, and with one.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { AdminSite, isClean } from './admin-site.mjs';
import { launch } from './chromium.mjs';
import { Tollkeeper } from './support.mjs';

const limits = { timeout: 80_000 };
const PAGE = '/admin/security/certificate';
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const text = (page, selector) => page.textContent(selector).then((content) => content.replace(/\s+/g, ' ').trim());

/** A company's authority and a certificate of it for 127.0.0.1: paths of chain.pem, leaf.pem and key.pem. */
async function issue(folder) {
  const openssl = (...words) => promisify(execFile)('openssl', words, { cwd: folder });
  await openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'root.key', '-out', 'root.pem', '-subj', '/CN=Plant root', '-days', '400');
  await openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'key.pem', '-out', 'leaf.csr', '-subj', '/CN=license.plant.example');
  await writeFile(join(folder, 'leaf.ext'), 'subjectAltName = IP:127.0.0.1, DNS:license.plant.example\nextendedKeyUsage = serverAuth\n');
  await openssl('x509', '-req', '-in', 'leaf.csr', '-CA', 'root.pem', '-CAkey', 'root.key', '-CAcreateserial', '-out', 'leaf.pem', '-days', '390', '-extfile', 'leaf.ext');
  await writeFile(join(folder, 'chain.pem'), (await readFile(join(folder, 'leaf.pem'), 'utf8')) + (await readFile(join(folder, 'root.pem'), 'utf8')));
  return Object.fromEntries(['chain', 'leaf', 'key'].map((name) => [name, join(folder, `${name}.pem`)]));
}

for (const javaScriptEnabled of [false, true]) {
  test(`an own certificate is brought and removed, ${javaScriptEnabled ? 'with' : 'without'} a script`, limits, async (t) => {
    const site = await AdminSite.start(t);
    const files = await issue(site.folder);
    const page = await site.logIn(t, browser, { javaScriptEnabled });
    await page.goto(site.https + PAGE);
    assert.match(await text(page, 'main'), /from the site's own authority/);
    const bring = async (certificate, key) => {
      if (certificate) await page.setInputFiles('#certificate', certificate);
      if (key) await page.setInputFiles('#key', key);
      await page.click('button:has-text("Check and use it")');
    };
    await bring(files.leaf, files.key);
    assert.match(await text(page, '#certificate-error'), /Certificate is incomplete: 'license\.plant\.example' was issued by 'Plant root'/);
    assert.match(await page.inputValue('#certificate-text'), /BEGIN CERTIFICATE/, 'what was brought is kept');
    assert.equal(await page.inputValue('#key-text'), '', 'but for the key');
    assert.ok(!(await page.content()).includes((await readFile(files.key, 'utf8')).split('\n')[1]));
    if (javaScriptEnabled) await isClean(page);
    await bring(files.chain, files.leaf);
    assert.match(await text(page, '#key-error'), /Key is a certificate/);
    await writeFile(join(site.folder, 'both.p12'), Buffer.from([0x30, 0x82, 0xff, 0xfe]));
    await bring(join(site.folder, 'both.p12'), files.key);
    assert.match(await text(page, '#certificate-error'), /not text/);
    await bring(files.chain, files.key);
    assert.match(await text(page, '.flash'), /in use for new connections/);
    assert.match(await text(page, 'main'), /your own Issued byPlant root For127\.0\.0\.1, license\.plant\.example/);
    if (javaScriptEnabled) {
      await isClean(page);
      await mkdir(new URL('../../target/screenshots/', import.meta.url), { recursive: true });
      await page.screenshot({ path: new URL('../../target/screenshots/certificate-own.png', import.meta.url).pathname, fullPage: true });
    }
    const told = JSON.parse(await site.run('certificate', 'show', '--json'));
    assert.deepEqual([told.source, told.names], ['own', ['127.0.0.1', 'license.plant.example']]);
    // Devices go on with the license key that they have: they trust exactly the site's authority.
    const licenseKey = (await site.run('handshake', 'key', '216998-100')).trim();
    const vendorPublicKey = await readFile(join(site.folder, 'vendor/vendor.pub'), 'utf8');
    const license = await Tollkeeper.License.initialize({ licenseKey, vendorPublicKey, product: 'dbr', dataFolder: join(site.folder, `cache-${javaScriptEnabled}`) });
    assert.deepEqual([license.status.origin, license.status.server], ['server', site.https]);
    await license.close();
    await page.click('summary:has-text("Remove")');
    await page.click('button:has-text("Remove the own certificate")');
    assert.match(await text(page, 'main'), /from the site's own authority/);
  });
}

test('a viewer looks at the certificate and has no form', limits, async (t) => {
  const site = await AdminSite.start(t);
  await site.logIn(t, browser);
  await site.addViewer('vera');
  const vera = await site.logIn(t, browser, { name: 'vera' });
  await vera.visit(PAGE);
  assert.match(await text(vera, 'main'), /A viewer cannot bring one/);
  assert.equal(await vera.locator('form[enctype]').count(), 0);
});
