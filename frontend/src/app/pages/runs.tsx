import { useQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { ListTree, SearchX } from 'lucide-react';
import { useCallback, useMemo, useRef, useState } from 'react';
import { ButtonLink } from '@/components/button';
import { Card } from '@/components/card';
import { Empty, Loading, Page } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { UnreadableNotice } from '@/components/unreadable';
import { agentsQuery } from '@/features/agents/api/agents';
import { useRunList } from '@/features/runs/api/run-list';
import type { RunFilter } from '@/features/runs/api/runs';
import { BulkBar } from '@/features/runs/components/bulk-bar';
import { RunFilters } from '@/features/runs/components/run-filters';
import { type Chosen, RunTable } from '@/features/runs/components/run-table';
import { SavedViews } from '@/features/runs/components/saved-views';
import type { Row } from '@/features/runs/list';
import { useStops } from '@/lib/stops';

const route = getRouteApi('/runs');
const COUNT = new Intl.NumberFormat();

export function RunsPage() {
  const filter = route.useSearch();
  const navigate = useNavigate();
  useStops();
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
      <SavedViews filter={filter} />
      <RunList key={JSON.stringify(filter)} filter={filter} />
    </Page>
  );
}

function RunList({ filter }: { filter: RunFilter }) {
  const { rows, unreadable, isEnd, isReady, error, retry, onSeen } = useRunList(filter);
  const [ids, chosen, clear] = useChosen(rows);
  if (!isReady) {
    return error ? (
      <ProblemNotice error={error} retry={retry} />
    ) : (
      <Card flush>
        <Loading rows={8} />
      </Card>
    );
  }
  const isNarrowed = Object.values(filter).some(Boolean);
  return (
    <>
      {error !== null && <ProblemNotice error={error} retry={retry} />}
      <UnreadableNotice runs={unreadable} />
      <BulkBar ids={ids} onClear={clear} />
      <Card flush>
        {rows.length > 0 ? (
          <RunTable rows={rows} isEnd={isEnd} chosen={chosen} onSeen={onSeen} />
        ) : (
          <NoRuns isNarrowed={isNarrowed} />
        )}
      </Card>
      {rows.length > 0 && (
        <p role="status" className="text-center text-xs text-muted tabular-nums">
          {isEnd
            ? `${COUNT.format(rows.length)} ${rows.length === 1 ? 'run' : 'runs'}`
            : `${COUNT.format(rows.length)} loaded; more come as you scroll`}
        </p>
      )}
    </>
  );
}

/** Which rows are chosen: by one's own hand, a range with Shift, or all. */
function useChosen(rows: Row[]): [string[], Chosen, () => void] {
  const [ids, setIds] = useState<ReadonlySet<string>>(new Set());
  const last = useRef<string | null>(null);
  // Rows come and change while somebody scrolls; what can be done with them stays the same, and so do the rows drawn.
  const known = useRef(rows);
  known.current = rows;
  const chosen = useMemo(
    () => ({
      ids,
      toggle(at: number, isRange: boolean) {
        const rows = known.current;
        const id = rows[at]?.id;
        if (id === undefined) return;
        const next = new Set(ids);
        const from = isRange ? rows.findIndex((row) => row.id === last.current) : -1;
        if (from >= 0)
          for (const row of rows.slice(Math.min(from, at), Math.max(from, at) + 1)) next.add(row.id);
        else if (!next.delete(id)) next.add(id);
        last.current = id;
        setIds(next);
      },
      toggleAll() {
        const rows = known.current;
        setIds(ids.size >= rows.length ? new Set() : new Set(rows.map((row) => row.id)));
      },
    }),
    [ids],
  );
  return [[...ids], chosen, () => setIds(new Set())];
}

function NoRuns({ isNarrowed }: { isNarrowed: boolean }) {
  return isNarrowed ? (
    <Empty Icon={SearchX} title="No run matches" action={<ButtonLink to="/runs">Show all runs</ButtonLink>}>
      Search looks for words of the task and for the beginning of an id.
    </Empty>
  ) : (
    <Empty Icon={ListTree} title="No runs yet" action={<ButtonLink to="/">Launch the first</ButtonLink>}>
      Say what an agent shall do, and follow it here.
    </Empty>
  );
}
