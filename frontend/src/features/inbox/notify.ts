/** Notifications of the browser, for those who asked for them: one for each question that comes while nobody looks. */
import { useEffect, useRef, useSyncExternalStore } from 'react';
import type { InboxItem } from '@/api/types';
import { oneLine } from '@/lib/untrusted';
import { titleOf } from './title';

const KEY = 'piton.notify';
const TEXT_CHARS_MAX = 200;
const watchers = new Set<() => void>();

export type Notifying = 'on' | 'off' | 'denied' | 'missing';

function state(): Notifying {
  if (!('Notification' in globalThis)) return 'missing';
  if (Notification.permission === 'denied') return 'denied';
  let isWanted = false;
  try {
    isWanted = localStorage.getItem(KEY) !== null;
  } catch {
    // Storage may be switched off; then nobody asked.
  }
  return isWanted && Notification.permission === 'granted' ? 'on' : 'off';
}

function subscribe(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

export const useNotifying = (): Notifying => useSyncExternalStore(subscribe, state);

/** The browser asks the reader the first time. */
export async function setNotifying(isWanted: boolean): Promise<void> {
  if (isWanted) await Notification.requestPermission();
  try {
    if (isWanted) localStorage.setItem(KEY, '1');
    else localStorage.removeItem(KEY);
  } catch {
    // It then cannot be remembered.
  }
  for (const watcher of watchers) watcher();
}

/** Tells of what came since the page was opened. */
export function useNotifications(items: InboxItem[] | undefined): void {
  const known = useRef<Set<string> | null>(null);
  useEffect(() => {
    if (!items) return;
    const before = known.current;
    known.current = new Set(items.map(({ question }) => question.id));
    if (before === null || !document.hidden || state() !== 'on') return;
    for (const { question, run_id } of items.filter((item) => !before.has(item.question.id))) {
      const body = oneLine(question.text).slice(0, TEXT_CHARS_MAX);
      const shown = new Notification(`Piton: ${titleOf(question)}`, { body, tag: question.id });
      shown.onclick = () => {
        window.focus();
        location.assign(`/runs/${run_id}`);
      };
    }
  }, [items]);
}
