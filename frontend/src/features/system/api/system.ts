import { queryOptions } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';
import { pollMs } from '@/api/link';

export const systemQuery = queryOptions({
  queryKey: keys.system,
  queryFn: ({ signal }) => body(api.GET('/v1/system', { signal })),
  staleTime: 60_000,
});

/** Leases run by the clock, not by what is written: they are looked at often. */
const LEASES_MS = 2_000;

export const workersQuery = queryOptions({
  queryKey: keys.workers,
  queryFn: ({ signal }) => body(api.GET('/v1/workers', { signal })),
  refetchInterval: LEASES_MS,
});

export const queueQuery = queryOptions({
  queryKey: keys.queue,
  queryFn: ({ signal }) => body(api.GET('/v1/queue', { signal })),
  refetchInterval: LEASES_MS,
});

export const activityQuery = queryOptions({
  queryKey: keys.activity,
  queryFn: ({ signal }) => body(api.GET('/v1/activity', { signal })),
  refetchInterval: pollMs,
});

/** What a worker holds now. */
export const heldQuery = (owner: string, limit: number) =>
  queryOptions({
    queryKey: keys.held(owner),
    queryFn: async ({ signal }) => {
      const page = await body(api.GET('/v1/runs', { params: { query: { owner, limit } }, signal }));
      return page.runs;
    },
    refetchInterval: LEASES_MS,
    placeholderData: (before) => before,
  });

export const quarantinedQuery = queryOptions({
  queryKey: [...keys.runs, 'quarantined'],
  queryFn: async ({ signal }) => {
    const query = { status: 'quarantined', limit: 20 };
    return body(api.GET('/v1/runs', { params: { query }, signal }));
  },
  refetchInterval: pollMs,
});
