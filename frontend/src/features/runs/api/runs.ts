import { queryOptions } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';
import { pollMs } from '@/api/link';
import type { Status } from '@/api/types';
import { rowOf } from '../list';

/** What the list is narrowed to; its members are those of the URL. */
export interface RunFilter {
  status?: string;
  q?: string;
  agent?: string;
  tenant?: string;
  /** The worker that holds them. */
  owner?: string;
}

/** The newest few runs. */
export const fewRunsQuery = (filter: RunFilter, limit: number) =>
  queryOptions({
    queryKey: [...keys.runs, { ...filter, limit }],
    queryFn: async ({ signal }) => {
      const page = await body(api.GET('/v1/runs', { params: { query: { ...filter, limit } }, signal }));
      return page.runs.map(rowOf);
    },
    refetchInterval: pollMs,
    placeholderData: (before) => before,
  });

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
