// Each flow by keyboard alone: nothing here uses a pointer.
import assert from 'node:assert/strict';
import { openLedger } from './ledger.mjs';
import { ownServer } from './restarts.mjs';
import { ASKS, answerOf, LONG, ownNumber, SUM, status, tabTo } from './steps.mjs';

export const KEYBOARD = {
  async 'by keyboard: launch, read, inspect, launch again'({ open }) {
    const page = await open('/');
    await page.locator('textarea:focus').waitFor();
    await page.keyboard.type(SUM);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/runs\/./);
    assert.match(await answerOf(page), /16\.5/);
    await tabTo(page, page.getByRole('link', { name: 'Time', exact: true }));
    await page.keyboard.press('Enter');
    await tabTo(page, page.getByRole('link', { name: /^Turn 1\b.*Model/ }));
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Event 2' });
    await dialog.waitFor();
    await tabTo(page, dialog.getByRole('button', { name: 'Show the prompt' }));
    await page.keyboard.press('Enter');
    await dialog.getByText('These are the bytes that were sent').waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    const before = page.url();
    await tabTo(page, page.getByRole('button', { name: 'Launch again' }));
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.href !== before && !url.search);
    assert.match(await answerOf(page), /16\.5/);
  },

  async 'by keyboard: a question is answered in the inbox'({ open, api }) {
    const { id } = await api('/v1/runs', { task: ASKS });
    const page = await open('/inbox');
    const entry = page.getByRole('region').filter({ has: page.locator(`a[href="/runs/${id}"]`) });
    await tabTo(page, entry.locator('textarea'));
    await page.keyboard.type('200');
    await page.keyboard.press('Enter');
    await page.getByText('Sent: the run goes on').waitFor();
    await entry.waitFor({ state: 'detached' });
    await tabTo(page, page.locator(`a[href="/runs/${id}"]`));
    await page.keyboard.press('Enter');
    assert.match(await answerOf(page), /\b30\b/);
  },

  async 'by keyboard: j and k go from question to question'({ open, api }) {
    for (const task of [ASKS, ASKS]) await api('/v1/runs', { task });
    const page = await open('/inbox');
    await page.locator('main [data-stop]').nth(1).waitFor();
    const focused = () =>
      page.evaluate(() => [...document.querySelectorAll('main [data-stop]')].indexOf(document.activeElement));
    await page.keyboard.press('j');
    assert.equal(await focused(), 0);
    await page.keyboard.press('j');
    assert.equal(await page.locator('main [data-stop]').first().inputValue(), 'j', 'what is typed is typed');
  },

  async 'by keyboard: pause, resume, cancel'({ open, api }) {
    const { id } = await api('/v1/runs', LONG);
    const page = await open(`/runs/${id}`);
    await tabTo(page, page.getByRole('button', { name: 'Pause', exact: true }));
    await page.keyboard.press('Enter');
    await status(page, 'Paused');
    await tabTo(page, page.getByRole('button', { name: 'Resume', exact: true }));
    await page.keyboard.press('Space');
    await status(page, 'Running');
    await tabTo(page, page.getByRole('button', { name: 'Cancel', exact: true }));
    await page.keyboard.press('Enter');
    await tabTo(page, page.getByRole('button', { name: 'Cancel the run' }));
    await page.keyboard.press('Enter');
    await status(page, 'Cancelled');
  },

  async 'by keyboard: runs are found, chosen, cancelled, opened'({ open, api }) {
    const task = `What is ${ownNumber()} percent of my salary?`;
    const { id } = await api('/v1/runs', { task });
    const page = await open('/');
    await page.getByRole('link', { name: task }).waitFor();
    await tabTo(page, page.getByRole('link', { name: 'All runs' }));
    await page.keyboard.press('g');
    await page.keyboard.press('r');
    await page.waitForURL(/\/runs$/);
    await page.getByRole('row').nth(1).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type(task.slice(0, 16));
    await page.waitForURL(/q=/);
    await tabTo(page, page.getByLabel(`Choose ${task}`));
    await page.keyboard.press('Space');
    const bar = page.getByRole('region', { name: 'Chosen runs' });
    await tabTo(page, bar.getByRole('button', { name: 'Cancel' }));
    await page.keyboard.press('Enter');
    await tabTo(page, page.getByRole('button', { name: 'Cancel them' }));
    await page.keyboard.press('Enter');
    await bar.getByText('1 cancelled').waitFor();
    await tabTo(page, page.getByRole('link', { name: task }));
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/runs/${id}`);
    await status(page, 'Cancelled');
  },

  async 'by keyboard: a view is saved, gone to and forgotten'({ open }) {
    const page = await open('/runs');
    await tabTo(page, page.getByRole('link', { name: 'In trouble' }));
    await page.keyboard.press('Enter');
    await page.waitForURL(/status=/);
    const { search } = new URL(page.url());
    await tabTo(page, page.getByRole('button', { name: 'Save this view' }));
    await page.keyboard.press('Enter');
    await page.getByLabel('Its name').and(page.locator(':focus')).waitFor();
    await page.keyboard.type('Sick bay');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.keyboard.press('g');
    await page.keyboard.press('r');
    await page.waitForURL((url) => url.search === '');
    await tabTo(page, page.getByRole('link', { name: 'Sick bay' }));
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.search === search);
    await tabTo(page, page.getByRole('button', { name: 'Forget the view Sick bay' }));
    await page.keyboard.press('Space');
    await page.getByRole('link', { name: 'Sick bay' }).waitFor({ state: 'detached' });
    await page.reload();
    await page.getByRole('button', { name: 'Save this view' }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'Sick bay' }).count(), 0, 'it is forgotten for good');
  },

  async 'by keyboard: a run is let out of quarantine'({ open, api }) {
    const { id } = await api('/v1/runs', { task: 'call abort', agent: 'saboteur' });
    const page = await open('/system');
    const apart = page.getByRole('listitem').filter({ has: page.locator(`a[href="/runs/${id}"]`) });
    const release = apart.getByRole('button', { name: 'Release call abort' });
    await release.waitFor({ timeout: 40_000 });
    const { version } = await api(`/v1/runs/${id}`);
    await tabTo(page, release);
    await page.keyboard.press('Enter');
    await release.waitFor({ state: 'detached' });
    assert.ok((await api(`/v1/runs/${id}`)).version > version);
    await api(`/v1/runs/${id}/cancel`, {});
  },

  async 'by keyboard: unknown outcomes are decided in the inbox, each in its way'({ open }) {
    // Its calls are under way when everything is killed, so nobody knows what came of them.
    const ledger = await openLedger(() => null);
    const server = await ownServer({ agents: { clerk: clerk(ledger.url) } });
    try {
      const launch = (amount) =>
        server.api('/v1/runs', { task: `call book with amount=${amount}`, agent: 'clerk' });
      const [happened, didNot, abort] = await Promise.all([launch(1), launch(2), launch(3)]);
      await ledger.took(3);
      await server.kill();
      ledger.answer = () => ({ booked: true });
      await server.start();
      const page = await open(`${server.url}/inbox`);
      for (const [{ id }, places, result] of [
        [happened, 0, '{"booked": "by hand"}'],
        [didNot, 1],
        [abort, 2],
      ]) {
        const entry = page.getByRole('region').filter({ has: page.locator(`a[href="/runs/${id}"]`) });
        await entry.getByRole('radio', { name: /^It did not happen/, disabled: false }).waitFor();
        await tabTo(page, entry.getByRole('radio', { name: /^It happened/ }));
        await page.keyboard.press('Space');
        for (let place = 0; place < places; place += 1) await page.keyboard.press('ArrowDown');
        if (result) {
          await tabTo(page, entry.getByLabel('Its result'));
          await page.keyboard.type(result);
        }
        await tabTo(page, entry.getByRole('button', { name: 'Decide' }));
        await page.keyboard.press('Enter');
        await entry.waitFor({ state: 'detached' });
      }
      await page.getByText('Nothing waits for you').waitFor();
      for (const [{ id }, word] of [
        [happened, 'Complete'],
        [didNot, 'Complete'],
        [abort, 'Cancelled'],
      ]) {
        await page.goto(`${server.url}/runs/${id}`);
        await status(page, word);
      }
      const amounts = ledger.calls.map((call) => call.arguments.amount);
      assert.deepEqual(amounts.sort(), [1, 2, 2, 3], 'only what did not happen was called again');
      const keys = ledger.calls.filter((call) => call.arguments.amount === 2).map(({ key }) => key);
      assert.equal(keys[0], keys[1], 'under the same key');
    } finally {
      await server.close();
      ledger.close();
    }
  },

  async 'by keyboard: the palette goes to pages and runs, and changes the theme'({ open, api }) {
    const task = `What is ${ownNumber()} + 1?`;
    const { id } = await api('/v1/runs', { task });
    const page = await open('/agents');
    await page.getByRole('heading', { name: 'Agents' }).waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Command' }).waitFor();
    await page.keyboard.type('dark');
    await page.getByRole('option', { name: /Dark theme/ }).waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowUp');
    await page.getByRole('option', { name: /Dark theme/, selected: true }).waitFor();
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
    await page.keyboard.press('Control+k');
    await page.keyboard.type(task);
    await page.getByRole('option', { name: task }).first().waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/runs/${id}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Escape');
    await page.evaluate(() => localStorage.removeItem('piton.theme'));
  },
};

/** An agent whose one tool books an amount at `url`, at most once. */
const clerk = (url) => `name = "clerk"
description = "Books entries"
instructions = "Book each amount that you are told."
tools = ["final_answer"]

[[http_tool]]
name = "book"
description = "Books one entry"
url = "${url}"
effect = "at_most_once"
allow_private = true
parameters = { type = "object", properties = { amount = { type = "number" } }, required = ["amount"] }
`;
