// What a person does with the UI, each flow from their side.
import assert from 'node:assert/strict';
import { openLine } from './line.mjs';
import { ASKS, answerOf, LONG, launch, ownNumber, refusedByTest, SUM, status } from './steps.mjs';

export const FLOWS = {
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

  async 'a page or a run that is not there says so'({ open }) {
    const page = await open('/runs/0197f2c4-0000-7000-8000-000000000000', refusedByTest);
    await page.getByText('There is no such run').waitFor();
    await page.goto(new URL('/nowhere', page.url()).href);
    await page.getByText('There is no such page').waitFor();
  },

  async 'two browsers at once: one answers, the other sees it and is not in the way'({ open, apart, api }) {
    const { id } = await api('/v1/runs', { task: ASKS });
    const mine = await open(`/runs/${id}`);
    const other = await apart('/inbox');
    await mine.getByLabel('Your answer').waitFor();
    const entry = other.getByRole('region').filter({ has: other.locator(`a[href="/runs/${id}"]`) });
    await entry.getByLabel('Your answer').fill('100');
    await mine.getByLabel('Your answer').fill('half a thought');
    await entry.getByRole('button', { name: 'Send answer' }).click();
    assert.match(await answerOf(mine), /\b15\b/);
    assert.equal(await mine.getByLabel('Your answer').count(), 0, 'there is nothing to answer any more');
    await entry.waitFor({ state: 'detached' });
  },

  async 'an inspected reply shows the prompt as it was sent, its hash checked'({ open, api }) {
    const { id } = await api('/v1/runs', { task: SUM });
    const page = await open(`/runs/${id}`);
    await status(page, 'Complete');
    await page.getByRole('link', { name: 'Inspect event 2', exact: true }).first().click();
    const dialog = page.getByRole('dialog', { name: 'Event 2' });
    await dialog.getByRole('button', { name: 'Show the prompt' }).click();
    await dialog.getByText('These are the bytes that were sent').waitFor();
    await dialog.getByText('"instructions"', { exact: true }).waitFor();
    await dialog.getByRole('region', { name: 'Reply' }).getByText('sum_numbers').waitFor();
  },

  async 'the time tab draws what took time, and leads to its events'({ open, api }) {
    const { id } = await api('/v1/runs', { task: SUM });
    const page = await open(`/runs/${id}?view=time`);
    await status(page, 'Complete');
    const bars = page.getByRole('list', { name: 'What took time' });
    await bars.getByRole('link', { name: /^Turn 1\b.*Model/ }).click();
    await page.getByRole('dialog', { name: 'Event 2' }).waitFor();
    assert.ok((await bars.locator('[data-span=model]').count()) >= 4);
  },

  async 'a run is launched again, and its launch copied as a command'({ open, api, base, context }) {
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: base });
    const task = `What is ${ownNumber()} * 2?`;
    const { id } = await api('/v1/runs', { task });
    const page = await open(`/runs/${id}`);
    await status(page, 'Complete');
    await page.getByRole('button', { name: 'Copy launch as curl' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    assert.ok(command.startsWith(`curl -s '${base}/v1/runs'`) && command.includes(task), command);
    await page.getByRole('button', { name: 'Launch again' }).click();
    await page.waitForURL((url) => url.pathname.startsWith('/runs/') && !url.pathname.includes(id));
    assert.match(await answerOf(page), /\d/);
  },

  async 'chosen runs are cancelled together'({ open, api }) {
    const number = ownNumber();
    const tasks = [1, 2, 3].map((n) => `What is ${number + n} percent of my salary?`);
    for (const task of tasks) await api('/v1/runs', { task });
    const page = await open('/runs?status=waiting_human_input');
    for (const task of tasks) await page.getByLabel(`Choose ${task}`).check();
    const bar = page.getByRole('region', { name: 'Chosen runs' });
    await bar.getByText('3 runs chosen').waitFor();
    await bar.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Cancel them' }).click();
    await bar.getByText('3 cancelled').waitFor();
    for (const task of tasks) await page.getByLabel(`Choose ${task}`).waitFor({ state: 'detached' });
  },

  async 'a filter is kept under a name, across a reload'({ open }) {
    const page = await open('/runs?status=paused');
    await page.getByRole('button', { name: 'Save this view' }).click();
    await page.getByLabel('Its name').fill('Resting');
    await page.keyboard.press('Enter');
    await page.goto(new URL('/runs', page.url()).href);
    await page.getByRole('link', { name: 'Resting' }).click();
    await page.waitForURL(/status=paused/);
    await page.getByRole('button', { name: 'Forget the view Resting' }).click();
    assert.equal(await page.getByRole('link', { name: 'Resting' }).count(), 0);
  },

  async 'the system page says what each worker does, and lets a run out of quarantine'({ open, api }) {
    const { id } = await api('/v1/runs', LONG);
    const { id: poison } = await api('/v1/runs', { task: 'call abort', agent: 'saboteur' });
    const page = await open('/system');
    await page.locator(`ul[aria-label^="What w"] a[href="/runs/${id}"]`).waitFor();
    await page.getByRole('heading', { name: 'The last hour' }).waitFor();
    const apart = page.getByRole('listitem').filter({ has: page.locator(`a[href="/runs/${poison}"]`) });
    const release = apart.getByRole('button', { name: /^Release/ });
    await release.waitFor({ timeout: 40_000 });
    const { version } = await api(`/v1/runs/${poison}`);
    await release.click();
    await release.waitFor({ state: 'detached' });
    assert.ok((await api(`/v1/runs/${poison}`)).version > version);
    const story = await open(`/runs/${poison}`);
    await story
      .getByText(/^The run took worker .* down/)
      .first()
      .waitFor();
    for (const run of [id, poison]) await api(`/v1/runs/${run}/cancel`, {});
  },

  async 'agents say what they are told and may do, and which runs are theirs'({ open }) {
    const page = await open('/agents');
    const card = page.locator('section').filter({ hasText: 'Sleeps as often as it is told to' });
    await card.getByText('Digest').waitFor();
    await card.getByText('final_answer').waitFor();
    await card.getByRole('link', { name: 'Its runs' }).click();
    await page.waitForURL(/agent=patient/);
  },
};
