import { useQuery } from '@tanstack/react-query';
import type { Run } from '@/api/types';
import { Card } from '@/components/card';
import { Json } from '@/components/json';
import { Loading } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { Prose, Untrusted } from '@/components/text';
import { contextQuery } from '../api/context';

/** What the model is shown: the fold of the run's events that goes into its next request. */
export function ContextView({ run }: { run: Run }) {
  const { data, error, refetch } = useQuery(contextQuery(run.id, run.version));
  if (error) return <ProblemNotice error={error} retry={() => void refetch()} />;
  if (!data) return <Loading />;
  return (
    <Card flush>
      <ol className="divide-y divide-line">
        {data.items.map((item, index) => (
          <li
            // biome-ignore lint/suspicious/noArrayIndexKey: the context only grows at its end
            key={index}
            className="grid min-w-0 gap-x-4 gap-y-1 px-4 py-2.5 sm:grid-cols-[8rem_minmax(0,1fr)]"
          >
            <Item item={item as Record<string, unknown>} />
          </li>
        ))}
      </ol>
    </Card>
  );
}

function Item({ item }: { item: Record<string, unknown> }) {
  const text = (name: string) => (typeof item[name] === 'string' ? item[name] : '');
  if (item['type'] === 'function_call') {
    return (
      <>
        <span className="text-xs leading-6 text-muted">calls</span>
        <div className="flex min-w-0 flex-col gap-1">
          <code className="text-sm font-medium">
            <Untrusted text={text('name')} />
          </code>
          <Json text={text('arguments')} />
        </div>
      </>
    );
  }
  if (item['type'] === 'function_call_output') {
    return (
      <>
        <span className="text-xs leading-6 text-muted">is given</span>
        <Json text={text('output')} />
      </>
    );
  }
  return (
    <>
      <span className="text-xs leading-6 text-muted">{text('role')}</span>
      <Prose text={text('content')} />
    </>
  );
}
