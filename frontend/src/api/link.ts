/** How the tab's one connection to the server stands, and what it tells: that something changed. */
import { useSyncExternalStore } from 'react';

export type LinkPhase = 'connecting' | 'live' | 'reconnecting' | 'ended' | 'refused';

let phase: LinkPhase = 'connecting';
let changes = 0;
/** Whether it is the stream of changes: a run's own stream tells of nothing else. */
let tellsOfChanges = false;
const watchers = new Set<() => void>();

const tell = () => {
  for (const watcher of watchers) watcher();
};

export function setLinkPhase(next: LinkPhase, isOfChanges = false): void {
  tellsOfChanges = isOfChanges;
  if (phase === next) return;
  phase = next;
  tell();
}

/** Something was written: whoever shows a list should look again. */
export function noteChange(): void {
  changes += 1;
  tell();
}

function subscribe(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/** How many changes were told of: a new number is a reason to look again. */
export const useChangeCount = (): number => useSyncExternalStore(subscribe, () => changes);

export const useLinkPhase = (): LinkPhase => useSyncExternalStore(subscribe, () => phase);

/** Whether what is shown may have been overtaken: then no status may look as if it were live. */
export const useIsStale = (): boolean => useSyncExternalStore(subscribe, () => phase === 'reconnecting');

/** How long until a list is asked for again: seldom while the server tells of changes, often while it does not. */
export const pollMs = (): number => (phase === 'live' && tellsOfChanges ? 10_000 : 2_000);
