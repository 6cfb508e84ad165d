import { queryOptions } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';

/** The conversation that led to a run's question. */
export const contextQuery = (id: string) =>
  queryOptions({
    queryKey: keys.context(id, 0),
    queryFn: ({ signal }) => body(api.GET('/v1/runs/{id}/context', { params: { path: { id } }, signal })),
  });
