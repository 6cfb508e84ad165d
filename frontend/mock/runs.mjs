// The stand-in's runs: events in memory, told one after the other like a slow practice model would.
import { randomUUID } from 'node:crypto';
import { AGENTS, gathered, history, infected, LIMITS, longWay, scriptFor, swollen } from './stories.mjs';

const OVER = ['complete', 'failed', 'cancelled', 'max_steps_reached', 'quarantined'];

class Refused extends Error {
  constructor(status, slug, detail) {
    super(detail);
    this.status = status;
    this.slug = slug;
  }
}

class Run {
  constructor({ task, agent = 'calculator', labels = {}, max_steps = 10, at_ms = Date.now(), lost = null }) {
    Object.assign(this, {
      task,
      labels,
      max_steps,
      id: uuid7(at_ms),
      created_ms: at_ms,
      events: [],
      watchers: new Set(),
      told_lost: lost,
    });
    this.agent = { name: agent, digest: 'b7e3f1a09c5d2e48'.repeat(4) };
    this.state = {
      status: 'running',
      steps: 0,
      turns: 0,
      in: 0,
      out: 0,
      error: null,
      answer: null,
      question: null,
      pending: [],
    };
    this.owner = null;
    this.tell('launched', { agent: this.agent.digest, agent_name: agent, task, max_steps }, at_ms);
  }

  tell(type, data = {}, at_ms = Date.now()) {
    const event = { id: this.events.length + 1, at: new Date(at_ms).toISOString(), type, v: 2, data };
    this.events.push(event);
    this.updated_ms = at_ms;
    fold(this.state, event, this);
    if (OVER.includes(this.state.status)) this.owner = null;
    this.finished_ms = OVER.includes(this.state.status) ? at_ms : null;
    for (const watcher of this.watchers) watcher(event);
    for (const watcher of this.watchers) watcher(null);
    return event;
  }

  watch(watcher) {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  shown() {
    const { status, steps, turns, error, answer, question, pending } = this.state;
    const time = (ms) => (ms === null ? null : new Date(ms).toISOString());
    return {
      id: this.id,
      status,
      agent: this.agent,
      task: this.task.slice(0, 200).replace(/\s+/g, ' '),
      steps,
      max_steps: this.max_steps,
      limits: LIMITS,
      turns,
      version: this.events.length,
      tenant: 'default',
      labels: this.labels,
      priority: 0,
      usage: { input_tokens: this.state.in, output_tokens: this.state.out },
      error,
      final_answer: answer,
      question,
      was_paused: false,
      pending: pending.map(({ id, call_id, name, arguments: text }) => ({
        id,
        call_id,
        name,
        arguments: text,
        started_at: null,
      })),
      owner: this.owner,
      attempt: this.owner ? 1 : 0,
      epoch: 3,
      created_at: time(this.created_ms),
      updated_at: time(this.updated_ms),
      finished_at: time(this.finished_ms),
    };
  }

  /** What a run that was quarantined or has an unknown outcome went through. */
  lost() {
    if (this.told_lost) {
      return this.told_lost.map(({ after_ms, ...lost }) => ({
        ...lost,
        at: new Date(Date.parse(this.events[lost.version - 1].at) + after_ms).toISOString(),
      }));
    }
    const end = this.events.findLast(({ type }) => type === 'quarantined' || type === 'outcome_unknown');
    if (!end) return [];
    const blamed = end.type === 'quarantined';
    return (blamed ? [1, 2, 3] : [1]).map((attempt) => ({
      worker: `w-7f3${attempt}`,
      epoch: attempt,
      attempt,
      version: end.id - 1,
      at: end.at,
      how: blamed ? 'signal 6 (SIGABRT)' : 'signal 9 (SIGKILL)',
      blamed,
    }));
  }

  prompt(event) {
    const { request } = this.events[event - 1].data;
    const body = JSON.stringify({
      model: 'gpt-5',
      instructions: 'You solve mathematical tasks with the tools you are given.',
      input: this.context().slice(0, request.through_seq),
    });
    return { api: request.api, body, is_same: true, sha256: request.sha256, through: request.through_seq };
  }

  context() {
    const items = [{ role: 'user', content: this.task }];
    const calls = new Map();
    for (const { type, data } of this.events) {
      if (type === 'model_replied') for (const call of data.calls) calls.set(call.id, call);
      const call = calls.get(data.call);
      if (!call || !/^(tool_returned|tool_failed|human_answered)$/.test(type)) continue;
      const output =
        type === 'human_answered'
          ? { answer: data.answer }
          : { result: data.result ?? `Error: ${data.error}` };
      items.push({
        type: 'function_call',
        name: call.name,
        arguments: call.arguments,
        call_id: call.call_id,
      });
      items.push({ type: 'function_call_output', call_id: call.call_id, output: JSON.stringify(output) });
    }
    return items;
  }
}

/** Not the reducer: only as much of it as the UI shows. */
function fold(state, { type, data, at }, run) {
  const drop = () => {
    state.pending = state.pending.filter(({ id }) => id !== data.call);
  };
  const about = () => state.pending.find(({ id }) => id === data.call) ?? null;
  const question = (kind, text) => ({
    id: data.call,
    kind,
    text,
    stuck: kind === 'question' ? (state.stuck ?? null) : null,
    call: about(),
    started: kind === 'question' ? null : { worker: 'w-7f3a', epoch: 2, attempt: 1, at },
    still_acting: null,
  });
  const folds = {
    model_replied() {
      Object.assign(state, {
        turns: data.turn,
        steps: state.steps + 1,
        pending: data.calls,
        in: state.in + data.usage.input_tokens,
        out: state.out + data.usage.output_tokens,
      });
    },
    tool_returned: drop,
    tool_failed: drop,
    stuck: () => Object.assign(state, { pending: [data.call, ...state.pending], stuck: data.reason }),
    human_asked: () =>
      Object.assign(state, {
        status: 'waiting_human_input',
        steps: state.steps + 1,
        question: question('question', data.question),
      }),
    human_answered() {
      drop();
      Object.assign(state, { status: 'running', question: null, stuck: null });
    },
    outcome_unknown: () =>
      Object.assign(state, { status: 'undecided', question: question('unknown_outcome', data.reason) }),
    outcome_decided() {
      if (data.decision.decision === 'happened') drop();
      Object.assign(state, { status: 'running', question: null });
    },
    paused: () => Object.assign(state, { status: 'paused' }),
    resumed() {
      Object.assign(state, { status: 'running', error: null });
      run.max_steps = data.max_steps;
    },
    cancel_requested: () => Object.assign(state, { status: 'cancelling', question: null }),
    cancelled: () => Object.assign(state, { status: 'cancelled', error: 'cancelled' }),
    limit_reached: () => Object.assign(state, { status: 'max_steps_reached' }),
    failed: () => Object.assign(state, { status: 'failed', error: data.error }),
    quarantined: () => Object.assign(state, { status: 'quarantined', error: data.reason }),
    released: () => Object.assign(state, { status: 'running', error: null }),
    completed: () =>
      Object.assign(state, { status: 'complete', steps: state.steps + 1, pending: [], answer: data.answer }),
  };
  folds[type]?.();
}

export class Runs {
  constructor({ seed, workers }) {
    this.all = [];
    this.keys = new Map();
    this.workers = workers;
    this.agents = AGENTS;
    if (seed) for (const told of history()) this.add(told);
  }

