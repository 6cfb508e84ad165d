import clsx from 'clsx';
import {
  Ban,
  CircleCheck,
  CircleDotDashed,
  CirclePause,
  CircleX,
  LoaderCircle,
  type LucideIcon,
  MessageCircleQuestionMark,
  OctagonMinus,
  ShieldAlert,
  TriangleAlert,
} from 'lucide-react';
import { useIsStale } from '@/api/link';
import type { Status } from '@/api/types';

interface Look {
  label: string;
  /** What it means for the reader, in a sentence. */
  meaning: string;
  Icon: LucideIcon;
  ink: string;
  fill: string;
  /** Whether the icon turns: something is under way. */
  turns?: true;
}

/** How each status looks: never by colour alone, each has a shape of its own. */
const LOOKS: Record<Status, Look> = {
  running: {
    label: 'Running',
    meaning: 'A worker carries it on.',
    Icon: LoaderCircle,
    ink: 'text-run',
    fill: 'bg-run-soft',
    turns: true,
  },
  waiting_human_input: {
    label: 'Needs an answer',
    meaning: 'It asked a question and waits.',
    Icon: MessageCircleQuestionMark,
    ink: 'text-wait',
    fill: 'bg-wait-soft',
  },
  undecided: {
    label: 'Outcome unknown',
    meaning: 'A call began and its result is not known: somebody has to decide.',
    Icon: TriangleAlert,
    ink: 'text-unknown',
    fill: 'bg-unknown-soft',
  },
  paused: {
    label: 'Paused',
    meaning: 'It goes on when it is resumed.',
    Icon: CirclePause,
    ink: 'text-hold',
    fill: 'bg-hold-soft',
  },
  cancelling: {
    label: 'Cancelling',
    meaning: 'It ends as soon as the call under way has ended.',
    Icon: CircleDotDashed,
    ink: 'text-off',
    fill: 'bg-off-soft',
    turns: true,
  },
  complete: {
    label: 'Complete',
    meaning: 'It gave its answer.',
    Icon: CircleCheck,
    ink: 'text-ok',
    fill: 'bg-ok-soft',
  },
  failed: {
    label: 'Failed',
    meaning: 'It could not go on; it may be resumed.',
    Icon: CircleX,
    ink: 'text-bad',
    fill: 'bg-bad-soft',
  },
  cancelled: {
    label: 'Cancelled',
    meaning: 'Somebody ended it.',
    Icon: Ban,
    ink: 'text-off',
    fill: 'bg-off-soft',
  },
  max_steps_reached: {
    label: 'Step limit',
    meaning: 'It used all its steps; a resume grants ten more.',
    Icon: OctagonMinus,
    ink: 'text-limit',
    fill: 'bg-limit-soft',
  },
  quarantined: {
    label: 'Quarantined',
    meaning: 'Its steps took workers down again and again, so it is kept apart.',
    Icon: ShieldAlert,
    ink: 'text-bad',
    fill: 'bg-bad-soft',
  },
};

/** A status this version of the UI does not know is shown by its name. */
const lookOf = (status: Status): Look =>
  LOOKS[status] ?? {
    label: String(status),
    meaning: '',
    Icon: CircleDotDashed,
    ink: 'text-off',
    fill: 'bg-off-soft',
  };

/** Grey and still while it may have been overtaken. */
export function StatusIcon({ status, className }: { status: Status; className?: string }) {
  const { Icon, ink, turns } = lookOf(status);
  const isStale = useIsStale();
  return (
    <Icon
      aria-hidden
      className={clsx(
        'size-4 shrink-0',
        isStale ? 'text-off' : ink,
        turns && !isStale && 'motion-safe:animate-[spin_2.4s_linear_infinite]',
        className,
      )}
    />
  );
}

export function StatusBadge({ status }: { status: Status }) {
  const { label, meaning, ink, fill } = lookOf(status);
  const isStale = useIsStale();
  return (
    <span
      title={isStale ? `Last known: ${meaning}` : meaning}
      data-status={status}
      data-stale={isStale || undefined}
      className={clsx(
        'inline-flex h-6 items-center gap-1.5 rounded-full pr-2.5 pl-1.5 text-xs font-medium whitespace-nowrap',
        isStale ? 'bg-off-soft text-off' : [ink, fill],
      )}
    >
      <StatusIcon status={status} className="size-3.5" />
      {label}
    </span>
  );
}

/** The status in its words, where its icon stands apart. */
export function StatusWord({ status }: { status: Status }) {
  const { label, ink } = lookOf(status);
  return <span className={useIsStale() ? 'text-off' : ink}>{label}</span>;
}

export const statusLabel = (status: Status): string => lookOf(status).label;
