/** Keys that work anywhere on a page, unless somebody types. */
import { useEffect, useRef } from 'react';

/** By the key, such as `j` or `?`; `g r` is one after the other, `mod+k` with Ctrl or ⌘. */
export type Hotkeys = Record<string, () => void>;

/** How long the second key of two may take. */
const PAIR_MS = 1_200;

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
  !(target instanceof HTMLInputElement && /^(checkbox|radio|button)$/.test(target.type));

export function useHotkeys(keys: Hotkeys): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    let first: { key: string; at_ms: number } | null = null;
    const onKey = (event: KeyboardEvent) => {
      if (event.isComposing || event.altKey || event.defaultPrevented) return;
      const hasMod = event.ctrlKey || event.metaKey;
      if (hasMod) {
        const action = latest.current[`mod+${event.key.toLowerCase()}`];
        if (!action) return;
        event.preventDefault();
        action();
        return;
      }
      // A dialog has the keys to itself.
      if (isTyping(event.target) || document.querySelector('dialog[open]')) return;
      const pair = first && event.timeStamp - first.at_ms < PAIR_MS ? `${first.key} ${event.key}` : null;
      const action = (pair !== null && latest.current[pair]) || latest.current[event.key];
      first = { key: event.key, at_ms: event.timeStamp };
      if (!action) return;
      event.preventDefault();
      first = null;
      action();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}
