// One of several processes of a device: counts one by one, puts each on disk, says who it is.
import { License } from '../../static/sdk/javascript/tollkeeper-node.mjs';

const [settings, times] = process.argv.slice(2).map((text) => JSON.parse(text));
const license = await License.initialize(settings);
for (let n = 0; n < times; n += 1) {
  license.record('QR Code', 1, { at: Date.now() - 400_000 - n * 60_000 });
  await license.flush();
}
await license.report();
console.log(license.status.clientUuid);
await license.close();
