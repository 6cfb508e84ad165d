import { describe, expect, it } from 'vitest';
import { clip, oneLine, segments } from './untrusted';

const marks = (text: string) => segments(text).flatMap((part) => (part.kind === 'mark' ? [part.name] : []));

describe('hidden characters', () => {
  it.each([
    ['\u0000', 'U+0000 NUL'],
    ['\u001b[31m', 'U+001B escape'],
    ['\u0085', 'U+0085 control character'],
    ['\u202e', 'U+202E right-to-left override'],
    ['\u2066', 'U+2066 left-to-right isolate'],
    ['\u200b', 'U+200B zero-width space'],
    ['\ufeff', 'U+FEFF byte order mark'],
    ['\u2028', 'U+2028 line separator'],
    ['\u{e0041}', 'U+E0041 invisible tag character'],
    ['\u{e0101}', 'U+E0101 invisible tag character'],
    ['\u3164', 'U+3164 invisible character'],
    ['\ud800', 'U+D800 half a character (lone surrogate)'],
    ['\r', 'U+000D carriage return'],
  ])('%j is shown as %s', (text, name) => {
    expect(marks(`a${text}b`)).toEqual([name]);
  });

  it('leaves layout, letters of every script and emoji alone', () => {
    const text = 'Zürich\n\tשלום مرحبا 你好 👩‍👩‍👧 👍🏽 🏳️‍🌈 e\u0301\r\n';
    expect(segments(text)).toEqual([{ kind: 'text', text }]);
  });

  it('shows a joiner that joins no emoji', () => {
    expect(marks('pay\u200dpal')).toEqual(['U+200D zero-width joiner']);
  });

  it('loses nothing of the text around them', () => {
    expect(segments('admin\u202egnp.exe').map((part) => part.text)).toEqual(['admin', '‹U+202E›', 'gnp.exe']);
  });

  it('writes them out in titles too, on one line', () => {
    expect(oneLine('a\n  b\u202ec\u0000')).toBe('a b‹U+202E›c‹U+0000›');
  });
});

describe('clipping', () => {
  it('says how much is hidden', () => {
    expect(clip('abcdef', 4)).toEqual({ shown: 'abcd', hidden: 2 });
    expect(clip('abc', 4)).toEqual({ shown: 'abc', hidden: 0 });
    expect(clip('', 4)).toEqual({ shown: '', hidden: 0 });
  });

  it('counts lines', () => {
    expect(clip('1\n2\n3\n4', 100, 2)).toEqual({ shown: '1\n2', hidden: 4 });
    expect(clip('1\n2', 100, 2)).toEqual({ shown: '1\n2', hidden: 0 });
  });

  it('never cuts a character in half', () => {
    expect(clip('ab😀', 3)).toEqual({ shown: 'ab', hidden: 2 });
  });

  it('takes a text of 5 MB without a pause', () => {
    const began = performance.now();
    clip('x\n'.repeat(2_500_000), 1_500, 16);
    expect(performance.now() - began).toBeLessThan(50);
  });
});
