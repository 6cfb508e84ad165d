/** Under which name each answer is kept; a change names what it makes stale. */
export const keys = {
  runs: ['runs'] as const,
  run: (id: string) => ['run', id] as const,
  context: (id: string, version: number) => ['context', id, version] as const,
  inbox: ['inbox'] as const,
  agents: ['agents'] as const,
  workers: ['workers'] as const,
  queue: ['queue'] as const,
  system: ['system'] as const,
};

/** How often lists are asked for again while somebody looks at them. */
export const POLL_MS = 2_000;
