/** The request of a button as a command for a shell. */

/** `text` as one word of a POSIX shell, whatever is in it. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** JSON with every character beyond printable ASCII escaped: what is pasted into a terminal must not act on it. */
export const plainJson = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

export function curlPost(url: string, body: unknown): string {
  return `curl -s ${quoted(url)} -H 'Content-Type: application/json' -d ${quoted(plainJson(body))}`;
}

export const curlFollow = (url: string): string => `curl -sN ${quoted(url)} -H 'Accept: text/event-stream'`;
