/** Follows that something changed, and has the lists look again. A page with a stream of its own takes its place. */
import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { follow } from '@/lib/follow';
import { useVisible } from '@/lib/visible';
import { keys } from './keys';
import { noteChange, setLinkPhase } from './link';
import { setLocked, useLocked } from './session';

/** Many changes in a row are looked at together. */
const LOOK_MS = 400;

export function useChanges(isOn: boolean): void {
  const client = useQueryClient();
  const isVisible = useVisible();
  const isLocked = useLocked();
  useEffect(() => {
    if (!isOn || !isVisible || isLocked) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let looked_ms = 0;
    const look = () => {
      timer = undefined;
      looked_ms = performance.now();
      noteChange();
      for (const queryKey of [keys.inbox, keys.workers, keys.queue, keys.runs, keys.activity])
        void client.invalidateQueries({ queryKey });
    };
    const stop = follow({
      url: '/v1/changes',
      onFrame: () => {
        timer ??= setTimeout(look, Math.max(0, looked_ms + LOOK_MS - performance.now()));
      },
      onLink: (link) => {
        if (link.phase === 'refused' && link.response.status === 401) setLocked(true);
        setLinkPhase(link.phase, true);
      },
      isOver: () => false,
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [client, isOn, isVisible, isLocked]);
}
