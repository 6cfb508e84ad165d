// A browser that stays at home: no service of its own reaches out, and every page's faults are kept.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export async function openBrowser() {
  const profile = mkdtempSync(join(tmpdir(), 'piton-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
    headless: true,
    args: FLAGS,
    viewport: { width: 1280, height: 800 },
  });
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, close };
}

/**
 * What goes wrong on `page` from here on: requests to any host but that of `base`, refusals by the
 * Content-Security-Policy, errors on the console. `expected` says which errors a test provokes.
 */
export function watchFaults(page, base, expected = () => false) {
  const faults = [];
  const host = new URL(base).host;
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol !== 'data:' && url.host !== host) faults.push(`request to ${url.host}`);
  });
  page.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && !expected(text)) faults.push(`console: ${text}`);
  });
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  return faults;
}
