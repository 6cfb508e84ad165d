// A stand-in for the server, for working on the UI without one: the routes of /v1 over runs that live in memory, and
// the built UI under the same strict Content-Security-Policy. `node mock/server.mjs [PORT]`, after `npm run build`.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Runs } from './runs.mjs';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const KINDS = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/** Starts the stand-in. `apiKey` makes it ask for one; `workers` none makes it one where nobody works. */
export function serve({ port = 0, apiKey = null, workers = 2, seed = true } = {}) {
  const runs = new Runs({ seed, workers });
  const state = { runs, apiKey, workers, sessions: new Set(), streams: new Set() };
  const server = createServer((request, response) => {
    answer(state, request, response).catch((error) =>
      problem(response, error.status ?? 500, error.slug ?? 'internal', error.message),
    );
  });
  return new Promise((resolve) => {
    server.listen(port, '127.0.0.1', () =>
      resolve({
        url: `http://127.0.0.1:${server.address().port}`,
        runs,
        /** Breaks every live view, as a restart would. */
        drop: () => {
          for (const stream of state.streams) stream.destroy();
        },
        close: () => {
          server.close();
          server.closeAllConnections();
        },
      }),
    );
  });
}

async function answer(state, request, response) {
  const url = new URL(request.url, 'http://localhost');
  const path = url.pathname;
  if (!path.startsWith('/v1/')) return file(path, response);
  if (path === '/v1/session') return session(state, request, response);
  if (state.apiKey && !state.sessions.has(request.headers.cookie)) {
    return problem(response, 401, 'unauthorized', 'Sign in, or send the key as a bearer token');
  }
  if (path === '/v1/changes') return changes(state, response);
  const given = request.method === 'POST' ? JSON.parse((await read(request)) || '{}') : {};
  const [, , what, id, verb] = path.split('/');
  if (what === 'runs' && id) return oneRun(state, { request, response, url, id, verb, given });
  if (what === 'runs' && request.method === 'POST') {
    return json(response, 201, state.runs.launch(given, request.headers['idempotency-key']));
  }
  const lists = {
    runs: () => state.runs.list(url.searchParams),
    inbox: () => state.runs.inbox(),
    agents: () => ({ agents: state.runs.agents }),
    workers: () => state.runs.workerList(),
    queue: () => ({ due: 0, later: 0, oldest_ms: 0, owned: state.runs.owned(), lacking: [] }),
    activity: () => state.runs.activity(),
    system: () => ({
      version: '0.1.0',
      practice_model: true,
      test_tools: false,
      default_agent: 'calculator',
      model: 'gpt-5',
      store: { engine: 'sqlite', engine_version: '3.51.3', synchronous: 'full', schema: 1 },
    }),
  };
  const list = lists[what];
  return list ? json(response, 200, list()) : problem(response, 404, 'not-found', 'There is nothing here');
}

function oneRun(state, { request, response, url, id, verb, given }) {
  const run = state.runs.find(id);
  if (verb === undefined) return json(response, 200, run.shown());
  if (verb === 'lost-attempts') return json(response, 200, { lost_attempts: run.lost() });
  if (verb === 'events' && url.pathname.endsWith('/prompt'))
    return json(response, 200, run.prompt(Number(url.pathname.split('/')[5])));
  if (verb === 'context') return json(response, 200, { items: run.context() });
  if (verb !== 'events') return json(response, 200, state.runs.command(run, verb, given));
  const after = Number(request.headers['last-event-id'] ?? url.searchParams.get('after') ?? 0);
  if (!request.headers.accept?.includes('text/event-stream')) {
    return json(response, 200, { events: run.events.slice(after), next_after: null });
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': hello\n\n');
  const send = (event) =>
    response.write(`id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  const sendRun = () => response.write(`event: run\ndata: ${JSON.stringify(run.shown())}\n\n`);
  run.events.slice(after).forEach(send);
  sendRun();
  const stop = run.watch((event) => (event ? send(event) : sendRun()));
  state.streams.add(response);
  response.on('close', () => {
    stop();
    state.streams.delete(response);
  });
}

function changes(state, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const tell = () => response.write('event: changed\ndata: {}\n\n');
  tell();
  const timer = setInterval(tell, 500);
  state.streams.add(response);
  response.on('close', () => {
    clearInterval(timer);
    state.streams.delete(response);
  });
}

async function session(state, request, response) {
  if (request.method === 'DELETE') {
    state.sessions.clear();
    return response.writeHead(204).end();
  }
  const { api_key } = JSON.parse(await read(request));
  if (api_key !== state.apiKey) return problem(response, 401, 'unauthorized', 'That is not the key');
  const cookie = `piton=${Math.random()}`;
  state.sessions.add(cookie);
  return response.writeHead(204, { 'set-cookie': `${cookie}; HttpOnly; SameSite=Strict; Path=/` }).end();
}

async function file(path, response) {
  const wanted = extname(path) ? normalize(path) : '/index.html';
  const body = await readFile(join(DIST, wanted)).catch(() => null);
  if (!body) return problem(response, 404, 'not-found', 'There is nothing here');
  response.writeHead(200, {
    'content-type': `${KINDS[extname(wanted)] ?? 'application/octet-stream'}; charset=utf-8`,
    'content-security-policy': CSP,
    'x-content-type-options': 'nosniff',
  });
  return response.end(body);
}

async function read(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function json(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(value));
}

function problem(response, status, slug, detail) {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(
    JSON.stringify({ type: `urn:piton:${slug}`, title: slug.replaceAll('-', ' '), status, detail }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const served = await serve({
    port: Number(process.argv[2] ?? 3000),
    apiKey: process.env.MOCK_API_KEY ?? null,
  });
  console.log(`The stand-in serves on ${served.url}`);
}
