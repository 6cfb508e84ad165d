import {
  createRootRoute,
  createRoute,
  createRouter,
  Link,
  lazyRouteComponent,
  type RouterHistory,
} from '@tanstack/react-router';
import { Compass } from 'lucide-react';
import { Card } from '@/components/card';
import { Empty, Page } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { HomePage } from './pages/home';
import { Shell } from './shell';

const root = createRootRoute({
  component: Shell,
  notFoundComponent: () => (
    <Page title="Not found" width="narrow">
      <Card>
        <Empty Icon={Compass} title="There is no such page">
          <Link to="/" className="font-medium text-accent hover:underline">
            Go home
          </Link>
        </Empty>
      </Card>
    </Page>
  ),
  errorComponent: ({ error, reset }) => (
    <Page title="That went wrong" width="narrow">
      <ProblemNotice error={error} retry={reset} />
    </Page>
  ),
});

const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
/** Only what is there: an empty member would show in the URL. */
const present = <T extends object>(search: T) =>
  Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as T;

// The first page is there at once, the others when the browser has nothing else to do.
const RunsPage = lazyRouteComponent(() => import('./pages/runs'), 'RunsPage');
const RunPage = lazyRouteComponent(() => import('./pages/run'), 'RunPage');
const InboxPage = lazyRouteComponent(() => import('./pages/inbox'), 'InboxPage');
const AgentsPage = lazyRouteComponent(() => import('./pages/agents'), 'AgentsPage');
const SystemPage = lazyRouteComponent(() => import('./pages/system'), 'SystemPage');

/** Loads the pages that were not asked for yet, so that going there takes no time. */
export const preloadPages = () =>
  Promise.allSettled([RunPage, RunsPage, InboxPage, AgentsPage, SystemPage].map((page) => page.preload?.()));

const home = createRoute({ getParentRoute: () => root, path: '/', component: HomePage });

const runs = createRoute({
  getParentRoute: () => root,
  path: '/runs',
  component: RunsPage,
  validateSearch: (
    search: Record<string, unknown>,
  ): { status?: string; q?: string; agent?: string; tenant?: string; owner?: string } =>
    present({
      status: text(search['status']),
      q: text(search['q']),
      agent: text(search['agent']),
      tenant: text(search['tenant']),
      owner: text(search['owner']),
    }) as object,
});

type View = 'story' | 'time' | 'events' | 'context';
const VIEWS: readonly unknown[] = ['story', 'time', 'events', 'context'] satisfies View[];

const run = createRoute({
  getParentRoute: () => root,
  path: '/runs/$id',
  component: RunPage,
  validateSearch: (search: Record<string, unknown>): { view?: View; event?: number } =>
    present({
      view: VIEWS.includes(search['view']) ? (search['view'] as View) : undefined,
      event: /^[1-9]\d{0,9}$/.test(String(search['event'] ?? '')) ? Number(search['event']) : undefined,
    }) as object,
});

const inbox = createRoute({
  getParentRoute: () => root,
  path: '/inbox',
  component: InboxPage,
  validateSearch: (search: Record<string, unknown>): { order?: 'urgent' } =>
    search['order'] === 'urgent' ? { order: 'urgent' } : {},
});
const agents = createRoute({ getParentRoute: () => root, path: '/agents', component: AgentsPage });
const system = createRoute({ getParentRoute: () => root, path: '/system', component: SystemPage });

/** Plain `?name=value`, as everybody expects of a link that is passed on. */
const parseSearch = (search: string) => Object.fromEntries(new URLSearchParams(search));
const stringifySearch = (search: Record<string, unknown>) => {
  const members = Object.entries(search).filter(([, value]) => value !== undefined && value !== '');
  const text = new URLSearchParams(members.map(([name, value]) => [name, String(value)])).toString();
  return text === '' ? '' : `?${text.replaceAll('%2C', ',')}`;
};

/** Without a history the browser's own. */
export const makeRouter = (history?: RouterHistory) =>
  createRouter({
    ...(history && { history }),
    routeTree: root.addChildren([home, runs, run, inbox, agents, system]),
    parseSearch,
    stringifySearch,
    scrollRestoration: true,
    defaultPreload: false,
  });

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
