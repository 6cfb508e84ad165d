import { act, renderHook, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { InboxItem } from '@/api/types';
import { openPage } from '@/test/page';
import { RUN, serve } from '@/test/server';
import { setNotifying, useNotifications } from './notify';

interface Told {
  title: string;
  body: string;
  tag: string;
}

let told: Told[] = [];
let isHidden = true;

/** The browser's, which keeps what it was told; `answer` is what the reader says when asked. */
function stubNotification(answer: NotificationPermission, permission: NotificationPermission = answer) {
  class Stub {
    static permission = permission;
    static requestPermission = vi.fn(async () => {
      Stub.permission = answer;
      return answer;
    });
    onclick: (() => void) | null = null;
    constructor(title: string, { body, tag }: { body: string; tag: string }) {
      told.push({ title, body, tag });
    }
  }
  vi.stubGlobal('Notification', Stub);
  return Stub;
}

const item = (id: string, text = id): InboxItem => ({
  run_id: RUN.id,
  agent: 'clerk',
  task: 'Book it',
  question: { id, kind: 'question', text, stuck: null, call: null, started: null, still_acting: null },
  asked_at: RUN.created_at,
});

beforeEach(() => {
  told = [];
  isHidden = true;
  vi.spyOn(document, 'hidden', 'get').mockImplementation(() => isHidden);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const watch = (items: InboxItem[] | undefined) =>
  renderHook(({ now }) => useNotifications(now), { initialProps: { now: items } });

it('tells once of each question that comes while nobody looks, and not of those that were there', async () => {
  stubNotification('granted');
  await setNotifying(true);
  const { rerender } = watch([item('old')]);
  rerender({ now: [item('old'), item('new')] });
  rerender({ now: [item('old'), item('new')] });
  expect(told).toEqual([{ title: 'Piton: It asks', body: 'new', tag: 'new' }]);
});

it('says nothing to those who look, and nothing of what they saw later', async () => {
  stubNotification('granted');
  await setNotifying(true);
  isHidden = false;
  const { rerender } = watch([]);
  rerender({ now: [item('seen')] });
  isHidden = true;
  rerender({ now: [item('seen')] });
  expect(told).toEqual([]);
});

it('says nothing to those who did not ask for it, or no longer want it', async () => {
  stubNotification('granted');
  const { rerender } = watch([]);
  rerender({ now: [item('one')] });
  await act(() => setNotifying(true));
  await act(() => setNotifying(false));
  rerender({ now: [item('one'), item('two')] });
  expect(told).toEqual([]);
});

it('shows the beginning of what a stranger wrote, in one line, and what cannot be seen', async () => {
  stubNotification('granted');
  await setNotifying(true);
  const { rerender } = watch([]);
  rerender({ now: [item('x', `Pay\n\u202einvoice ${'!'.repeat(1_000)}`)] });
  const [{ body = '' } = {}] = told;
  expect(body).not.toMatch(/[\n\u202e]/u);
  expect(body).toContain('U+202E');
  expect(body.length).toBe(200);
});

it('asks the browser when the reader wants it, and remembers', async () => {
  const { requestPermission } = stubNotification('granted', 'default');
  serve({});
  openPage('/inbox');
  await userEvent.click(await screen.findByRole('button', { name: 'Notify me' }));
  expect(await screen.findByRole('button', { name: 'Notifying', pressed: true })).toBeInTheDocument();
  expect(requestPermission).toHaveBeenCalledOnce();
  await userEvent.click(screen.getByRole('button', { name: 'Notifying' }));
  expect(await screen.findByRole('button', { name: 'Notify me', pressed: false })).toBeInTheDocument();
});

it('says that the browser refuses, where it does', async () => {
  stubNotification('denied');
  serve({});
  openPage('/inbox');
  expect(await screen.findByRole('button', { name: 'Notify me' })).toBeDisabled();
});
