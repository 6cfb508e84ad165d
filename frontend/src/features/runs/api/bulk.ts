/** The same command for many runs: a few at a time, each with its own end. */
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';
import { noteChange } from '@/api/link';
import { problemOf } from '@/api/problem';

export type BulkVerb = 'cancel' | 'resume';

export interface BulkState {
  verb: BulkVerb;
  all: number;
  done: number;
  /** Those whose status did not allow it. */
  refused: number;
  /** Those that could not be told, and why the last of them could not. */
  failed: number;
  error: unknown;
}

const AT_ONCE = 6;

export function useBulk() {
  const client = useQueryClient();
  const [state, setState] = useState<BulkState | null>(null);
  const start = async (verb: BulkVerb, ids: string[]) => {
    const now: BulkState = { verb, all: ids.length, done: 0, refused: 0, failed: 0, error: null };
    setState(now);
    const left = [...ids];
    const work = async () => {
      for (let id = left.shift(); id !== undefined; id = left.shift()) {
        try {
          await body(api.POST(`/v1/runs/{id}/${verb}`, { params: { path: { id } } }));
          now.done += 1;
        } catch (error) {
          if (problemOf(error).status === 409) now.refused += 1;
          else Object.assign(now, { failed: now.failed + 1, error });
        }
        setState({ ...now });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    noteChange();
    await Promise.all([keys.runs, keys.inbox].map((queryKey) => client.invalidateQueries({ queryKey })));
  };
  const isBusy = state !== null && state.done + state.refused + state.failed < state.all;
  return { state, isBusy, start, clear: () => setState(null) };
}
