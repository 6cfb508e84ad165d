import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';
import { pollMs } from '@/api/link';
import type { Run } from '@/api/types';

export const inboxQuery = queryOptions({
  queryKey: keys.inbox,
  queryFn: ({ signal }) => body(api.GET('/v1/inbox', { signal })),
  refetchInterval: pollMs,
});

export type Reply =
  | { question: string; answer: string }
  | { question: string; decision: 'happened'; result: unknown }
  | { question: string; decision: 'did_not_happen' | 'abort' };

/** Answers a question, or decides an unknown outcome, of one run. The reply names which, so a late one harms nobody. */
export function useReply(runId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (reply: Reply) =>
      body(api.POST('/v1/runs/{id}/answer', { params: { path: { id: runId } }, body: reply })),
    onSuccess: (run) =>
      client.setQueryData<Run>(keys.run(runId), (known) =>
        known && known.version > run.version ? known : run,
      ),
    onSettled: () =>
      Promise.all([
        client.invalidateQueries({ queryKey: keys.inbox }),
        client.invalidateQueries({ queryKey: keys.run(runId) }),
        client.invalidateQueries({ queryKey: keys.runs }),
      ]),
  });
}
