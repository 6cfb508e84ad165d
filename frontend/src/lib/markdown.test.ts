import { describe, expect, it } from 'vitest';
import { type Block, type Inline, isMarkdown, readMarkdown } from './markdown';

/** Blocks in a short form that shows their structure. */
const told = (text: string): string => readMarkdown(text).map(blockText).join(' | ');
const inline = (parts: Inline[]): string => parts.map(partText).join('');
function partText(part: Inline): string {
  if (part.kind === 'text') return part.text;
  if (part.kind === 'code') return `<code ${part.text}>`;
  if (part.kind === 'link') return `<link ${part.href} ${inline(part.parts)}>`;
  return `<${part.kind} ${inline(part.parts)}>`;
}
function blockText(block: Block): string {
  switch (block.kind) {
    case 'paragraph':
      return inline(block.parts);
    case 'heading':
      return `h${block.level} ${inline(block.parts)}`;
    case 'code':
      return `code ${block.language} ${JSON.stringify(block.text)}`;
    case 'rule':
      return 'rule';
    case 'quote':
      return `quote(${block.blocks.map(blockText).join(' | ')})`;
    case 'list':
      return `${block.isOrdered ? `ol${block.start}` : 'ul'}(${block.items.map((item) => item.map(blockText).join(' ')).join(', ')})`;
    case 'table':
      return `table(${block.head.map(inline).join(',')}; ${block.rows.map((row) => row.map(inline).join(',')).join('; ')})`;
  }
}

describe('blocks', () => {
  it.each([
    ['# Title\ntext', 'h1 Title | text'],
    ['one\ntwo\n\nthree', 'one\ntwo | three'],
    ['- a\n- b\n  - c', 'ul(a, b ul(c))'],
    ['3. a\n4. b', 'ol3(a, b)'],
    ['- a\n\n- b\n\nafter', 'ul(a, b) | after'],
    ['> q\n> - x', 'quote(q | ul(x))'],
    ['```js\na <b>\n```\nafter', 'code js "a <b>" | after'],
    ['```\nnever closed', 'code  "never closed"'],
    ['| a | b |\n|---|:-:|\n| 1 | 2 |\n| 3 |', 'table(a,b; 1,2; 3,)'],
    ['a\n---\nb', 'a | rule | b'],
    ['#no heading', '#no heading'],
  ])('%j', (text, expected) => expect(told(text)).toBe(expected));
});

describe('in a line', () => {
  it.each([
    ['**a** *b* _c_ ~~d~~', '<strong a> <em b> <em c> <gone d>'],
    ['snake_case_name and 2*3*4', 'snake_case_name and 2<em 3>4'],
    ['`<b>` and ``a`b``', '<code <b>> and <code a`b>'],
    ['**never closed', '**never closed'],
    ['\\*no\\* and C:\\dir', '*no* and C:\\dir'],
    ['[a](https://x.example/p?q=1)', '<link https://x.example/p?q=1 a>'],
    ['see https://x.example/a.', 'see <link https://x.example/a https://x.example/a>.'],
  ])('%j', (text, expected) => expect(told(text)).toBe(expected));
});

describe('nothing in it is trusted', () => {
  it.each([
    ['[x](javascript:alert(1))', '[x](javascript:alert(1))'],
    ['[x](data:text/html,<script>1</script>)', '[x](data:text/html,<script>1</script>)'],
    ['[x]( https://e.example)', '[x]( <link https://e.example https://e.example>)'],
    ['<img src=x onerror=1>', '<img src=x onerror=1>'],
  ])('%j', (text, expected) => expect(told(text)).toBe(expected));

  it('a picture is a link with its mark', () => {
    expect(told('![x](https://e.example/x.png)')).toBe('!<link https://e.example/x.png x>');
  });

  it('is read in little time, whatever it is', () => {
    const began = performance.now();
    for (const unit of [
      '*',
      '_',
      '**a',
      '[',
      '`',
      '> ',
      '- ',
      '|-',
      '~~',
      '[a](',
      '\\',
      '***_',
      'h',
      '  - a\n',
    ])
      readMarkdown(unit.repeat(20_000 / unit.length));
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

it('knows what reads better as Markdown', () => {
  for (const text of ['# a', 'x\n- y', '**b**', '`c`', '| a |\n|---|', '```\nx'])
    expect(isMarkdown(text)).toBe(true);
  for (const text of ['plain', '2 * 3 * 4 = 24', 'a_b_c', '[practice model] 6', ''])
    expect(isMarkdown(text)).toBe(false);
});
