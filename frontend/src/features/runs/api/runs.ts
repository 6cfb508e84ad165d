import { infiniteQueryOptions } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys, POLL_MS } from '@/api/keys';
import type { Run, Status } from '@/api/types';

/** What the list is narrowed to; its members are those of the URL. */
export interface RunFilter {
  status?: string;
  q?: string;
  agent?: string;
}

const PAGE_RUNS = 50;

export const runsQuery = ({ status, q, agent }: RunFilter, limit = PAGE_RUNS) =>
  infiniteQueryOptions({
    queryKey: [...keys.runs, { status, q, agent, limit }],
    queryFn: ({ pageParam, signal }) => {
      const query = {
        limit,
        ...(status && { status }),
        ...(q && { q }),
        ...(agent && { agent }),
        ...(pageParam && { cursor: pageParam }),
      };
      return body(api.GET('/v1/runs', { params: { query }, signal }));
    },
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor || undefined,
    // All loaded pages are asked for again; the more there are the rarer, so the server's load stays the same.
    refetchInterval: (query) => POLL_MS * Math.max(1, query.state.data?.pages.length ?? 1),
    placeholderData: (before) => before,
  });

/** The pages as one list. A run that moved between two pages while they were asked for is listed once. */
export function listOf(pages: { runs: Run[] }[]): Run[] {
  const seen = new Set<string>();
  return pages.flatMap((page) => page.runs).filter(({ id }) => !seen.has(id) && seen.add(id));
}

/** The filters that people use, as sets of statuses. */
export const VIEWS: { key: string; label: string; statuses: Status[] }[] = [
  { key: 'all', label: 'All', statuses: [] },
  { key: 'you', label: 'Needs you', statuses: ['waiting_human_input', 'undecided'] },
  { key: 'active', label: 'Active', statuses: ['running', 'cancelling'] },
  { key: 'paused', label: 'Paused', statuses: ['paused'] },
  { key: 'complete', label: 'Complete', statuses: ['complete'] },
  { key: 'trouble', label: 'In trouble', statuses: ['failed', 'max_steps_reached', 'quarantined'] },
  { key: 'cancelled', label: 'Cancelled', statuses: ['cancelled'] },
];

/** The view that `status` of the URL stands for; an own choice of statuses is none of them. */
export function viewOf(status: string | undefined): string {
  const chosen = (status ?? '').split(',').filter(Boolean).sort().join();
  return VIEWS.find(({ statuses }) => [...statuses].sort().join() === chosen)?.key ?? 'own';
}
