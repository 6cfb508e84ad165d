import { queryOptions } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';

/** What the model was sent for the reply that is event `event`. It does not change. */
export const promptQuery = (id: string, event: number) =>
  queryOptions({
    queryKey: keys.prompt(id, event),
    queryFn: ({ signal }) =>
      body(api.GET('/v1/runs/{id}/events/{event}/prompt', { params: { path: { id, event } }, signal })),
    staleTime: 60_000,
    // It may be long.
    gcTime: 10_000,
  });
