// Screenshots of every page in both themes and at three widths, taken from the stand-in. `npm run shots [FOLDER]`,
// after `npm run build`. Where pngquant is installed they are made small with it, which costs no clarity.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { serve } from '../mock/server.mjs';
import { openBrowser } from './browser.mjs';

const folder = process.argv[2] ?? 'shots';
const only = process.argv[3];
const WIDTHS = { wide: [1280, 860], tablet: [768, 1024], phone: [390, 844] };

const served = await serve();
const { context, close } = await openBrowser();
const { runs } = await (await fetch(`${served.url}/v1/runs?limit=100`)).json();
const idOf = (status, text = '') => runs.find((run) => run.status === status && run.task.includes(text)).id;
const PAGES = {
  home: '/',
  runs: '/runs',
  'runs-none': '/runs?q=nothing-like-this',
  'run-complete': `/runs/${idOf('complete', '17')}`,
  'run-report': `/runs/${idOf('complete', 'invoices')}`,
  'run-time': `/runs/${idOf('complete', 'invoices')}?view=time`,
  'run-prompt': `/runs/${idOf('complete', 'invoices')}?event=2`,
  'run-question': `/runs/${idOf('waiting_human_input', 'Book')}`,
  'run-stuck': `/runs/${idOf('waiting_human_input', 'by nothing')}`,
  'run-unknown': `/runs/${idOf('undecided')}`,
  'run-quarantined': `/runs/${idOf('quarantined')}`,
  'run-failed': `/runs/${idOf('failed')}`,
  'run-running': `/runs/${idOf('running')}`,
  'run-hostile': `/runs/${idOf('complete', '<script')}`,
  'run-events': `/runs/${idOf('complete', '17')}?view=events`,
  'run-context': `/runs/${idOf('complete', '17')}?view=context`,
  'run-event': `/runs/${idOf('failed')}?event=2`,
  'runs-chosen': '/runs',
  commands: '/',
  inbox: '/inbox',
  agents: '/agents',
  system: '/system',
};

/** What is done on a page before its picture is taken. */
const STEPS = {
  'run-question': (page) => page.getByLabel('Your answer').waitFor(),
  'run-stuck': (page) => page.getByLabel('Your answer').waitFor(),
  'run-unknown': (page) => page.getByRole('button', { name: 'Decide' }).waitFor(),
  'run-context': (page) => page.getByText('is given').first().waitFor(),
  'run-event': (page) => page.getByRole('dialog', { name: 'Event 2' }).waitFor(),
  'run-time': (page) => page.getByRole('list', { name: 'What took time' }).waitFor(),
  'run-prompt': async (page) => {
    await page.getByRole('button', { name: 'Show the prompt' }).click();
    await page.getByText('These are the bytes that were sent').waitFor();
  },
  'runs-chosen': async (page) => {
    for (const box of (await page.getByRole('checkbox').all()).slice(1, 4)) await box.check();
  },
  commands: async (page) => {
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Command' }).fill('in');
    await page.waitForTimeout(200);
  },
};

mkdirSync(folder, { recursive: true });
const taken = [];
const page = context.pages()[0] ?? (await context.newPage());
for (const colorScheme of ['light', 'dark']) {
  await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
  for (const [width, [w, h]] of Object.entries(WIDTHS)) {
    await page.setViewportSize({ width: w, height: h });
    for (const [name, path] of Object.entries(PAGES)) {
      if (only && !`${name}-${width}-${colorScheme}`.includes(only)) continue;
      await page.goto(served.url + path);
      await page.waitForTimeout(300);
      await STEPS[name]?.(page);
      const sideways = await page.evaluate(
        () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
      );
      if (sideways) console.log(`${name} is wider than the ${width} screen`);
      const picture = `${folder}/${name}-${width}-${colorScheme}.png`;
      await page.screenshot({ path: picture });
      taken.push(picture);
    }
  }
}
await close();
served.close();
const QUANT = ['--quality=80-98', '--speed=1', '--strip', '--skip-if-larger', '--force', '--ext=.png'];
if (spawnSync('pngquant', [...QUANT, ...taken]).error)
  console.log('pngquant is not installed: they are large');
console.log(`The pictures are in ${folder}`);
