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

const KEY = 'piton.signed-in';

/** Whether this browser signed in, as far as it remembers: the cookie itself is out of a script's reach. */
export function wasSignedIn(): boolean {
  try {
    return localStorage.getItem(KEY) !== null;
  } catch {
    return false;
  }
}

export function rememberSignedIn(isIn: boolean): void {
  try {
    if (isIn) localStorage.setItem(KEY, '1');
    else localStorage.removeItem(KEY);
  } catch {
    // Storage may be switched off; then no button offers to sign out.
  }
}
