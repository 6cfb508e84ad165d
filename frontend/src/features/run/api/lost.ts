import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';
import type { Run } from '@/api/types';

/**
 * The attempts that ended with their worker. They are noticed before the next claim, which raises the run's epoch, and
 * before the run is quarantined.
 */
export const lostQuery = (run: Run | undefined) =>
  queryOptions({
    queryKey: keys.lost(run?.id ?? '', run?.epoch ?? 0, run?.status ?? ''),
    queryFn: async ({ signal }) => {
      const path = { id: run?.id ?? '' };
      const found = await body(api.GET('/v1/runs/{id}/lost-attempts', { params: { path }, signal }));
      return found.lost_attempts;
    },
    enabled: run !== undefined && run.epoch > 0,
    placeholderData: keepPreviousData,
  });
