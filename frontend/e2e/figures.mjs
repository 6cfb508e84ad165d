// What the UI takes, measured in the browser: `npm run figures`, after `npm run build`. $PITON_BIN names the binary for
// what is measured against a real server; lists of a hundred thousand runs and a run of ten thousand events are the
// stand-in's. Prints a line per figure with what is asked of it; not part of the tests, because a busy machine decides it.
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { serve } from '../mock/server.mjs';
import { openBrowser } from './browser.mjs';
import { ownServer } from './restarts.mjs';

const only = process.argv[2] ?? '';
const { context, close } = await openBrowser();
const page = context.pages()[0] ?? (await context.newPage());
const devtools = await context.newCDPSession(page);

const FIGURES = { loads, interactive, commits, emptyPage, hundredThousandRuns, tenThousandEvents, restarts };
for (const [name, measure] of Object.entries(FIGURES)) if (name.includes(only)) await measure();
await close();

function say(what, value, unit, limit) {
  console.log(`${value <= limit ? '  ok' : 'OVER'}  ${what}: ${value} ${unit} (at most ${limit})`);
}

/** Script and style of the first load of each page, as gzip makes them. */
async function loads() {
  const mock = await serve();
  const { runs } = await (await fetch(`${mock.url}/v1/runs?limit=100`)).json();
  const dist = new URL('../dist/', import.meta.url);
  const sizes = Object.fromEntries(
    readdirSync(new URL('assets/', dist)).map((name) => [
      name,
      gzipSync(readFileSync(new URL(`assets/${name}`, dist)), { level: 9 }).length,
    ]),
  );
  for (const path of ['/', '/runs', `/runs/${runs[1].id}`, '/inbox', '/agents', '/system']) {
    const seen = new Set();
    const note = (request) => seen.add(new URL(request.url()).pathname.split('/').at(-1));
    page.on('request', note);
    await page.goto('about:blank');
    seen.clear();
    await page.goto(mock.url + path);
    await page.locator('main h1').waitFor();
    page.off('request', note);
    const bytes = [...seen].reduce((sum, name) => sum + (sizes[name] ?? 0), 0);
    say(`first load of ${path.replace(/[0-9a-f-]{36}/, 'ID')}`, Math.round(bytes / 100) / 10, 'kB gz', 160);
  }
  mock.close();
}

/** From the request of the page to a field that takes what is typed, on a processor slowed four times. */
async function interactive() {
  const mock = await serve();
  const took = [];
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 4 });
  for (let round = 0; round < 7; round += 1) {
    await page.goto('about:blank');
    const began = performance.now();
    await page.goto(mock.url, { waitUntil: 'commit' });
    const field = page.getByLabel('What shall the agent do?');
    await field.waitFor();
    await page.keyboard.type('x');
    await page.getByRole('button', { name: 'Launch', exact: true, disabled: false }).waitFor();
    took.push(performance.now() - began);
  }
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 1 });
  mock.close();
  say('interactive, processor slowed 4 times, median of 7', Math.round(median(took)), 'ms', 1_000);
}

/** From the event's own time, which is that of its commit, to its being drawn. */
async function commits() {
  const server = await ownServer();
  const { id } = await server.api('/v1/runs', {
    task: 'call sleep 120 times with ms=60',
    agent: 'patient',
    max_steps: 300,
  });
  await page.goto(`${server.url}/runs/${id}`);
  await page.getByText('Turn 3', { exact: true }).waitFor();
  const delays = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const seen = new Set([...document.querySelectorAll('time')]);
        const delays = [];
        new MutationObserver(() => {
          requestAnimationFrame(() => {
            for (const time of document.querySelectorAll('ol time')) {
              if (seen.has(time)) continue;
              seen.add(time);
              delays.push(Date.now() - Date.parse(time.dateTime));
            }
            if (delays.length >= 80) resolve(delays);
          });
        }).observe(document.body, { childList: true, subtree: true });
        setTimeout(() => resolve(delays), 40_000);
      }),
  );
  await server.close();
  say(`commit to screen, p95 of ${delays.length}`, percentile(delays, 0.95), 'ms', 200);
}

/** What the machine itself makes of frames just now: the same scrolling over nothing. */
async function emptyPage() {
  await page.goto('about:blank');
  await page.setContent('<div style="height: 900000px"></div>');
  tell('an empty page', await scrolled());
}

async function hundredThousandRuns() {
  const mock = await serve({ seed: false });
  mock.runs.multiply(100_000);
  await page.goto(`${mock.url}/runs`);
  await page.getByRole('row').nth(5).waitFor();
  // To the end, so that all are there.
  const began = performance.now();
  for (;;) {
    await page.evaluate(() => scrollTo({ top: document.documentElement.scrollHeight }));
    if (await page.getByText('100,000 runs').count()) break;
    await page.waitForTimeout(20);
    if (performance.now() - began > 300_000) throw new Error('the list does not come to its end');
  }
  console.log(`      all 100,000 runs were read in ${Math.round((performance.now() - began) / 100) / 10} s`);
  tell('100,000 runs', await scrolled());
  mock.close();
}

