import { CircleCheck, CircleX, OctagonMinus, ShieldAlert } from 'lucide-react';
import type { Run } from '@/api/types';
import { Notice } from '@/components/card';
import { CopyButton } from '@/components/copy';
import { Prose } from '@/components/text';

/** How the run ended, first thing on its page; nothing while it has not. */
export function Outcome({ run }: { run: Run }) {
  if (run.status === 'complete' && run.final_answer !== null) {
    return (
      <Notice
        tone="ok"
        role="region"
        icon={<CircleCheck aria-hidden />}
        title="Answer"
        aside={<CopyButton text={run.final_answer} label="Copy" />}
      >
        <div className="text-lg" data-testid="answer">
          <Prose text={run.final_answer} chars_max={4_000} lines_max={40} />
        </div>
      </Notice>
    );
  }
  if (run.status === 'failed') {
    return (
      <Notice tone="bad" role="region" icon={<CircleX aria-hidden />} title="It failed">
        <Prose text={run.error ?? 'No reason was recorded.'} />
        <p className="mt-1 text-xs text-muted">
          Nothing that was done is lost: resume tries again from here.
        </p>
      </Notice>
    );
  }
  if (run.status === 'max_steps_reached') {
    return (
      <Notice
        tone="limit"
        role="region"
        icon={<OctagonMinus aria-hidden />}
        title={`All ${run.max_steps} steps are used`}
      >
        Resume grants ten more.
      </Notice>
    );
  }
  if (run.status === 'quarantined') {
    return (
      <Notice tone="bad" role="region" icon={<ShieldAlert aria-hidden />} title="In quarantine">
        <Prose text={run.error ?? 'Its steps took workers down.'} />
        <p className="mt-1 text-xs text-muted">Release lets it go on; other runs are not affected.</p>
      </Notice>
    );
  }
  return null;
}
