/** Types of Tollkeeper's client library. README.md explains settings, errors and events. */

/** The kind of machine an application runs on. */
export type DeploymentType = 'browser' | 'mobile' | 'server' | 'desktop' | 'embedded';
/** How a license item is charged. */
export type ChargeWay = 'scan' | 'page' | 'device' | 'concurrent_device' | 'concurrent_instance' | 'server' | 'domain';
/** What is counted. */
export type Unit = 'scan' | 'page';

/** What an application sets: a license key, or fields, or product keys. Texts are taken for numbers and lists, as attributes of a script tag give them. */
export interface Settings {
  /** The vendor's public key, PEM; several may follow each other. An SDK brings it along. */
  vendorPublicKey: string;
  /** The product that runs, such as `dbr`. */
  product: string;
  /** `TK1.…` from the handshake code's page. */
  licenseKey?: string;
  mainServerURL?: string;
  /** Asked when the main server does not serve. */
  standbyServerURL?: string;
  /** Such as `216998`. */
  organizationId?: string;
  /** Such as `216998-vehicleCode`. */
  handshakeCode?: string;
  sessionPassword?: string;
  /** Node: the site's certificate authority, PEM or `sha256:` and its fingerprint, when the license key does not name it. */
  certificateAuthority?: string;
  /** Offline licenses, separated by `;`. Not together with a handshake code. */
  productKey?: string;
  productVersion?: string;
  edition?: string;
  /** `browser` in browsers and `server` in Node when not given. */
  deploymentType?: DeploymentType;
  /** The modules it needs, all of them. */
  limitedModules?: string[] | string;
  /** The charge way it insists on. */
  chargeWay?: ChargeWay;
  /** How many instances it wants at most; 1 when not given. */
  instances?: number | string;
  /** The longest it wants to work offline, 1 to 365 days. */
  maxBufferDays?: number | string;
  /** How the device is named; `hardware` in Node only. */
  uuidMethod?: 'random' | 'hardware';
  /** Node: where the cache is kept; `.tollkeeper` in the user's home when not given. */
  dataFolder?: string;
  /** Such as `com.example.scanner`. */
  applicationId?: string;
  /** Such as `scanner.exe`; in Node the script's name when not given. */
  processName?: string;
  /** Whether requests are encrypted to the server itself, for sites where a proxy ends TLS. */
  sealed?: boolean | 'true' | 'false';
  /** Seconds of counts that a crash may cost; 10 when not given. */
  flushSeconds?: number | string;
  /** What {@link License.close} gives back to the server when nobody else on the device needs the license: `instances` of a floating one when not given. All applications that share a license should set the same. */
  releaseOnClose?: 'instances' | 'seat' | 'nothing';
  /** Seconds that a server may take for an answer; 20 when not given. */
  timeoutSeconds?: number | string;
  /** Another place for the cache, such as {@link memoryStorage}. */
  storage?: Storage;
  /** For tests: the device's clock in milliseconds since 1970. */
  now?: () => number;
  /** For tests: a clock in milliseconds that never goes back. */
  monotonic?: () => number;
  /** For tests: chance, from 0 to 1. */
  random?: () => number;
  /** For tests and proxies: carries a request to a server. */
  send?: (url: string, request: SendRequest) => Promise<SendReply>;
}

export interface SendRequest {
  method: 'GET' | 'POST';
  contentType?: string;
  body?: Uint8Array;
  timeoutMs: number;
  authority?: string;
  /** The page ends: the request has to outlive it. */
  isLast?: boolean;
}

export interface SendReply {
  status: number;
  contentType: string;
  /** Seconds; 0 for none. */
  retryAfter: number;
  body: Uint8Array;
}

/** Where a device keeps what must outlive the application. */
export interface Storage {
  /** Gives `work` the records whose keys are asked for (a prefix ends in `/`), and writes what it changes, all or nothing. `work` may have to run again. */
  transact<T>(prefixes: string[], work: (records: Records) => T): Promise<T>;
  /** Keeps everybody else on this device out while `work` runs. */
  lock<T>(name: string, waitMs: number, work: () => Promise<T>): Promise<T>;
  /** Shows everybody on this device that this session lives, before the promise is kept; the function that it gives ends that. */
  holdSession?(session: string): Promise<() => void>;
  aliveSessions?(): Promise<Set<string>>;
  close?(): Promise<void>;
}

export interface Records {
  get(key: string): any;
  entries(prefix: string): [string, any][];
  put(key: string, value: unknown): void;
  delete(key: string): void;
}

/** Why one server did not serve. */
export interface ServerFailure {
  server: string;
  code: number;
  message: string;
}

/** Why there is no license, or why something that was asked for was not done. */
export class LicenseError extends Error {
  constructor(code: number, message: string, failures?: ServerFailure[]);
  readonly name: 'LicenseError';
  /** The number of the table in README.md. */
  readonly code: number;
  /** The number that applications show: −(20000 + code). */
  readonly sdkCode: number;
  /** The kind of failure in a few words. */
  readonly title: string;
  /** What to tell the end user. */
  readonly userMessage: string;
  /** Why each server that was asked did not serve. */
  readonly failures: ServerFailure[];
}

/** One license item that serves the device. */
export interface LicenseItem {
  item_id: number;
  product: string;
  editions: string[];
  modules: string[];
  charge_way: ChargeWay;
  instances: number;
  domain?: string;
  valid_to: string;
}

