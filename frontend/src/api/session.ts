/** Whether the server lets this browser in. Any answer of 401 locks the page; a login unlocks it. */
import { useSyncExternalStore } from 'react';

let locked = false;
const watchers = new Set<() => void>();

export function setLocked(next: boolean): void {
  if (locked === next) return;
  locked = next;
  for (const watcher of watchers) watcher();
}

function subscribe(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

export const useLocked = (): boolean => useSyncExternalStore(subscribe, () => locked);
