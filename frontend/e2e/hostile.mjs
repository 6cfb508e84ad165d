// More than sixty hostile payloads, each in every place where a model, a tool or a stranger has a say.
import assert from 'node:assert/strict';
import { serve } from '../mock/server.mjs';
import { openLedger } from './ledger.mjs';
import { openModel } from './model.mjs';
import { LONG_ONES, SHORT } from './payloads.mjs';
import { ownServer } from './restarts.mjs';
import { refusedByTest, status } from './steps.mjs';

/** Characters that must never reach the screen as they are: all that cannot be seen, save line breaks and tabs. */
const HIDDEN = /[^\P{C}\n\t\r\u200d]/u;
const FORBIDDEN =
  'main img, main script, main iframe, main object, main embed, main style, main link, main form[action], main base, a[href^="javascript" i], a[href^="data" i], a[href^="vbscript" i], a[href^="file" i]';
/** How soon a page has to answer a press, whatever is on it. */
const USABLE_MS = 2_500;

async function isHarmless(page, what) {
  assert.equal(await page.evaluate(() => 'pwned' in globalThis), false, `a script ran: ${what}`);
  assert.equal(await page.locator(FORBIDDEN).count(), 0, `markup became elements: ${what}`);
  const shown = await page.locator('main').evaluate((main) => main.textContent);
  assert.ok(!HIDDEN.test(shown), `a hidden character is hidden: ${what}`);
  const sideways = await page.evaluate(
    () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
  );
  assert.equal(sideways, false, `it breaks out of the page: ${what}`);
}

