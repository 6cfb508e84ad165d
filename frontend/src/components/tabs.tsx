import { Link } from '@tanstack/react-router';
import clsx from 'clsx';
import type { ReactNode } from 'react';

export interface Tab {
  key: string;
  label: ReactNode;
  count?: number | undefined;
  /** The search part of the link: the choice lives in the URL. */
  search: Record<string, string | undefined>;
}

/** Views of one page, or filters of one list, each with a link of its own. */
export function Tabs({ label, tabs, current }: { label: string; tabs: Tab[]; current: string }) {
  return (
    <nav aria-label={label} className="-mb-px flex min-w-0 gap-1 overflow-x-auto">
      {tabs.map((tab) => (
        <Link
          key={tab.key}
          to="."
          search={tab.search as never}
          replace
          aria-current={tab.key === current ? 'page' : undefined}
          className={clsx(
            'flex h-9 shrink-0 items-center gap-1.5 border-b-2 px-2.5 text-sm font-medium',
            tab.key === current ? 'border-accent text-ink' : 'border-transparent text-muted hover:text-ink',
          )}
        >
          {tab.label}
          {tab.count !== undefined && <span className="text-xs text-faint tabular-nums">{tab.count}</span>}
        </Link>
      ))}
    </nav>
  );
}
