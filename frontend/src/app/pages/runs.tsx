import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { ListTree, SearchX } from 'lucide-react';
import { useCallback } from 'react';
import { Button, ButtonLink } from '@/components/button';
import { Card } from '@/components/card';
import { Empty, Loading, Page } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { agentsQuery } from '@/features/agents/api/agents';
import { listOf, type RunFilter, runsQuery } from '@/features/runs/api/runs';
import { RunFilters } from '@/features/runs/components/run-filters';
import { RunTable } from '@/features/runs/components/run-table';

const route = getRouteApi('/runs');

export function RunsPage() {
  const filter = route.useSearch();
  const navigate = useNavigate();
  const agents = useQuery(agentsQuery).data?.agents ?? [];
  const narrow = useCallback(
    (next: RunFilter) => void navigate({ to: '/runs', search: next, replace: true }),
    [navigate],
  );
  return (
    <Page
      title="Runs"
      lead="Every run this server has, the newest first."
      actions={
        <ButtonLink to="/" look="primary">
          Launch
        </ButtonLink>
      }
    >
      <RunFilters filter={filter} agents={agents.map(({ name }) => name)} onChange={narrow} />
      <RunList filter={filter} />
    </Page>
  );
}

function RunList({ filter }: { filter: RunFilter }) {
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery(
    runsQuery(filter),
  );
  if (!data) {
    return error ? (
      <ProblemNotice error={error} retry={() => void refetch()} />
    ) : (
      <Card flush>
        <Loading rows={8} />
      </Card>
    );
  }
  const runs = listOf(data.pages);
  const isNarrowed = Boolean(filter.status || filter.q || filter.agent);
  return (
    <>
      {error && <ProblemNotice error={error} retry={() => void refetch()} />}
      <Card flush>{runs.length > 0 ? <RunTable runs={runs} /> : <NoRuns isNarrowed={isNarrowed} />}</Card>
      {hasNextPage && (
        <div className="flex justify-center">
          <Button busy={isFetchingNextPage} onClick={() => void fetchNextPage()}>
            Load more
          </Button>
        </div>
      )}
    </>
  );
}

function NoRuns({ isNarrowed }: { isNarrowed: boolean }) {
  return isNarrowed ? (
    <Empty Icon={SearchX} title="No run matches" action={<ButtonLink to="/runs">Show all runs</ButtonLink>}>
      Search looks for words of the task and for the beginning of an id.
    </Empty>
  ) : (
    <Empty Icon={ListTree} title="No runs yet" action={<ButtonLink to="/">Launch the first</ButtonLink>} />
  );
}
