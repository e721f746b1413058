// The browser that the tests of pages drive: Debian's chromium, the same for all of them.
import { chromium } from 'playwright-core';

/** Hosts under `.test` are this machine, so that pages can have origins other than 127.0.0.1. */
const FLAGS = [
  // Root has no sandbox, and a test machine often neither a GPU nor a large /dev/shm.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  // Nothing is asked from outside, and nothing of it is logged.
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--no-default-browser-check',
  '--log-level=3',
  '--host-resolver-rules=MAP *.test 127.0.0.1',
];

/** Starts the browser; `path` comes from TOLLKEEPER_CHROMIUM or is Debian's. */
export function launch(path = process.env.TOLLKEEPER_CHROMIUM ?? '/usr/bin/chromium') {
  return chromium.launch({ executablePath: path, headless: true, args: FLAGS });
}

/** A page of its own (own storage), whose errors are kept in `page.trouble`. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  return watched(await context.newPage());
}

/** Keeps what goes wrong in a page, for the test to look at. */
export function watched(page) {
  page.trouble = [];
  page.on('pageerror', (error) => page.trouble.push(error.message));
  page.on('console', (message) => message.type() === 'error' && page.trouble.push(message.text()));
  return page;
}
