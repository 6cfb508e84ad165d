import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, it } from 'vitest';
import type { InboxItem, Run } from '@/api/types';
import { openPage } from '@/test/page';
import { problem, RUN, serve } from '@/test/server';

const QUESTION = {
  id: '5f0a1b2c-0000-5000-8000-000000000001',
  kind: 'question' as const,
  text: 'Which account?',
  stuck: null,
  call: null,
  started: null,
  still_acting: null,
};
const UNKNOWN = {
  ...QUESTION,
  kind: 'unknown_outcome' as const,
  text: 'worker w-1 began book and its result was never recorded',
  call: { id: QUESTION.id, call_id: 'call_1', name: 'book', arguments: '{"amount":120}' },
  started: { worker: 'w-1', epoch: 2, attempt: 1, at: RUN.created_at },
};

const itemOf = (question: InboxItem['question'], over: Partial<InboxItem> = {}): InboxItem => ({
  run_id: RUN.id,
  agent: 'clerk',
  task: 'Book it',
  question,
  asked_at: RUN.created_at,
  ...over,
});

const ANSWER = `POST /v1/runs/${RUN.id}/answer`;

/** An inbox whose answers `reply` gives; the item is gone once any was sent. */
function inboxWith(question: InboxItem['question'], reply: () => { status?: number; body?: unknown }) {
  let items = [itemOf(question)];
  return serve({
    'GET /v1/inbox': () => ({ body: { items } }),
    [ANSWER]: () => {
      items = [];
      return reply();
    },
  });
}

it('sends an answer with the id of its question', async () => {
  const asked = inboxWith(QUESTION, () => ({ body: { ...RUN, version: 4 } satisfies Run }));
  openPage('/inbox');
  await userEvent.type(await screen.findByLabelText('Your answer'), '4400{Enter}');
  expect(await screen.findByText('Sent: the run goes on')).toBeInTheDocument();
  expect(asked.find((one) => one.method === 'POST')?.body).toEqual({ question: QUESTION.id, answer: '4400' });
  expect(await screen.findByText('Nothing waits for you')).toBeInTheDocument();
});

it('says that Piton asks and not the model, where the run is stuck', async () => {
  const text = 'This run seems to be stuck: tool calls failed 4 times in a row. The last one was fly.';
  inboxWith({ ...QUESTION, text, stuck: 'tool_errors' }, () => ({ body: RUN }));
  openPage('/inbox');
  expect(await screen.findByText('Piton asks: the run seems to be stuck')).toBeInTheDocument();
  expect(screen.getByText(text)).toBeInTheDocument();
  expect(screen.queryByText('It asks')).toBeNull();
});

it('says kindly that somebody else was first, and keeps what was written', async () => {
  inboxWith(QUESTION, () => problem(409, 'not-waiting', 'the run is running and waits for no answer'));
  openPage('/inbox');
  await userEvent.type(await screen.findByLabelText('Your answer'), 'my long thought');
  await userEvent.click(screen.getByRole('button', { name: 'Send answer' }));
  const notice = (await screen.findByText('Somebody else was first')).closest('section') as HTMLElement;
  expect(within(notice).getByText('my long thought')).toBeInTheDocument();
  expect(screen.queryByRole('alert')).toBeNull();
});

it('keeps the form and says why when sending fails', async () => {
  serve({
    'GET /v1/inbox': () => ({ body: { items: [itemOf(QUESTION)] } }),
    [ANSWER]: () => problem(503, 'store-unavailable', 'The disk is full'),
  });
  openPage('/inbox');
  await userEvent.type(await screen.findByLabelText('Your answer'), '4400{Enter}');
  expect(await screen.findByText('The disk is full')).toBeInTheDocument();
  expect(screen.getByLabelText('Your answer')).toHaveValue('4400');
});

it('does not send the Enter that ends a composed character, nor a blank answer', async () => {
  const asked = inboxWith(QUESTION, () => ({ body: RUN }));
  openPage('/inbox');
  const field = await screen.findByLabelText('Your answer');
  await userEvent.type(field, '   {Enter}');
  field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true }));
  expect(asked.some((one) => one.method === 'POST')).toBe(false);
});

