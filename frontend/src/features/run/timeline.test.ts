import { describe, expect, it } from 'vitest';
import { type RunEvent, readEvent, type ToolCall } from './api/events';
import { EMPTY, fold, type Timeline, type Turn, withLost } from './timeline';

const AT = '2026-01-01T10:00:00.000Z';

function events(...told: [type: string, data?: object][]): RunEvent[] {
  return told.map(([type, data = {}], index) => ({ id: index + 1, at: AT, v: 1, type, data }) as RunEvent);
}

const call = (id: string, over: Partial<ToolCall> = {}): ToolCall => ({
  id,
  call_id: `call_${id}`,
  name: 'sum_numbers',
  arguments: '{"a":1,"b":1}',
  kind: { tool: 'pure' },
  ...over,
});
const launched: [string, object] = [
  'launched',
  { agent: 'd', agent_name: 'calculator', task: 'Add', max_steps: 10 },
];
const replied = (...calls: ToolCall[]): [string, object] => [
  'model_replied',
  { turn: 1, text: null, calls, notes: [], usage: {}, model: 'm', request: {}, attempt: 1 },
];
const turnOf = (timeline: Timeline) =>
  timeline.entries.find((entry): entry is Turn => entry.kind === 'turn') as Turn;
const states = (timeline: Timeline) => turnOf(timeline).calls.map((one) => one.state);
const moments = (timeline: Timeline) =>
  timeline.entries.flatMap((entry) => (entry.kind === 'moment' ? [entry.type] : []));

describe('fold', () => {
  it('tells launch, turn, result and answer', () => {
    const answer = call('2', { name: 'final_answer', kind: 'final_answer' });
    const story = fold(
      EMPTY,
      events(
        launched,
        replied(call('1'), answer),
        ['tool_returned', { call: '1', result: 2, took_ms: 3, attempt: 1 }],
        ['completed', { answer: 'two' }],
      ),
    );
    expect(story.task).toBe('Add');
    expect(states(story)).toEqual(['returned', 'final']);
    expect(turnOf(story).calls[0]).toMatchObject({ result: 2, took_ms: 3, events: [2, 3] });
    expect(turnOf(story).calls[1]).toMatchObject({ answer: 'two', events: [2, 4] });
    expect(moments(story)).toEqual(['completed']);
    expect(story.through).toBe(4);
  });

  it('tells questions and answers', () => {
    const ask = call('1', { name: 'ask_human', kind: 'ask_human' });
    const history = events(
      launched,
      replied(ask),
      ['human_asked', { call: '1', question: 'How many?' }],
      ['human_answered', { call: '1', answer: 'Two' }],
    );
    expect(states(fold(EMPTY, history.slice(0, 3)))).toEqual(['waiting']);
    const story = fold(EMPTY, history);
    expect(states(story)).toEqual(['answered']);
    expect(turnOf(story).calls[0]).toMatchObject({ question: 'How many?', answer: 'Two' });
  });

  it('tells a question of Piton’s own, between the turns', () => {
    const own = call('9', { name: 'ask_human', kind: 'ask_human' });
    const history = events(
      launched,
      replied(call('1'), call('2')),
      ['tool_failed', { call: '1', error: 'no', took_ms: 0, attempt: 1 }],
      ['stuck', { call: own, reason: 'tool_errors', times: 4 }],
      ['human_asked', { call: '9', question: 'What now?' }],
      ['human_answered', { call: '9', answer: 'Walk' }],
    );
    const asks = (through: number) => fold(EMPTY, history.slice(0, through)).entries[1];
    expect(asks(4)).toMatchObject({ kind: 'asks', reason: 'tool_errors', times: 4 });
    expect(asks(5)).toMatchObject({ calls: [{ state: 'waiting', question: 'What now?' }] });
    expect(asks(6)).toMatchObject({ calls: [{ state: 'answered', answer: 'Walk', events: [4, 5, 6] }] });
    expect(states(fold(EMPTY, history))).toEqual(['failed', 'asked']);

    const cancelled = fold(fold(EMPTY, history.slice(0, 5)), [
      { id: 6, at: AT, v: 2, type: 'cancelled', data: {} } as RunEvent,
    ]);
    expect(states(cancelled)).toEqual(['failed', 'dropped']);
    expect(cancelled.entries[1]).toMatchObject({ calls: [{ state: 'dropped' }] });
  });

  it('tells an unknown outcome and each way to decide it', () => {
    const once = call('1', { kind: { tool: 'at_most_once' } });
    const history = events(
      launched,
      replied(once),
      ['tool_started', { call: '1', arguments_hash: 'h', worker: 'w-1', epoch: 2, attempt: 1, at_ms: 0 }],
      ['outcome_unknown', { call: '1', reason: 'w-1 is gone' }],
    );
    const unknown = fold(EMPTY, history);
    expect(states(fold(EMPTY, history.slice(0, 3)))).toEqual(['started']);
    expect(turnOf(unknown).calls[0]).toMatchObject({
      state: 'unknown',
      reason: 'w-1 is gone',
      started: { worker: 'w-1' },
    });
    const decided = (decision: object) =>
      fold(unknown, [
        { id: 5, at: AT, v: 1, type: 'outcome_decided', data: { call: '1', decision } } as RunEvent,
      ]);
    expect(turnOf(decided({ decision: 'happened', result: 7 })).calls[0]).toMatchObject({
      state: 'returned',
      result: 7,
    });
    expect(states(decided({ decision: 'did_not_happen' }))).toEqual(['asked']);
    expect(states(decided({ decision: 'abort' }))).toEqual(['dropped']);
  });

  it('tells errors, pauses, limits and failures in their place', () => {
    const story = fold(
      EMPTY,
      events(
        launched,
        replied(call('1'), call('2')),
        ['tool_failed', { call: '1', error: 'Division by zero', took_ms: 1, attempt: 2 }],
        ['paused'],
        ['resumed', { max_steps: 20 }],
        ['model_failed', { error: '503', tries: 4 }],
        ['failed', { error: '503' }],
      ),
    );
    expect(turnOf(story).calls[0]).toMatchObject({ state: 'failed', error: 'Division by zero', attempt: 2 });
    expect(states(story)).toEqual(['failed', 'asked']);
    expect(moments(story)).toEqual(['paused', 'resumed', 'model_failed', 'failed']);
  });

  it('drops what a cancelled run had still to do', () => {
    const story = fold(EMPTY, events(launched, replied(call('1')), ['cancel_requested'], ['cancelled']));
    expect(states(story)).toEqual(['dropped']);
  });

  it('changes nothing when told twice, in pieces or at once', () => {
    const history = events(
      launched,
      replied(call('1')),
      ['tool_returned', { call: '1', result: 2, took_ms: 3, attempt: 1 }],
      ['paused'],
    );
    const atOnce = fold(EMPTY, history);
    const inPieces = history.reduce((story, event) => fold(fold(story, [event]), [event]), EMPTY);
    expect(inPieces).toEqual(atOnce);
    expect(
      fold(
        EMPTY,
        history.flatMap((event) => [event, event]),
      ),
    ).toEqual(atOnce);
    expect(fold(atOnce, history)).toBe(atOnce);
    expect(fold(atOnce, [...history].reverse())).toBe(atOnce);
  });

  it('keeps what nothing happened to, so that it is not drawn again', () => {
    const before = fold(EMPTY, events(launched, replied(call('1')), ['paused']));
    const after = fold(before, [
      { id: 4, at: AT, v: 1, type: 'resumed', data: { max_steps: 10 } } as RunEvent,
    ]);
    expect(after.entries[0]).toBe(before.entries[0]);
    expect(before.entries).toHaveLength(2);
  });

  it('tells what it does not know, and calls nobody asked for', () => {
    const story = fold(
      EMPTY,
      events(launched, ['slept', { until: 'morning' }], ['tool_returned', { call: 'nobody', result: 1 }]),
    );
    expect(moments(story)).toEqual(['slept', 'tool_returned']);
  });

  it('tells 10,000 events in a blink', () => {
    const many = events(launched);
    for (let turn = 1; many.length < 10_000; turn += 1) {
      const id = String(turn);
      many.push({
        id: many.length + 1,
        at: AT,
        v: 1,
        type: 'model_replied',
        data: { turn, calls: [call(id)], notes: [] },
      } as never);
      many.push({
        id: many.length + 1,
        at: AT,
        v: 1,
        type: 'tool_returned',
        data: { call: id, result: turn },
      } as never);
    }
    const began = performance.now();
    let story = EMPTY;
    for (let from = 0; from < many.length; from += 64) story = fold(story, many.slice(from, from + 64));
    expect(story.entries).toHaveLength(5_000);
    expect(performance.now() - began).toBeLessThan(500);
  });
});

