/** The one HTTP client. Its types are generated from the server's OpenAPI document. */
import createClient from 'openapi-fetch';
import { Problem } from './problem';
import type { paths } from './schema';
import { setLocked } from './session';

export const api = createClient<paths>({
  baseUrl: globalThis.location?.origin ?? '',
  // Looked up at each call, so that a test may put its own in its place.
  fetch: (request) => globalThis.fetch(request),
});

interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/**
 * The body of a successful answer.
 *
 * @throws Problem for everything else: the server's own words where it has some.
 */
export async function body<T>(request: Promise<Answered<T>>): Promise<T> {
  const { data, error, response } = await request.catch((cause: unknown) => {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw Problem.unreachable(cause);
  });
  if (response.ok) return data as T;
  if (response.status === 401) setLocked(true);
  throw Problem.of(response.status, error);
}
