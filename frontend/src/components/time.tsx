import { useNow } from '@/lib/now';
import { ago, between_ms, clockTime, duration, exactTime } from '@/lib/time';

/** How long ago; the exact time on hover. */
export function Ago({ at }: { at: string }) {
  const now_ms = useNow();
  return (
    <time dateTime={at} title={exactTime(at)} className="whitespace-nowrap">
      {ago(at, now_ms)}
    </time>
  );
}

/** The time of day; date and all on hover. */
export function Clock({ at }: { at: string }) {
  return (
    <time dateTime={at} title={exactTime(at)} className="whitespace-nowrap tabular-nums">
      {clockTime(at)}
    </time>
  );
}

/** How long from `from` to `to`, or until now where that has not come. */
export function Lasting({ from, to }: { from: string; to: string | null }) {
  return to === null ? <Ticking from={from} /> : <Took ms={between_ms(from, to)} />;
}

function Ticking({ from }: { from: string }) {
  const now_ms = useNow();
  const whole_ms = Math.max(0, Math.floor((now_ms - Date.parse(from)) / 1000) * 1000);
  return (
    <span className="whitespace-nowrap tabular-nums">
      {whole_ms < 1000 ? 'now' : duration(whole_ms).replace('.0', '')}
    </span>
  );
}

export function Took({ ms }: { ms: number }) {
  return <span className="whitespace-nowrap tabular-nums">{duration(ms)}</span>;
}
