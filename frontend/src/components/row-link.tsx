import { useRouter } from '@tanstack/react-router';
import type { AnchorHTMLAttributes, MouseEvent, ReactNode } from 'react';

interface RowLinkProps extends Omit<AnchorHTMLAttributes<HTMLAnchorElement>, 'href' | 'onClick'> {
  /** Where to go on this page's own path, keeping the rest of its search; or a path. */
  to: { event: number } | { path: string };
  children: ReactNode;
}

/**
 * A link for rows of long lists, drawn by the dozen while somebody scrolls: an anchor and a press, without the router's own
 * link, which watches the URL and works its target out anew each time.
 */
export function RowLink({ to, children, ...anchor }: RowLinkProps) {
  const router = useRouter();
  const searchWith = (event: number) => ({ ...router.latestLocation.search, event });
  const href = 'path' in to ? to.path : router.options.stringifySearch?.(searchWith(to.event));
  const go = (press: MouseEvent) => {
    // A new tab or window, a download: the browser's own.
    if (press.button !== 0 || press.metaKey || press.ctrlKey || press.shiftKey || press.altKey) return;
    press.preventDefault();
    void ('path' in to
      ? router.navigate({ to: to.path })
      : router.navigate({ to: '.', search: searchWith(to.event) as never, resetScroll: false }));
  };
  return (
    <a {...anchor} href={href} onClick={go}>
      {children}
    </a>
  );
}
