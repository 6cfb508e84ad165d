// Each flow by keyboard alone: nothing here uses a pointer.
import assert from 'node:assert/strict';
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
