import { createRootRoute, createRoute, createRouter, Link, type RouterHistory } from '@tanstack/react-router';
import { Compass } from 'lucide-react';
import { Card } from '@/components/card';
import { Empty, Page } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { AgentsPage } from './pages/agents';
import { HomePage } from './pages/home';
import { InboxPage } from './pages/inbox';
import { RunPage } from './pages/run';
import { RunsPage } from './pages/runs';
import { SystemPage } from './pages/system';
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

const home = createRoute({ getParentRoute: () => root, path: '/', component: HomePage });

const runs = createRoute({
  getParentRoute: () => root,
  path: '/runs',
  component: RunsPage,
  validateSearch: (search: Record<string, unknown>): { status?: string; q?: string; agent?: string } =>
    present({ status: text(search['status']), q: text(search['q']), agent: text(search['agent']) }) as object,
});

type View = 'story' | 'events' | 'context';
const VIEWS: readonly unknown[] = ['story', 'events', 'context'] satisfies View[];

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

const inbox = createRoute({ getParentRoute: () => root, path: '/inbox', component: InboxPage });
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
