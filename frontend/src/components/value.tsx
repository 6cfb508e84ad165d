import { useMemo, useState } from 'react';
import { jsonText } from '@/lib/json-tokens';
import { tableOf } from '@/lib/table';
import { Json } from './json';
import { Rich, Table } from './rich';
import { TextButton, Untrusted } from './text';

/** What a tool gave back, as it reads best: text as text, a list of like things as a table, all else as JSON. */
export function Value({ value }: { value: unknown }) {
  const table = useMemo(() => tableOf(value), [value]);
  const [isAsJson, setAsJson] = useState(false);
  if (typeof value === 'string') return <Rich text={value} chars_max={1_500} lines_max={16} />;
  if (!table) return <Json text={jsonText(value)} />;
  return (
    <div className="min-w-0">
      {isAsJson ? (
        <Json text={jsonText(value)} />
      ) : (
        <Table
          head={table.columns.map((name) => <Untrusted key={name} text={name} />)}
          // biome-ignore lint/suspicious/noArrayIndexKey: cells keep their places
          rows={table.rows.map((row) => row.map((cell, at) => <Untrusted key={at} text={cell} />))}
        />
      )}
      <span className="mt-1 flex text-xs">
        <TextButton onClick={() => setAsJson(!isAsJson)}>{isAsJson ? 'As a table' : 'As JSON'}</TextButton>
      </span>
    </div>
  );
}
