/** A run as it happens: its events over SSE folded into a timeline, and how the connection stands. */
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { keys } from '@/api/keys';
import { setLinkPhase } from '@/api/link';
import { Problem } from '@/api/problem';
import { setLocked, useLocked } from '@/api/session';
import type { Run } from '@/api/types';
import { type Frame, follow, type Link } from '@/lib/follow';
import { useVisible } from '@/lib/visible';
import { EMPTY, fold, type Timeline } from '../timeline';
import { type RunEvent, readEvent } from './events';
import { keepNewer } from './run';

export type Connection = Exclude<Link, { phase: 'refused' }> | { phase: 'refused'; problem: Problem };

export interface RunStream {
  timeline: Timeline;
  connection: Connection;
}

/** Statuses after which the server has nothing more to say. */
const isFinal = (run: Run | undefined) => run?.status === 'complete' || run?.status === 'cancelled';

/** Follows the run `id`. A component that shows another run is another component: give it the id as its key. */
export function useRunStream(id: string): RunStream {
  const client = useQueryClient();
  const [timeline, setTimeline] = useState(EMPTY);
  const [connection, setConnection] = useState<Connection>({ phase: 'connecting' });
  const isVisible = useVisible();
  const isLocked = useLocked();

  const through = useRef(0);
  through.current = timeline.through;

  useEffect(() => {
    // A tab that nobody sees gives its connection back: a browser has only six to one server.
    if (!isVisible || isLocked) return;
    let queue: RunEvent[] = [];
    let frame = 0;
    const flush = () => {
      frame = 0;
      const events = queue;
      queue = [];
      setTimeline((before) => fold(before, events));
    };
    const onFrame = ({ event, data }: Frame) => {
      if (event === 'run') {
        keepNewer(client, JSON.parse(data) as Run);
        return;
      }
      const read = readEvent(data);
      if (!read) return;
      queue.push(read);
      frame ||= requestAnimationFrame(flush);
    };
    const stop = follow({
      url: `/v1/runs/${encodeURIComponent(id)}/events`,
      lastId: through.current > 0 ? String(through.current) : null,
      onFrame,
      onLink: (link) => {
        setLinkPhase(link.phase);
        if (link.phase === 'refused') void refused(link.response).then(setConnection);
        else setConnection(link);
      },
      isOver: () => isFinal(client.getQueryData<Run>(keys.run(id))),
    });
    return () => {
      stop();
      cancelAnimationFrame(frame);
    };
  }, [client, id, isVisible, isLocked]);

  return { timeline, connection };
}

async function refused(response: Response): Promise<Connection> {
  if (response.status === 401) setLocked(true);
  const body: unknown = await response.json().catch(() => undefined);
  return { phase: 'refused', problem: Problem.of(response.status, body) };
}
