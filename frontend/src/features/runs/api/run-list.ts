/** The list of runs as somebody scrolls it: page by page from the server, and live where it is looked at. */
import { type QueryClient, useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useRef, useState } from 'react';
import { api, body } from '@/api/client';
import { pollMs, useChangeCount } from '@/api/link';
import { useLocked } from '@/api/session';
import type { UnreadableRun } from '@/api/types';
import { useVisible } from '@/lib/visible';
import { type Row, rowOf, splice } from '../list';
import type { RunFilter } from './runs';

/** What is read at once: more than a screen shows, little enough to be quick. */
const PAGE_RUNS = 100;
const PAGE_RUNS_AHEAD = 200;

interface Known {
  rows: Row[];
  /** Of the pages read so far: no row can show them. */
  unreadable: UnreadableRun[];
  /** Whether the last row is the last there is. */
  isEnd: boolean;
}

/** Beside the client's own cache, which would compare all rows with all rows at each page. */
const kept = new WeakMap<QueryClient, Map<string, Known>>();
const LISTS_KEPT = 4;

function keptOf(client: QueryClient): Map<string, Known> {
  const lists = kept.get(client) ?? new Map<string, Known>();
  kept.set(client, lists);
  return lists;
}

function keep(client: QueryClient, name: string, known: Known): void {
  const lists = keptOf(client);
  lists.delete(name);
  lists.set(name, known);
  for (const oldest of [...lists.keys()].slice(0, -LISTS_KEPT)) lists.delete(oldest);
}

/** Those known and those found, without the ones that were mended meanwhile. */
function joined(known: UnreadableRun[], found: UnreadableRun[], rows: Row[]): UnreadableRun[] {
  const all = [...known, ...found.filter(({ id }) => !known.some((run) => run.id === id))];
  return all.filter(({ id }) => !rows.some((row) => row.id === id));
}

export interface RunList extends Known {
  /** Null until the first page is there. */
  isReady: boolean;
  error: unknown;
  retry: () => void;
  /** Which rows are on the screen: these are kept as they are now, and more are read before they are reached. */
  onSeen: (from: number, to: number) => void;
}

export function useRunList(filter: RunFilter): RunList {
  const client = useQueryClient();
  const { status, q, agent, tenant, owner } = filter;
  const name = JSON.stringify([status, q, agent, tenant, owner]);
  // What was known when somebody went away is there when they come back.
  const [known, setKnown] = useState<Known | null>(() => keptOf(client).get(name) ?? null);
  const [error, setError] = useState<unknown>(null);
  const now = useRef({ known, seen: [0, 0] as [number, number], isReading: false, isOverdue: false });
  const isVisible = useVisible();
  const isLocked = useLocked();
  const changes = useChangeCount();

  const read = useCallback(
    async (after: string | null, limit: number) => {
      const query = {
        limit,
        ...(status && { status }),
        ...(q && { q }),
        ...(agent && { agent }),
        ...(tenant && { tenant }),
        ...(owner && { owner }),
        ...(after && { cursor: after }),
      };
      const page = await body(api.GET('/v1/runs', { params: { query } }));
      const { known: before } = now.current;
      const isLast = page.next_cursor === null;
      const rows = splice(before?.rows ?? [], after, page.runs.map(rowOf), isLast);
      const isEnd = isLast || (before?.isEnd ?? false);
      const unreadable = joined(before?.unreadable ?? [], page.unreadable ?? [], rows);
      const isAsBefore =
        before !== null &&
        rows === before.rows &&
        isEnd === before.isEnd &&
        unreadable.length === before.unreadable.length;
      if (!isAsBefore) {
        const next = { rows, unreadable, isEnd };
        now.current.known = next;
        keep(client, name, next);
        setKnown(next);
      }
      setError(null);
    },
    [client, name, status, q, agent, tenant, owner],
  );

  /** One at a time, so that a slow server is not asked ever more. Resolves to whether it was its turn. */
  const alone = useCallback(async (work: () => Promise<void>): Promise<boolean> => {
    if (now.current.isReading) return false;
    now.current.isReading = true;
    try {
      await work();
    } catch (trouble) {
      setError(trouble);
    } finally {
      now.current.isReading = false;
    }
    return true;
  }, []);

  /** Reads the newest runs, and those on the screen. */
  const refresh = useCallback(async () => {
    now.current.isOverdue = true;
    while (now.current.isOverdue) {
      const hadTurn = await alone(async () => {
        now.current.isOverdue = false;
        await read(null, PAGE_RUNS);
        const [from] = now.current.seen;
        const above = now.current.known?.rows[from - 1];
        if (from >= PAGE_RUNS && above) await read(above.id, PAGE_RUNS);
      });
      // Whoever reads now looks once more when done.
      if (!hadTurn) return;
    }
  }, [alone, read]);

  const onSeen = useCallback(
    (from: number, to: number) => {
      now.current.seen = [from, to];
      const { known } = now.current;
      const last = known?.rows.at(-1);
      if (!known || known.isEnd || !last || to + PAGE_RUNS < known.rows.length) return;
      const ahead = async () => {
        await alone(() => read(last.id, PAGE_RUNS_AHEAD));
        if (now.current.isOverdue) await refresh();
      };
      void ahead();
    },
    [alone, read, refresh],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: a change is a reason to look again
  useEffect(() => {
    if (isVisible && !isLocked) void refresh();
  }, [refresh, isVisible, isLocked, changes]);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    const wait = () => {
      timer = setTimeout(() => {
        if (!document.hidden) void refresh();
        wait();
      }, pollMs());
    };
    wait();
    return () => clearTimeout(timer);
  }, [refresh]);

  return {
    rows: known?.rows ?? [],
    unreadable: known?.unreadable ?? [],
    isEnd: known?.isEnd ?? false,
    isReady: known !== null,
    error,
    retry: () => void refresh(),
    onSeen,
  };
}
