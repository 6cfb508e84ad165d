// An HTTP endpoint for tools of agents: it keeps what it was called with, and answers as it is told.
import { createServer } from 'node:http';

/** `answer` gives the body for the arguments of a call; null leaves the call without a reply. */
export async function openLedger(answer) {
  const calls = [];
  const watchers = new Set();
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    calls.push({ key: request.headers['idempotency-key'], arguments: JSON.parse(body) });
    for (const watcher of watchers) watcher();
    const reply = await ledger.answer(JSON.parse(body));
    if (reply === null) return;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(reply));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const ledger = {
    url: `http://127.0.0.1:${server.address().port}`,
    calls,
    answer,
    /** Resolves when so many calls have come. */
    took: (count) =>
      new Promise((resolve) => {
        const look = () => {
          if (calls.length < count) return;
          watchers.delete(look);
          resolve();
        };
        watchers.add(look);
        look();
      }),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return ledger;
}
