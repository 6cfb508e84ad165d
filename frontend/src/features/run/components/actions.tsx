import { Ban, Pause, Play, ShieldCheck } from 'lucide-react';
import { useState } from 'react';
import type { Run, Status } from '@/api/types';
import { Button } from '@/components/button';
import { Confirm } from '@/components/dialog';
import { ProblemNotice } from '@/components/problem';
import { useCommand, type Verb } from '../api/run';

/** When each command is of use. The server has the last word; this only spares a reader what would be refused. */
const ALLOWED: Record<Verb, (status: Status) => boolean> = {
  pause: (status) => status === 'running',
  resume: (status) => status === 'paused' || status === 'failed' || status === 'max_steps_reached',
  cancel: (status) => status !== 'complete' && status !== 'cancelled' && status !== 'cancelling',
  release: (status) => status === 'quarantined',
};

/** Pause, resume, cancel; release where a run is in quarantine. */
export function useRunActions(run: Run | undefined) {
  const command = useCommand(run?.id ?? '');
  const [isAsking, setAsking] = useState(false);
  const can = (verb: Verb) => run !== undefined && ALLOWED[verb](run.status) && !command.isPending;
  const busy = (verb: Verb) => command.isPending && command.variables === verb;
  const send = (verb: Verb) => command.mutate(verb, { onSettled: () => setAsking(false) });

  const buttons = (
    <>
      {can('release') || busy('release') ? (
        <Button Icon={ShieldCheck} busy={busy('release')} onClick={() => send('release')}>
          Release
        </Button>
      ) : (
        <>
          <Button Icon={Pause} disabled={!can('pause')} busy={busy('pause')} onClick={() => send('pause')}>
            Pause
          </Button>
          <Button Icon={Play} disabled={!can('resume')} busy={busy('resume')} onClick={() => send('resume')}>
            Resume
          </Button>
        </>
      )}
      <Button look="danger" Icon={Ban} disabled={!can('cancel')} onClick={() => setAsking(true)}>
        Cancel
      </Button>
      {isAsking && (
        <Confirm
          title="Cancel this run?"
          action="Cancel the run"
          busy={busy('cancel')}
          onConfirm={() => send('cancel')}
          onClose={() => setAsking(false)}
        >
          A cancelled run cannot be resumed. What its tools have done stays done; a call under way is awaited.
        </Confirm>
      )}
    </>
  );
  const trouble = command.isError ? <ProblemNotice error={command.error} /> : null;
  return { buttons, trouble };
}
