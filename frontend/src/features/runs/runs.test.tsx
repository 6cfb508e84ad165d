import { screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { openPage } from '@/test/page';
import { type Asked, problem, RUN, serve } from '@/test/server';
import { viewOf } from './api/runs';

const AGENTS = {
  'GET /v1/agents': () => ({ body: { agents: [{ name: 'calculator' }, { name: 'clerk' }] } }),
};
const page = (runs: object[], next_cursor: string | null = null) => ({ body: { runs, next_cursor } });
const lastAsked = (log: Asked[]) =>
  Object.fromEntries(log.filter((one) => one.path === '/v1/runs').at(-1)?.search ?? []);

describe('the list of runs', () => {
  it('takes its filters from the URL', async () => {
    const log = serve({ ...AGENTS, 'GET /v1/runs': () => page([RUN]) });
    openPage('/runs?status=failed,max_steps_reached,quarantined&q=invoice&agent=clerk');
    expect(await screen.findByRole('link', { name: 'In trouble' })).toHaveAttribute('aria-current', 'page');
    expect(screen.getByLabelText('Search runs')).toHaveValue('invoice');
    await waitFor(() => expect(screen.getByLabelText('Agent')).toHaveValue('clerk'));
    expect(lastAsked(log)).toEqual({
      status: 'failed,max_steps_reached,quarantined',
      q: 'invoice',
      agent: 'clerk',
      limit: '100',
    });
  });

  it('shows all others beside a run that cannot be read', async () => {
    const unreadable = [
      { id: '0197f2c4', status: 'paused', created_at: '2026-01-01T00:00:00.000Z', note: 'ask the doctor' },
    ];
    serve({ ...AGENTS, 'GET /v1/runs': () => ({ body: { runs: [RUN], unreadable, next_cursor: null } }) });
    openPage('/runs');
    const notice = (await screen.findByText('One run cannot be read')).closest('section');
    expect(notice).toHaveTextContent('0197f2c4 (paused) ask the doctor');
    expect(screen.getByText('1 run')).toBeInTheDocument();
  });

  it('is narrowed to a tenant by the URL, and to all again by a press', async () => {
    const log = serve({ ...AGENTS, 'GET /v1/runs': () => page([RUN]) });
    const { router } = openPage('/runs?tenant=acme&q=invoice');
    const all = await screen.findByRole('button', { name: 'Tenant acme' });
    expect(lastAsked(log)).toEqual({ tenant: 'acme', q: 'invoice', limit: '100' });
    await userEvent.click(all);
    await waitFor(() => expect(router.state.location.href).toBe('/runs?q=invoice'));
    await waitFor(() => expect(lastAsked(log)).toEqual({ q: 'invoice', limit: '100' }));
  });

  it('puts its filters into the URL, plainly', async () => {
    const log = serve({ ...AGENTS, 'GET /v1/runs': () => page([RUN]) });
    const { router } = openPage('/runs');
    await userEvent.click(await screen.findByRole('link', { name: 'Needs you' }));
    await userEvent.type(screen.getByLabelText('Search runs'), '12');
    await waitFor(() =>
      expect(router.state.location.href).toBe('/runs?status=waiting_human_input,undecided&q=12'),
    );
    await waitFor(() =>
      expect(lastAsked(log)).toMatchObject({ status: 'waiting_human_input,undecided', q: '12' }),
    );
    await userEvent.selectOptions(screen.getByLabelText('Agent'), 'clerk');
    await waitFor(() => expect(router.state.location.href).toContain('agent=clerk'));
    await userEvent.clear(screen.getByLabelText('Search runs'));
    await waitFor(() =>
      expect(router.state.location.href).toBe('/runs?status=waiting_human_input,undecided&agent=clerk'),
    );
  });

  it('reads on by cursor before the end is reached, and lists no run twice', async () => {
    const runs = Array.from({ length: 150 }, (_, place) => ({
      ...RUN,
      id: `r-${999 - place}`,
      task: `Task ${place}`,
    }));
    const log = serve({
      'GET /v1/runs': ({ search }) => {
        const after = runs.findIndex(({ id }) => id === search.get('cursor'));
        return page(runs.slice(after + 1, after + 101), after + 101 < runs.length ? 'more' : null);
      },
    });
    openPage('/runs');
    expect(await screen.findByText('150 runs')).toBeInTheDocument();
    expect(screen.getAllByText('Task 0')).toHaveLength(1);
    expect(log.some(({ search }) => search.get('cursor') === 'r-900')).toBe(true);
    expect(screen.getAllByRole('row').length).toBeLessThan(60);
  });

  it('cancels those that are chosen, and says which could not be', async () => {
    const runs = ['c', 'b', 'a'].map((id) => ({ ...RUN, id, task: `Task ${id}` }));
    const log = serve({
      'GET /v1/runs': () => page(runs),
      'POST /v1/runs/c/cancel': () => ({ body: runs[0] }),
      'POST /v1/runs/a/cancel': () => problem(409, 'wrong-status', 'It is over'),
    });
    openPage('/runs');
    await userEvent.click(await screen.findByLabelText('Choose Task c'));
    await userEvent.click(screen.getByLabelText('Choose Task a'));
    const bar = within(screen.getByRole('region', { name: 'Chosen runs' }));
    expect(bar.getByRole('status')).toHaveTextContent('2 runs chosen');
    await userEvent.click(bar.getByRole('button', { name: 'Cancel' }));
    await userEvent.click(screen.getByRole('button', { name: 'Cancel them' }));
    await waitFor(() =>
      expect(bar.getByRole('status')).toHaveTextContent('1 cancelled, 1 could not be cancelled any more'),
    );
    const told = log.filter(({ method }) => method === 'POST').map(({ path }) => path);
    expect(told.sort()).toEqual(['/v1/runs/a/cancel', '/v1/runs/c/cancel']);
  });

  it('keeps a filter under a name', async () => {
    serve({ 'GET /v1/runs': () => page([RUN]) });
    const { router } = openPage('/runs?q=invoice');
    await userEvent.click(await screen.findByRole('button', { name: 'Save this view' }));
    const name = screen.getByLabelText('Its name');
    await userEvent.clear(name);
    await userEvent.type(name, 'Bills{Enter}');
    await router.navigate({ to: '/runs' });
    await userEvent.click(await screen.findByRole('link', { name: 'Bills' }));
    expect(router.state.location.href).toBe('/runs?q=invoice');
    await userEvent.click(screen.getByRole('button', { name: 'Forget the view Bills' }));
    expect(screen.queryByRole('link', { name: 'Bills' })).toBeNull();
  });

  it('tells a search without a match from a server without a run', async () => {
    serve({});
    const { unmount } = openPage('/runs?q=nothing');
    expect(await screen.findByText('No run matches')).toBeInTheDocument();
    unmount();
    openPage('/runs');
    expect(await screen.findByText('No runs yet')).toBeInTheDocument();
  });

  it('says what is wrong with a filter, in the words of the server', async () => {
    serve({ 'GET /v1/runs': () => problem(422, 'invalid-request', 'status: "bogus" is not a status') });
    openPage('/runs?status=bogus');
    expect(await screen.findByText('status: "bogus" is not a status')).toBeInTheDocument();
  });
});

describe('views', () => {
  it('are sets of statuses in any order', () => {
    expect(viewOf(undefined)).toBe('all');
    expect(viewOf('undecided,waiting_human_input')).toBe('you');
    expect(viewOf('paused')).toBe('paused');
    expect(viewOf('paused,failed')).toBe('own');
  });
});
