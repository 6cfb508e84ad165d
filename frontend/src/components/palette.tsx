import clsx from 'clsx';
import type { LucideIcon } from 'lucide-react';
import { type KeyboardEvent, useEffect, useId, useRef, useState } from 'react';
import { oneLine } from '@/lib/untrusted';
import { Dialog } from './dialog';

export interface Entry {
  key: string;
  label: string;
  /** What kind of thing it is, or its key. */
  hint?: string | undefined;
  Icon: LucideIcon;
  run: () => void;
  /** Shown whatever was typed. */
  isAlways?: boolean;
}

interface PaletteProps {
  entries: Entry[];
  typed: string;
  onType: (text: string) => void;
  onClose: () => void;
}

/** Finds what can be done or gone to from its name: arrows choose, Enter does. */
export function Palette({ entries, typed, onType, onClose }: PaletteProps) {
  const id = useId();
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const found = entries.filter(
    ({ label, hint = '', isAlways }) =>
      isAlways || words.every((word) => `${label} ${hint}`.toLowerCase().includes(word)),
  );
  const chosen = Math.min(at, found.length - 1);
  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  });
  const onKeyDown = (event: KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      setAt((chosen + step + found.length) % Math.max(1, found.length));
    }
    if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
      event.preventDefault();
      const entry = found[chosen];
      if (!entry) return;
      onClose();
      entry.run();
    }
  };
  return (
    <Dialog title="Go to, or do" onClose={onClose}>
      <input
        role="combobox"
        aria-label="Command"
        aria-expanded
        aria-controls={`${id}-list`}
        aria-activedescendant={found[chosen] ? `${id}-${chosen}` : undefined}
        autoComplete="off"
        autoFocus
        value={typed}
        placeholder="A page, a run, an action"
        maxLength={200}
        onChange={(event) => {
          onType(event.target.value);
          setAt(0);
        }}
        onKeyDown={onKeyDown}
        className="h-10 w-full rounded-md border border-edge/70 bg-surface px-3 text-lg text-ink outline-none placeholder:text-faint focus-visible:border-accent"
      />
      <div
        ref={list}
        id={`${id}-list`}
        role="listbox"
        aria-label="Found"
        className="mt-2 max-h-[50vh] overflow-y-auto"
      >
        {found.map(({ key, label, hint, Icon, run }, place) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: Enter in the field is the keyboard's way
          // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the field, which names the chosen one
          <div
            key={key}
            id={`${id}-${place}`}
            role="option"
            aria-selected={place === chosen}
            onClick={() => {
              onClose();
              run();
            }}
            onMouseMove={() => setAt(place)}
            className={clsx(
              'flex h-9 cursor-pointer items-center gap-2.5 rounded-md px-2.5 text-sm',
              place === chosen && 'bg-hover',
            )}
          >
            <Icon aria-hidden className="size-4 shrink-0 text-muted" />
            <span className="min-w-0 flex-1 truncate">{oneLine(label)}</span>
            {hint && <span className="shrink-0 text-xs text-muted">{oneLine(hint)}</span>}
          </div>
        ))}
      </div>
      {found.length === 0 && <p className="px-2.5 py-2 text-sm text-muted">Nothing goes by that name.</p>}
    </Dialog>
  );
}
