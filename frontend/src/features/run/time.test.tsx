import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, it } from 'vitest';
import { call, eventsSince } from '@/test/events';
import { openPage } from '@/test/page';
import { RUN, serve } from '@/test/server';
import type { RunEvent } from './api/events';

const PATH = `/runs/${RUN.id}`;
const { at, event, launched, replied } = eventsSince(RUN.created_at);

/** The Time tab of a run with these events that ended after `ms`. */
function openTime(events: RunEvent[], ms: number) {
  const run = { ...RUN, version: events.length, updated_at: at(ms), finished_at: at(ms) };
  const frames = events.map((one) => {
    return `id: ${one.id}\nevent: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`;
  });
  serve({
    [`GET /v1${PATH}`]: () => ({ body: run }),
    [`GET /v1${PATH}/events`]: () =>
      new Response(frames.join(''), { headers: { 'content-type': 'text/event-stream' } }),
  });
  return openPage(`${PATH}?view=time`);
}

const STORY = [
  launched,
  replied(2, 100, 1, 80, [call('c1', 'sum\u202emus')]),
  event(3, 130, 'tool_returned', { call: 'c1', result: 1, took_ms: 20, attempt: 1 }),
  replied(4, 200, 2, 50, [call('c2', 'ask_human', 'ask_human')]),
  event(5, 210, 'human_asked', { call: 'c2', question: '?' }),
  event(6, 3_600_000, 'human_answered', { call: 'c2', answer: '!' }),
];

it('draws a bar for each thing that took time, with its kind and length in words', async () => {
  openTime(STORY, 3_600_000);
  const list = await screen.findByRole('list', { name: 'What took time' });
  const rows = await within(list).findAllByRole('link');
  expect(rows.map((row) => row.textContent)).toEqual([
    'Turn 1Model80 ms',
    'sum‹U+202E›musTool20 ms',
    'Turn 2Model50 ms',
    'Waits for an answerWaiting for a human59 min 59 s',
  ]);
  const bars = [...list.querySelectorAll<HTMLElement>('[data-span] [style]')];
  const [first, , , last] = bars.map(({ style }) => Number.parseFloat(style.left));
  expect(first).toBeLessThan(last ?? 0);
});

it('sums up each kind, and says that the long wait is drawn short', async () => {
  openTime(STORY, 3_600_000);
  const model = (await screen.findByText('Model', { selector: 'li' })).textContent;
  expect(model).toBe('Model 130 ms');
  expect(
    screen.getByText(/nothing was computed, drawn short \(the longest 59 min 59 s\)/),
  ).toBeInTheDocument();
});

it('leads to the event of a bar without leaving the tab, and leaves a new window to the browser', async () => {
  const { router } = openTime(STORY, 3_600_000);
  const row = await screen.findByRole('link', { name: /^Turn 1/ });
  expect(row).toHaveAttribute('href', '?view=time&event=2');
  // What is not prevented the browser does itself.
  expect(fireEvent.click(row, { ctrlKey: true })).toBe(true);
  expect(router.state.location.searchStr).toBe('?view=time');
  await userEvent.click(row);
  expect(await screen.findByRole('dialog', { name: 'Event 2' })).toBeInTheDocument();
  await waitFor(() => expect(router.state.location.searchStr).toBe('?view=time&event=2'));
});

it('says so where nothing has taken time yet', async () => {
  openTime([launched], 10);
  expect(await screen.findByText('Nothing has taken time yet')).toBeInTheDocument();
});
