// What the stand-in's runs tell: a history to look at, and scripts for what is launched.
import { randomUUID } from 'node:crypto';

const object = (properties) => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
});
const number = { type: 'number' };
const tool = (name, description, parameters, effect = 'pure', kind = 'builtin') => ({
  name,
  description,
  parameters: object(parameters),
  effect,
  kind: { kind },
});

const MATH = [
  tool('sum_numbers', 'Adds two numbers', { a: number, b: number }),
  tool('subtract_numbers', 'Subtracts b from a', { a: number, b: number }),
  tool('multiply_numbers', 'Multiplies two numbers', { a: number, b: number }),
  tool('divide_numbers', 'Divides a by b', { a: number, b: number }),
  tool('power', 'Raises base to exponent', { base: number, exponent: number }),
  tool('square_root', 'The square root of x', { x: number }),
  tool(
    'ask_human',
    'Asks a human a question and waits for the answer',
    { question: { type: 'string' } },
    'pure',
    'ask_human',
  ),
  tool(
    'final_answer',
    'Ends the run with its answer',
    { answer: { type: 'string' } },
    'pure',
    'final_answer',
  ),
];

export const LIMITS = { tool_errors: 4, repeated_calls: 4, events: 50_000 };

export const AGENTS = [
  {
    name: 'calculator',
    digest: 'b7e3f1a09c5d2e48'.repeat(4),
    description: 'Solves arithmetic, word problems and equations, and asks for what is missing',
    instructions:
      'You solve mathematical tasks with the tools you are given.\n\nUse a tool for every calculation; never calculate yourself. When a number is missing, ask for it with ask_human. When you have the answer, call final_answer with a short sentence that gives it.',
    model: 'gpt-5',
    max_steps: 10,
    limits: LIMITS,
    tools: MATH,
  },
  {
    name: 'clerk',
    digest: '51c09be2d7aa3f60'.repeat(4),
    description: 'Books entries into the ledger',
    instructions: 'You book entries. Each entry is booked once.',
    model: 'gpt-5-mini',
    max_steps: 20,
    limits: LIMITS,
    tools: [
      tool('book', 'Books one entry', { amount: number, text: { type: 'string' } }, 'at_most_once', 'http'),
      ...MATH.slice(-2),
    ],
  },
];

const call = (name, args, kind = { tool: 'pure' }) => ({
  id: randomUUID(),
  call_id: `call_${randomUUID().slice(0, 8)}`,
  name,
  arguments: typeof args === 'string' ? args : JSON.stringify(args),
  kind,
});

function replied(
  turn,
  calls,
  { text = null, notes = [], took_ms = 640, attempt = 1, tries = 1, model = 'piton-practice-model' } = {},
) {
  const request = {
    api: 'responses',
    through_seq: turn * 2 - 1,
    sha256: '9f2c'.repeat(16),
    bytes: 2_310 + turn * 180,
    tries,
    took_ms,
  };
  return [
    'model_replied',
    {
      turn,
      text,
      calls,
      notes,
      usage: { input_tokens: 410 + turn * 60, output_tokens: 38 },
      model,
      request,
      attempt,
    },
  ];
}
const returned = (one, result, took_ms = 2) => [
  'tool_returned',
  { call: one.id, result, took_ms, attempt: 1 },
];
const answered = (turn, answer) => [
  [520, ...replied(turn, [call('final_answer', { answer }, 'final_answer')])],
  [3, 'completed', { answer }],
];

function sum() {
  const [add, times, over] = [
    call('sum_numbers', { a: 17, b: 5 }),
    call('multiply_numbers', { a: 22, b: 3 }),
    call('divide_numbers', { a: 66, b: 4 }),
  ];
  return [
    [700, ...replied(1, [add])],
    [20, ...returned(add, 22)],
    [600, ...replied(2, [times])],
    [20, ...returned(times, 66)],
    [600, ...replied(3, [over])],
    [20, ...returned(over, 16.5)],
    ...answered(4, '[practice model] (17 + 5) * 3 / 4 = 16.5'),
  ];
}

