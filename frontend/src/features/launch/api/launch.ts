import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useRef } from 'react';
import { api, body } from '@/api/client';
import { keys } from '@/api/keys';
import { randomKey } from '@/lib/key';

export interface Launch {
  task: string;
  agent?: string;
}

/**
 * Launches a run. The same launch sent again after a lost answer, or by a double press, is the same run: it goes under
 * one idempotency key until it succeeds or is changed.
 */
export function useLaunch() {
  const client = useQueryClient();
  const sent = useRef<{ launch: string; key: string } | null>(null);
  return useMutation({
    mutationFn: (launch: Launch) => {
      const text = JSON.stringify(launch);
      if (sent.current?.launch !== text) sent.current = { launch: text, key: randomKey() };
      return body(
        api.POST('/v1/runs', { params: { header: { 'Idempotency-Key': sent.current.key } }, body: launch }),
      );
    },
    onSuccess: (run) => {
      sent.current = null;
      client.setQueryData(keys.run(run.id), run);
      return client.invalidateQueries({ queryKey: keys.runs });
    },
  });
}
