import { memo, useRef } from 'react';
import { Card } from '@/components/card';
import { Untrusted } from '@/components/text';
import { Clock } from '@/components/time';
import { jsonText } from '@/lib/json-tokens';
import { clip } from '@/lib/untrusted';
import { useWindow } from '@/lib/windowed';
import type { RunEvent } from '../api/events';
import { InspectLink } from './inspect-link';

const ROW_PX = 32;

/** Every event as it was recorded, the newest first. */
export function EventLog({ events }: { events: RunEvent[] }) {
  const list = useRef<HTMLOListElement>(null);
  const { from, to, before, after } = useWindow(list, events.length, ROW_PX);
  const newest = events.slice(events.length - to, events.length - from).reverse();
  return (
    <Card flush>
      <ol ref={list} aria-label="Events, the newest first">
        {before > 0 && <li aria-hidden style={{ height: before }} />}
        {newest.map((event) => (
          <EventLine key={event.id} event={event} />
        ))}
        {after > 0 && <li aria-hidden style={{ height: after }} />}
      </ol>
    </Card>
  );
}

const EventLine = memo(function EventLine({ event }: { event: RunEvent }) {
  return (
    <li className="flex h-8 min-w-0 items-center gap-3 border-b border-line px-3 last:border-b-0">
      <span className="w-12 shrink-0 text-right">
        <InspectLink id={event.id} />
      </span>
      <span className="text-xs text-muted max-sm:hidden">
        <Clock at={event.at} />
      </span>
      <code className="w-36 shrink-0 truncate text-xs font-medium sm:w-40">
        <Untrusted text={event.type} />
      </code>
      <code className="min-w-0 flex-1 truncate text-xs text-muted">
        <Untrusted text={clip(jsonText(event.data), 200).shown} />
      </code>
    </li>
  );
});