function* asking() {
  const ask = call('ask_human', { question: 'What is your salary?' }, 'ask_human');
  yield [500, ...replied(1, [ask])];
  const said = yield [5, 'human_asked', { call: ask.id, question: 'What is your salary?' }];
  const number = Number.parseFloat(said) || 80;
  const times = call('multiply_numbers', { a: number, b: 0.15 });
  yield [500, ...replied(2, [times])];
  yield [10, ...returned(times, number * 0.15)];
  yield* answered(3, `[practice model] 15 percent of ${number} is ${number * 0.15}`);
}

function* slow() {
  for (let turn = 1; turn <= 40; turn += 1) {
    const add = call('sum_numbers', { a: turn, b: 1 });
    yield [400, ...replied(turn, [add])];
    yield [30, ...returned(add, turn + 1)];
  }
  yield* answered(41, 'done');
}

export function scriptFor(task) {
  if (/my salary/i.test(task)) return asking();
  if (/slow|sleep|count|times/i.test(task)) return slow();
  return sum()[Symbol.iterator]();
}

/** A run that is over and one that asks, of nothing but `text`. */
export function infected(text) {
  const at_ms = Date.now() - 5_000;
  const evil = call(text.slice(0, 500), JSON.stringify({ [text.slice(0, 500)]: text }));
  const ask = call('ask_human', { question: text }, 'ask_human');
  const labels = { [text.slice(0, 60)]: text.slice(0, 60) };
  const reply = replied(1, [evil], { text, notes: [text.slice(0, 60)], model: text.slice(0, 60) });
  const rows = [
    { [text.slice(0, 40)]: text.slice(0, 100), b: 1 },
    { [text.slice(0, 40)]: text.slice(0, 100), b: 2 },
  ];
  const second = call('look', '{}');
  return [
    {
      task: text,
      at_ms,
      labels,
      lost: [
        {
          worker: text.slice(0, 40),
          epoch: 1,
          attempt: 1,
          version: 1,
          after_ms: 9,
          how: text.slice(0, 80),
          blamed: false,
        },
      ],
      events: [
        [100, ...reply],
        [5, 'tool_failed', { call: evil.id, error: text, took_ms: 1, attempt: 1 }],
        [5, ...replied(2, [second])],
        [5, ...returned(second, rows)],
        [5, ...replied(3, [call('final_answer', { answer: text }, 'final_answer')], { text })],
        [1, 'completed', { answer: text }],
      ],
    },
    {
      task: text,
      at_ms,
      labels,
      events: [
        [100, ...replied(1, [ask])],
        [5, 'human_asked', { call: ask.id, question: text }],
      ],
    },
  ];
}

export function gathered(texts) {
  const turns = texts.flatMap((text, place) => {
    const evil = call(text.slice(0, 200), JSON.stringify({ note: text }));
    return [
      [100, ...replied(place + 1, [evil], { text, notes: [text.slice(0, 60)] })],
      [5, 'tool_failed', { call: evil.id, error: text, took_ms: 1, attempt: 1 }],
    ];
  });
  return { task: 'All of it', at_ms: Date.now() - 60_000, max_steps: 1_000, events: turns };
}

/** The events of a run that goes on and on, but for its launch. */
export function longWay(count) {
  const events = [];
  for (let turn = 1; events.length < count - 1; turn += 1) {
    const add = call('sum_numbers', { a: turn, b: 1 });
    events.push([700, ...replied(turn, [add], turn % 7 === 0 ? { text: `By now it is **${turn}**.` } : {})]);
    if (events.length < count - 1) events.push([20, ...returned(add, turn + 1)]);
  }
  return events;
}

/** A run in which a tool gave back `text`, and the model repeated it. */
export function swollen(text) {
  const look = call('look', '{}');
  return {
    task: 'Read it to me',
    at_ms: Date.now() - 5_000,
    events: [
      [100, ...replied(1, [look])],
      [5, ...returned(look, text)],
      [5, ...replied(2, [call('final_answer', { answer: '' }, 'final_answer')])],
      [1, 'completed', { answer: text }],
    ],
  };
}