  add(told) {
    const run = new Run(told);
    let at_ms = told.at_ms;
    for (const [after_ms, type, data] of told.events) {
      at_ms += after_ms;
      run.tell(type, data, at_ms);
    }
    run.owner = run.state.status === 'running' ? 'w-7f3a' : null;
    this.all.push(run);
    return run;
  }

  /** Runs that have these texts wherever a model, a tool or a stranger has a say, and no others. */
  infect(texts) {
    this.all = [];
    return texts.map((text) => {
      const [done, asking] = infected(text).map((told) => this.add(told));
      return { text, id: done.id, asking: asking.id };
    });
  }

  /** One run in which each of the texts is a turn's: said, called with, failed with. */
  gather(texts) {
    return this.add(gathered(texts));
  }

  /** Runs with a tool that gave back so long a text, which is then the answer too. */
  swell(texts) {
    return texts.map((text) => ({ text, id: this.add(swollen(text)).id }));
  }

  /** So many runs that are over. Light ones: a list is all they are for. */
  multiply(count) {
    const [one] = history().filter(({ task }) => task.startsWith('What is 3'));
    const shown = this.add(one).shown();
    const begin_ms = Date.now() - count * 1_000;
    this.all = [];
    this.many = Array.from({ length: count }, (_, place) => {
      const at = new Date(begin_ms + place * 1_000).toISOString();
      const id = uuid7(begin_ms + place * 1_000);
      return { ...shown, id, task: `What is ${place} * 7?`, created_at: at, updated_at: at, finished_at: at };
    }).reverse();
  }

  /** A run of so many events. */
  lengthen(count) {
    return this.add({
      task: 'A long way',
      at_ms: Date.now() - count * 1_000,
      max_steps: count,
      events: longWay(count),
    });
  }

  launch({ task, agent, labels, max_steps }, key) {
    if (typeof task !== 'string' || task.trim() === '')
      throw new Refused(422, 'invalid-request', 'task: must not be blank');
    if (key && this.keys.has(key)) return this.keys.get(key).shown();
    const run = new Run({ task, agent, labels, max_steps });
    this.all.push(run);
    if (key) this.keys.set(key, run);
    if (this.workers > 0) this.play(run);
    return run.shown();
  }

