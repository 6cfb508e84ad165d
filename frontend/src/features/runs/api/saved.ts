/** Filters that this browser keeps under a name. */
import { useSyncExternalStore } from 'react';
import type { RunFilter } from './runs';

export interface SavedView {
  name: string;
  filter: RunFilter;
}

const KEY = 'piton.views';
const VIEWS_MAX = 20;
const watchers = new Set<() => void>();
let views: SavedView[] | null = null;

function read(): SavedView[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(found) ? found.filter(isView) : [];
  } catch {
    // Storage may be switched off, or hold what is not ours.
    return [];
  }
}

const isView = (view: unknown): view is SavedView =>
  typeof view === 'object' &&
  view !== null &&
  typeof (view as SavedView).name === 'string' &&
  typeof (view as SavedView).filter === 'object';

function keep(next: SavedView[]): void {
  views = next.slice(-VIEWS_MAX);
  try {
    localStorage.setItem(KEY, JSON.stringify(views));
  } catch {
    // They then last until the page is left.
  }
  for (const watcher of watchers) watcher();
}

function current(): SavedView[] {
  views ??= read();
  return views;
}

/** A view of the same name is replaced. */
export const saveView = (view: SavedView): void =>
  keep([...current().filter(({ name }) => name !== view.name), view]);

export const forgetView = (name: string): void => keep(current().filter((view) => view.name !== name));

function subscribe(watcher: () => void): () => void {
  const reread = () => {
    views = null;
    watcher();
  };
  watchers.add(watcher);
  // Another tab may have saved one.
  addEventListener('storage', reread);
  return () => {
    watchers.delete(watcher);
    removeEventListener('storage', reread);
  };
}

export const useSavedViews = (): SavedView[] => useSyncExternalStore(subscribe, current);
