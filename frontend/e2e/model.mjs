// A model that says what it is told to, over the Responses API. It keeps no dialogue: which reply comes next is read from
// the request.
import { createServer } from 'node:http';

/**
 * `script` gives for a task and the number of turns before this one what the model says: `{ text, calls: [[name,
 * arguments]] }`, the arguments as an object.
 */
export async function openModel(script) {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    const { input } = JSON.parse(body);
    const textOf = ({ content }) =>
      typeof content === 'string' ? content : content.map(({ text }) => text).join('');
    const task = textOf(input.find(({ role }) => role === 'user'));
    // Each turn of a script here makes at least one call.
    const turns = new Set(
      input.filter(({ type }) => type === 'function_call').map(({ call_id }) => call_id.split('-')[0]),
    );
    const { text, calls } = script(task, turns.size);
    const turn = turns.size + 1;
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify(replyOf(turn, text, calls)));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function replyOf(turn, text, calls) {
  const message = {
    type: 'message',
    id: `msg_${turn}`,
    role: 'assistant',
    status: 'completed',
    content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
  };
  const output = calls.map(([name, args], place) => ({
    type: 'function_call',
    id: `fc_${turn}_${place}`,
    status: 'completed',
    call_id: `turn${turn}-${place}`,
    name,
    arguments: JSON.stringify(args),
  }));
  return {
    id: `resp_${turn}`,
    object: 'response',
    created_at: 1_700_000_000,
    status: 'completed',
    error: null,
    incomplete_details: null,
    instructions: null,
    model: 'scripted-model',
    output: text ? [message, ...output] : output,
    parallel_tool_calls: true,
    temperature: 1,
    top_p: 1,
    tools: [],
    tool_choice: 'required',
    metadata: {},
    usage: {
      input_tokens: 10,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 5,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 15,
    },
  };
}