  /** Tells the story of a run, one event after the other, until it waits or ends. */
  async play(run, story = scriptFor(run.task)) {
    run.story ??= story;
    await pause(60);
    run.owner = 'w-7f3a';
    while (run.state.status === 'running') {
      const next = run.story.next(run.lastAnswer);
      if (next.done) return;
      if (next.value[1] === 'model_replied' && run.state.steps >= run.max_steps)
        return run.tell('limit_reached');
      const [after_ms, type, data] = next.value;
      await pause(after_ms);
      // What was commanded meanwhile comes first; the story goes on from here when the run does.
      while (run.state.status === 'paused') await pause(20);
      if (run.state.status !== 'running') return;
      run.tell(type, data);
    }
  }

  find(id) {
    const run = this.all.find((one) => one.id === id);
    if (!run) throw new Refused(404, 'run-not-found', 'There is no such run');
    return run;
  }

  list(search) {
    if (this.many) {
      const after = this.many.findIndex(({ id }) => id === search.get('cursor')) + 1;
      const end = after + Number(search.get('limit') ?? 50);
      return {
        runs: this.many.slice(after, end),
        next_cursor: end < this.many.length ? this.many[end - 1].id : null,
      };
    }
    const statuses = (search.get('status') ?? '').split(',').filter(Boolean);
    const q = (search.get('q') ?? '').toLowerCase();
    const agent = search.get('agent');
    const limit = Number(search.get('limit') ?? 50);
    const cursor = search.get('cursor');
    const found = this.all
      .map((run) => run.shown())
      .filter((run) => statuses.length === 0 || statuses.includes(run.status))
      .filter((run) => !agent || run.agent.name === agent)
      .filter((run) => !search.get('owner') || run.owner === search.get('owner'))
      .filter((run) => run.task.toLowerCase().includes(q) || run.id.startsWith(q))
      .filter((run) => !cursor || run.id < cursor)
      .sort((a, b) => (a.id < b.id ? 1 : -1));
    return { runs: found.slice(0, limit), next_cursor: found.length > limit ? found[limit - 1].id : null };
  }

  inbox() {
    const waiting = this.all.filter((run) => run.state.question);
    return {
      items: waiting.map((run) => ({
        run_id: run.id,
        agent: run.agent.name,
        task: run.shown().task,
        question: run.state.question,
        asked_at: new Date(run.updated_ms).toISOString(),
      })),
    };
  }

  workerList() {
    const now_ms = Date.now();
    const one = (id, index) => ({
      id,
      host: 'granite',
      pid: 4110 + index,
      version: '0.1.0',
      concurrency: 16,
      lacks: [],
      runs: index === 0 ? this.owned() : 0,
      started_at: new Date(now_ms - 3_720_000).toISOString(),
      lease_expires_at: new Date(now_ms + 9_000).toISOString(),
      alive: true,
    });
    return { workers: ['w-7f3a', 'w-b21c', 'w-09de'].slice(0, this.workers).map(one) };
  }

  activity() {
    const since = Date.now() - 3_600_000;
    const counts = this.all
      .filter((run) => run.created_ms > since)
      .map((run) => ({
        status: run.state.status,
        finished_at: run.finished_ms
          ? new Date(Math.floor(run.finished_ms / 60_000) * 60_000).toISOString()
          : null,
        runs: 1,
      }));
    return { since: new Date(since).toISOString(), counts };
  }

  owned() {
    return this.all.filter((run) => run.owner !== null).length;
  }

  command(run, verb, given) {
    const { status } = run.state;
    const refuse = (done) => {
      throw new Refused(409, 'wrong-status', `a run that is ${status} cannot be ${done}`);
    };
    if (verb === 'answer') return this.answer(run, given);
    if (verb === 'pause') status === 'running' ? run.tell('paused') : refuse('paused');
    if (verb === 'release') status === 'quarantined' ? run.tell('released') : refuse('released');
    if (verb === 'resume') {
      if (!['paused', 'failed', 'max_steps_reached'].includes(status)) refuse('resumed');
      run.tell('resumed', {
        max_steps: status === 'max_steps_reached' ? run.state.steps + 10 : run.max_steps,
      });
      if (status !== 'paused') this.play(run);
    }
    if (verb === 'cancel') {
      if (['complete', 'cancelled', 'cancelling'].includes(status)) refuse('cancelled');
      run.tell('cancel_requested');
      run.tell('cancelled');
    }
    return run.shown();
  }

  answer(run, given) {
    const open = run.state.question;
    if (!open)
      throw new Refused(409, 'not-waiting', `the run is ${run.state.status} and waits for no answer`);
    if (open.id !== given.question)
      throw new Refused(409, 'other-question', `another question is open: ${open.id}`);
    const { question: call, answer, ...decision } = given;
    if (open.kind === 'question') run.tell('human_answered', { call, answer });
    else run.tell('outcome_decided', { call, decision });
    if (decision.decision === 'abort') {
      run.tell('cancel_requested');
      run.tell('cancelled');
    }
    run.lastAnswer = answer;
    this.play(run);
    return run.shown();
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function uuid7(at_ms) {
  const time = at_ms.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}
