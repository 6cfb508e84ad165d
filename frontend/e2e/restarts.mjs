// A server that is killed while somebody watches, and comes back. The binary is $PITON_BIN.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ASKS, answerOf, refusedByTest, status } from './steps.mjs';

const CONFIG = fileURLToPath(new URL('config', import.meta.url));
/** How soon after the server's return the view has to be right. */
export const RIGHT_AGAIN_MS = 2_000;

/**
 * A server of a test's own, which it may kill. `agents` are more agent files, by name; `model` is the URL of the model it
 * asks instead of the practice model.
 */
export async function ownServer({ agents = {}, model } = {}) {
  assert.ok(process.env.PITON_BIN, 'PITON_BIN has to name the piton binary');
  const folder = mkdtempSync(join(tmpdir(), 'piton-restart-'));
  cpSync(CONFIG, join(folder, 'config'), { recursive: true });
  for (const [name, text] of Object.entries(agents))
    writeFileSync(join(folder, 'config/agents', `${name}.toml`), text);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let child;
  const start = async () => {
    const store = `sqlite://${folder}/piton.db`;
    const args = [
      'serve',
      '--listen',
      `127.0.0.1:${port}`,
      '--store',
      store,
      '--workers',
      '1',
      '--config',
      join(folder, 'config'),
    ];
    child = spawn(process.env.PITON_BIN, args, {
      cwd: folder,
      stdio: 'ignore',
      env: {
        PATH: process.env.PATH,
        PITON_TEST__TOOLS: 'true',
        ...(model && { PITON_MODEL__BASE_URL: model }),
      },
    });
    for (let tries = 0; tries < 600; tries += 1) {
      const ready = await fetch(`${url}/readyz`).catch(() => null);
      if (ready?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.fail('the server does not get ready');
  };
  const kill = async () => {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  };
  const api = async (path, body) => {
    const post = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    };
    const response = await fetch(url + path, body && post);
    assert.ok(response.ok, `${path} answered ${response.status}`);
    return response.json();
  };
  await start();
  return {
    url,
    api,
    start,
    kill,
    async close() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export const RESTARTS = {
  async 'the server is killed while a run is watched: right again at once, nothing doubled or missing'({
    open,
  }) {
    const server = await ownServer();
    try {
      const { id } = await server.api('/v1/runs', {
        task: 'call sleep 60 times with ms=100',
        agent: 'patient',
        max_steps: 100,
      });
      const page = await open(`${server.url}/runs/${id}`, refusedByTest);
      await page.getByText('Turn 3', { exact: true }).waitFor();
      await server.kill();
      await page.getByText('Reconnecting…').first().waitFor();
      assert.equal(await page.locator('header [data-status][data-stale]').count(), 1, 'no status looks live');
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      await server.start();
      const back = performance.now();
      const { version } = await server.api(`/v1/runs/${id}`);
      await page.getByText('Live', { exact: true }).waitFor({ timeout: RIGHT_AGAIN_MS });
      await page.waitForFunction(
        (least) => Number(/Events\s*(\d+)/.exec(document.querySelector('main').innerText)?.[1]) >= least,
        version,
        { timeout: RIGHT_AGAIN_MS },
      );
      const took_ms = performance.now() - back;
      assert.ok(took_ms < RIGHT_AGAIN_MS, `right again after ${took_ms} ms`);
      assert.equal(await page.locator('[data-stale]').count(), 0);
      await server.api(`/v1/runs/${id}/cancel`, {});
      await status(page, 'Cancelled');
      // The text of what is off the screen too, which is not drawn.
      const shown = await page
        .locator('ol > li')
        .filter({ hasText: /^Turn \d+/ })
        .allTextContents();
      const turns = shown.map((text) => Number(/^Turn (\d+)/.exec(text)?.[1]));
      assert.deepEqual(
        turns,
        [...turns.keys()].map((place) => place + 1),
        'each turn once, in order',
      );
    } finally {
      await server.close();
    }
  },

  async 'the server is killed while a list is watched: right again at once'({ open }) {
    const server = await ownServer();
    try {
      const { id } = await server.api('/v1/runs', { task: ASKS });
      const page = await open(`${server.url}/runs`, refusedByTest);
      const row = page.getByRole('row').filter({ has: page.locator(`a[href="/runs/${id}"]`) });
      await row.getByText('Needs an answer').waitFor();
      await server.kill();
      await page.getByText('Reconnecting…').first().waitFor();
      assert.equal(await row.locator('[data-stale]').count(), 1, 'no status looks live');
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      await server.start();
      const { question } = await server.api(`/v1/runs/${id}`);
      await server.api(`/v1/runs/${id}/answer`, { question: question.id, answer: '40' });
      const began = performance.now();
      await row.getByText('Complete').waitFor();
      const took_ms = performance.now() - began;
      assert.ok(took_ms < RIGHT_AGAIN_MS, `right again after ${took_ms} ms`);
      await page.goto(`${server.url}/runs/${id}`);
      assert.match(await answerOf(page), /\b6\b/);
    } finally {
      await server.close();
    }
  },
};
