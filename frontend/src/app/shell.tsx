import { useQuery } from '@tanstack/react-query';
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import clsx from 'clsx';
import { Command, type LucideIcon, Monitor, Moon, Radio, RefreshCw, Sun } from 'lucide-react';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { useChanges } from '@/api/changes';
import { useLinkPhase } from '@/api/link';
import { useLocked } from '@/api/session';
import { Mark } from '@/components/mark';
import { inboxQuery } from '@/features/inbox/api/inbox';
import { useNotifications } from '@/features/inbox/notify';
import { Login } from '@/features/session/components/login';
import { HealthBanner } from '@/features/system/components/banners';
import { useHotkeys } from '@/lib/hotkeys';
import { chooseTheme, THEMES, type Theme, useTheme } from '@/lib/theme';
import { PLACES } from './places';

/** The frame around every page. Where the server asks for a key, the page waits as it was, out of reach. */
export function Shell() {
  const isLocked = useLocked();
  return (
    <>
      {isLocked && <Login />}
      <div hidden={isLocked}>
        <Frame />
      </div>
    </>
  );
}

// Not needed before somebody asks for it.
const Commands = lazy(() => import('./commands').then((module) => ({ default: module.Commands })));
const KeysDialog = lazy(() => import('./commands').then((module) => ({ default: module.KeysDialog })));

function Frame() {
  const navigate = useNavigate();
  const [open, setOpen] = useState<'commands' | 'keys' | null>(null);
  // A run's page has a stream of its own.
  const isOnRun = useRouterState({ select: ({ location }) => /^\/runs\/./.test(location.pathname) });
  useChanges(!isOnRun);
  useHotkeys({
    'mod+k': () => setOpen('commands'),
    '?': () => setOpen('keys'),
    '/': () =>
      void navigate({ to: '/runs' }).then(() =>
        document.querySelector<HTMLElement>('[type=search]')?.focus(),
      ),
    ...Object.fromEntries(PLACES.map(({ to, key }) => [`g ${key}`, () => void navigate({ to })])),
  });
  return (
    <div className="min-h-dvh max-md:pb-16 md:pl-14 lg:pl-52">
      <a
        href="#content"
        className="sr-only z-30 rounded-md bg-accent px-3 py-2 text-on-accent focus:not-sr-only focus:fixed focus:top-2 focus:left-2"
      >
        Skip to content
      </a>
      <Navigation isOnRun={isOnRun} onCommands={() => setOpen('commands')} />
      <main id="content" tabIndex={-1} className="outline-none">
        <div className="mx-auto max-w-6xl px-4 pt-4 empty:hidden sm:px-6">
          <HealthBanner />
          {!isOnRun && <LostLink />}
        </div>
        <Outlet />
      </main>
      <Suspense>
        {open === 'commands' && <Commands onClose={() => setOpen(null)} />}
        {open === 'keys' && <KeysDialog onClose={() => setOpen(null)} />}
      </Suspense>
    </div>
  );
}

/** A column of words on a wide screen, of icons on a tablet, a bar under the thumb on a phone. */
function Navigation({ isOnRun, onCommands }: { isOnRun: boolean; onCommands: () => void }) {
  const items = useQuery(inboxQuery).data?.items;
  const waiting = items?.length ?? 0;
  useNotifications(items);
  useTitleCount(waiting);
  return (
    <nav
      aria-label="Main"
      className={clsx(
        'fixed z-20 flex border-line bg-canvas',
        'max-md:inset-x-0 max-md:bottom-0 max-md:justify-around max-md:border-t max-md:px-1 max-md:pb-[env(safe-area-inset-bottom)]',
        'md:inset-y-0 md:left-0 md:w-14 md:flex-col md:border-r md:px-2 md:py-3 lg:w-52',
      )}
    >
      <Link
        to="/"
        aria-label="Piton, home"
        className="mb-4 flex h-9 items-center rounded-md px-2 max-md:hidden"
      >
        <span className="lg:hidden">
          <Mark name={false} />
        </span>
        <span className="max-lg:hidden">
          <Mark />
        </span>
      </Link>
      {PLACES.map(({ to, label, Icon }) => (
        <Link
          key={to}
          to={to}
          title={label}
          activeOptions={{ exact: to === '/' }}
          className={clsx(
            'relative flex items-center rounded-md font-medium text-muted transition-colors hover:text-ink md:mb-0.5 md:h-8 md:gap-2.5 md:px-3 md:text-sm md:hover:bg-hover',
            'max-md:h-14 max-md:flex-1 max-md:flex-col max-md:justify-center max-md:gap-0.5 max-md:text-xs',
            'aria-[current=page]:text-ink md:aria-[current=page]:bg-hover max-md:aria-[current=page]:text-accent',
          )}
        >
          <Icon aria-hidden className="size-4 shrink-0 max-md:size-5" />
          <span className="md:max-lg:sr-only">{label}</span>
          {to === '/inbox' && waiting > 0 && <Count of={waiting} />}
        </Link>
      ))}
      <div className="mt-auto flex flex-col gap-0.5 max-md:hidden">
        {!isOnRun && <LinkState />}
        <button
          type="button"
          title="Go to, or do (Ctrl K)"
          onClick={onCommands}
          className="flex h-8 w-full items-center gap-2.5 rounded-md px-3 text-sm text-muted hover:bg-hover hover:text-ink"
        >
          <Command aria-hidden className="size-4 shrink-0" />
          <span className="md:max-lg:sr-only">Commands</span>
          <kbd className="ml-auto font-sans text-xs text-faint max-lg:hidden">Ctrl K</kbd>
        </button>
        <ThemeButton />
      </div>
    </nav>
  );
}

