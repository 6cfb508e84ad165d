import { useInfiniteQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { ProblemNotice } from '@/components/problem';
import { listOf, runsQuery } from '../api/runs';
import { RunLines } from './run-table';

/** The latest few runs. */
export function RecentRuns({ loading, empty }: { loading: ReactNode; empty: ReactNode }) {
  const { data, error, refetch } = useInfiniteQuery(runsQuery({}, 8));
  if (!data)
    return error ? (
      <div className="p-4">
        <ProblemNotice error={error} retry={() => void refetch()} />
      </div>
    ) : (
      loading
    );
  const runs = listOf(data.pages);
  return runs.length === 0 ? empty : <RunLines runs={runs} />;
}
