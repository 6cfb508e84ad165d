import { useQuery } from '@tanstack/react-query';
import { Card } from '@/components/card';
import { Loading } from '@/components/page';
import { useNow } from '@/lib/now';
import { clockTime } from '@/lib/time';
import { MINUTES, type Pace, paceOf, perMinute } from '../activity';
import { activityQuery } from '../api/system';

const COUNT = new Intl.NumberFormat();
const RATE = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const SHARE = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 1 });

/** How many runs end, and how, over the last hour. */
export function PaceCard() {
  const { data } = useQuery(activityQuery);
  const now_ms = useNow();
  if (!data) {
    return (
      <Card title="The last hour" flush>
        <Loading rows={2} />
      </Card>
    );
  }
  const pace = paceOf(data, now_ms);
  return (
    <Card title="The last hour">
      <dl className="grid grid-cols-2 gap-x-6 gap-y-3 sm:grid-cols-4">
        <Counted name="Launched" value={COUNT.format(pace.launched)} />
        <Counted name="Ended" value={COUNT.format(pace.finished)} />
        <Counted name="A minute" value={RATE.format(perMinute(pace))} />
        <Counted
          name="Failed of those ended"
          value={pace.finished === 0 ? '–' : SHARE.format(pace.failed / pace.finished)}
          isBad={pace.failed > 0}
        />
      </dl>
      <Bars pace={pace} />
    </Card>
  );
}

function Counted({ name, value, isBad = false }: { name: string; value: string; isBad?: boolean }) {
  return (
    <div>
      <dt className="text-xs text-muted">{name}</dt>
      <dd
        className={
          isBad ? 'text-lg font-semibold text-bad tabular-nums' : 'text-lg font-semibold tabular-nums'
        }
      >
        {value}
      </dd>
    </div>
  );
}

const HEIGHT = 40;

/** From the ground up, in the column of its minute. */
const Bar = ({ place, height, fill }: { place: number; height: number; fill: string }) => (
  <rect x={place * 10 + 1} width="8" y={HEIGHT - height} height={height} className={fill} />
);

function Bars({ pace }: { pace: Pace }) {
  const most = Math.max(1, ...pace.minutes.map(({ ended }) => ended));
  const height = (runs: number) => (runs === 0 ? 0 : Math.max(1.5, (runs / most) * HEIGHT));
  const first = pace.minutes[0];
  return (
    <figure className="mt-4">
      <svg
        viewBox={`0 0 ${MINUTES * 10} ${HEIGHT + 1}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Runs that ended in each of the last ${MINUTES} minutes, at most ${most} in one`}
        className="h-14 w-full"
      >
        <rect x="0" y={HEIGHT} width={MINUTES * 10} height="1" className="fill-line" />
        {pace.minutes.map(({ at_ms, ended, failed }, place) => (
          <g key={at_ms}>
            <title>{`${clockTime(new Date(at_ms).toISOString())}: ${ended} ended, ${failed} of them failed`}</title>
            <Bar place={place} height={height(ended)} fill="fill-run/70" />
            <Bar place={place} height={height(failed)} fill="fill-bad" />
          </g>
        ))}
      </svg>
      <figcaption className="mt-1 flex justify-between text-xs text-muted">
        <span>{first && clockTime(new Date(first.at_ms).toISOString())}</span>
        <span>
          ended a minute, <span className="text-bad">failed</span> among them
        </span>
        <span>now</span>
      </figcaption>
    </figure>
  );
}
