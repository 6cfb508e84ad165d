import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { describe, expect, it } from 'vitest';
import { openPage } from '@/test/page';
import { type Asked, problem, RUN, serve } from '@/test/server';
import { listOf, viewOf } from './api/runs';

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
      limit: '50',
    });
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

  it('loads more by cursor, and lists no run twice', async () => {
    const second = { ...RUN, id: 'second', task: 'Second' };
    const log = serve({
      'GET /v1/runs': ({ search }) =>
        search.get('cursor') === 'next' ? page([RUN, second]) : page([RUN], 'next'),
    });
    openPage('/runs');
    await userEvent.click(await screen.findByRole('button', { name: 'Load more' }));
    // Once in the table, once in the lines for a phone.
    expect(await screen.findAllByText('Second')).toHaveLength(2);
    expect(screen.getAllByText(RUN.task)).toHaveLength(2);
    expect(lastAsked(log)).toMatchObject({ cursor: 'next' });
    expect(screen.queryByRole('button', { name: 'Load more' })).toBeNull();
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

  it('join pages into one list', () => {
    expect(listOf([{ runs: [RUN] }, { runs: [RUN, { ...RUN, id: 'b' }] }]).map((run) => run.id)).toEqual([
      RUN.id,
      'b',
    ]);
  });
});
