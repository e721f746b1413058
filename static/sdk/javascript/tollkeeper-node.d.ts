/** Types of the client library in Node. */
import type { Records, Storage } from './tollkeeper.js';

export * from './tollkeeper.js';
export { default } from './tollkeeper.js';

/** A cache in a folder that several processes share. */
export class FileStorage implements Storage {
  constructor(folder: string);
  transact<T>(prefixes: string[], work: (records: Records) => T): Promise<T>;
  lock<T>(name: string, waitMs: number, work: () => Promise<T>): Promise<T>;
  holdSession(session: string): Promise<() => void>;
  aliveSessions(): Promise<Set<string>>;
}

/** The UUID that follows from the machine; `null` where its system tells no id. */
export function hardwareUuid(): string | null;
