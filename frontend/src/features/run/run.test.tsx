import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import type { Run } from '@/api/types';
import { openPage } from '@/test/page';
import { problem, RUN, serve } from '@/test/server';

const PATH = `/runs/${RUN.id}`;
const EVENTS = `GET /v1${PATH}/events`;
const AT = RUN.created_at;

const launched = (task = RUN.task) => ({
  id: 1,
  at: AT,
  v: 1,
  type: 'launched',
  data: { agent: 'd', agent_name: 'calculator', task, max_steps: 10 },
});

/** A stream that stays open after these frames, unless it is told to break. */
function streamOf(frames: object[], run?: Run) {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start(it) {
      controller = it;
    },
  });
  const write = (text: string) => controller.enqueue(new TextEncoder().encode(text));
  const tell = (event: { id?: number; type?: string }) =>
    write(`id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  frames.forEach(tell);
  if (run) write(`event: run\ndata: ${JSON.stringify(run)}\n\n`);
  return {
    response: new Response(body, { headers: { 'content-type': 'text/event-stream' } }),
    tell,
    tellRun: (next: Run) => write(`event: run\ndata: ${JSON.stringify(next)}\n\n`),
    break: () => controller.error(new TypeError('network error')),
  };
}

describe('a run', () => {
  it('is told as it happens, and takes up again where it broke off', async () => {
    const first = streamOf([launched()], RUN);
    const second = streamOf([]);
    const streams = [first, second];
    const log = serve({
      [`GET /v1${PATH}`]: () => ({ body: RUN }),
      [EVENTS]: () => streams.shift()?.response ?? problem(503, 'gone', ''),
    });
    openPage(PATH);
    expect(await screen.findByText('Live')).toBeInTheDocument();
    expect(screen.getByRole('button', { name: 'Pause' })).toBeEnabled();
    expect(screen.getByRole('button', { name: 'Resume' })).toBeDisabled();

    first.tell({ id: 2, at: AT, v: 1, type: 'paused', data: {} } as never);
    first.break();
    expect(await screen.findByText('Reconnecting…')).toBeInTheDocument();

    expect(await screen.findByText('Live', {}, { timeout: 3_000 })).toBeInTheDocument();
    expect(
      log
        .filter((one) => one.path.endsWith('/events'))
        .at(-1)
        ?.headers.get('last-event-id'),
    ).toBe('2');
    second.tell({ id: 3, at: AT, v: 1, type: 'resumed', data: { max_steps: 10 } } as never);
    second.tell({ id: 4, at: AT, v: 1, type: 'completed', data: { answer: 'Two' } } as never);
    second.tellRun({ ...RUN, status: 'complete', final_answer: 'Two', version: 4, finished_at: AT });
    expect(await screen.findByTestId('answer')).toHaveTextContent('Two');
    expect(screen.getByRole('button', { name: 'Cancel' })).toBeDisabled();
    expect(screen.getAllByText('Resumed')).toHaveLength(1);
  });

  it('is not turned back by an answer that was under way', async () => {
    const done: Run = { ...RUN, status: 'complete', final_answer: 'Two', version: 9 };
    serve({
      [`GET /v1${PATH}`]: () => ({ body: RUN }),
      [EVENTS]: () => streamOf([launched()], done).response,
    });
    const { client } = openPage(PATH);
    expect(await screen.findByTestId('answer')).toHaveTextContent('Two');
    await client.refetchQueries({ queryKey: ['run', RUN.id] });
    expect(screen.getByTestId('answer')).toBeInTheDocument();
  });

  it('asks before it cancels, and says why a command was refused', async () => {
    serve({
      [`GET /v1${PATH}`]: () => ({ body: RUN }),
      [EVENTS]: () => streamOf([launched()]).response,
      [`POST /v1${PATH}/cancel`]: () =>
        problem(409, 'wrong-status', 'a run that is complete cannot be cancelled'),
    });
    openPage(PATH);
    await userEvent.click(await screen.findByRole('button', { name: 'Cancel' }));
    await userEvent.click(await screen.findByRole('button', { name: 'Cancel the run' }));
    expect(await screen.findByText('a run that is complete cannot be cancelled')).toBeInTheDocument();
  });

  it('shows the raw event that the URL names', async () => {
    serve({ [`GET /v1${PATH}`]: () => ({ body: RUN }), [EVENTS]: () => streamOf([launched()]).response });
    const { router } = openPage(`${PATH}?event=1`);
    const inspector = await screen.findByRole('dialog', { name: 'Event 1' });
    // The dialog is there before the story is; what is on its way is not called missing.
    expect(inspector).not.toHaveTextContent('has no event');
    expect(await within(inspector).findByText(/agent_name/)).toBeInTheDocument();
    await userEvent.click(screen.getByRole('button', { name: 'Close' }));
    await waitFor(() => expect(router.state.location.href).toBe(PATH));
  });

  it('says of an event that is not there yet that it is not', async () => {
    serve({ [`GET /v1${PATH}`]: () => ({ body: RUN }), [EVENTS]: () => streamOf([launched()]).response });
    openPage(`${PATH}?event=${RUN.version + 1}`);
    expect(await screen.findByText(`This run has no event ${RUN.version + 1} yet.`)).toBeInTheDocument();
  });

  it('draws of a long story only what is near the screen', async () => {
    const reply = { text: null, calls: [], notes: [], usage: {}, model: 'm', request: {}, attempt: 1 };
    const turns = Array.from({ length: 200 }, (_, index) => ({
      id: index + 2,
      at: AT,
      v: 1,
      type: 'model_replied',
      data: { ...reply, turn: index + 1 },
    }));
    const run = { ...RUN, version: 201 };
    serve({
      [`GET /v1${PATH}`]: () => ({ body: run }),
      [EVENTS]: () => streamOf([launched(), ...turns]).response,
    });
    openPage(PATH);
    expect(await screen.findByText('Turn 1')).toBeInTheDocument();
    expect(screen.queryByText('Turn 200')).toBeNull();
    const [entry] = document.querySelectorAll('[aria-setsize]');
    expect(entry).toHaveAttribute('aria-setsize', '200');
  });

  it('shows that Piton asks and why, where the run is stuck', async () => {
    const text = 'This run seems to be stuck: tool calls failed 4 times in a row. The last one was fly.';
    const own = { id: 'q-1', call_id: 'call_q', name: 'ask_human', arguments: '{}', kind: 'ask_human' };
    const question = {
      id: 'q-1',
      kind: 'question' as const,
      text,
      stuck: 'tool_errors' as const,
      call: null,
      started: null,
      still_acting: null,
    };
    const waiting: Run = { ...RUN, status: 'waiting_human_input', question };
    const told = [
      launched(),
      { id: 2, at: AT, v: 2, type: 'stuck', data: { call: own, reason: 'tool_errors', times: 4 } },
      { id: 3, at: AT, v: 2, type: 'human_asked', data: { call: 'q-1', question: text } },
    ];
    serve({
      [`GET /v1${PATH}`]: () => ({ body: waiting }),
      [EVENTS]: () => streamOf(told, waiting).response,
    });
    openPage(PATH);
    const story = (await screen.findByText('Piton asks')).closest('li') as HTMLElement;
    expect(within(story).getByText(/tool calls failed 4 times in a row$/)).toBeInTheDocument();
    expect(within(story).getByText(text)).toBeInTheDocument();
    expect(within(story).getByRole('img', { name: 'Waits for an answer' })).toBeInTheDocument();
    expect(await screen.findByText('Piton asks: the run seems to be stuck')).toBeInTheDocument();
  });

  it('shows the whole of a long output when asked, as text', async () => {
    const whole = `<img src=x onerror="globalThis.pwned = true">${'x'.repeat(300)} the end`;
    const call = { id: 'c-1', call_id: 'c', name: 'fetch', arguments: '{}', kind: { tool: 'pure' } };
    const reply = {
      turn: 1,
      text: null,
      calls: [call],
      notes: [],
      usage: {},
      model: 'm',
      request: {},
      attempt: 1,
    };
    const cut = '<img … [cut: 5 of 70000 bytes shown]';
    const end = { call: 'c-1', result: cut, took_ms: 1, attempt: 1, full_bytes: 70_000 };
    const history = [
      launched(),
      { id: 2, at: AT, v: 2, type: 'model_replied', data: reply },
      { id: 3, at: AT, v: 2, type: 'tool_returned', data: end },
    ];
    let answers = 0;
    const log = serve({
      [`GET /v1${PATH}`]: () => ({ body: RUN }),
      [EVENTS]: () => streamOf(history).response,
      [`GET /v1${PATH}/calls/c-1/output`]: () => {
        answers += 1;
        return answers === 1
          ? problem(404, 'output-not-found', 'Nothing is kept of this call')
          : new Response(whole, { headers: { 'content-type': 'text/plain; charset=utf-8' } });
      },
    });
    openPage(PATH);
    const button = await screen.findByRole('button', { name: 'Show all 70 kB' });
    expect(log.some((one) => one.path.endsWith('/output'))).toBe(false);
    await userEvent.click(button);
    await userEvent.click(await screen.findByRole('button', { name: 'Try again' }));
    const shown = await screen.findByRole('region', { name: 'The whole output' });
    expect(shown).toHaveTextContent(whole);
    expect(shown.querySelector('img')).toBeNull();
    expect('pwned' in globalThis).toBe(false);
  });

  const lostAt = (epoch: number, over: object = {}) => ({
    worker: `w-${epoch}`,
    epoch,
    attempt: epoch,
    version: 1,
    at: AT,
    how: 'signal 6 (SIGABRT)',
    blamed: true,
    ...over,
  });
  const LOST = `GET /v1${PATH}/lost-attempts`;

  it('tells of attempts that ended with their worker, in their place', async () => {
    const lost_attempts = [lostAt(1, { how: 'signal 9 (SIGKILL)', blamed: false })];
    serve({
      [`GET /v1${PATH}`]: () => ({ body: { ...RUN, epoch: 2 } }),
      [EVENTS]: () => streamOf([launched(), { id: 2, at: AT, v: 1, type: 'paused', data: {} }]).response,
      [LOST]: () => ({ body: { lost_attempts } }),
    });
    openPage(PATH);
    const line = (await screen.findByText(/^Worker .* vanished/)).closest('li') as HTMLElement;
    expect(line).toHaveTextContent(/^Worker w-1 vanished after .* \(signal 9 \(SIGKILL\)\); w-1 went on/);
    expect(line.nextElementSibling).toHaveTextContent('Paused');
  });

  it('names in quarantine what it did to its workers, and how it is let go', async () => {
    const error = 'it took its worker down 3 times in a row';
    const run: Run = { ...RUN, status: 'quarantined', error, owner: null, epoch: 4 };
    const innocent = lostAt(4, { blamed: false, how: 'its lease lapsed' });
    serve({
      [`GET /v1${PATH}`]: () => ({ body: run }),
      [EVENTS]: () => streamOf([launched()]).response,
      [LOST]: () => ({ body: { lost_attempts: [lostAt(1), lostAt(2), lostAt(3), innocent] } }),
    });
    openPage(PATH);
    const panel = await screen.findByRole('region', { name: 'In quarantine' });
    expect(panel).toHaveTextContent(error);
    expect(await within(panel).findAllByText(/signal 6 \(SIGABRT\): worker/)).toHaveLength(3);
    expect(panel).not.toHaveTextContent('its lease lapsed');
    expect(panel).toHaveTextContent('Release');
    expect(screen.getByRole('button', { name: 'Release' })).toBeEnabled();
  });

  it('says so when there is no such run', async () => {
    serve({});
    openPage('/runs/0197f2c4-0000-7000-8000-000000000000');
    expect(await screen.findByText('There is no such run')).toBeInTheDocument();
  });

  it('tells the reader when somebody else answered its question first', async () => {
    const question = {
      id: 'q-1',
      kind: 'question' as const,
      text: 'How many?',
      stuck: null,
      call: null,
      started: null,
      still_acting: null,
    };
    const waiting: Run = { ...RUN, status: 'waiting_human_input', question };
    // What the page knows of the run is still the state from before.
    serve({
      [`GET /v1${PATH}`]: () => ({ body: waiting }),
      [EVENTS]: () => streamOf([launched()]).response,
      [`POST /v1${PATH}/answer`]: () =>
        problem(409, 'not-waiting', 'the run is running and waits for no answer'),
    });
    openPage(PATH);
    await userEvent.type(await screen.findByLabelText('Your answer'), 'Two{Enter}');
    expect(await screen.findByText('Somebody else was first')).toBeInTheDocument();
    await waitFor(() => expect(screen.queryByLabelText('Your answer')).toBeNull());
    expect(screen.getByText('Two')).toBeInTheDocument();
  });
});

describe('hostile text', () => {
  const PAYLOADS = [
    '<script>globalThis.pwned = true</script>',
    '<img src="http://evil.example/x.png" onerror="globalThis.pwned = true">',
    '<svg><script href="data:text/javascript,globalThis.pwned=true"/></svg>',
    '[click](javascript:globalThis.pwned=true) ![x](http://evil.example/y.png)',
    '<a href="javascript:alert(1)">x</a><iframe srcdoc="<p>"></iframe>',
    '"><style>*{display:none}</style>',
    'x\u202egnp.exe\u001b[31m\u0000',
  ];

  it.each(PAYLOADS)('is shown, never run: %s', async (payload) => {
    const call = {
      id: 'c',
      call_id: 'c',
      name: payload,
      arguments: JSON.stringify({ [payload]: payload }),
      kind: 'missing',
    };
    const reply = {
      turn: 1,
      text: payload,
      calls: [call],
      notes: [payload],
      usage: {},
      model: payload,
      request: {},
      attempt: 1,
    };
    const history = [
      launched(payload),
      { id: 2, at: AT, v: 1, type: 'model_replied', data: reply },
      {
        id: 3,
        at: AT,
        v: 1,
        type: 'tool_failed',
        data: { call: 'c', error: payload, took_ms: 1, attempt: 1 },
      },
      { id: 4, at: AT, v: 1, type: 'failed', data: { error: payload } },
    ];
    const run: Run = {
      ...RUN,
      task: payload,
      status: 'failed',
      error: payload,
      version: 4,
      labels: { [payload]: payload },
    };
    serve({ [`GET /v1${PATH}`]: () => ({ body: run }), [EVENTS]: () => streamOf(history).response });
    const { container } = openPage(PATH);
    await screen.findByText('Turn 1');
    for (const forbidden of [
      'script',
      'img',
      'iframe',
      'style',
      'object',
      'a[href^="javascript"]',
      // What goes elsewhere says where, and tells that place nothing.
      'a[href*="evil"]:not([rel~="noreferrer"][rel~="noopener"][target="_blank"])',
    ]) {
      expect(container.querySelector(forbidden)).toBeNull();
    }
    expect('pwned' in globalThis).toBe(false);
    for (const hidden of ['\u202e', '\u001b', '\u0000']) expect(container.textContent).not.toContain(hidden);
  });
});