describe('readEvent', () => {
  it('takes an event, and nothing else', () => {
    const event = { id: 1, at: AT, v: 1, type: 'paused', data: {} };
    expect(readEvent(JSON.stringify(event))).toEqual(event);
    expect(readEvent('{"type":"paused"}')).toBeNull();
    expect(readEvent('null')).toBeNull();
  });
});

describe('withLost', () => {
  const lost = (epoch: number, attempt: number, version: number) => ({
    worker: `w-${epoch}`,
    epoch,
    attempt,
    version,
    at: AT,
    how: 'signal 9 (SIGKILL)',
    blamed: false,
  });
  const story = fold(
    EMPTY,
    events(launched, replied(call('1')), ['tool_returned', { call: '1', result: 2, attempt: 1 }], ['paused']),
  );
  const told = (...args: Parameters<typeof withLost>) =>
    withLost(...args).map((entry) =>
      entry.kind === 'lost' ? `w-${entry.attempt.epoch}→${entry.next} ${entry.heir}` : entry.id,
    );

  it('puts each attempt after what had happened by then, and says which one went on, and by whom', () => {
    expect(told(story, [lost(1, 1, 1), lost(2, 2, 1), lost(3, 3, 3)], 4, 'w-9')).toEqual([
      'w-1→2 w-2',
      'w-2→3 w-3',
      2,
      'w-3→4 w-9',
      4,
    ]);
  });

  it('says of the last one that nobody went on yet', () => {
    expect(told(story, [lost(2, 1, 4)], 2, null)).toEqual([2, 4, 'w-2→null null']);
    expect(told(EMPTY, [], 0, null)).toEqual([]);
  });

  it('knows who went on from a call that was begun, and after how long the end was noticed', () => {
    const begun = fold(
      EMPTY,
      events(launched, replied(call('1')), [
        'tool_started',
        { call: '1', arguments_hash: '', worker: 'w-7', epoch: 5, attempt: 2, at_ms: 0 },
      ]),
    );
    const after = Date.parse(begun.events[1]?.at ?? '') + 1_200;
    const [, attempt] = withLost(begun, [{ ...lost(4, 1, 2), at: new Date(after).toISOString() }], 9, null);
    expect(attempt).toMatchObject({ kind: 'lost', next: 2, heir: 'w-7', after_ms: 1_200 });
  });
});
