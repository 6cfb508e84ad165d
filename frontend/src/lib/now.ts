/** One clock for everything on the page that shows an age: it ticks once a second, and only while somebody looks. */
import { useSyncExternalStore } from 'react';

let now_ms = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const watchers = new Set<() => void>();

function tick() {
  if (document.hidden) return;
  now_ms = Date.now();
  for (const watcher of watchers) watcher();
}

function subscribe(watcher: () => void): () => void {
  watchers.add(watcher);
  if (timer === undefined) {
    now_ms = Date.now();
    timer = setInterval(tick, 1_000);
    document.addEventListener('visibilitychange', tick);
  }
  return () => {
    watchers.delete(watcher);
    if (watchers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
    document.removeEventListener('visibilitychange', tick);
  };
}

/** The time in milliseconds, fresh each second. */
export const useNow = (): number => useSyncExternalStore(subscribe, () => now_ms);
