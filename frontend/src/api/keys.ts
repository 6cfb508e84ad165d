/** Under which name each answer is kept; a change names what it makes stale. */
export const keys = {
  runs: ['runs'] as const,
  run: (id: string) => ['run', id] as const,
  lost: (id: string, epoch: number, status: string) => ['lost', id, epoch, status] as const,
  context: (id: string, version: number) => ['context', id, version] as const,
  output: (id: string, call: string) => ['output', id, call] as const,
  inbox: ['inbox'] as const,
  agents: ['agents'] as const,
  workers: ['workers'] as const,
  queue: ['queue'] as const,
  system: ['system'] as const,
};

/** How often lists are asked for again while somebody looks at them. */
export const POLL_MS = 2_000;
