import clsx from 'clsx';
import { Hourglass } from 'lucide-react';
import { memo, useMemo, useRef } from 'react';
import type { LostAttempt, Run } from '@/api/types';
import { Card } from '@/components/card';
import { Empty, Loading } from '@/components/page';
import { RowLink } from '@/components/row-link';
import { Untrusted } from '@/components/text';
import { useNow } from '@/lib/now';
import { duration } from '@/lib/time';
import { useWindow } from '@/lib/windowed';
import type { Timeline } from '../timeline';
import { type Scale, type Span, type SpanKind, scaleOf, spansOf } from '../waterfall';

const KINDS: Record<SpanKind, { name: string; fill: string }> = {
  model: { name: 'Model', fill: 'bg-accent' },
  tool: { name: 'Tool', fill: 'bg-run' },
  human: { name: 'Waiting for a human', fill: 'bg-wait' },
  paused: { name: 'Paused', fill: 'bg-hold' },
  lost: { name: 'Lost with its worker', fill: 'bg-bad' },
};

const ROW_PX = 28;

/** Where the run's time went: one bar for each thing that took some. */
export function Waterfall({ timeline, run, lost }: { timeline: Timeline; run: Run; lost: LostAttempt[] }) {
  const isOver = run.finished_at !== null;
  const now_ms = useNow();
  const end_ms = isOver ? Date.parse(run.updated_at) : Math.max(now_ms, Date.parse(run.updated_at));
  const spans = useMemo(() => spansOf(timeline, lost, end_ms), [timeline, lost, end_ms]);
  const scale = useMemo(
    () => scaleOf(spans, Date.parse(timeline.launched_at ?? run.created_at), end_ms),
    [spans, timeline.launched_at, run.created_at, end_ms],
  );
  const list = useRef<HTMLOListElement>(null);
  const { from, to, before, after } = useWindow(list, spans.length, ROW_PX);
  if (!timeline.launched_at) return <Loading />;
  if (spans.length === 0) {
    return (
      <Card>
        <Empty Icon={Hourglass} title="Nothing has taken time yet">
          Model calls, tools and waits are drawn here as they happen.
        </Empty>
      </Card>
    );
  }
  return (
    <Card flush title={<Totals spans={spans} />}>
      <div className="relative">
        <Gaps scale={scale} />
        <ol ref={list} aria-label="What took time" className="relative">
          {before > 0 && <li aria-hidden style={{ height: before }} />}
          {spans.slice(from, to).map((span, place) => (
            <Row
              key={`${span.kind}-${span.event}-${span.from_ms}`}
              span={span}
              scale={scale}
              place={from + place}
            />
          ))}
          {after > 0 && <li aria-hidden style={{ height: after }} />}
        </ol>
      </div>
      {scale.gaps.length > 0 && (
        <p className="border-t border-line px-4 py-2 text-xs text-muted">
          Striped: {scale.gaps.length === 1 ? 'a stretch' : `${scale.gaps.length} stretches`} in which nothing
          was computed, drawn short (the longest {duration(Math.max(...scale.gaps.map(({ ms }) => ms)))}).
        </p>
      )}
    </Card>
  );
}

/** How much of each kind there was, as the legend. */
const Totals = memo(function Totals({ spans }: { spans: Span[] }) {
  const sums = new Map<SpanKind, number>();
  for (const { kind, from_ms, to_ms } of spans) sums.set(kind, (sums.get(kind) ?? 0) + to_ms - from_ms);
  return (
    <ul className="flex flex-wrap gap-x-4 gap-y-1 py-1 text-xs font-normal text-muted">
      {[...sums].map(([kind, ms]) => (
        <li key={kind} className="flex items-center gap-1.5">
          <span aria-hidden className={clsx('size-2.5 rounded-sm', KINDS[kind].fill)} />
          {KINDS[kind].name} <span className="font-medium text-ink tabular-nums">{duration(ms)}</span>
        </li>
      ))}
    </ul>
  );
});

const percent = (share: number) => `${(share * 100).toFixed(3)}%`;
/** Where the bars are, beside their names. */
const TRACK = 'absolute inset-y-0 right-18 left-36 sm:left-56';

function Gaps({ scale }: { scale: Scale }) {
  return (
    <div aria-hidden className={TRACK}>
      {scale.gaps.map(({ from, to }) => (
        <span
          key={from}
          className="absolute inset-y-0 striped"
          style={{ left: percent(from), width: percent(to - from) }}
        />
      ))}
    </div>
  );
}

const Row = memo(function Row({ span, scale, place }: { span: Span; scale: Scale; place: number }) {
  const left = scale.at(span.from_ms);
  const width = Math.max(0.004, scale.at(span.to_ms) - left);
  const took = duration(span.to_ms - span.from_ms);
  return (
    <li className="relative h-7 hover:bg-hover/60" data-span={span.kind}>
      <RowLink
        to={{ event: span.event }}
        className="absolute inset-0 flex items-center px-4 text-xs"
        data-row={place}
      >
        <span className="w-28 truncate pr-2 sm:w-48">
          <Untrusted text={span.label} />
        </span>
        <span className="sr-only">{`${KINDS[span.kind].name}${span.isOpen ? ', so far' : ''}`}</span>
        <span className="ml-auto w-14 text-right text-muted tabular-nums">{took}</span>
      </RowLink>
      <span aria-hidden className={clsx(TRACK, 'pointer-events-none')}>
        <span
          className={clsx(
            'absolute top-2 h-3 rounded-sm',
            KINDS[span.kind].fill,
            span.isOpen && 'motion-safe:animate-pulse',
          )}
          style={{
            left: percent(Math.min(left, 0.996)),
            width: percent(Math.min(width, 1 - Math.min(left, 0.996))),
          }}
        />
      </span>
    </li>
  );
});
