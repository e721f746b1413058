// The library as a package: its types, and what `npm install` makes of its folder and tarball.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Sandbox, Tollkeeper, folder, sdkFolder } from './support.mjs';

const run = promisify(execFile);
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const sdk = fileURLToPath(sdkFolder);

test('an application in TypeScript compiles against the types', { timeout: 60_000 }, async () => {
  await run(process.execPath, [here('node_modules/typescript/bin/tsc'), '-p', here('types/tsconfig.json')]).catch(({ stdout }) => assert.fail(stdout));
});

test('npm installs the folder, its tarball and the one that the server serves, for import and require', { timeout: 60_000 }, async (t) => {
  const home = await folder(t);
  const npm = (cwd, ...words) => run('npm', [...words, '--offline', '--no-audit', '--no-fund'], { cwd });
  const [packed] = JSON.parse((await npm(sdk, 'pack', '--json', '--pack-destination', home)).stdout);
  assert.deepEqual(packed.files.map(({ path }) => path).sort(), ['README.md', 'package.json', 'tollkeeper-node.d.ts', 'tollkeeper-node.mjs', 'tollkeeper.d.ts', 'tollkeeper.js', 'tollkeeper.mjs']);
  const print = "console.log(typeof License.initialize, Tollkeeper.platform.deploymentType)";
  await writeFile(join(home, 'app.mjs'), `import Tollkeeper, { License } from 'tollkeeper'; ${print}`);
  await writeFile(join(home, 'app.cjs'), `import('tollkeeper').then(({ License, default: Tollkeeper }) => ${print})`);
  const sandbox = await Sandbox.start(t);
  const served = await fetch(`${sandbox.http}/sdk/javascript/tollkeeper-javascript.tar`);
  await writeFile(join(home, 'served.tar'), Buffer.from(await served.arrayBuffer()));
  for (const source of [join(home, packed.filename), join(home, 'served.tar'), sdk]) {
    await npm(home, 'install', '--no-save', source);
    for (const app of ['app.mjs', 'app.cjs']) assert.equal((await run(process.execPath, [app], { cwd: home })).stdout, 'function server\n');
  }
});

test('what is exported is what the types say, in every file of the package', async () => {
  const types = await readFile(join(sdk, 'tollkeeper.d.ts'), 'utf8');
  const typed = [...types.matchAll(/^export (?:class|function|const) (\w+)/gm)].map(([, name]) => name).sort();
  const exported = Object.keys(await import('../../static/sdk/javascript/tollkeeper.mjs')).filter((name) => name !== 'default').sort();
  assert.deepEqual(exported, typed);
  const inNode = Object.keys(await import('../../static/sdk/javascript/tollkeeper-node.mjs')).filter((name) => name !== 'default').sort();
  assert.deepEqual(inNode, [...typed, 'FileStorage', 'hardwareUuid'].sort());
  const { version } = JSON.parse(await readFile(join(sdk, 'package.json'), 'utf8'));
  assert.equal(Tollkeeper.version, version);
});

test('README.md names every setting and every error code', async () => {
  const readme = await readFile(join(sdk, 'README.md'), 'utf8');
  const { settings, codes } = Tollkeeper.formats;
  for (const name of settings) assert.ok(readme.includes(`\`${name}\``), name);
  for (const code of codes) assert.match(readme, new RegExp(`^\\| ${code} \\|`, 'm'));
});
