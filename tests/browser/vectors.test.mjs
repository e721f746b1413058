// The formats that all languages share, by the vectors in tests/vectors (made on the server's side).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { KINDS, checkVector } from './vector-cases.mjs';

const where = process.env.TOLLKEEPER_VECTORS ?? fileURLToPath(new URL('../vectors', import.meta.url));

for (const kind of KINDS) {
  test(kind, async () => {
    const { cases = [], good = [], bad = [], ...shared } = JSON.parse(readFileSync(join(where, `${kind}.json`), 'utf8'));
    const wanted = [...cases.map((one) => ({ result: 'ok', ...one })), ...good.map((one) => ({ result: 'ok', ...one })), ...bad.map((one) => ({ ...one, result: 301 }))];
    assert.ok(wanted.length >= 5);
    for (const one of wanted) {
      const given = { ...shared, ...one };
      const told = await checkVector(kind, given);
      assert.deepEqual(told, Object.fromEntries(Object.keys(told).map((name) => [name, given[name]])), one.name ?? JSON.stringify(one));
      if (told.result === 'ok') assert.ok(Object.keys(told).length > 1);
    }
  });
}