export const HOSTILE = [
  '<script>window.pwned = 1</script><img src=x onerror="window.pwned = 1">',
  '[click](javascript:alert(1)) ![x](http://evil.example/x.png)',
  'admin\u202Egnp.exe',
  'zero\u200Bwidth \u001b[31mred\u001b[0m \u0000 nul',
  'a'.repeat(400),
];

/** A run that lost a worker on its way, and answers at some length. */
function report() {
  const list = call('list_invoices', { status: 'open' });
  const late = call('days_late', { invoices: [2201, 2207, 2190], as_of: '2026-11-23' });
  const found = [
    { invoice: 2190, customer: 'Noether & Sons', amount: 1250, due: '2026-10-30' },
    { invoice: 2201, customer: 'Ada Lovelace', amount: 120.5, due: '2026-12-01' },
    { invoice: 2207, customer: 'Curie Labs', amount: 80, due: '2026-12-14' },
  ];
  const answer = [
    'Three invoices are open, **1,450.50 €** in all. One is late.',
    '',
    '| invoice | customer | amount | due |',
    '|---|---|---|---|',
    ...found.map((one) => `| ${one.invoice} | ${one.customer} | ${one.amount} € | ${one.due} |`),
    '',
    '1. Remind *Noether & Sons* about invoice `2190`: it is **24 days** late.',
    '2. Nothing else is due before December.',
  ].join('\n');
  return {
    task: 'Which invoices are open, and whom do we remind?',
    agent: 'clerk',
    at_ms: minutes(9),
    lost: [
      {
        worker: 'w-09de',
        epoch: 1,
        attempt: 1,
        version: 3,
        after_ms: 1_200,
        how: 'signal 9 (SIGKILL)',
        blamed: false,
      },
      {
        worker: 'w-b21c',
        epoch: 2,
        attempt: 2,
        version: 3,
        after_ms: 2_600,
        how: 'its lease lapsed',
        blamed: false,
      },
    ],
    events: [
      [900, ...replied(1, [list], { took_ms: 840, text: 'I will look at the open invoices first.' })],
      [350, ...returned(list, found, 340)],
      [4_200, ...replied(2, [late], { took_ms: 1_350, attempt: 3, tries: 2 })],
      [120, ...returned(late, { 2190: 24, 2201: -8, 2207: -21 }, 110)],
      [1_900, ...replied(3, [call('final_answer', { answer }, 'final_answer')], { took_ms: 1_870 })],
      [3, 'completed', { answer }],
    ],
  };
}

const minutes = (n) => Date.now() - n * 60_000;

