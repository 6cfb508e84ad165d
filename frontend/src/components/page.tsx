import clsx from 'clsx';
import type { LucideIcon } from 'lucide-react';
import { type ReactNode, useEffect } from 'react';

interface PageProps {
  title: string;
  /** A sentence under the title. */
  lead?: ReactNode;
  actions?: ReactNode;
  /** Lists and tables are wide; what is read is narrow. */
  width?: 'wide' | 'narrow';
  children: ReactNode;
}

/** The frame of every page but a run's: title, lead, actions, content. */
export function Page({ title, lead, actions, width = 'wide', children }: PageProps) {
  useTitle(title);
  return (
    <div
      className={clsx(
        'mx-auto w-full px-4 py-6 sm:px-6 lg:py-8',
        width === 'wide' ? 'max-w-6xl' : 'max-w-3xl',
      )}
    >
      <header className="mb-5 flex items-end justify-between gap-4">
        <div className="min-w-0">
          <h1 className="text-xl font-semibold tracking-tight">{title}</h1>
          {lead && <p className="mt-0.5 text-muted">{lead}</p>}
        </div>
        {actions}
      </header>
      <div className="flex flex-col gap-5">{children}</div>
    </div>
  );
}

/** The document's title while a page is shown. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title === 'Piton' ? title : `${title} · Piton`;
  }, [title]);
}

/** Nothing here, why, and what to do about it. */
export function Empty({
  Icon,
  title,
  children,
  action,
}: {
  Icon: LucideIcon;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="flex flex-col items-center px-6 py-12 text-center">
      <span className="mb-3 rounded-full bg-sunken p-3 text-faint">
        <Icon aria-hidden className="size-5" />
      </span>
      <h2 className="font-semibold">{title}</h2>
      {children && <div className="mt-1 max-w-md text-muted">{children}</div>}
      {action && <div className="mt-4">{action}</div>}
    </div>
  );
}

/** Rows that are on their way. */
export function Loading({ rows = 4 }: { rows?: number }) {
  return (
    <div role="status" aria-label="Loading" className="flex flex-col gap-3 p-4">
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: placeholders have no identity
        <div key={row} className="flex animate-pulse items-center gap-3">
          <span className="size-5 rounded-full bg-hover" />
          <span className={clsx('h-3.5 rounded-sm bg-hover', row % 2 === 0 ? 'w-2/3' : 'w-1/2')} />
        </div>
      ))}
    </div>
  );
}
