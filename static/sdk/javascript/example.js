// What a page does with Tollkeeper: get a license, check it, count use, tell people what is wrong.
import { License, LicenseError } from './tollkeeper.mjs';

const at = (id) => document.getElementById(id);
const form = at('settings');
const ORIGINS = { server: 'given by the server in this visit', cache: 'kept from before: no server answers now', carried: 'carried here by hand', 'product-key': 'a product key' };

let license = null;
let scans = 0;
let isLeaving = false;

// Links may bring the settings along: example.html#licenseKey=TK1.…&vendorPublicKey=…&product=dbr
for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
  if (name in form.elements) form.elements[name].value = value;
}
if (location.hash === '#sandbox') void fillFromSandbox();

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void busily(form.querySelector('button'), begin);
});
at('sandbox').addEventListener('click', () => void busily(at('sandbox'), fillFromSandbox));
at('count').addEventListener('click', () => void busily(null, count));
at('report').addEventListener('click', () => void busily(at('report'), report));
at('release').addEventListener('click', () => void busily(at('release'), giveBack));

async function begin() {
  await license?.close();
  license = null;
  showUse();
  const settings = Object.fromEntries(['licenseKey', 'vendorPublicKey', 'product'].map((name) => [name, form.elements[name].value.trim()]));
  license = await License.initialize(settings);
  license.on('change', show);
  license.on('report', showReport);
  license.on('warning', (error) => tell(error));
  scans = 0;
  show(license.status);
  at('license').scrollIntoView({ block: 'nearest' });
}

function count() {
  license.check();
  license.record('QR Code');
  scans += 1;
  showUse();
}

async function report() {
  let isSent = false;
  const stopListening = license.on('report', () => (isSent = true));
  await license.report();
  stopListening();
  if (!isSent && at('problem').hidden) at('lastReport').textContent = `${new Date().toLocaleTimeString()}: nothing to send yet`;
}

async function giveBack() {
  // That there is no license afterwards is what was asked for.
  isLeaving = true;
  try {
    await license.release();
  } finally {
    isLeaving = false;
  }
  license = null;
  showUse();
  at('badge').textContent = 'The license was given back';
  at('badge').className = 'badge';
}

/** `tollkeeper sandbox` tells everybody its keys; a real server does not have this path. */
async function fillFromSandbox() {
  const answer = await fetch('/sandbox').catch((error) => {
    throw new LicenseError(302, `this server cannot be reached (${error.message})`);
  });
  if (!answer.ok) throw new LicenseError(301, 'this server is no sandbox: start one with "tollkeeper sandbox", or paste the license key of your handshake code');
  const { handshake_codes, vendor_public_key } = await answer.json();
  form.elements.licenseKey.value = handshake_codes.find(({ handshake_code }) => handshake_code.endsWith('-scan')).license_key;
  form.elements.vendorPublicKey.value = vendor_public_key.trim();
  form.elements.product.value = 'dbr';
}

// ---- what is shown ---------------------------------------------------------------------------

async function busily(button, work) {
  const words = button?.textContent;
  if (button !== null) {
    button.disabled = true;
    button.textContent = button.dataset.busy ?? words;
  }
  at('problem').hidden = true;
  try {
    await work();
  } catch (error) {
    if (!(error instanceof LicenseError)) throw error;
    tell(error);
  } finally {
    if (button !== null) {
      button.disabled = false;
      button.textContent = words;
    }
  }
}

function tell(error) {
  at('problemTitle').textContent = `${error.title} (${error.sdkCode})`;
  at('userMessage').textContent = error.userMessage;
  at('message').textContent = error.message;
  // With one server the message says it already.
  const failures = error.failures.length > 1 ? error.failures : [];
  at('failures').replaceChildren(...failures.map(({ server, code, message }) => element('li', `${server}: ${code}, ${message}`)));
  at('problem').hidden = false;
  if (license === null) at('license').hidden = true;
  at('problem').scrollIntoView({ block: 'nearest' });
}

function show(status) {
  at('license').hidden = false;
  at('badge').textContent = status.isLicensed ? 'Licensed' : 'Not licensed';
  at('badge').className = `badge ${status.isLicensed ? 'good' : 'bad'}`;
  const facts = [
    ['Origin', ORIGINS[status.origin]],
    ['Server', status.server],
    ['Handshake code', status.handshakeCode],
    ['Licenses', status.items.map(({ product, charge_way: way }) => (way === undefined ? product : `${product}, by ${way.replace('_', ' ')}`)).join('; ')],
    ['Ends unless renewed', status.expiresAt?.toLocaleString()],
    ['Renewed from', status.refreshAfter?.toLocaleString()],
    ['This device', status.clientUuid],
  ];
  at('facts').replaceChildren(...facts.filter(([, fact]) => fact).flatMap(([name, fact]) => [element('dt', name), element('dd', fact)]));
  if (status.error !== null && !isLeaving) tell(status.error);
  showUse();
}

// What is counted now goes out when its slot is over, which moves on.
setInterval(showUse, 5_000);

function showUse() {
  at('use').hidden = license === null;
  at('total').textContent = scans === 1 ? '1 scan' : `${scans} scans`;
  const slot = 180_000;
  at('slotEnd').textContent = new Date((Math.floor(Date.now() / slot) + 1) * slot).toLocaleTimeString();
}

function showReport({ server, accepted, duplicate, rejected }) {
  const parts = [`${accepted} taken`, duplicate > 0 && `${duplicate} known already`, ...rejected.map(({ code, detail }) => `refused with ${code}: ${detail}`)];
  at('lastReport').textContent = `${new Date().toLocaleTimeString()}, ${server}: ${parts.filter(Boolean).join(', ')}`;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
