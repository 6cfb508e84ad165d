/**
 * Follows a server-sent event stream through whatever happens to the connection: it asks again after the last event it
 * saw, backs off with jitter, notices silence, and says all along how it stands. It knows nothing of runs.
 */
import { EventSourceParserStream } from 'eventsource-parser/stream';

export interface Frame {
  event: string;
  data: string;
}

export type Link =
  | { phase: 'connecting' }
  | { phase: 'live' }
  /** The connection is lost and is being tried again; `since_ms` is when it was lost. */
  | { phase: 'reconnecting'; since_ms: number }
  /** Nothing more will come. */
  | { phase: 'ended' }
  /** The server refuses: trying again would not help. */
  | { phase: 'refused'; response: Response };

export interface FollowOptions {
  url: string;
  /** The last event that is known already. */
  lastId?: string | null;
  onFrame: (frame: Frame) => void;
  onLink: (link: Link) => void;
  /** Asked when the server closes the stream: whether that was the end of it. */
  isOver: () => boolean;
  fetch?: typeof fetch;
  /** In [0, 1). */
  random?: () => number;
}

/** The first pause before trying again, and the longest. A server that is back is noticed within the longest. */
export const RETRY_MS = 200;
export const RETRY_MS_MAX = 1_500;
/** Longer without a byte, keep-alives included, and the connection counts as lost. */
export const SILENCE_MS = 45_000;

/** Begins following at once. The returned function stops it for good. */
export function follow(options: FollowOptions): () => void {
  const stopped = new AbortController();
  void run(options, stopped.signal);
  return () => stopped.abort();
}

interface Seen {
  lastId: string | null;
  /** Whether this connection brought a single byte. */
  anything: boolean;
}

async function run(options: FollowOptions, stop: AbortSignal): Promise<void> {
  const { onLink, isOver, random = Math.random } = options;
  const seen: Seen = { lastId: options.lastId ?? null, anything: false };
  let failures = 0;
  let lost_ms: number | null = null;
  const live = () => {
    lost_ms = null;
    onLink({ phase: 'live' });
  };
  onLink({ phase: 'connecting' });
  while (!stop.aborted) {
    seen.anything = false;
    const refusal = await connectOnce(options, seen, live, stop);
    if (stop.aborted) return;
    if (refusal) return onLink({ phase: 'refused', response: refusal });
    if (seen.anything && isOver()) return onLink({ phase: 'ended' });
    // A server that accepts and hangs up at once is failing too: only what it said resets the pause.
    failures = seen.anything ? 0 : failures + 1;
    lost_ms ??= Date.now();
    onLink({ phase: 'reconnecting', since_ms: lost_ms });
    const pause_ms = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(failures, 8));
    await rest(pause_ms * (0.5 + random() / 2), stop);
  }
}

/** One connection, from request to end. Resolves to the response where the server refuses, else to undefined. */
async function connectOnce(
  options: FollowOptions,
  seen: Seen,
  live: () => void,
  stop: AbortSignal,
): Promise<Response | undefined> {
  const gone = new AbortController();
  const hangUp = () => gone.abort();
  stop.addEventListener('abort', hangUp);
  let watchdog = setTimeout(hangUp, SILENCE_MS);
  try {
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (seen.lastId !== null) headers['Last-Event-ID'] = seen.lastId;
    const response = await (options.fetch ?? fetch)(options.url, {
      headers,
      signal: gone.signal,
      cache: 'no-store',
    });
    if (isRefusal(response.status)) return response;
    if (!response.ok || !response.body) return undefined;
    live();
    const heard = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        clearTimeout(watchdog);
        watchdog = setTimeout(hangUp, SILENCE_MS);
        seen.anything = true;
        controller.enqueue(chunk);
      },
    });
    const messages = response.body
      .pipeThrough(heard, { signal: gone.signal })
      .pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
      .pipeThrough(new EventSourceParserStream());
    for await (const message of messages) {
      if (stop.aborted) return undefined;
      if (message.id !== undefined) seen.lastId = message.id;
      options.onFrame({ event: message.event ?? 'message', data: message.data });
    }
  } catch {
    // A connection that breaks is the case this file is for; the loop tries again.
  } finally {
    clearTimeout(watchdog);
    stop.removeEventListener('abort', hangUp);
    gone.abort();
  }
  return undefined;
}

const isRefusal = (status: number) => status >= 400 && status < 500 && status !== 408 && status !== 429;

function rest(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stop.removeEventListener('abort', done);
      globalThis.removeEventListener?.('online', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    stop.addEventListener('abort', done);
    // No need to sit out the pause when the network is back.
    globalThis.addEventListener?.('online', done);
  });
}
