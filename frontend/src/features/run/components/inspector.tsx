import { useNavigate } from '@tanstack/react-router';
import { ChevronLeft, ChevronRight } from 'lucide-react';
import type { ReactNode } from 'react';
import { Button } from '@/components/button';
import { Dialog } from '@/components/dialog';
import { Facts } from '@/components/facts';
import { Json } from '@/components/json';
import { jsonText } from '@/lib/json-tokens';
import { exactTime } from '@/lib/time';
import type { RunEvent } from '../api/events';

/**
 * One event as it was recorded, with its neighbours a press away. The URL names it, so that it may be asked for before
 * the story has come: `version`, the number of the run's last event, tells one that is on its way from one that is not.
 */
export function Inspector({ events, id, version }: { events: RunEvent[]; id: number; version: number }) {
  const navigate = useNavigate();
  const event = events.find((one) => one.id === id);
  const go = (to: number | undefined) =>
    void navigate({
      to: '.',
      search: ((before: Record<string, string>) => ({
        ...before,
        event: to === undefined ? undefined : String(to),
      })) as never,
      resetScroll: false,
      replace: to !== undefined,
    });
  return (
    <Dialog title={`Event ${id}`} shape="sheet" onClose={() => go(undefined)}>
      <div className="mb-4 flex items-center gap-2">
        <Button small Icon={ChevronLeft} disabled={id <= 1} onClick={() => go(id - 1)}>
          Earlier
        </Button>
        <Button
          small
          Icon={ChevronRight}
          disabled={!events.some((one) => one.id === id + 1)}
          onClick={() => go(id + 1)}
        >
          Later
        </Button>
      </div>
      {event ? (
        <div className="flex flex-col gap-4">
          <Facts facts={factsOf(event)} />
          <Json key={event.id} text={jsonText(event.data)} lines_max={60} />
        </div>
      ) : (
        <p className="text-muted">
          {id <= version ? `Reading event ${id} …` : `This run has no event ${id} yet.`}
        </p>
      )}
    </Dialog>
  );
}

function factsOf(event: RunEvent): [string, ReactNode][] {
  const facts: [string, ReactNode][] = [
    ['What', <code key="t">{event.type}</code>],
    ['When', exactTime(event.at)],
    ['Format', `v${event.v}`],
  ];
  if (event.type === 'model_replied') {
    const { request, model, usage, attempt } = event.data;
    facts.push(
      ['Model', model],
      ['Asked over', request.api],
      ['Request', `${request.bytes} bytes, built from the events up to ${request.through_seq}`],
      [
        'Its SHA-256',
        <code key="h" className="text-xs">
          {request.sha256}
        </code>,
      ],
      ['Tokens', `${usage.input_tokens} in, ${usage.output_tokens} out`],
      ['Attempt', `${attempt}, with ${request.tries} ${request.tries === 1 ? 'try' : 'tries'}`],
    );
  }
  if (event.type === 'tool_started') {
    const { worker, epoch, attempt } = event.data;
    facts.push(['Worker', <code key="w">{worker}</code>], ['Epoch', epoch], ['Attempt', attempt]);
  }
  return facts;
}
