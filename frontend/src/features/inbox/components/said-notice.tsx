import { CircleCheck, Users } from 'lucide-react';
import type { ReactNode } from 'react';
import { Notice } from '@/components/card';
import { CopyButton } from '@/components/copy';
import { Prose } from '@/components/text';
import type { Said } from './question-form';

/** Says what became of a reply. One that came too late is told kindly, and its text is kept. */
export function SaidNotice({ said, link }: { said: Said; link?: ReactNode }) {
  if (said.how === 'sent') {
    return (
      <Notice
        tone="ok"
        role="status"
        icon={<CircleCheck aria-hidden />}
        title="Sent: the run goes on"
        aside={link}
      />
    );
  }
  return (
    <Notice
      tone="wait"
      role="status"
      icon={<Users aria-hidden />}
      title="Somebody else was first"
      aside={link}
    >
      <p>This question was settled before your reply arrived, so yours changed nothing.</p>
      {said.draft !== '' && (
        <div className="mt-2 flex items-start justify-between gap-3 rounded-md bg-surface px-3 py-2">
          <div className="min-w-0">
            <p className="text-xs text-muted">You wrote</p>
            <Prose text={said.draft} lines_max={4} />
          </div>
          <CopyButton text={said.draft} label="Copy" />
        </div>
      )}
    </Notice>
  );
}
