import { memo, useEffect, useRef } from 'react';
import { StatusBadge } from '@/components/status';
import { Ago, Lasting } from '@/components/time';
import { useMedia } from '@/lib/media';
import { oneLine } from '@/lib/untrusted';
import { useWindow } from '@/lib/windowed';
import type { Row } from '../list';
import { RunLine, RunLink } from './run-line';

const COUNT = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });

const COLUMNS = [
  { name: 'Status', shape: 'w-44' },
  { name: 'Task', shape: '' },
  { name: 'Agent', shape: 'w-32 max-lg:hidden' },
  { name: 'Steps', shape: 'w-20 text-right' },
  { name: 'Tokens', shape: 'w-20 text-right max-lg:hidden' },
  { name: 'Duration', shape: 'w-28 text-right max-lg:hidden' },
  { name: 'Launched', shape: 'w-28 pr-4 text-right' },
];

export interface Chosen {
  ids: ReadonlySet<string>;
  /** `isRange` takes all rows from the last one chosen to this. */
  toggle: (at: number, isRange: boolean) => void;
  toggleAll: () => void;
}

interface TableProps {
  rows: Row[];
  isEnd: boolean;
  chosen: Chosen;
  onSeen: (from: number, to: number) => void;
}

const ROW_PX = 41;
const LINE_PX = 61;

/** Runs as a table, on a phone as lines. However many there are, only those near the screen are drawn. */
export function RunTable(props: TableProps) {
  return useMedia('(min-width: 48rem)') ? <WideTable {...props} /> : <Lines {...props} />;
}

function useRows({ rows, onSeen }: TableProps, row_px: number) {
  const list = useRef<HTMLTableSectionElement & HTMLUListElement>(null);
  const window = useWindow(list, rows.length, row_px);
  const { from, to } = window;
  // biome-ignore lint/correctness/useExhaustiveDependencies: more rows are a reason to see whether there are enough
  useEffect(() => onSeen(from, to), [onSeen, from, to, rows.length]);
  return { list, ...window };
}

function WideTable(props: TableProps) {
  const { rows, isEnd, chosen } = props;
  const { list, from, to, before, after } = useRows(props, ROW_PX);
  return (
    <table aria-rowcount={isEnd ? rows.length + 1 : -1} className="w-full table-fixed text-sm">
      <thead>
        <tr aria-rowindex={1} className="border-b border-line text-left text-xs text-muted">
          <th scope="col" className="w-11 pl-4">
            <Box
              label="Choose all runs that are loaded"
              isOn={rows.length > 0 && chosen.ids.size >= rows.length}
              onToggle={chosen.toggleAll}
            />
          </th>
          {COLUMNS.map(({ name, shape }) => (
            <th key={name} scope="col" className={`h-9 px-2 font-medium ${shape}`}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody ref={list}>
        {before > 0 && <Room px={before} />}
        {rows.slice(from, to).map((row, place) => (
          <TableRow key={row.id} row={row} at={from + place} chosen={chosen} />
        ))}
        {after > 0 && <Room px={after} />}
      </tbody>
    </table>
  );
}

/** As high as the rows that are not drawn. One cell: a span over columns that a narrow screen hides would make room for them. */
const Room = ({ px }: { px: number }) => (
  <tr aria-hidden>
    <td style={{ height: px }} />
  </tr>
);

const TableRow = memo(function TableRow({ row, at, chosen }: RowProps) {
  return (
    <tr
      aria-rowindex={at + 2}
      className="relative h-[41px] border-b border-line last:border-b-0 hover:bg-hover"
    >
      <td className="pl-4">
        <RowBox row={row} at={at} chosen={chosen} />
      </td>
      <td className="px-2">
        <StatusBadge status={row.status} />
      </td>
      <td className="px-2">
        <RunLink row={row} />
      </td>
      <td className="truncate px-2 text-muted max-lg:hidden">{row.agent}</td>
      <td className="px-2 text-right text-muted tabular-nums">
        {row.steps}
        <span className="text-faint">/{row.max_steps}</span>
      </td>
      <td className="px-2 text-right text-muted tabular-nums max-lg:hidden">
        {row.tokens === 0 ? '–' : COUNT.format(row.tokens)}
      </td>
      <td className="px-2 text-right text-muted max-lg:hidden">
        <Lasting from={row.created_at} to={row.finished_at} />
      </td>
      <td className="pr-4 pl-2 text-right text-muted">
        <Ago at={row.created_at} />
      </td>
    </tr>
  );
});

function Lines(props: TableProps) {
  const { rows, chosen } = props;
  const { list, from, to, before, after } = useRows(props, LINE_PX);
  return (
    <ul ref={list} className="divide-y divide-line">
      {before > 0 && <li aria-hidden style={{ height: before }} />}
      {rows.slice(from, to).map((row, place) => (
        <RunLine key={row.id} row={row} aside={<RowBox row={row} at={from + place} chosen={chosen} />} />
      ))}
      {after > 0 && <li aria-hidden style={{ height: after }} />}
    </ul>
  );
}

interface RowProps {
  row: Row;
  /** Its place in the list. */
  at: number;
  chosen: Chosen;
}

const RowBox = ({ row, at, chosen }: RowProps) => (
  <Box
    label={`Choose ${oneLine(row.task)}`}
    isOn={chosen.ids.has(row.id)}
    onToggle={(isRange) => chosen.toggle(at, isRange)}
  />
);

/** A box to choose a row; above the link that covers the row. */
function Box({
  label,
  isOn,
  onToggle,
}: {
  label: string;
  isOn: boolean;
  onToggle: (isRange: boolean) => void;
}) {
  return (
    <label className="relative z-1 -m-2 inline-flex cursor-pointer p-2 align-middle">
      <input
        type="checkbox"
        aria-label={label}
        checked={isOn}
        onChange={(event) => onToggle((event.nativeEvent as MouseEvent).shiftKey === true)}
        className="size-4 cursor-pointer accent-accent"
      />
    </label>
  );
}
