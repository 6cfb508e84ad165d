import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Frame, follow, type Link, RETRY_MS_MAX, SILENCE_MS } from './follow';

/** One answer of a server, whose stream the test writes. */
class Connection {
  readonly headers: Headers;
  readonly signal: AbortSignal;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly response: Response;

  constructor(init: RequestInit, status: number) {
    this.headers = new Headers(init.headers);
    this.signal = init.signal as AbortSignal;
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
    });
    this.signal.addEventListener('abort', () => this.break());
    this.response = new Response(status === 200 ? stream : null, { status });
  }

  send(text: string) {
    this.#controller.enqueue(new TextEncoder().encode(text));
  }

  close() {
    this.#controller.close();
  }

  break() {
    try {
      this.#controller.error(new TypeError('network error'));
    } catch {
      // It is over already.
    }
  }
}

let connections: Connection[];
let frames: Frame[];
let links: Link[];
/** What the server answers next; 0 is no answer at all. */
let statuses: number[];
let isOver: boolean;
let stop: () => void;

const phases = () => links.map((link) => link.phase);
const at = (index: number) => connections[index] as Connection;
/** Lets what is under way happen, and time pass. */
const pass = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

function begin(lastId: string | null = null) {
  stop = follow({
    url: '/events',
    lastId,
    onFrame: (frame) => frames.push(frame),
    onLink: (link) => links.push(link),
    isOver: () => isOver,
    random: () => 0.999,
    fetch: (async (_url: string, init: RequestInit) => {
      const status = statuses.shift() ?? 200;
      if (status === 0) throw new TypeError('refused');
      const connection = new Connection(init, status);
      connections.push(connection);
      return connection.response;
    }) as unknown as typeof fetch,
  });
}

beforeEach(() => {
  vi.useFakeTimers();
  [connections, frames, links, statuses, isOver] = [[], [], [], [], false];
});

afterEach(() => {
  stop();
  vi.useRealTimers();
});

describe('follow', () => {
  it('passes frames on in order, also where the network cuts them in pieces', async () => {
    begin();
    await pass();
    at(0).send('id: 1\nevent: launched\ndata: {"a"');
    at(0).send(':1}\n\nid: 2\nevent: paused\ndata: {}\n\n: still here\n\n');
    await pass();
    expect(frames).toEqual([
      { event: 'launched', data: '{"a":1}' },
      { event: 'paused', data: '{}' },
    ]);
    expect(phases()).toEqual(['connecting', 'live']);
    expect(at(0).headers.get('Last-Event-ID')).toBeNull();
  });

  it('asks for what it missed after the connection broke', async () => {
    begin();
    await pass();
    at(0).send('id: 7\nevent: paused\ndata: {}\n\n');
    at(0).send('event: run\ndata: {}\n\n');
    await pass();
    at(0).break();
    await pass();
    expect(phases().at(-1)).toBe('reconnecting');
    await pass(RETRY_MS_MAX);
    expect(at(1).headers.get('Last-Event-ID')).toBe('7');
    expect(phases().at(-1)).toBe('live');
  });

  it('begins after what is known already', async () => {
    begin('41');
    await pass();
    expect(at(0).headers.get('Last-Event-ID')).toBe('41');
  });

  it('keeps trying while the server is away, and is back within the longest pause', async () => {
    begin();
    await pass();
    statuses = Array(20).fill(0);
    at(0).break();
    await pass(60_000);
    statuses = [];
    await pass(RETRY_MS_MAX);
    expect(phases().at(-1)).toBe('live');
    // While it is away a reader is told since when, not again and again from anew.
    const since = links.flatMap((link) => (link.phase === 'reconnecting' ? [link.since_ms] : []));
    expect(new Set(since).size).toBe(1);
  });

  it('tries again after an answer that may pass, such as 503', async () => {
    statuses = [503, 429];
    begin();
    await pass(2 * RETRY_MS_MAX);
    expect(phases().at(-1)).toBe('live');
  });

  it('does not hammer a server that accepts and hangs up', async () => {
    begin();
    for (let turn = 0; turn < 100; turn += 1) {
      await pass(100);
      connections.at(-1)?.break();
    }
    // Ten seconds, at most one try per 1.5 s once the pauses have grown.
    expect(connections.length).toBeLessThan(13);
  });

  it('does not wait for ever for the first byte', async () => {
    begin();
    await pass(SILENCE_MS + RETRY_MS_MAX);
    expect(connections).toHaveLength(2);
  });

  it('takes silence for a lost connection', async () => {
    begin();
    await pass();
    at(0).send(': still here\n\n');
    await pass(SILENCE_MS - 1);
    expect(connections).toHaveLength(1);
    await pass(RETRY_MS_MAX + 1);
    expect(connections).toHaveLength(2);
  });

  it('ends when the server closes the stream of a run that is over', async () => {
    isOver = true;
    begin();
    await pass();
    at(0).send('id: 1\nevent: completed\ndata: {}\n\n');
    at(0).close();
    await pass(60_000);
    expect(phases()).toEqual(['connecting', 'live', 'ended']);
    expect(connections).toHaveLength(1);
  });

  it('gives up where the server refuses', async () => {
    statuses = [404];
    begin();
    await pass(60_000);
    expect(phases()).toEqual(['connecting', 'refused']);
    expect(connections).toHaveLength(1);
  });

  it('hangs up and says nothing more once it is stopped', async () => {
    begin();
    await pass();
    stop();
    const told = links.length;
    await pass(60_000);
    expect(at(0).signal.aborted).toBe(true);
    expect(links).toHaveLength(told);
    expect(connections).toHaveLength(1);
  });
});
