/**
 * The client library for applications with modules, in browsers: the same as `tollkeeper.js`,
 * with names to import. In Node the package gives `tollkeeper-node.mjs` instead.
 */
import './tollkeeper.js';

const { Tollkeeper } = globalThis;

export const { version, License, LicenseError, Deduplicator, checkSettings, memoryStorage } = Tollkeeper;
export default Tollkeeper;
