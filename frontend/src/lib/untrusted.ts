/**
 * What a model, a tool or a stranger wrote is shown as text, and nothing in it may hide: control, bidi, zero-width and
 * tag characters are told apart from the text around them, so that a reader sees what a model sees.
 */

export type Segment = { kind: 'text'; text: string } | { kind: 'mark'; text: string; name: string };

const NAMES: Record<number, string> = {
  0: 'NUL',
  7: 'bell',
  8: 'backspace',
  13: 'carriage return',
  27: 'escape',
  127: 'delete',
  173: 'soft hyphen',
  1564: 'Arabic letter mark',
  6158: 'Mongolian vowel separator',
  8203: 'zero-width space',
  8204: 'zero-width non-joiner',
  8205: 'zero-width joiner',
  8206: 'left-to-right mark',
  8207: 'right-to-left mark',
  8232: 'line separator',
  8233: 'paragraph separator',
  8234: 'left-to-right embedding',
  8235: 'right-to-left embedding',
  8236: 'end of embedding or override',
  8237: 'left-to-right override',
  8238: 'right-to-left override',
  8288: 'word joiner',
  8294: 'left-to-right isolate',
  8295: 'right-to-left isolate',
  8296: 'first strong isolate',
  8297: 'end of isolate',
  65279: 'byte order mark',
};

const HIDDEN = /\r\n|[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]|[\u{e0100}-\u{e01ef}]/gu;

/** Splits `text` into what is plainly visible and what would not be. */
export function segments(text: string): Segment[] {
  const parts: Segment[] = [];
  let plain = '';
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    const found = match[0];
    plain += text.slice(from, match.index);
    from = match.index + found.length;
    if (isPlain(found, text, match.index)) {
      plain += found;
      continue;
    }
    if (plain !== '') parts.push({ kind: 'text', text: plain });
    plain = '';
    parts.push(mark(found.codePointAt(0) ?? 0));
  }
  plain += text.slice(from);
  if (plain !== '') parts.push({ kind: 'text', text: plain });
  return parts;
}

/** `text` on one line, with every hidden character written out: for titles, labels and attributes. */
export function oneLine(text: string): string {
  return segments(text.replace(/\s*[\r\n\t]\s*/g, ' '))
    .map((part) => part.text)
    .join('');
}

/** Line breaks and tabs are layout; a joiner between two pictographs is part of an emoji. */
function isPlain(found: string, text: string, at: number): boolean {
  if (found !== '\u200d') return found === '\n' || found === '\t' || found === '\r\n';
  return (
    /\p{Extended_Pictographic}[\u{1f3fb}-\u{1f3ff}\ufe0f]?$/u.test(text.slice(Math.max(0, at - 4), at)) &&
    /^\p{Extended_Pictographic}/u.test(text.slice(at + 1, at + 3))
  );
}

function mark(code: number): Segment {
  const hex = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  const name = NAMES[code] ?? nameOfRange(code);
  return { kind: 'mark', text: `‹${hex}›`, name: `${hex} ${name}` };
}

function nameOfRange(code: number): string {
  if (code < 0x20 || (code >= 0x80 && code < 0xa0)) return 'control character';
  if (code >= 0xd800 && code <= 0xdfff) return 'half a character (lone surrogate)';
  if (code >= 0xe0000 && code <= 0xe01ef) return 'invisible tag character';
  return 'invisible character';
}

export interface Clip {
  shown: string;
  /** Characters that are not shown. */
  hidden: number;
}

/** The beginning of `text`: at most `chars_max` characters and `lines_max` lines, never half a surrogate pair. */
export function clip(text: string, chars_max: number, lines_max = Number.POSITIVE_INFINITY): Clip {
  let end = Math.min(text.length, chars_max);
  let line = -1;
  for (let lines = 0; lines < lines_max; lines += 1) {
    line = text.indexOf('\n', line + 1);
    if (line === -1 || line >= end) break;
    if (lines + 1 === lines_max) end = line;
  }
  const before = text.charCodeAt(end - 1);
  if (end < text.length && before >= 0xd800 && before <= 0xdbff) end -= 1;
  return { shown: text.slice(0, end), hidden: text.length - end };
}
