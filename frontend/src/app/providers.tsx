import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { problemOf } from '@/api/problem';

export const makeQueryClient = () =>
  new QueryClient({
    defaultOptions: {
      queries: {
        // A local server answers whether or not the machine is online.
        networkMode: 'always',
        staleTime: 1_000,
        retry: (failures, error) => failures < 2 && isPassing(problemOf(error).status),
        retryDelay: (failures) => 300 * 2 ** failures,
      },
      mutations: { networkMode: 'always' },
    },
  });

/** Whether asking again may help. */
const isPassing = (status: number) => status === 0 || status === 429 || status >= 502;

export function Providers({ client, children }: { client: QueryClient; children: ReactNode }) {
  return <QueryClientProvider client={client}>{children}</QueryClientProvider>;
}
