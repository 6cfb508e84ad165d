import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Button } from '@/components/button';
import { Json } from '@/components/json';
import { Loading } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { Prose } from '@/components/text';
import { contextQuery } from '../api/context';

/** Items at the end of the conversation: what led to the question. */
const ITEMS_SHOWN = 6;

/** What the run did before it asked, for those who need it to decide. */
export function RunTail({ runId }: { runId: string }) {
  const [isOpen, setOpen] = useState(false);
  const { data, error, refetch } = useQuery({ ...contextQuery(runId), enabled: isOpen });
  if (!isOpen) {
    return (
      <div className="mb-2">
        <Button small onClick={() => setOpen(true)}>
          What led to this
        </Button>
      </div>
    );
  }
  if (error) return <ProblemNotice error={error} retry={() => void refetch()} />;
  if (!data) return <Loading rows={2} />;
  const shown = data.items.slice(-ITEMS_SHOWN) as Record<string, unknown>[];
  return (
    <ol
      aria-label="What led to this"
      className="mb-3 flex flex-col gap-2 border-l-2 border-line pl-3 text-sm"
    >
      {shown.map((item, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a part of what does not change while the question is open
        <li key={at} className="min-w-0">
          <Item item={item} />
        </li>
      ))}
    </ol>
  );
}

function Item({ item }: { item: Record<string, unknown> }) {
  const text = (name: string) => (typeof item[name] === 'string' ? item[name] : '');
  if (item['type'] === 'function_call')
    return <Json text={`${text('name')} ${text('arguments')}`} lines_max={4} />;
  if (item['type'] === 'function_call_output') return <Json text={text('output')} lines_max={4} />;
  return <Prose text={text('content')} lines_max={6} chars_max={600} />;
}
