/**
 * The Markdown that models write, read into plain values: headings, lists, tables, quotes, code, emphasis, links. It
 * knows no HTML and no pictures, never fails, and takes time in proportion to its input, whatever that is.
 */

export type Inline =
  | { kind: 'text'; text: string }
  | { kind: 'code'; text: string }
  | { kind: 'strong' | 'em' | 'gone'; parts: Inline[] }
  | { kind: 'link'; href: string; parts: Inline[] };

export type Block =
  | { kind: 'paragraph'; parts: Inline[] }
  | { kind: 'heading'; level: number; parts: Inline[] }
  | { kind: 'code'; language: string; text: string }
  | { kind: 'list'; isOrdered: boolean; start: number; items: Block[][] }
  | { kind: 'quote'; blocks: Block[] }
  | { kind: 'table'; head: Inline[][]; rows: Inline[][][] }
  | { kind: 'rule' };

/** Deeper nesting is told flat. */
const DEPTH_MAX = 6;
/** Longer lines have no emphasis: their marks are shown as they are. */
const LINE_CHARS_MAX = 20_000;

const FENCE = /^ {0,3}(```+|~~~+)[ \t]*([\w+#.-]{0,32})[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*$/;
const RULE = /^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( +|$)/;
const DIVIDER = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/** Whether `text` has anything in it that reads better as Markdown. */
export function isMarkdown(text: string): boolean {
  return (
    /^ {0,3}(?:#{1,6} |[-*+] |\d{1,9}[.)] |> |```|~~~)/m.test(text) ||
    /\*\*\S|`[^`\n]+`|\]\(https?:|^\|.*\|[ \t]*$/m.test(text)
  );
}

export const readMarkdown = (text: string): Block[] => blocksOf(text.split(/\r?\n/), 0);

function blocksOf(lines: string[], depth: number): Block[] {
  const blocks: Block[] = [];
  let paragraph: string[] = [];
  const close = () => {
    if (paragraph.length > 0) blocks.push({ kind: 'paragraph', parts: inlineOf(paragraph.join('\n')) });
    paragraph = [];
  };
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] ?? '';
    const found = depth < DEPTH_MAX && line.length <= LINE_CHARS_MAX ? blockAt(lines, at, depth) : null;
    if (found) {
      // A line of dashes or a bare number in a paragraph is part of it.
      close();
      blocks.push(found.block);
      at = found.next;
      continue;
    }
    if (line.trim() === '') close();
    else paragraph.push(line);
    at += 1;
  }
  close();
  return blocks;
}

interface Found {
  block: Block;
  next: number;
}

function blockAt(lines: string[], at: number, depth: number): Found | null {
  const line = lines[at] ?? '';
  const fence = FENCE.exec(line);
  if (fence) return codeAt(lines, at, fence[1] ?? '```', fence[2] ?? '');
  const heading = HEADING.exec(line);
  if (heading) {
    const [, marks = '#', text = ''] = heading;
    return { block: { kind: 'heading', level: marks.length, parts: inlineOf(text) }, next: at + 1 };
  }
  if (RULE.test(line)) return { block: { kind: 'rule' }, next: at + 1 };
  if (QUOTE.test(line)) {
    const end = endOf(lines, at, (one) => QUOTE.test(one));
    const inner = lines.slice(at, end).map((one) => one.replace(QUOTE, ''));
    return { block: { kind: 'quote', blocks: blocksOf(inner, depth + 1) }, next: end };
  }
  if (ITEM.test(line)) return listAt(lines, at, depth);
  if (line.includes('|') && DIVIDER.test(lines[at + 1] ?? '') && (lines[at + 1] ?? '').includes('-')) {
    return tableAt(lines, at);
  }
  return null;
}

/** The first line from `at` on that does not hold. */
function endOf(lines: string[], at: number, holds: (line: string) => boolean): number {
  let end = at;
  while (end < lines.length && holds(lines[end] ?? '')) end += 1;
  return end;
}

/** A fence that is never closed goes on to the end. */
function codeAt(lines: string[], at: number, fence: string, language: string): Found {
  const end = endOf(lines, at + 1, (line) => !line.trim().startsWith(fence));
  return { block: { kind: 'code', language, text: lines.slice(at + 1, end).join('\n') }, next: end + 1 };
}

function listAt(lines: string[], at: number, depth: number): Found {
  const [, space = '', mark = ''] = ITEM.exec(lines[at] ?? '') ?? [];
  const isOrdered = /\d/.test(mark);
  const start = Number.parseInt(mark, 10);
  const items: string[][] = [];
  let indent = 2;
  let next = at;
  for (; next < lines.length; next += 1) {
    const line = lines[next] ?? '';
    const item = ITEM.exec(line);
    const isOurs = item !== null && (item[1] ?? '').length < space.length + 2;
    if (isOurs && /\d/.test(item[2] ?? '') === isOrdered && !RULE.test(line)) {
      indent = (item[1] ?? '').length + (item[2] ?? '').length + 1;
      items.push([line.slice(item[0].length)]);
    } else if (line.trim() === '') {
      // A blank line belongs to the list where the list goes on after it.
      const after = lines[next + 1] ?? '';
      if (!ITEM.test(after) && !after.startsWith('  ')) break;
      items.at(-1)?.push('');
    } else if (line.startsWith('  ') || (item === null && blockAtStart(line) === false)) {
      items.at(-1)?.push(line.replace(new RegExp(`^ {0,${indent}}`), ''));
    } else {
      break;
    }
  }
  const block: Block = {
    kind: 'list',
    isOrdered,
    start: Number.isNaN(start) ? 1 : start,
    items: items.map((item) => blocksOf(item, depth + 1)),
  };
  return { block, next: Math.max(next, at + 1) };
}

