import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { ProblemNotice } from '@/components/problem';
import { fewRunsQuery } from '../api/runs';
import { RunLine } from './run-line';

/** The latest few runs. */
export function RecentRuns({ loading, empty }: { loading: ReactNode; empty: ReactNode }) {
  const { data, error, refetch } = useQuery(fewRunsQuery({}, 8));
  if (!data)
    return error ? (
      <div className="p-4">
        <ProblemNotice error={error} retry={() => void refetch()} />
      </div>
    ) : (
      loading
    );
  if (data.length === 0) return empty;
  return (
    <ul className="divide-y divide-line">
      {data.map((row) => (
        <RunLine key={row.id} row={row} />
      ))}
    </ul>
  );
}
