import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useLayoutEffect, useRef, useState } from 'react';

/** A list in the list, as high as all its entries, of which those near the screen are drawn. */
export function ManyEntries({
  keys,
  height_px,
  children,
}: {
  keys: (string | number)[];
  /** About how high an entry is, before it was seen: the nearer, the less is laid out twice. */
  height_px: (at: number) => number;
  children: (at: number) => ReactNode;
}) {
  const list = useRef<HTMLOListElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    // What stands above may grow and shrink: an answer comes, a long text is unfolded.
    const look = () => setTop((list.current?.getBoundingClientRect().top ?? 0) + globalThis.scrollY);
    look();
    const observer = new ResizeObserver(look);
    observer.observe(document.body);
    return () => observer.disconnect();
  }, []);
  const virtual = useWindowVirtualizer({
    count: keys.length,
    estimateSize: height_px,
    getItemKey: (index) => keys[index] ?? index,
    gap: 16,
    overscan: 2,
    scrollMargin: top,
  });
  return (
    <li>
      <ol ref={list} className="relative" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map(({ key, index, start }) => (
          <li
            key={key}
            ref={virtual.measureElement}
            data-index={index}
            aria-setsize={keys.length}
            aria-posinset={index + 1}
            className="absolute inset-x-0 top-0"
            style={{ transform: `translateY(${start - virtual.options.scrollMargin}px)` }}
          >
            <ul>{children(index)}</ul>
          </li>
        ))}
      </ol>
    </li>
  );
}
