import clsx from 'clsx';
import type { ReactNode } from 'react';

interface CardProps {
  title?: ReactNode;
  /** What stands across from the title. */
  aside?: ReactNode;
  /** Rows touch the card's edges: for lists and tables. */
  flush?: boolean;
  children: ReactNode;
}

/** A surface for things that belong together. */
export function Card({ title, aside, flush = false, children }: CardProps) {
  return (
    <section className="min-w-0 overflow-clip rounded-lg border border-line bg-surface shadow-card">
      {title && (
        <header className="flex min-h-11 items-center justify-between gap-3 border-b border-line px-4 py-1.5">
          <h2 className="text-sm font-semibold">{title}</h2>
          {aside}
        </header>
      )}
      <div className={clsx(!flush && 'p-4')}>{children}</div>
    </section>
  );
}

type Tone = 'run' | 'wait' | 'unknown' | 'ok' | 'bad' | 'limit' | 'off';

const EDGES: Record<Tone, string> = {
  run: 'border-run/30 bg-run-soft/60',
  wait: 'border-wait/30 bg-wait-soft/60',
  unknown: 'border-unknown/30 bg-unknown-soft/60',
  ok: 'border-ok/30 bg-ok-soft/60',
  bad: 'border-bad/30 bg-bad-soft/60',
  limit: 'border-limit/30 bg-limit-soft/60',
  off: 'border-line bg-sunken',
};

const INKS: Record<Tone, string> = {
  run: 'text-run',
  wait: 'text-wait',
  unknown: 'text-unknown',
  ok: 'text-ok',
  bad: 'text-bad',
  limit: 'text-limit',
  off: 'text-muted',
};

interface NoticeProps {
  tone: Tone;
  icon: ReactNode;
  title: ReactNode;
  aside?: ReactNode;
  /** `status` is read out when it appears, `alert` at once. */
  role?: 'status' | 'alert' | 'region';
  children?: ReactNode;
}

/** What a reader should see first: an answer, a question, trouble. */
export function Notice({ tone, icon, title, aside, role, children }: NoticeProps) {
  return (
    <section
      role={role}
      aria-label={role === 'region' && typeof title === 'string' ? title : undefined}
      className={clsx('flex min-w-0 gap-3 rounded-lg border px-4 py-3', EDGES[tone])}
    >
      <span className={clsx('mt-0.5 shrink-0 [&>svg]:size-[1.125rem]', INKS[tone])}>{icon}</span>
      <div className="min-w-0 flex-1">
        <div className="flex min-w-0 flex-wrap items-start justify-between gap-x-3">
          <h2 className={clsx('min-w-0 text-sm leading-6 font-semibold', INKS[tone])}>{title}</h2>
          {aside}
        </div>
        {children && <div className="mt-1 min-w-0">{children}</div>}
      </div>
    </section>
  );
}
