import { queryOptions } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';

/** What the model sees of the run at `version`. */
export const contextQuery = (id: string, version: number) =>
  queryOptions({
    queryKey: keys.context(id, version),
    queryFn: ({ signal }) => body(api.GET('/v1/runs/{id}/context', { params: { path: { id } }, signal })),
    placeholderData: (before) => before,
  });
