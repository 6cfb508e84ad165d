import { Link } from '@tanstack/react-router';
import { Inbox, MessageCircleQuestionMark, TriangleAlert } from 'lucide-react';
import { useCallback, useState } from 'react';
import type { InboxItem } from '@/api/types';
import { Card, Notice } from '@/components/card';
import { Empty } from '@/components/page';
import { Ago } from '@/components/time';
import { oneLine } from '@/lib/untrusted';
import { type Order, ordered } from '../order';
import { titleOf } from '../title';
import { QuestionForm, type Said } from './question-form';
import { RunTail } from './run-tail';
import { SaidNotice } from './said-notice';

/** Every open question and unknown outcome, each to be answered where it stands. */
export function InboxList({ items, order }: { items: InboxItem[]; order: Order }) {
  const [said, setSaid] = useState<Said | null>(null);
  const onSaid = useCallback((next: Said) => {
    setSaid(next);
    // The next one is at hand: whoever answers by keyboard goes on.
    if (next.how === 'sent')
      requestAnimationFrame(() => document.querySelector<HTMLElement>('main [data-stop]')?.focus());
  }, []);
  const open = items.filter(({ question }) => question.id !== said?.questionId);
  return (
    <>
      {said && <SaidNotice said={said} link={<RunLink runId={said.runId} />} />}
      {open.length === 0 && (
        <Card>
          <Empty Icon={Inbox} title="Nothing waits for you">
            When an agent asks a question, or a call’s outcome is unknown, it is put here.
          </Empty>
        </Card>
      )}
      {ordered(open, order).map((item) => (
        <InboxEntry key={item.question.id} item={item} onSaid={onSaid} />
      ))}
    </>
  );
}

function RunLink({ runId }: { runId: string }) {
  return (
    <Link
      to={'/runs/$id' as never}
      params={{ id: runId } as never}
      className="text-xs font-medium text-accent hover:underline"
    >
      Open the run
    </Link>
  );
}

function InboxEntry({ item, onSaid }: { item: InboxItem; onSaid: (said: Said) => void }) {
  const isQuestion = item.question.kind === 'question';
  return (
    <Notice
      tone={isQuestion ? 'wait' : 'unknown'}
      role="region"
      icon={isQuestion ? <MessageCircleQuestionMark aria-hidden /> : <TriangleAlert aria-hidden />}
      title={titleOf(item.question)}
      aside={
        <span className="flex items-center gap-3 text-xs leading-6 text-muted">
          <span>{item.agent}</span>
          <Ago at={item.asked_at} />
          <RunLink runId={item.run_id} />
        </span>
      }
    >
      <p className="mb-2 truncate text-sm text-muted" title={oneLine(item.task)}>
        Task: {oneLine(item.task)}
      </p>
      <RunTail runId={item.run_id} />
      <QuestionForm runId={item.run_id} question={item.question} onSaid={onSaid} />
    </Notice>
  );
}