/** On a phone, where the navigation has no room for it. */
function LostLink() {
  if (useLinkPhase() !== 'reconnecting') return null;
  return (
    <p
      role="status"
      className="mt-2 rounded-md bg-limit-soft px-3 py-1.5 text-sm font-medium text-limit md:hidden"
    >
      Reconnecting…
    </p>
  );
}

/** Whether lists are live. A page of a run says it of its own stream. */
function LinkState() {
  const phase = useLinkPhase();
  if (phase !== 'live' && phase !== 'reconnecting') return null;
  const isLive = phase === 'live';
  const Icon = isLive ? Radio : RefreshCw;
  return (
    <p
      role="status"
      data-link={phase}
      className={clsx(
        'flex h-8 items-center gap-2.5 rounded-md px-3 text-sm',
        isLive ? 'text-ok' : 'bg-limit-soft font-medium text-limit',
      )}
    >
      <Icon aria-hidden className={clsx('size-4 shrink-0', !isLive && 'motion-safe:animate-spin')} />
      <span className="md:max-lg:sr-only">{isLive ? 'Connected' : 'Reconnecting…'}</span>
    </p>
  );
}

function Count({ of }: { of: number }) {
  return (
    <span
      role="status"
      aria-label={`${of} waiting`}
      className="flex h-4.5 min-w-4.5 items-center justify-center rounded-full bg-wait px-1 text-[0.6875rem] font-semibold text-surface tabular-nums max-lg:absolute max-lg:top-0 max-lg:right-0 max-md:top-1 max-md:left-1/2 max-md:ml-1.5 max-md:w-fit lg:ml-auto"
    >
      {of > 99 ? '99+' : of}
    </span>
  );
}

const THEME_LOOKS: Record<Theme, { label: string; Icon: LucideIcon }> = {
  system: { label: 'Theme: system', Icon: Monitor },
  light: { label: 'Theme: light', Icon: Sun },
  dark: { label: 'Theme: dark', Icon: Moon },
};

export function ThemeButton() {
  const theme = useTheme();
  const { label, Icon } = THEME_LOOKS[theme];
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system';
  return (
    <button
      type="button"
      title={`${label}; press for ${next}`}
      onClick={() => chooseTheme(next)}
      className="flex h-8 w-full items-center gap-2.5 rounded-md px-3 text-sm text-muted hover:bg-hover hover:text-ink"
    >
      <Icon aria-hidden className="size-4 shrink-0" />
      <span className="md:max-lg:sr-only">{label}</span>
    </button>
  );
}

/** Puts the number of those who wait before the title, whatever a page calls itself. */
function useTitleCount(count: number): void {
  const shown = useRef('');
  useEffect(() => {
    const put = () => {
      const bare = document.title.replace(/^\(\d+\) /, '');
      shown.current = count > 0 ? `(${count}) ${bare}` : bare;
      if (document.title !== shown.current) document.title = shown.current;
    };
    put();
    const title = document.querySelector('title');
    if (!title) return;
    const observer = new MutationObserver(put);
    observer.observe(title, { childList: true });
    return () => observer.disconnect();
  }, [count]);
}
