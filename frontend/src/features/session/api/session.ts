import { useMutation, useQueryClient } from '@tanstack/react-query';
import { api, body } from '@/api/client';
import { rememberSignedIn, setLocked } from '@/api/session';

/** Trades the API key for a cookie that scripts cannot read; the key itself is kept nowhere. */
export function useLogin() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (api_key: string) => body(api.POST('/v1/session', { body: { api_key } })),
    onSuccess: () => {
      rememberSignedIn(true);
      setLocked(false);
      return client.invalidateQueries();
    },
  });
}

export function useLogout() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => body(api.DELETE('/v1/session')),
    onSuccess: () => {
      rememberSignedIn(false);
      client.clear();
      return client.invalidateQueries();
    },
  });
}
