/** The events of a run as the server records them, each with its members. What this UI does not know is kept as it is. */
import type { Limits, StuckReason } from '@/api/types';

export type Effect = 'pure' | 'idempotent' | 'at_most_once';
export type CallKind = 'ask_human' | 'final_answer' | 'missing' | { tool: Effect };

export interface ToolCall {
  id: string;
  call_id: string;
  name: string;
  /** As the model wrote them; not necessarily JSON. */
  arguments: string;
  kind: CallKind;
}

export interface TurnRequest {
  api: string;
  through_seq: number;
  sha256: string;
  bytes: number;
  tries: number;
  took_ms: number;
}

export type Decision =
  | { decision: 'happened'; result: unknown }
  | { decision: 'did_not_happen' }
  | { decision: 'abort' };

interface Members {
  launched: { agent: string; agent_name: string; task: string; max_steps: number; limits?: Limits };
  model_replied: {
    turn: number;
    text: string | null;
    calls: ToolCall[];
    notes: string[];
    usage: { input_tokens: number; output_tokens: number };
    model: string;
    request: TurnRequest;
    attempt: number;
  };
  model_failed: { error: string; tries: number };
  tool_started: {
    call: string;
    arguments_hash: string;
    worker: string;
    epoch: number;
    attempt: number;
    at_ms: number;
  };
  /** `full_bytes`: what is shown is the beginning, and this long is the whole that is kept apart. */
  tool_returned: { call: string; result: unknown; took_ms: number; attempt: number; full_bytes?: number };
  tool_failed: { call: string; error: string; took_ms: number; attempt: number; full_bytes?: number };
  stuck: { call: ToolCall; reason: StuckReason; times: number };
  human_asked: { call: string; question: string };
  human_answered: { call: string; answer: string };
  outcome_unknown: { call: string; reason: string };
  outcome_decided: { call: string; decision: Decision };
  paused: object;
  resumed: { max_steps: number };
  cancel_requested: object;
  cancelled: object;
  limit_reached: object;
  failed: { error: string };
  completed: { answer: string };
  quarantined: { reason: string };
  released: object;
}

interface Place {
  /** Counts from 1 in each run. */
  id: number;
  at: string;
  v: number;
}

export type RunEvent = {
  [Type in keyof Members]: Place & { type: Type; data: Members[Type] };
}[keyof Members];

/** An event as it came over the wire. */
export function readEvent(json: string): RunEvent | null {
  const value: unknown = JSON.parse(json);
  if (typeof value !== 'object' || value === null) return null;
  const { id, at, type, data } = value as Record<string, unknown>;
  const isEvent =
    typeof id === 'number' && typeof at === 'string' && typeof type === 'string' && typeof data === 'object';
  return isEvent ? (value as RunEvent) : null;
}
