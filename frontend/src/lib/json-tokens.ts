/**
 * JSON for reading, made from its own text: numbers keep every digit they were written with, keys their order, and depth
 * costs no stack. What is no JSON gives null and is shown as it is.
 */

export type TokenKind = 'key' | 'string' | 'number' | 'word' | 'punctuation';
export interface Token {
  kind: TokenKind;
  text: string;
}

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:]/g;
/** Deeper than this is not indented further: a tower of brackets must not push the text off the page. */
const INDENT_MAX = 24;

/** The tokens of `text`, laid out over lines, or null when it is not JSON. */
export function jsonTokens(text: string): Token[] | null {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  const raw = text.match(TOKEN) ?? [];
  const tokens: Token[] = [];
  let depth = 0;
  const push = (kind: TokenKind, part: string) => tokens.push({ kind, text: part });
  const newLine = () => push('punctuation', `\n${'  '.repeat(Math.min(depth, INDENT_MAX))}`);
  for (const [index, part] of raw.entries()) {
    const next = raw[index + 1];
    if (part === '{' || part === '[') {
      push('punctuation', part);
      if (next === '}' || next === ']') continue;
      depth += 1;
      newLine();
    } else if (part === '}' || part === ']') {
      const before = raw[index - 1];
      if (before !== '{' && before !== '[') {
        depth -= 1;
        newLine();
      }
      push('punctuation', part);
    } else if (part === ',') {
      push('punctuation', ',');
      newLine();
    } else if (part === ':') {
      push('punctuation', ': ');
    } else if (part.startsWith('"')) {
      push(next === ':' ? 'key' : 'string', part);
    } else {
      push(/^[-\d]/.test(part) ? 'number' : 'word', part);
    }
  }
  return tokens;
}

/** A value as JSON text; what has no JSON form, or is too deep for it, says so. */
export function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return '[too deep to be shown]';
  }
}

/**
 * The members of a flat JSON object of few short values, fit for one line; null for anything else. Values are the
 * text they were written as.
 */
export function inlineMembers(text: string, chars_max = 96): [key: string, value: string][] | null {
  if (text.length > chars_max) return null;
  const tokens = jsonTokens(text);
  if (tokens?.[0]?.text !== '{') return null;
  const members: [string, string][] = [];
  for (const token of tokens.slice(1)) {
    if (token.text === '{' || token.text === '[') return null;
    if (token.kind === 'key') members.push([JSON.parse(token.text) as string, '']);
    else if (token.kind !== 'punctuation') {
      const last = members.at(-1);
      if (last) last[1] = token.text;
    }
  }
  return members;
}