it.each([
  ['It happened', '{{"entry": 7}', { decision: 'happened', result: { entry: 7 } }],
  ['It happened', 'booked', { decision: 'happened', result: 'booked' }],
  ['It happened', '', { decision: 'happened', result: null }],
  ['It did not happen', '', { decision: 'did_not_happen' }],
  ['Give the run up', '', { decision: 'abort' }],
])('decides an unknown outcome: %s %s', async (choice, result, decision) => {
  const asked = inboxWith(UNKNOWN, () => ({ body: RUN }));
  openPage('/inbox');
  expect(await screen.findByText('book')).toBeInTheDocument();
  expect(screen.getByRole('button', { name: 'Decide' })).toBeDisabled();
  await userEvent.click(screen.getByRole('radio', { name: new RegExp(choice) }));
  if (result !== '') await userEvent.type(screen.getByLabelText('Its result'), result);
  await userEvent.click(screen.getByRole('button', { name: 'Decide' }));
  await waitFor(() =>
    expect(asked.find((one) => one.method === 'POST')?.body).toEqual({ question: UNKNOWN.id, ...decision }),
  );
});

it('says who began the call, and what else there is to know', async () => {
  inboxWith(UNKNOWN, () => ({ body: RUN }));
  openPage('/inbox');
  const form = (await screen.findByText('book')).closest('form') as HTMLElement;
  for (const text of ['w-1', '1, under epoch 2', UNKNOWN.id, UNKNOWN.text]) {
    expect(within(form).getByText(text)).toBeInTheDocument();
  }
  expect(form).toHaveTextContent('"amount"');
  expect(
    within(form)
      .getAllByRole('radio')
      .every((choice) => !choice.hasAttribute('disabled')),
  ).toBe(true);
});

it('does not offer to make the call again while its worker is there, and says why', async () => {
  inboxWith({ ...UNKNOWN, still_acting: 'w-1' }, () => ({ body: RUN }));
  openPage('/inbox');
  expect(await screen.findByText(/its process is still there/)).toBeInTheDocument();
  expect(screen.getByRole('radio', { name: /It did not happen/ })).toBeDisabled();
  await userEvent.click(screen.getByRole('radio', { name: /It happened/ }));
  expect(screen.getByRole('button', { name: 'Decide' })).toBeEnabled();
});

it('does not take a refusal to make the call again for somebody else’s answer', async () => {
  serve({
    'GET /v1/inbox': () => ({ body: { items: [itemOf(UNKNOWN)] } }),
    [ANSWER]: () => problem(409, 'still-acting', 'worker w-1 is still there and may yet make this call'),
  });
  openPage('/inbox');
  await userEvent.click(await screen.findByRole('radio', { name: /It did not happen/ }));
  await userEvent.click(screen.getByRole('button', { name: 'Decide' }));
  expect(await screen.findByText(/may yet make this call/)).toBeInTheDocument();
  expect(screen.queryByText('Somebody else was first')).toBeNull();
});

it('lists the longest waiting first, and counts them in navigation and title', async () => {
  serve({
    'GET /v1/inbox': () => ({
      body: {
        items: [
          itemOf({ ...QUESTION, id: 'b', text: 'Younger' }, { asked_at: '2026-01-02T00:00:00.000Z' }),
          itemOf({ ...QUESTION, id: 'a', text: 'Older' }, { asked_at: '2026-01-01T00:00:00.000Z' }),
        ],
      },
    }),
  });
  openPage('/inbox');
  await screen.findByText('Older');
  const order = screen.getAllByText(/^(Older|Younger)$/).map((one) => one.textContent);
  expect(order).toEqual(['Older', 'Younger']);
  expect(screen.getByLabelText('2 waiting')).toBeInTheDocument();
});

it('shows the longest waiting first, or what is most urgent, as the URL says', async () => {
  const at = (minute: number, text: string, question: InboxItem['question']) =>
    itemOf({ ...question, id: text, text }, { asked_at: `2026-01-01T10:0${minute}:00.000Z` });
  const items = [
    at(2, 'stuck', { ...QUESTION, stuck: 'tool_errors' }),
    at(3, 'unknown', UNKNOWN),
    at(1, 'second question', QUESTION),
    at(0, 'first question', QUESTION),
  ];
  serve({ 'GET /v1/inbox': () => ({ body: { items } }) });
  const { router } = openPage('/inbox');
  const shown = () =>
    screen.getAllByText(/^(stuck|unknown|(first|second) question)$/).map((one) => one.textContent);
  await screen.findByText('stuck');
  expect(shown()).toEqual(['first question', 'second question', 'stuck', 'unknown']);
  await userEvent.click(screen.getByRole('link', { name: 'Most urgent first' }));
  await waitFor(() => expect(shown()).toEqual(['unknown', 'stuck', 'first question', 'second question']));
  expect(router.state.location.searchStr).toBe('?order=urgent');
  await userEvent.click(screen.getByRole('link', { name: 'Oldest first' }));
  await waitFor(() => expect(shown()[0]).toBe('first question'));
  expect(router.state.location.searchStr).toBe('');
});