const blockAtStart = (line: string) =>
  FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line);

function tableAt(lines: string[], at: number): Found {
  const head = cellsOf(lines[at] ?? '');
  const end = endOf(lines, at + 2, (line) => line.includes('|') && line.trim() !== '');
  const rows = lines.slice(at + 2, end).map((line) => {
    const cells = cellsOf(line);
    return head.map((_, column) => cells[column] ?? []);
  });
  return { block: { kind: 'table', head, rows }, next: end };
}

const cellsOf = (line: string): Inline[][] =>
  line
    .trim()
    .replace(/^\||\|$/g, '')
    .split('|')
    .map((cell) => inlineOf(cell.trim()));

/** What stands between two equal marks, and what may not follow or come before them. */
const MARKS: { mark: string; kind: 'strong' | 'em' | 'gone' }[] = [
  { mark: '**', kind: 'strong' },
  { mark: '__', kind: 'strong' },
  { mark: '~~', kind: 'gone' },
  { mark: '*', kind: 'em' },
  { mark: '_', kind: 'em' },
];
const SPECIAL = /[\\`*_~[h]/g;
const ADDRESS = /^https?:\/\/[^\s<>"'`\\]+/;

function inlineOf(text: string, depth = 0): Inline[] {
  if (text.length > LINE_CHARS_MAX || depth > DEPTH_MAX) return text === '' ? [] : [{ kind: 'text', text }];
  const parts: Inline[] = [];
  /** Marks that have no partner further on: not looked for again. */
  const lonely = new Set<string>();
  let plain = '';
  let at = 0;
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const special = SPECIAL.exec(text);
    if (!special) break;
    plain += text.slice(at, special.index);
    at = special.index;
    const found = partAt(text, at, depth, lonely);
    if ('plain' in found) {
      plain += found.plain;
      at = found.next;
      continue;
    }
    if (plain !== '') parts.push({ kind: 'text', text: plain });
    plain = '';
    parts.push(found.part);
    at = found.next;
  }
  plain += text.slice(at);
  if (plain !== '') parts.push({ kind: 'text', text: plain });
  return parts;
}

type Read = { part: Inline; next: number } | { plain: string; next: number };

/** The part that begins at a special character, or the plain text that stands there. */
function partAt(text: string, at: number, depth: number, lonely: Set<string>): Read {
  const here = text[at] ?? '';
  const next = text[at + 1] ?? '';
  if (here === '\\' && /[!-/:-@[-`{-~]/.test(next)) return { plain: next, next: at + 2 };
  const found =
    here === '`'
      ? codeSpanAt(text, at, lonely)
      : here === '['
        ? linkAt(text, at, depth)
        : here === 'h'
          ? addressAt(text, at)
          : emphasisAt(text, at, depth, lonely);
  return found ?? { plain: here, next: at + 1 };
}

function emphasisAt(text: string, at: number, depth: number, lonely: Set<string>): Read | null {
  for (const { mark, kind } of MARKS) {
    if (!text.startsWith(mark, at) || lonely.has(mark)) continue;
    const begin = at + mark.length;
    // An underscore within a word is part of it.
    if (/\s|^$/.test(text[begin] ?? '') || (mark.startsWith('_') && /\w/.test(text[at - 1] ?? ''))) continue;
    const end = partnerOf(text, begin, mark);
    if (end === -1) {
      lonely.add(mark);
      continue;
    }
    return { part: { kind, parts: inlineOf(text.slice(begin, end), depth + 1) }, next: end + mark.length };
  }
  return null;
}

function partnerOf(text: string, from: number, mark: string): number {
  for (let end = text.indexOf(mark, from + 1); end !== -1; end = text.indexOf(mark, end + 1)) {
    const isWithin = mark.startsWith('_') && /\w/.test(text[end + mark.length] ?? '');
    const isLonger = mark.length === 1 && (text[end + 1] === mark || text[end - 1] === mark);
    if (!/\s/.test(text[end - 1] ?? ' ') && !isWithin && !isLonger) return end;
  }
  return -1;
}

function codeSpanAt(text: string, at: number, lonely: Set<string>): Read {
  const ticks = /^`+/.exec(text.slice(at, at + 32))?.[0] ?? '`';
  const end = lonely.has(ticks) ? -1 : text.indexOf(ticks, at + ticks.length);
  if (end === -1) {
    lonely.add(ticks);
    return { plain: ticks, next: at + ticks.length };
  }
  const code = text.slice(at + ticks.length, end).replace(/^ (.*) $/s, '$1');
  return { part: { kind: 'code', text: code }, next: end + ticks.length };
}

/** A label and an address are looked for no further than this. */
const LINK_CHARS_MAX = 2_000;

/** `[label](https://…)`. Any other scheme is no link, and stays text. */
function linkAt(text: string, at: number, depth: number): Read | null {
  const near = text.slice(at, at + LINK_CHARS_MAX);
  const found = /^\[([^[\]\n]*)\]\((https?:\/\/[^\s()<>"'`\\]+)\)/.exec(near);
  if (!found) return null;
  const [all, label = '', href = ''] = found;
  return { part: { kind: 'link', href, parts: inlineOf(label, depth + 1) }, next: at + all.length };
}

function addressAt(text: string, at: number): Read | null {
  if (/\w/.test(text[at - 1] ?? '')) return null;
  const found = ADDRESS.exec(text.slice(at, at + LINK_CHARS_MAX))?.[0].replace(/[.,;:!?)\]*_]+$/, '');
  if (!found || found.length <= 'https://'.length) return null;
  const parts: Inline[] = [{ kind: 'text', text: found }];
  return { part: { kind: 'link', href: found, parts }, next: at + found.length };
}
