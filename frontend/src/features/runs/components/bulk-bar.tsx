import { Ban, Play, X } from 'lucide-react';
import { useState } from 'react';
import { Button } from '@/components/button';
import { Confirm } from '@/components/dialog';
import { ProblemNotice } from '@/components/problem';
import { type BulkState, useBulk } from '../api/bulk';

/** What can be done with the runs that are chosen, and how far it has come. */
export function BulkBar({ ids, onClear }: { ids: string[]; onClear: () => void }) {
  const { state, isBusy, start, clear } = useBulk();
  const [isAsking, setAsking] = useState(false);
  const close = () => {
    clear();
    onClear();
  };
  if (ids.length === 0 && state === null) return null;
  return (
    <section
      aria-label="Chosen runs"
      className="sticky top-2 z-10 flex min-w-0 flex-wrap items-center gap-x-3 gap-y-2 rounded-lg border border-line bg-surface px-4 py-2 shadow-over"
    >
      <p role="status" className="text-sm font-medium tabular-nums">
        {state ? progressOf(state) : `${ids.length} ${ids.length === 1 ? 'run' : 'runs'} chosen`}
      </p>
      <span className="ml-auto flex flex-wrap items-center gap-2">
        {!state && (
          <>
            <Button small Icon={Play} onClick={() => void start('resume', ids)}>
              Resume
            </Button>
            <Button small look="danger" Icon={Ban} onClick={() => setAsking(true)}>
              Cancel
            </Button>
          </>
        )}
        <Button small look="quiet" Icon={X} disabled={isBusy} onClick={close}>
          {state ? 'Done' : 'Choose none'}
        </Button>
      </span>
      {state !== null && state.error !== null && <ProblemNotice error={state.error} />}
      {isAsking && (
        <Confirm
          title={ids.length === 1 ? 'Cancel this run?' : `Cancel ${ids.length} runs?`}
          action="Cancel them"
          busy={false}
          onConfirm={() => {
            setAsking(false);
            void start('cancel', ids);
          }}
          onClose={() => setAsking(false)}
        >
          A cancelled run cannot be resumed. Those that are over stay as they are.
        </Confirm>
      )}
    </section>
  );
}

const WORDS = { cancel: ['Cancelling', 'cancelled'], resume: ['Resuming', 'resumed'] } as const;

function progressOf({ verb, all, done, refused, failed }: BulkState): string {
  const [doing, did] = WORDS[verb];
  const ended = done + refused + failed;
  if (ended < all) return `${doing}: ${ended} of ${all}`;
  const parts = [`${done} ${did}`];
  if (refused > 0) parts.push(`${refused} could not be ${did} any more`);
  if (failed > 0) parts.push(`${failed} not reached`);
  return parts.join(', ');
}