async function tenThousandEvents() {
  const mock = await serve({ seed: false });
  const { id } = mock.runs.lengthen(10_000);
  for (const view of ['story', 'events', 'time']) {
    await page.goto(`${mock.url}/runs/${id}?view=${view}`);
    await page.getByText(/^Events\s*10000/).waitFor();
    await page.waitForTimeout(1_500);
    tell(`10,000 events, ${view}`, await scrolled());
  }
  mock.close();
}

/** The processor's time is the page's own; the longest frame also has what else the machine does. */
function tell(what, { frames, longest, p99, cpu }) {
  say(`longest frame, scrolling ${what}`, longest, 'ms', 50);
  say(`most of the processor that one frame took, scrolling ${what}`, cpu, 'ms', 50);
  console.log(`      ${frames} frames, p99 ${p99} ms`);
}

/** Scrolls by the wheel, slowly and fast, down and up; how long frames took that were drawn meanwhile. */
async function scrolled() {
  await page.evaluate(() => scrollTo({ top: 0 }));
  const trace = await traced();
  await page.waitForTimeout(1_000);
  await page.evaluate(() => {
    globalThis.frames_ms = [];
    globalThis.isMeasuring = true;
    let last = performance.now();
    const tick = (now) => {
      globalThis.frames_ms.push(now - last);
      last = now;
      if (globalThis.isMeasuring) requestAnimationFrame(tick);
    };
    requestAnimationFrame((now) => {
      last = now;
      requestAnimationFrame(tick);
    });
  });
  await page.mouse.move(640, 400);
  for (const [delta, times] of [
    [120, 60],
    [900, 60],
    [6_000, 30],
    [-3_000, 30],
    [-120, 60],
  ]) {
    for (let time = 0; time < times; time += 1) await page.mouse.wheel(0, delta);
  }
  const frames = await page.evaluate(() => {
    globalThis.isMeasuring = false;
    return globalThis.frames_ms;
  });
  return {
    frames: frames.length,
    longest: Math.round(Math.max(...frames)),
    p99: Math.round(percentile(frames, 0.99)),
    cpu: Math.round(Math.max(...(await trace()))),
  };
}

/** Begins a trace; the call it resolves to ends it, with the milliseconds of the main thread's own time in each frame. */
async function traced() {
  const events = [];
  const note = ({ value }) => events.push(...value);
  devtools.on('Tracing.dataCollected', note);
  const traceConfig = { includedCategories: ['toplevel', 'devtools.timeline'], excludedCategories: ['*'] };
  await devtools.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig });
  return async () => {
    const isComplete = new Promise((resolve) => devtools.once('Tracing.tracingComplete', resolve));
    await devtools.send('Tracing.end');
    await isComplete;
    devtools.off('Tracing.dataCollected', note);
    // The thread that fires animation frames is the page's; our own asks for each of them.
    const drawn = events.filter(({ name }) => name === 'FireAnimationFrame').sort((a, b) => a.ts - b.ts);
    const thread = ({ pid, tid }) => pid === drawn[0].pid && tid === drawn[0].tid;
    const tasks = events
      .filter((event) => thread(event) && event.ph === 'X' && event.name.endsWith('RunTask'))
      .sort((a, b) => a.ts - b.ts);
    let at = tasks.findIndex(({ ts }) => ts >= drawn[0].ts);
    return drawn.slice(1).map(({ ts }) => {
      let took_us = 0;
      for (; at < tasks.length && tasks[at].ts < ts; at += 1) took_us += tasks[at].tdur ?? tasks[at].dur;
      return took_us / 1_000;
    });
  };
}

/** From the server's being ready again to a page that shows the run as it is. */
async function restarts() {
  const took = [];
  for (let round = 0; round < 5; round += 1) {
    const server = await ownServer();
    const { id } = await server.api('/v1/runs', {
      task: 'call sleep 200 times with ms=100',
      agent: 'patient',
      max_steps: 300,
    });
    await page.goto(`${server.url}/runs/${id}`);
    await page.getByText('Live', { exact: true }).waitFor();
    await server.kill();
    await page.getByText('Reconnecting…').first().waitFor();
    await page.waitForTimeout(2_500 + round * 130);
    await server.start();
    const began = performance.now();
    await page.getByText('Live', { exact: true }).waitFor();
    await page.locator('[data-stale]').first().waitFor({ state: 'detached' });
    took.push(performance.now() - began);
    await server.close();
  }
  say('right again after a kill, the longest of 5', Math.round(Math.max(...took)), 'ms', 2_000);
}

function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
}

function median(values) {
  return percentile(values, 0.5);
}
