/** Under which name each answer is kept; a change names what it makes stale. */
export const keys = {
  runs: ['runs'] as const,
  held: (worker: string) => ['runs', 'held', worker] as const,
  prompt: (id: string, event: number) => ['prompt', id, event] as const,
  run: (id: string) => ['run', id] as const,
  lost: (id: string, epoch: number, status: string) => ['lost', id, epoch, status] as const,
  context: (id: string, version: number) => ['context', id, version] as const,
  output: (id: string, call: string) => ['output', id, call] as const,
  inbox: ['inbox'] as const,
  agents: ['agents'] as const,
  workers: ['workers'] as const,
  queue: ['queue'] as const,
  activity: ['activity'] as const,
  system: ['system'] as const,
};
