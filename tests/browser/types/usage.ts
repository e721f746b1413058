// Everything that README.md shows, as an application in TypeScript writes it. Only its types are checked.
import Tollkeeper, { Deduplicator, License, LicenseError, checkSettings, memoryStorage, type Settings, type Status, type Submitted } from 'tollkeeper';

// Without the types of a browser or of Node: the library's own need neither.
declare const console: { log(...what: unknown[]): void };

const settings: Settings = { licenseKey: 'TK1.…', vendorPublicKey: '-----BEGIN PUBLIC KEY-----…', product: 'dbr', limitedModules: ['qr-code'], deploymentType: 'browser', sealed: true };

export async function run(): Promise<void> {
  checkSettings(settings);
  const license: License = await License.initialize({ ...settings, storage: memoryStorage(), now: () => Date.now() });
  const off: () => void = license.on('change', (status: Status) => console.log(status.expiresAt?.toISOString(), status.error?.userMessage));
  license.on('report', (submitted: Submitted) => console.log(submitted.accepted, submitted.rejected[0]?.report.counts['QR Code']));
  license.on('warning', (error: LicenseError) => console.log(error.sdkCode, error.failures.map(({ server, code }) => `${server} ${code}`)));
  try {
    license.check('qr-code');
  } catch (error) {
    if (error instanceof LicenseError) console.log(error.code, error.title, error.userMessage);
  }
  const seen = new Deduplicator({ pauseSeconds: 3 });
  const counted: { format: string; text: string; quality: number }[] = seen.countFrame([{ format: 'QR Code', text: 'a', quality: 1 }]);
  license.record('QR Code', counted.length, { at: new Date(), unit: 'scan' });
  license.record('scanned', 1, { module: 'core', at: Date.now() });
  await license.takeInstances(2);
  const idle: number = license.idleInstances;
  console.log(idle);
  await license.giveBackInstances();
  await Promise.all([license.flush(), license.report(), license.renew(), license.tick()]);
  const { line, file } = await License.requestByHand(settings);
  await License.importAuthorization(settings, line + file);
  const carried = await license.reportsByHand();
  if (carried !== null) await license.importReceipt(carried.line);
  off();
  await license.release();
  await license.close();
  const ready: License | undefined = await (Tollkeeper.ready ?? undefined);
  console.log(ready?.isLicensed(), Tollkeeper.version);
}

// @ts-expect-error a License is made by License.initialize
new License();
// @ts-expect-error there is no such setting
License.initialize({ ...settings, handshakecode: 'x' });
// @ts-expect-error there is no such event
void (async () => (await License.start(settings)).on('changed', () => {}));
