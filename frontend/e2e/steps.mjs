// What tests have in common: steps of a person, and what is looked for.
import assert from 'node:assert/strict';

export const SUM = 'what is (17+5)*3 / 4?';
export const ASKS = 'What is 15 percent of my salary?';
/** Long enough a run to be paused in the middle: one call a turn. */
export const LONG = { task: 'call sleep 100 times with ms=200', agent: 'patient', max_steps: 1000 };

/** A number that no other test asks about. */
export const ownNumber = () => 1_000 + Math.floor(Math.random() * 1_000_000);
export const launchField = (page) => page.getByLabel('What shall the agent do?');
export const status = (page, text) =>
  page.locator('header [data-status]').filter({ hasText: text }).waitFor();
export const refusedByTest = (text) => /Failed to load resource|net::ERR/.test(text);

export async function launch(page, task) {
  await launchField(page).fill(task);
  await page.getByRole('button', { name: 'Launch', exact: true }).click();
  await page.waitForURL(/\/runs\/[0-9a-f-]{36}/);
}

export async function answerOf(page) {
  await status(page, 'Complete');
  return page.getByTestId('answer').innerText();
}

/** Goes on with Tab until `locator` has the focus. */
export async function tabTo(page, locator) {
  await locator.waitFor();
  for (let press = 0; press < 250; press += 1) {
    if (await locator.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`Tab does not get to ${locator}`);
}
