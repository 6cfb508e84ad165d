import { Link } from '@tanstack/react-router';
import type { Run } from '@/api/types';
import { StatusBadge, StatusIcon, StatusWord } from '@/components/status';
import { Ago, Lasting } from '@/components/time';
import { oneLine } from '@/lib/untrusted';

const COUNT = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });

const COLUMNS = [
  { name: 'Status', shape: 'w-44 pl-4' },
  { name: 'Task', shape: '' },
  { name: 'Agent', shape: 'w-32 max-lg:hidden' },
  { name: 'Steps', shape: 'w-20 text-right' },
  { name: 'Tokens', shape: 'w-20 text-right max-lg:hidden' },
  { name: 'Duration', shape: 'w-28 text-right max-lg:hidden' },
  { name: 'Launched', shape: 'w-28 pr-4 text-right' },
];

/** Runs as a table; on a phone each is a line of two. */
export function RunTable({ runs }: { runs: Run[] }) {
  return (
    <>
      <table className="w-full table-fixed text-sm max-md:hidden">
        <thead>
          <tr className="border-b border-line text-left text-xs text-muted">
            {COLUMNS.map(({ name, shape }) => (
              <th key={name} scope="col" className={`h-9 px-2 font-medium ${shape}`}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {runs.map((run) => (
            <Row key={run.id} run={run} />
          ))}
        </tbody>
      </table>
      <RunLines runs={runs} onlyPhone />
    </>
  );
}

function Row({ run }: { run: Run }) {
  const tokens = run.usage.input_tokens + run.usage.output_tokens;
  return (
    <tr className="relative hover:bg-hover">
      <td className="h-10 pr-2 pl-4">
        <StatusBadge status={run.status} />
      </td>
      <td className="px-2">
        <RunLink run={run} />
      </td>
      <td className="truncate px-2 text-muted max-lg:hidden">{run.agent.name}</td>
      <td className="px-2 text-right text-muted tabular-nums">
        {run.steps}
        <span className="text-faint">/{run.max_steps}</span>
      </td>
      <td className="px-2 text-right text-muted tabular-nums max-lg:hidden">
        {tokens === 0 ? '–' : COUNT.format(tokens)}
      </td>
      <td className="px-2 text-right text-muted max-lg:hidden">
        <Lasting from={run.created_at} to={run.finished_at} />
      </td>
      <td className="pr-4 pl-2 text-right text-muted">
        <Ago at={run.created_at} />
      </td>
    </tr>
  );
}

/** Runs as short lines: what a phone has room for, and what the home page shows of the latest. */
export function RunLines({ runs, onlyPhone = false }: { runs: Run[]; onlyPhone?: boolean }) {
  return (
    <ul className={onlyPhone ? 'divide-y divide-line md:hidden' : 'divide-y divide-line'}>
      {runs.map((run) => (
        <li key={run.id} className="relative flex min-w-0 items-start gap-3 px-4 py-2.5 hover:bg-hover">
          <StatusIcon status={run.status} className="mt-0.5" />
          <div className="min-w-0 flex-1">
            <RunLink run={run} />
            <p className="truncate text-xs text-muted">
              <StatusWord status={run.status} /> · <Gist run={run} />
            </p>
          </div>
          <span className="text-xs leading-5 text-muted">
            <Ago at={run.created_at} />
          </span>
        </li>
      ))}
    </ul>
  );
}

/** The link covers its whole row, so that a row can be pressed anywhere. */
function RunLink({ run }: { run: Run }) {
  const task = oneLine(run.task);
  return (
    <Link
      to="/runs/$id"
      params={{ id: run.id }}
      title={task}
      className="block truncate font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
    >
      {task === '' ? '(no task)' : task}
    </Link>
  );
}

/** What there is to know of a run in half a line. */
function Gist({ run }: { run: Run }) {
  return oneLine(
    run.question?.text ?? run.final_answer ?? run.error ?? `Step ${run.steps} of ${run.max_steps}`,
  );
}
