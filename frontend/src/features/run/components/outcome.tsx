import { CircleCheck, CircleX, OctagonMinus, ShieldAlert } from 'lucide-react';
import type { LostAttempt, Run } from '@/api/types';
import { Notice } from '@/components/card';
import { CopyButton } from '@/components/copy';
import { Rich } from '@/components/rich';
import { Prose, Untrusted } from '@/components/text';
import { Clock } from '@/components/time';

/** How the run ended, first thing on its page; nothing while it has not. */
export function Outcome({ run, lost }: { run: Run; lost: LostAttempt[] }) {
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
          <Rich text={run.final_answer} />
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
        <Deaths lost={lost.filter(({ blamed }) => blamed)} />
        <p className="mt-1 text-xs text-muted">
          No worker takes it up until somebody presses Release, and other runs are not affected. Released, it
          goes on from its last event: find out first what its next call does.
        </p>
      </Notice>
    );
  }
  return null;
}

/** The latest deaths that the run is blamed for. */
const DEATHS_SHOWN = 5;

function Deaths({ lost }: { lost: LostAttempt[] }) {
  if (lost.length === 0) return null;
  return (
    <ul aria-label="Workers it took down" className="mt-1 text-sm text-muted">
      {lost.slice(-DEATHS_SHOWN).map((death) => (
        <li key={death.epoch}>
          <Clock at={death.at} /> <Untrusted text={death.how} />: worker{' '}
          <code>
            <Untrusted text={death.worker} />
          </code>
          , attempt {death.attempt}, after event {death.version}
        </li>
      ))}
    </ul>
  );
}