export const HOSTILE = {
  async 'hostile payloads in every place: no script, no request, and the page can be used'({ open }) {
    assert.ok(SHORT.length + LONG_ONES.length >= 60, `${SHORT.length} + ${LONG_ONES.length} payloads`);
    const mock = await serve({ seed: false });
    try {
      const page = await open(mock.url, refusedByTest);
      // Taller than any list here, so that every row of it is drawn.
      await page.setViewportSize({ width: 1280, height: 6_000 });
      const infected = mock.runs.infect(SHORT);
      const all = mock.runs.gather(SHORT);
      await page.goto(`${mock.url}/runs/${all.id}`);
      await page.getByText(`Turn ${SHORT.length}`, { exact: true }).waitFor();
      await isHarmless(page, 'all of them in one story');
      for (const path of ['/inbox', '/runs', '/']) {
        await page.goto(mock.url + path);
        await page.locator('main a[href^="/runs/"]').first().waitFor();
        await page.waitForTimeout(300);
        await isHarmless(page, path);
      }
      for (const { id, asking, text } of infected.filter((_, place) => place % 6 === 1)) {
        const views = ['view=story', 'view=time', 'view=events', 'view=context', 'event=2'].map(
          (view) => `${id}?${view}`,
        );
        for (const path of [...views, asking]) {
          await page.goto(`${mock.url}/runs/${path}`);
          await page.locator('main h1').waitFor();
          await page.waitForTimeout(150);
          await isHarmless(page, `${text} at ${path}`);
        }
      }
    } finally {
      mock.close();
    }
  },

  async 'five megabytes and fifty thousand levels: the page answers all the same'({ open }) {
    const mock = await serve({ seed: false });
    try {
      const page = await open(mock.url, refusedByTest);
      for (const { id, text } of mock.runs.swell(LONG_ONES)) {
        const what = text.slice(0, 60);
        await page.goto(`${mock.url}/runs/${id}`);
        await page.getByTestId('answer').waitFor();
        await isHarmless(page, what);
        const began = performance.now();
        await page.getByRole('link', { name: 'Events' }).click();
        await page.getByRole('list', { name: 'Events, the newest first' }).waitFor();
        const took_ms = performance.now() - began;
        assert.ok(took_ms < USABLE_MS, `a press is answered after ${took_ms} ms: ${what}`);
        await isHarmless(page, what);
      }
    } finally {
      mock.close();
    }
  },

  async 'hostile tasks come back from the real server as text'({ open, api }) {
    const page = await open('/', refusedByTest);
    for (const task of SHORT.filter((text, place) => place % 6 === 0 && text.isWellFormed())) {
      const { id } = await api('/v1/runs', { task });
      await page.goto(new URL(`/runs/${id}`, page.url()).href);
      await page.getByText(/^Launched default/).waitFor();
      await isHarmless(page, task);
    }
  },

  async 'a hostile model, tool and agent on the real server: what they write comes back as text'({ open }) {
    // What no JSON can carry never gets as far.
    const payloads = SHORT.filter((text) => text.isWellFormed());
    const texts = new Map(payloads.map((text, place) => [`Payload ${place}`, text]));
    const model = await openModel((task, turns) => {
      if (task === 'All of them') {
        // Each in the model's words, in a call and, by the tool, in its output; at last in the answer.
        const text = payloads[turns];
        if (text !== undefined) return { text, calls: [['echo', { text }]] };
        return { text: '', calls: [['final_answer', { answer: payloads.join('\n\n') }]] };
      }
      const text = texts.get(task);
      return { text, calls: [['ask_human', { question: text }]] };
    });
    const tool = await openLedger(({ text }) => text);
    const server = await ownServer({ agents: { villain: villain(tool.url, payloads) }, model: model.url });
    try {
      const launch = (task) => server.api('/v1/runs', { task, agent: 'villain', max_steps: 200 });
      const { id } = await launch('All of them');
      const asking = await Promise.all([...texts.keys()].map(launch));
      const page = await open(server.url, refusedByTest);
      await page.setViewportSize({ width: 1280, height: 6_000 });
      await page.goto(`${server.url}/runs/${id}`);
      await status(page, 'Complete');
      assert.equal(tool.calls.length, payloads.length, 'each came to the tool, and was its output');
      await isHarmless(page, 'all of them in one story');
      for (const view of ['view=time', 'view=events', 'view=context', 'event=2', 'event=3']) {
        await page.goto(`${server.url}/runs/${id}?${view}`);
        await page.locator('main h1').waitFor();
        await page.waitForTimeout(300);
        await isHarmless(page, view);
      }
      await page.goto(`${server.url}/inbox`);
      await page
        .getByLabel('Your answer')
        .nth(payloads.length - 1)
        .waitFor();
      await isHarmless(page, 'all of them as questions');
      await page.goto(`${server.url}/agents`);
      await page.getByText('final_answer').last().waitFor();
      await isHarmless(page, 'an agent');
      await page.goto(server.url);
      await page.getByRole('option', { name: 'villain' }).waitFor({ state: 'attached' });
      await page.getByLabel('Agent', { exact: true }).selectOption('villain');
      await isHarmless(page, 'an agent that is picked');
      for (const one of asking.filter((_, place) => place % 8 === 3)) {
        await page.goto(`${server.url}/runs/${one.id}`);
        await page.getByLabel('Your answer').waitFor();
        await isHarmless(page, one.task);
      }
    } finally {
      await server.close();
      model.close();
      tool.close();
    }
  },

  async 'what is clipped is shown whole when it is asked for'({ open }) {
    const mock = await serve({ seed: false });
    try {
      const [{ id }] = mock.runs.infect([`${'word '.repeat(20_000)}the end`]);
      const page = await open(mock.url, refusedByTest);
      await page.goto(`${mock.url}/runs/${id}`);
      await status(page, 'Complete');
      const answer = page.getByTestId('answer');
      await answer.getByRole('button', { name: /Show all/ }).click();
      await answer.getByText(/the end/).waitFor();
      await answer.getByRole('button', { name: 'Show less' }).click();
      assert.ok((await answer.innerText()).length < 6_000);
    } finally {
      mock.close();
    }
  },
};

/** An agent that says what it is told by strangers, in its description, its instructions and its tool's. */
const villain = (url, payloads) => `name = "villain"
description = ${toml(payloads.filter((text) => text.length < 60).join(' '))}
instructions = ${toml(payloads.join('\n\n'))}
tools = ["ask_human", "final_answer"]

[limits]
repeated_calls = 0
tool_errors = 0

[[http_tool]]
name = "echo"
description = ${toml(payloads[0])}
url = "${url}"
effect = "pure"
allow_private = true
parameters = { type = "object", properties = { text = { type = "string" } }, required = ["text"] }
`;

/** A text as TOML writes it: as JSON, which leaves one character as it is that TOML does not. */
const toml = (text) => JSON.stringify(text).replaceAll('\u007f', '\\u007f');
