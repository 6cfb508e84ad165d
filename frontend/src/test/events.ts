import type { RunEvent } from '@/features/run/api/events';

/** A call, as a model's reply has it. */
export const call = (id: string, name: string, kind: unknown = { tool: 'pure' }) => ({
  id,
  call_id: id,
  name,
  arguments: '{}',
  kind,
});

/** Events of a run that began then, each so many milliseconds after. */
export function eventsSince(start: string) {
  const at = (ms: number) => new Date(Date.parse(start) + ms).toISOString();
  const event = (id: number, ms: number, type: string, data: object) =>
    ({ id, at: at(ms), v: 2, type, data }) as unknown as RunEvent;
  const launched = event(1, 0, 'launched', {
    agent: 'd',
    agent_name: 'calculator',
    task: 'Add',
    max_steps: 10,
  });
  const replied = (id: number, ms: number, turn: number, took_ms: number, calls: object[]) =>
    event(id, ms, 'model_replied', {
      turn,
      text: null,
      calls,
      notes: [],
      usage: { input_tokens: 0, output_tokens: 0 },
      model: 'm',
      request: { api: 'responses', through_seq: 0, sha256: '', bytes: 0, tries: 1, took_ms },
      attempt: 1,
    });
  return { at, event, launched, replied };
}
