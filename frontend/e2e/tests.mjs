// What a person does with the UI, each flow from their side.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { openLine } from './line.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const SUM = 'what is (17+5)*3 / 4?';
const ASKS = 'What is 15 percent of my salary?';
/** Long enough a run to be paused in the middle: one call a turn. */
const LONG = { task: 'call sleep 100 times with ms=200', agent: 'patient', max_steps: 1000 };

/** A number that no other test asks about. */
const ownNumber = () => 1_000 + Math.floor(Math.random() * 1_000_000);
const launchField = (page) => page.getByLabel('What shall the agent do?');
const status = (page, text) => page.locator('header [data-status]').filter({ hasText: text }).waitFor();
const refusedByTest = (text) => /Failed to load resource|net::ERR/.test(text);

async function launch(page, task) {
  await launchField(page).fill(task);
  await page.getByRole('button', { name: 'Launch', exact: true }).click();
  await page.waitForURL(/\/runs\/[0-9a-f-]{36}/);
}

async function answerOf(page) {
  await status(page, 'Complete');
  return page.getByTestId('answer').innerText();
}

export const TESTS = {
  async 'a task is launched, told step by step, and answered'({ open }) {
    const page = await open('/');
    await launch(page, SUM);
    assert.match(await answerOf(page), /16\.5/);
    const story = page.getByRole('listitem');
    await story
      .filter({ hasText: /sum_numbers/ })
      .first()
      .waitFor();
    await story
      .filter({ hasText: /divide_numbers/ })
      .first()
      .waitFor();
    await page.getByText('Completed').waitFor();
    for (const name of ['Pause', 'Resume', 'Cancel']) {
      assert.equal(
        await page.getByRole('button', { name, exact: true }).isDisabled(),
        true,
        `${name} is of no use now`,
      );
    }
  },

  async 'every example on the home page works'({ open }) {
    const page = await open('/');
    const examples = await page.locator('form button[type=button]').allInnerTexts();
    assert.ok(examples.length >= 3);
    for (const example of examples) {
      await page.goto(new URL('/', page.url()).href);
      await page.getByRole('button', { name: example }).click();
      await page.keyboard.press('Enter');
      await page.waitForURL(/\/runs\//);
      await page.locator('header [data-status=complete], header [data-status=waiting_human_input]').waitFor();
      assert.equal(await page.getByText("I don't understand").count(), 0, example);
    }
  },

  async 'a question is answered in the UI, across a reload in the middle'({ open }) {
    const page = await open('/');
    await launch(page, ASKS);
    await status(page, 'Needs an answer');
    await page.reload();
    await status(page, 'Needs an answer');
    await page.getByText('Waiting for an answer').waitFor();
    await page.getByLabel('Your answer').fill('80');
    await page.getByRole('button', { name: 'Send answer' }).click();
    assert.match(await answerOf(page), /\b12\b/);
    await page.reload();
    assert.match(await answerOf(page), /\b12\b/);
    await page.getByText('Completed').waitFor();
    assert.equal(await page.getByText('Completed').count(), 1, 'nothing is told twice');
  },

  async 'a question is answered in the inbox, by keyboard alone'({ open, api }) {
    const { id } = await api('/v1/runs', { task: ASKS });
    const page = await open('/inbox');
    const entry = page.getByRole('region').filter({ has: page.locator(`a[href="/runs/${id}"]`) });
    await entry.waitFor();
    for (let press = 0; press < 200; press += 1) {
      await page.keyboard.press('Tab');
      if (await entry.locator('textarea:focus').count()) break;
    }
    await page.keyboard.type('200');
    await page.keyboard.press('Enter');
    await page.getByText('Sent: the run goes on').waitFor();
    await page.getByRole('link', { name: 'Open the run' }).first().click();
    assert.match(await answerOf(page), /\b30\b/);
  },

  async 'who answers second is told kindly and loses nothing'({ open, api }) {
    const { id } = await api('/v1/runs', { task: ASKS });
    // This reader's page hears nothing of what happens after it was loaded.
    const page = await open('/', refusedByTest);
    await page.route('**/events', (route) => route.abort());
    await page.goto(new URL(`/runs/${id}`, page.url()).href);
    await page.getByLabel('Your answer').fill('my own thought');
    await page.route(`**/v1/runs/${id}`, (route) => route.abort());
    const { question } = await api(`/v1/runs/${id}`);
    await api(`/v1/runs/${id}/answer`, { question: question.id, answer: '100' });
    await page.getByRole('button', { name: 'Send answer' }).click();
    await page.getByText('Somebody else was first').waitFor();
    await page.getByText('my own thought').waitFor();
  },

  async 'a run is paused, resumed and cancelled'({ open, api }) {
    const { id } = await api('/v1/runs', LONG);
    const page = await open(`/runs/${id}`);
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await status(page, 'Paused');
    await page
      .getByRole('listitem')
      .filter({ hasText: /^Paused/ })
      .waitFor();
    const before = (await api(`/v1/runs/${id}`)).turns;
    await page.getByRole('button', { name: 'Resume', exact: true }).click();
    await page
      .getByRole('listitem')
      .filter({ hasText: /^Resumed/ })
      .waitFor();
    await page.getByRole('button', { name: 'Cancel', exact: true }).click();
    await page.getByRole('button', { name: 'Cancel the run' }).click();
    await status(page, 'Cancelled');
    assert.ok(before < 100, 'it was paused before its end');
  },

  async 'a run goes on from its step limit'({ open, api }) {
    const { id } = await api('/v1/runs', { task: SUM, max_steps: 2 });
    const page = await open(`/runs/${id}`);
    await status(page, 'Step limit');
    await page.getByRole('button', { name: 'Resume', exact: true }).click();
    assert.match(await answerOf(page), /16\.5/);
  },

  async 'a lost connection is shown, and what was missed comes after it'({ open, base, api }) {
    const { id } = await api('/v1/runs', { task: ASKS });
    const line = await openLine(base);
    try {
      const page = await open(`${line.url}/runs/${id}`, refusedByTest);
      await page.getByText('Live', { exact: true }).waitFor();
      await status(page, 'Needs an answer');
      line.cut();
      await page.getByText('Reconnecting…').waitFor();
      const { question } = await api(`/v1/runs/${id}`);
      await api(`/v1/runs/${id}/answer`, { question: question.id, answer: '40' });
      line.mend();
      const began = performance.now();
      assert.match(await answerOf(page), /\b6\b/);
      assert.ok(performance.now() - began < 2_500, 'the view is right again soon after the server is back');
      await page.getByText('Completed').waitFor();
      assert.equal(await page.getByText('Completed').count(), 1, 'nothing is told twice');
      assert.equal(await page.getByText('ask_human').count(), 1, 'nothing is told twice');
    } finally {
      line.close();
    }
  },

  async 'the history lists, finds and narrows'({ open, api }) {
    const task = `What is ${ownNumber()} * 7?`;
    const { id } = await api('/v1/runs', { task });
    const waiting = `What is ${ownNumber()} percent of my salary?`;
    await api('/v1/runs', { task: waiting });
    const page = await open('/runs');
    const rows = page.getByRole('row');
    await rows.filter({ hasText: task }).filter({ hasText: 'Complete' }).waitFor();
    await rows.filter({ hasText: waiting }).filter({ hasText: 'Needs an answer' }).waitFor();
    await page.getByLabel('Search runs').fill(task);
    await page.waitForURL(/\?q=/);
    await rows.filter({ hasText: waiting }).waitFor({ state: 'detached' });
    await page.reload();
    assert.equal(await page.getByLabel('Search runs').inputValue(), task);
    await rows.filter({ hasText: task }).waitFor();
    await page.getByRole('link', { name: 'Needs you' }).click();
    await page.getByText('No run matches').waitFor();
    await page.getByRole('link', { name: 'Show all runs' }).click();
    await page.getByLabel('Search runs').fill(id.slice(0, 30));
    await rows.filter({ hasText: task }).getByRole('link').click();
    await page.waitForURL(`**/runs/${id}`);
  },

  async 'a new run appears in an open list by itself'({ open, api }) {
    const page = await open('/runs');
    await page.getByRole('heading', { name: 'Runs' }).waitFor();
    const task = `What is ${ownNumber()} + 3?`;
    await api('/v1/runs', { task });
    await page.getByRole('row').filter({ hasText: task }).waitFor();
  },

  async 'an event has a link of its own'({ open, api }) {
    const { id } = await api('/v1/runs', { task: SUM });
    const page = await open(`/runs/${id}?event=1`);
    const dialog = page.getByRole('dialog', { name: 'Event 1' });
    await dialog.getByText('agent_name').waitFor();
    await dialog.getByRole('button', { name: 'Later' }).click();
    await page.getByRole('dialog', { name: 'Event 2' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal(new URL(page.url()).search, '');
  },

  async 'hostile text is shown as text'({ open }) {
    const page = await open('/');
    const hostile =
      '<img src="http://evil.example/x.png" onerror="window.pwned=1"><script>window.pwned=1</script> x\u202egnp.exe';
    await launch(page, hostile);
    await page
      .locator(
        'header [data-status=complete], header [data-status=failed], header [data-status=waiting_human_input]',
      )
      .waitFor();
    await page.getByRole('heading', { level: 1 }).filter({ hasText: '‹U+202E›gnp.exe' }).waitFor();
    for (const view of ['Events', 'What the model sees', 'Story']) {
      await page.getByRole('link', { name: view }).click();
      await page.waitForTimeout(150);
    }
    assert.equal(await page.evaluate(() => 'pwned' in globalThis), false);
  },

  async 'a page or a run that is not there says so'({ open }) {
    const page = await open('/runs/0197f2c4-0000-7000-8000-000000000000', refusedByTest);
    await page.getByText('There is no such run').waitFor();
    await page.goto(new URL('/nowhere', page.url()).href);
    await page.getByText('There is no such page').waitFor();
  },

  async 'every page is accessible in both themes, and fits from 360 to 2560 pixels'({ open, api }) {
    const { id } = await api('/v1/runs', { task: ASKS });
    const { id: done } = await api('/v1/runs', { task: SUM });
    const page = await open('/');
    const paths = [
      '/',
      '/runs',
      `/runs/${id}`,
      `/runs/${done}`,
      `/runs/${done}?view=events`,
      `/runs/${done}?view=context`,
      `/runs/${done}?event=2`,
      '/inbox',
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
          if (width === 360 || width === 1280)
            found.push(...(await violations(page)).map((one) => `${path}, ${width}, ${colorScheme}: ${one}`));
        }
      }
    }
    assert.deepEqual(found, []);
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
