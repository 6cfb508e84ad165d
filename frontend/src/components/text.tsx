import clsx from 'clsx';
import { useState } from 'react';
import { type Clip, clip, segments } from '@/lib/untrusted';

/** Untrusted text as it is: no markup, nothing that loads, nothing that hides. */
export function Untrusted({ text }: { text: string }) {
  return segments(text).map((part, index) =>
    part.kind === 'text' ? (
      part.text
    ) : (
      <span
        // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text keep their places
        key={index}
        title={part.name}
        className="mx-px rounded-sm bg-unknown-soft px-0.5 font-mono text-[0.85em] text-unknown"
      >
        {part.text}
      </span>
    ),
  );
}

const COUNT = new Intl.NumberFormat();
/** How much is added at most with one press: a browser lays out so much text without a pause. */
const MORE_CHARS = 200_000;

interface ProseProps {
  text: string;
  mono?: boolean;
  chars_max?: number;
  lines_max?: number;
}

/** A text of any length that somebody else wrote: its beginning, and the rest when it is asked for. */
export function Prose({ text, mono = false, chars_max = 1_500, lines_max = 16 }: ProseProps) {
  const clipped = useClip(text, chars_max, lines_max);
  return (
    <div className="min-w-0">
      <p
        dir="auto"
        className={clsx(
          'overflow-hidden wrap-anywhere whitespace-pre-wrap',
          mono && 'font-mono text-[0.92em]',
        )}
      >
        <Untrusted text={clipped.shown} />
        {clipped.hidden > 0 && '…'}
      </p>
      <ShowAll {...clipped} />
    </div>
  );
}

export interface Clipped extends Clip {
  isOpen: boolean;
  wasClipped: boolean;
  showMore: () => void;
  showLess: () => void;
}

/** The part of a long text that is shown now. */
export function useClip(text: string, chars_max: number, lines_max: number): Clipped {
  const [limit, setLimit] = useState(0);
  const short = clip(text, chars_max, lines_max);
  const shown = limit === 0 ? short : clip(text, limit);
  return {
    ...shown,
    isOpen: limit > 0,
    wasClipped: short.hidden > 0,
    showMore: () => setLimit((now) => Math.max(now, shown.shown.length) + MORE_CHARS),
    showLess: () => setLimit(0),
  };
}

export function ShowAll({ shown, hidden, isOpen, wasClipped, showMore, showLess }: Clipped) {
  if (!wasClipped) return null;
  const total = COUNT.format(shown.length + hidden);
  return (
    <span className="mt-1 flex gap-3 text-xs">
      {hidden > 0 && (
        <TextButton onClick={showMore}>
          {hidden > MORE_CHARS ? `Show more of ${total} characters` : `Show all ${total} characters`}
        </TextButton>
      )}
      {isOpen && <TextButton onClick={showLess}>Show less</TextButton>}
    </span>
  );
}

export function TextButton({ onClick, children }: { onClick: () => void; children: string }) {
  return (
    <button type="button" onClick={onClick} className="font-medium text-accent hover:underline">
      {children}
    </button>
  );
}
