// What only Node has.
import { FileStorage, License, hardwareUuid } from 'tollkeeper/node';

export const license: Promise<License> = License.initialize({ licenseKey: 'TK1.…', vendorPublicKey: '', product: 'dbr', uuidMethod: 'hardware', storage: new FileStorage('/var/lib/scanner') });
export const uuid: string | null = hardwareUuid();
