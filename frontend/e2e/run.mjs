// The browser test: a real Chromium against the server at PITON_URL, which has to have the practice model, a worker, test
// tools (PITON_TEST__TOOLS=true) and the agents of e2e/config (--config frontend/e2e/config).
// `npm run e2e`; CHROMIUM_PATH names the browser, PITON_API_KEY the key where the server wants one. An argument runs
// only the tests with it in their name. Prints one line per test and, at the end, `N passed, M failed`.

import { ACCESS } from './access.mjs';
import { openBrowser, watchFaults } from './browser.mjs';
import { FLOWS } from './flows.mjs';
import { HOSTILE } from './hostile.mjs';
import { KEYBOARD } from './keyboard.mjs';
import { RESTARTS } from './restarts.mjs';

const TESTS = { ...FLOWS, ...KEYBOARD, ...RESTARTS, ...HOSTILE, ...ACCESS };

const base = (process.env.PITON_URL ?? 'http://127.0.0.1:3000').replace(/\/$/, '');
const only = process.argv[2] ?? '';
const WAIT_MS = 15_000;

const { context, close } = await openBrowser();
context.setDefaultTimeout(WAIT_MS);
if (process.env.PITON_API_KEY) await signIn(context, process.env.PITON_API_KEY);

let passed = 0;
const failures = [];
for (const [name, test] of Object.entries(TESTS)) {
  if (!name.includes(only)) continue;
  const began = performance.now();
  const failure = await attempt(test);
  const took = `${Math.round(performance.now() - began)} ms`;
  console.log(`${failure ? 'FAIL' : '  ok'}  ${name} (${took})`);
  if (failure) {
    failures.push(name);
    console.log(failure.replace(/^/gm, '        '));
  } else {
    passed += 1;
  }
}
await close();
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length > 0 || passed === 0 ? 1 : 0;

/** Runs one test in a tab of its own. Resolves to why it failed. */
async function attempt(test) {
  const pages = [];
  const faults = [];
  const opened = async (browser, path, expected) => {
    const page = await browser.newPage();
    pages.push(page);
    const url = new URL(path, base).href;
    faults.push(watchFaults(page, url, expected));
    await page.goto(url);
    return page;
  };
  const others = [];
  /** In a browser of its own, as another person. */
  const apart = async (path, expected) => {
    const other = await openBrowser();
    others.push(other);
    other.context.setDefaultTimeout(WAIT_MS);
    if (process.env.PITON_API_KEY) await signIn(other.context, process.env.PITON_API_KEY);
    return opened(other.context, path, expected);
  };
  const open = (path, expected) => opened(context, path, expected);
  try {
    await test({ open, apart, base, context, api: (path, body) => api(path, body) });
    const found = faults.flat();
    return found.length > 0 ? found.join('\n') : null;
  } catch (error) {
    const picture = process.env.E2E_PICTURES;
    if (picture) await pages.at(-1)?.screenshot({ path: `${picture}/${Date.now()}.png` });
    return [String(error.stack ?? error), ...faults.flat()].join('\n');
  } finally {
    await Promise.all(pages.map((page) => page.close()));
    await Promise.all(others.map((other) => other.close()));
  }
}

/** Asks the server directly, as another client would. */
async function api(path, body) {
  const headers = { 'content-type': 'application/json' };
  if (process.env.PITON_API_KEY) headers.authorization = `Bearer ${process.env.PITON_API_KEY}`;
  const response = await fetch(
    base + path,
    body ? { method: 'POST', headers, body: JSON.stringify(body) } : { headers },
  );
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return response.json();
}

async function signIn(browser, key) {
  const page = await browser.newPage();
  await page.goto(base);
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Launch an agent' }).waitFor();
  await page.close();
}
