import { queryOptions } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys, POLL_MS } from '@/api/keys';

export const systemQuery = queryOptions({
  queryKey: keys.system,
  queryFn: ({ signal }) => body(api.GET('/v1/system', { signal })),
  staleTime: 60_000,
});

export const workersQuery = queryOptions({
  queryKey: keys.workers,
  queryFn: ({ signal }) => body(api.GET('/v1/workers', { signal })),
  refetchInterval: POLL_MS,
});

export const queueQuery = queryOptions({
  queryKey: keys.queue,
  queryFn: ({ signal }) => body(api.GET('/v1/queue', { signal })),
  refetchInterval: POLL_MS,
});
