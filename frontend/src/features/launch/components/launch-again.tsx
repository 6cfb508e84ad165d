import { Repeat2 } from 'lucide-react';
import type { Run } from '@/api/types';
import { Button } from '@/components/button';
import { useLaunch } from '../api/launch';

/** Launches the same task with the same agent, as a run of its own. */
export function LaunchAgain({
  task,
  agent,
  onLaunched,
}: {
  task: string;
  agent: string;
  onLaunched: (run: Run) => void;
}) {
  const launch = useLaunch();
  return (
    <Button
      Icon={Repeat2}
      busy={launch.isPending}
      onClick={() => launch.mutate({ task, agent }, { onSuccess: onLaunched })}
    >
      {launch.isError ? 'Try again' : 'Launch again'}
    </Button>
  );
}
