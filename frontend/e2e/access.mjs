// That everybody can use it: axe on every page and state, in both themes, from 360 to 2560 pixels.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { serve } from '../mock/server.mjs';
import { ASKS, refusedByTest, SUM } from './steps.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What is open on a page: each with what a person does to get there. */
const STATES = {
  'the palette': ['/', (page) => page.keyboard.press('Control+k')],
  'the keys': ['/agents', (page) => page.keyboard.press('?')],
  'chosen runs': ['/runs', (page) => page.getByRole('checkbox').nth(1).check()],
  'asking before a cancel': [
    '/runs?status=waiting_human_input',
    async (page) => {
      await page.getByRole('checkbox').nth(1).check();
      await page.getByRole('button', { name: 'Cancel', exact: true }).click();
    },
  ],
  'naming a view': ['/runs?q=a', (page) => page.getByRole('button', { name: 'Save this view' }).click()],
  'what led to a question': [
    '/inbox',
    (page) => page.getByRole('button', { name: 'What led to this' }).first().click(),
  ],
};

/** The statuses that a run can stand in, of which the stand-in has one each. */
const STATUSES = [
  'running',
  'waiting_human_input',
  'undecided',
  'paused',
  'complete',
  'failed',
  'cancelled',
  'max_steps_reached',
  'quarantined',
];

export const ACCESS = {
  async 'every page is accessible in both themes, and fits from 360 to 2560 pixels'({ open, api }) {
    const { id } = await api('/v1/runs', { task: ASKS });
    const { id: done } = await api('/v1/runs', { task: SUM });
    const page = await open('/', refusedByTest);
    const paths = [
      '/',
      '/runs',
      `/runs/${id}`,
      `/runs/${done}`,
      `/runs/${done}?view=events`,
      `/runs/${done}?view=context`,
      `/runs/${done}?view=time`,
      `/runs/${done}?event=2`,
      '/runs?q=nothing-goes-by-this',
      '/runs?status=bogus',
      '/runs/0197f2c4-0000-7000-8000-000000000000',
      '/inbox',
      '/inbox?order=urgent',
      '/agents',
      '/system',
      '/nowhere',
    ];
    const found = [];
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      for (const path of paths) {
        for (const width of [360, 768, 1280, 2560]) {
          await page.setViewportSize({ width, height: 900 });
          if (width === 360) {
            await page.goto(new URL(path, page.url()).href);
            await page.locator('main h1, main h2').first().waitFor();
            await page.waitForTimeout(250);
          }
          const isWide = await page.evaluate(
            () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
          );
          if (isWide) found.push(`${path} is wider than ${width} pixels`);
          if (width === 1280 || (width === 360 && colorScheme === 'light'))
            found.push(...(await violations(page)).map((one) => `${path}, ${width}, ${colorScheme}: ${one}`));
        }
      }
    }
    assert.deepEqual(found, []);
  },

  async 'every state of a page is accessible in both themes'({ open }) {
    const mock = await serve();
    const found = [];
    try {
      const { runs } = await (await fetch(`${mock.url}/v1/runs?limit=100`)).json();
      const pages = Object.entries(STATES);
      for (const status of STATUSES) {
        const { id } = runs.find((run) => run.status === status);
        pages.push([`a run that is ${status}`, [`/runs/${id}`, () => {}]]);
      }
      const { id } = runs.find((run) => run.task.includes('invoices are open'));
      const prompt = (page) => page.getByRole('button', { name: 'Show the prompt' }).click();
      pages.push(['a table and a lost worker', [`/runs/${id}`, () => {}]]);
      pages.push(['a waterfall', [`/runs/${id}?view=time`, () => {}]]);
      pages.push(['a prompt', [`/runs/${id}?event=2`, prompt]]);
      const page = await open(mock.url, refusedByTest);
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        for (const [name, [path, get]] of pages) {
          await page.goto(mock.url + path);
          await page.locator('main h1, main h2').first().waitFor();
          await get(page);
          await page.waitForTimeout(200);
          found.push(...(await violations(page)).map((one) => `${name}, ${colorScheme}: ${one}`));
        }
      }
    } finally {
      mock.close();
    }
    assert.deepEqual(found, []);
  },

  async 'nobody works, or nobody answers: both are said accessibly'({ open }) {
    const mock = await serve({ workers: 0 });
    const page = await open(mock.url, refusedByTest);
    await page.getByText('No worker is alive').waitFor();
    await page.getByText('piton worker').first().waitFor();
    assert.deepEqual(await violations(page), []);
    mock.close();
    await page.getByText('Piton does not answer').first().waitFor();
    await page.getByText('Reconnecting…').first().waitFor();
    assert.deepEqual(await violations(page), []);
  },
};

/** What axe finds against WCAG 2.2 AA. */
async function violations(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
    const { violations } = await globalThis.axe.run(document, { runOnly: { type: 'tag', values: tags } });
    return violations.map(
      ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`,
    );
  });
  return found;
}