/** Runs in every status, for looking at. */
export function history() {
  const ask = call(
    'ask_human',
    { question: 'Which account shall the 120 € go to: 4400 or 4410?' },
    'ask_human',
  );
  const book = call('book', { amount: 120, text: 'Invoice 2201' }, { tool: 'at_most_once' });
  const begun = [
    'tool_started',
    {
      call: book.id,
      arguments_hash: 'ab12'.repeat(16),
      worker: 'w-7f3a',
      epoch: 2,
      attempt: 1,
      at_ms: minutes(12),
    },
  ];
  const bad = call('divide_numbers', { a: 1, b: 0 });
  const gone = call('teleport', '{"to": "the moon"');
  const look = call('lookup', {
    customer: { id: '12345678901234567890', tags: ['new', 'priority'] },
    filters: { since: '2026-01-01', states: ['open', 'late'] },
  });
  const falls = [5, 4, 3, 2].map((a) => call('divide_numbers', { a, b: 0 }));
  const now_what =
    'This run seems to be stuck: tool calls failed 4 times in a row. The last one was divide_numbers with the arguments {"a":2,"b":0}.\nIts error: Division by zero\nWhat should be done differently? Piton asks this, not the model. The model is given your answer and goes on from there; to end the run instead, cancel it.';
  const own = call('ask_human', { question: now_what }, 'ask_human');
  const evil = call(HOSTILE[0], { note: HOSTILE[2] });
  return [
    {
      task: 'Count slowly to forty',
      at_ms: minutes(1),
      events: [[900, ...replied(1, [call('sum_numbers', { a: 1, b: 1 })])]],
    },
    { task: 'What is (17 + 5) * 3 / 4?', at_ms: minutes(3), events: sum() },
    {
      task: 'Book invoice 2201 over 120 €',
      agent: 'clerk',
      labels: { team: 'finance' },
      at_ms: minutes(9),
      events: [
        [800, ...replied(1, [ask])],
        [4, 'human_asked', { call: ask.id, question: 'Which account shall the 120 € go to: 4400 or 4410?' }],
      ],
    },
    {
      task: 'Book invoice 2201 over 120 €',
      agent: 'clerk',
      at_ms: minutes(14),
      events: [
        [800, ...replied(1, [book])],
        [40, ...begun],
        [
          31_000,
          'outcome_unknown',
          { call: book.id, reason: 'worker w-7f3a began book and its result was never recorded' },
        ],
      ],
    },
    {
      task: 'Divide five, four, three and two by nothing',
      at_ms: minutes(22),
      events: [
        ...falls.flatMap((one, index) => [
          [600, ...replied(index + 1, [one])],
          [4, 'tool_failed', { call: one.id, error: 'Division by zero', took_ms: 1, attempt: 1 }],
        ]),
        [0, 'stuck', { call: own, reason: 'tool_errors', times: 4 }],
        [0, 'human_asked', { call: own.id, question: now_what }],
      ],
    },
    {
      task: 'Solve x^2 - 5x + 6 = 0',
      at_ms: minutes(40),
      events: [
        [
          700,
          ...replied(1, [call('power', { base: -5, exponent: 2 }), call('multiply_numbers', { a: 4, b: 6 })]),
        ],
        [400, 'paused'],
      ],
    },
    report(),
    {
      task: 'Divide one by zero, then find the customer',
      at_ms: minutes(75),
      events: [
        [
          800,
          ...replied(1, [bad, gone], {
            text: 'I will try the division first, then look the customer up.',
            notes: ['bad_arguments'],
          }),
        ],
        [4, 'tool_failed', { call: bad.id, error: 'Division by zero', took_ms: 1, attempt: 1 }],
        [2, 'tool_failed', { call: gone.id, error: 'Tool teleport not found', took_ms: 0, attempt: 1 }],
        [2_400, ...replied(2, [look], { took_ms: 2_310, attempt: 2, tries: 3 })],
        [
          310,
          ...returned(
            look,
            {
              name: 'Ada Lovelace',
              open: [
                { invoice: 2201, amount: 120.5, due: '2026-12-01' },
                { invoice: 2207, amount: 80, due: '2026-12-14' },
              ],
              blocked: false,
            },
            308,
          ),
        ],
        [9_000, 'model_failed', { error: 'the endpoint answered 503 Service Unavailable', tries: 4 }],
        [1, 'failed', { error: 'the endpoint answered 503 Service Unavailable' }],
      ],
    },
    {
      task: HOSTILE.join(' | '),
      at_ms: minutes(130),
      events: [
        [700, ...replied(1, [evil], { text: HOSTILE.join('\n') })],
        [5, 'tool_failed', { call: evil.id, error: HOSTILE.join(' '), took_ms: 0, attempt: 1 }],
        ...answered(2, HOSTILE.join('\n')),
      ],
    },
    {
      task: 'A train travels 60 km/h for 2.5 hours. How far does it get?',
      at_ms: minutes(200),
      events: [
        [700, ...replied(1, [call('multiply_numbers', { a: 60, b: 2.5 })])],
        [200, 'cancel_requested'],
        [1, 'cancelled'],
      ],
    },
    {
      task: 'Add up the first twelve primes',
      at_ms: minutes(400),
      events: [
        [700, ...replied(1, [call('sum_numbers', { a: 2, b: 3 })])],
        [1, 'limit_reached'],
      ],
    },
    {
      task: 'Run the tool that aborts its worker',
      at_ms: minutes(1_600),
      events: [
        [700, ...replied(1, [call('abort', {})])],
        [3_000, 'quarantined', { reason: 'three workers died while they ran it' }],
      ],
    },
    ...Array.from({ length: 70 }, (_, index) => ({
      task: `What is ${index + 3} * 7?`,
      at_ms: minutes(2_000 + index * 45),
      events: answered(1, `${(index + 3) * 7}`),
    })),
  ];
}
