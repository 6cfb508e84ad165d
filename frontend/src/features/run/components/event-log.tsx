import { useState } from 'react';
import { Button } from '@/components/button';
import { Card } from '@/components/card';
import { Untrusted } from '@/components/text';
import { Clock } from '@/components/time';
import { jsonText } from '@/lib/json-tokens';
import { clip } from '@/lib/untrusted';
import type { RunEvent } from '../api/events';
import { InspectLink } from './inspect-link';

const PAGE_EVENTS = 200;

/** Every event as it was recorded, the newest first. */
export function EventLog({ events }: { events: RunEvent[] }) {
  const [shown, setShown] = useState(PAGE_EVENTS);
  const newest = events.slice(-shown).reverse();
  return (
    <Card flush>
      <ol className="divide-y divide-line">
        {newest.map((event) => (
          <li key={event.id} className="flex min-w-0 items-baseline gap-3 px-3 py-1.5">
            <span className="w-10 shrink-0 text-right">
              <InspectLink id={event.id} />
            </span>
            <span className="text-xs text-faint max-sm:hidden">
              <Clock at={event.at} />
            </span>
            <code className="w-36 shrink-0 truncate text-xs font-medium sm:w-40">
              <Untrusted text={event.type} />
            </code>
            <code className="min-w-0 flex-1 truncate text-xs text-muted">
              <Untrusted text={clip(jsonText(event.data), 200).shown} />
            </code>
          </li>
        ))}
      </ol>
      {events.length > shown && (
        <div className="border-t border-line p-3 text-center">
          <Button small onClick={() => setShown(shown + PAGE_EVENTS)}>
            Show earlier events
          </Button>
        </div>
      )}
    </Card>
  );
}
