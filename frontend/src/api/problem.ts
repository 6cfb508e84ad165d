/** What went wrong with a request, in words fit for a person. One class, whether the server said it or never answered. */
export class Problem extends Error {
  override readonly name = 'Problem';
  /** The HTTP status; 0 when no answer came. */
  readonly status: number;
  /** The stable name of the kind of problem, such as `not-found`. */
  readonly slug: string;
  readonly title: string;

  constructor(status: number, slug: string, title: string, detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.status = status;
    this.slug = slug;
    this.title = title;
  }

  static unreachable(cause: unknown): Problem {
    return new Problem(
      0,
      'unreachable',
      'Piton does not answer',
      'The server could not be reached. It may be restarting; what was acknowledged is safe on its disk.',
      { cause },
    );
  }

  /** Reads `application/problem+json`; makes the best of anything else. */
  static of(status: number, body: unknown): Problem {
    const members = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
    const text = (name: string) => (typeof members[name] === 'string' ? members[name] : '');
    const title = text('title') || TITLES[status] || `The server answered ${status}`;
    const detail = text('detail') || (typeof body === 'string' ? body.slice(0, 500) : '');
    const slug = text('type').split(/[/:#]/).at(-1) || 'unknown';
    return new Problem(status, slug, title, detail);
  }

  /** The conflict of somebody else having been first. */
  get isConflict(): boolean {
    return this.status === 409 && this.slug !== 'still-acting';
  }
}

const TITLES: Record<number, string> = {
  400: 'The request was not understood',
  401: 'An API key is needed',
  403: 'This is not allowed',
  404: 'There is no such thing here',
  409: 'That is not possible any more',
  413: 'That is too long',
  422: 'Something about that is not right',
  429: 'Too many requests',
  500: 'The server ran into a fault of its own',
  502: 'Piton does not answer',
  503: 'Piton is not ready',
};

/** Any thrown value as a problem. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(
    0,
    'ui',
    'The page ran into a fault of its own',
    error instanceof Error ? error.message : String(error),
  );
}
