import { type QueryClient, queryOptions, useMutation, useQueryClient } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';
import type { Run } from '@/api/types';

export const runQuery = (client: QueryClient, id: string) =>
  queryOptions({
    queryKey: keys.run(id),
    queryFn: async ({ signal }) => {
      const run = await body(api.GET('/v1/runs/{id}', { params: { path: { id } }, signal }));
      return newer(client.getQueryData<Run>(keys.run(id)), run);
    },
  });

/** Takes a run that came by another way than its query, unless what is known is newer. */
export function keepNewer(client: QueryClient, run: Run): void {
  client.setQueryData<Run>(keys.run(run.id), (known) => newer(known, run));
}

/** An answer that was under way while the run went on must not turn it back. */
const newer = (known: Run | undefined, come: Run): Run =>
  known && known.version > come.version ? known : come;

export type Verb = 'pause' | 'resume' | 'cancel' | 'release';

/** Pause, resume, cancel, release. The run as it then is shows at once. */
export function useCommand(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (verb: Verb) => body(api.POST(`/v1/runs/{id}/${verb}`, { params: { path: { id } } })),
    onSuccess: (run) => keepNewer(client, run),
    onSettled: () =>
      Promise.all([
        client.invalidateQueries({ queryKey: keys.run(id) }),
        client.invalidateQueries({ queryKey: keys.runs }),
        client.invalidateQueries({ queryKey: keys.inbox }),
      ]),
  });
}
