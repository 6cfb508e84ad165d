import { queryOptions } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';

/** The whole of what a call gave back, where its event shows the beginning. It never changes. */
export const outputQuery = (id: string, call: string) =>
  queryOptions({
    queryKey: keys.output(id, call),
    queryFn: ({ signal }) =>
      body(
        api.GET('/v1/runs/{id}/calls/{call}/output', {
          params: { path: { id, call } },
          parseAs: 'text',
          signal,
        }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
    // It may be many megabytes.
    gcTime: 10_000,
  });
