/** Long lists of rows of one height: only those near the screen are there, whatever the length. */
import { type RefObject, useLayoutEffect, useState } from 'react';

export interface Window {
  /** The first row that is there, and the first after the last. */
  from: number;
  to: number;
  /** Pixels that the rows before and after would take. */
  before: number;
  after: number;
}

/** Rows beyond the edges of the screen, so that none is missing while it is scrolled to. */
const SPARE_ROWS = 6;
/** The window moves by so many rows at a time: less often is less work. */
const STEP_ROWS = 4;

/** Which of `count` rows are near the screen, where the list begins `top` pixels below its upper edge. */
export function windowOf(count: number, row_px: number, top: number, screen_px: number): Window {
  const clamp = (row: number) => Math.max(0, Math.min(count, row));
  const first = Math.floor(-top / row_px / STEP_ROWS) * STEP_ROWS;
  const from = clamp(first - SPARE_ROWS);
  const to = clamp(first + Math.ceil(screen_px / row_px) + STEP_ROWS + SPARE_ROWS);
  return { from, to, before: from * row_px, after: (count - to) * row_px };
}

/** The window of a list that begins where `list` does and scrolls with the page. */
export function useWindow(list: RefObject<HTMLElement | null>, count: number, row_px: number): Window {
  const [place, setPlace] = useState(() => windowOf(count, row_px, 0, globalThis.innerHeight));
  useLayoutEffect(() => {
    const look = () => {
      const top = list.current?.getBoundingClientRect().top ?? 0;
      setPlace((now) => {
        const next = windowOf(count, row_px, top, globalThis.innerHeight);
        const isSame = next.from === now.from && next.to === now.to && next.after === now.after;
        return isSame ? now : next;
      });
    };
    look();
    addEventListener('scroll', look, { passive: true });
    addEventListener('resize', look);
    return () => {
      removeEventListener('scroll', look);
      removeEventListener('resize', look);
    };
  }, [list, count, row_px]);
  return place;
}
