import { queryOptions } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';

/** The agents a run can be launched with. They change only when the server is started anew. */
export const agentsQuery = queryOptions({
  queryKey: keys.agents,
  queryFn: ({ signal }) => body(api.GET('/v1/agents', { signal })),
  staleTime: 60_000,
});
