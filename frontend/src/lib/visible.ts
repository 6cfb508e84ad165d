import { useSyncExternalStore } from 'react';

function subscribe(watcher: () => void): () => void {
  document.addEventListener('visibilitychange', watcher);
  return () => document.removeEventListener('visibilitychange', watcher);
}

/** Whether somebody can see this tab. */
export const useVisible = (): boolean => useSyncExternalStore(subscribe, () => !document.hidden);