/** What a product key says. */
export interface ProductKey {
  product_key_id: number;
  organization_id?: string;
  product: string;
  editions: string[];
  versions?: string;
  deployment_types: DeploymentType[];
  modules: string[];
  valid_from: string;
  valid_to: string;
  machine?: string;
  domain?: string;
}

/** What the application may do now. */
export interface Status {
  readonly isLicensed: boolean;
  /** Why not, if it may do nothing. */
  readonly error: LicenseError | null;
  /** Where the license comes from: a server in this session, the cache while none serves, a file carried by hand, product keys. */
  readonly origin: 'server' | 'cache' | 'carried' | 'product-key' | null;
  /** The server that gave it. */
  readonly server: string | null;
  /** The device. */
  readonly clientUuid: string | null;
  readonly organizationId: string | null;
  readonly handshakeCode: string | null;
  /** When it ends unless it is renewed. */
  readonly expiresAt: Date | null;
  /** From when on it is renewed. */
  readonly refreshAfter: Date | null;
  readonly items: readonly (LicenseItem | ProductKey)[];
  /** Instances that are granted to this device. */
  readonly instances: number;
  /** Why servers did not serve before the one that does, or before the cache. */
  readonly failures: readonly ServerFailure[];
}

/** What became of reports. */
export interface Submitted {
  server: string;
  /** Reports that are on a server's disk now. */
  accepted: number;
  /** Reports that were there before. */
  duplicate: number;
  /** Reports that no server takes; they are forgotten. */
  rejected: { code: number; detail: string; report: UsageReport }[];
}

/** Use of one 3-minute slot. */
export interface UsageReport {
  report_id: string;
  slot: string;
  handshake_code: string;
  product: string;
  unit: Unit;
  module?: string;
  counts: Record<string, number>;
  instances: number;
}

/** A document to be carried by hand: one line for a QR code, a file with a summary for people. */
export interface Carried {
  line: string;
  file: string;
}

/** The license of an application. */
export class License {
  private constructor();
  /** Gets the license: from the main server, else the standby, else the cache, else by product keys. Rejects with {@link LicenseError}. */
  static initialize(settings: Settings): Promise<License>;
  /** The same for an application that goes on and waits when there is no license yet: `on('change')` tells. */
  static start(settings: Settings): Promise<License>;
  /** The request of a device without network, for `tollkeeper device authorize-file`. */
  static requestByHand(settings: Settings): Promise<Carried>;
  /** Takes the authorization that was carried here, as line or file. */
  static importAuthorization(settings: Settings, text: string): Promise<void>;

  readonly status: Status;
  /** Throws {@link LicenseError} unless this module, or without one the product, is licensed now. Asks nobody. */
  check(module?: string): void;
  /** Whether {@link License.check} would not throw. */
  isLicensed(module?: string): boolean;
  /** Counts use: a barcode format, or `scanned`, `captured`, `imported` … for pages. */
  record(type: string, count?: number, more?: { module?: string; at?: Date | number; unit?: Unit }): void;
  /** Takes instances within what is granted; rejects with 120 when there are not so many. */
  takeInstances(number?: number): Promise<void>;
  /** Gives instances back; more than are held here are all of them. */
  giveBackInstances(number?: number): Promise<void>;
  /** Instances that are granted to this device and that nobody holds, as last heard. */
  readonly idleInstances: number;
  /** Puts what was counted on disk now; waits for no server. */
  flush(): Promise<void>;
  /** Sends the reports of all slots that are over, now. */
  report(): Promise<void>;
  /** Asks the servers now, as at the start. */
  renew(): Promise<void>;
  /** Does what is due at this moment; a timer calls it. */
  tick(): Promise<void>;
  /** Everything that was done on this device and not acknowledged, for `tollkeeper device import-reports`. */
  reportsByHand(): Promise<Carried | null>;
  /** Takes the receipt for carried reports. */
  importReceipt(text: string): Promise<void>;
  /** Reports what was done, gives the license back and ends; rejects, and the license goes on, when no server answers. */
  release(): Promise<void>;
  /** Puts what was counted on disk, gives back what `releaseOnClose` says if a server answers within 3 seconds, and ends: no listener is called any more. Never rejects. */
  close(): Promise<void>;
  /** Hears of what happens; the returned function ends that. */
  on(name: 'change', listener: (status: Status) => void): () => void;
  on(name: 'report', listener: (submitted: Submitted) => void): () => void;
  on(name: 'warning', listener: (error: LicenseError) => void): () => void;
}

/** Which barcodes of a video stream count. */
export class Deduplicator {
  constructor(options?: { pauseSeconds?: number });
  /** The barcodes of one frame that count; `at` is the frame's time in milliseconds. */
  countFrame<B extends { format: string; text: string }>(barcodes: B[], at?: number): B[];
  /** Whether this barcode counts. */
  isNew(format: string, text: string, at?: number): boolean;
}

/** Checks settings before anything is asked; throws {@link LicenseError} 301 naming the setting. */
export function checkSettings(settings: Settings): object;
/** A storage that forgets everything when the page ends. */
export function memoryStorage(): Storage;
/** This library's version. */
export const version: string;

/** Everything together, as `globalThis.Tollkeeper` has it. */
declare const Tollkeeper: {
  readonly version: string;
  readonly License: typeof License;
  readonly LicenseError: typeof LicenseError;
  readonly Deduplicator: typeof Deduplicator;
  readonly checkSettings: typeof checkSettings;
  readonly memoryStorage: typeof memoryStorage;
  /** The license of the script tag's settings; `null` when it has none. */
  readonly ready: Promise<License> | null;
};
export default Tollkeeper;
