import { useMemo } from 'react';
import { jsonTokens, type Token, type TokenKind } from '@/lib/json-tokens';
import { CopyButton } from './copy';
import { Prose, ShowAll, Untrusted, useClip } from './text';

const INKS: Record<TokenKind, string> = {
  key: 'text-muted',
  string: 'text-ok',
  number: 'text-run',
  word: 'text-hold',
  punctuation: 'text-faint',
};

/** JSON text laid out to be read; text that is no JSON as it is. */
export function Json({ text, lines_max = 14 }: { text: string; lines_max?: number }) {
  const tokens = useMemo(() => laidOutFor(text), [text]);
  const laidOut = useMemo(() => tokens?.map((token) => token.text).join('') ?? '', [tokens]);
  const clipped = useClip(laidOut, 2_000, lines_max);
  if (!tokens) return <Boxed copy={text}>{<Prose text={text} mono />}</Boxed>;
  return (
    <Boxed copy={laidOut}>
      <pre className="overflow-x-auto font-mono text-xs leading-5 wrap-anywhere whitespace-pre-wrap">
        {within(tokens, clipped.shown.length).map((token, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the tokens of one text keep their places
          <span key={index} className={INKS[token.kind]}>
            <Untrusted text={token.text} />
          </span>
        ))}
        {clipped.hidden > 0 && '…'}
      </pre>
      <ShowAll {...clipped} />
    </Boxed>
  );
}

/** Short JSON stays on one line. */
const LINE_CHARS_MAX = 72;

function laidOutFor(text: string): Token[] | null {
  const tokens = jsonTokens(text);
  if (!tokens || text.length > LINE_CHARS_MAX) return tokens;
  return tokens.map((token) => (token.text.startsWith('\n') ? { ...token, text: ' ' } : token));
}

function Boxed({ copy, children }: { copy: string; children: React.ReactNode }) {
  return (
    <div className="group relative min-w-0 rounded-md bg-sunken px-3 py-2">
      <div className="absolute top-1 right-1 opacity-0 group-focus-within:opacity-100 group-hover:opacity-100">
        <CopyButton text={copy} label="Copy" iconOnly />
      </div>
      {children}
    </div>
  );
}

/** The tokens that make up the first `chars` characters. */
function within(tokens: Token[], chars: number): Token[] {
  const shown: Token[] = [];
  let left = chars;
  for (const token of tokens) {
    if (left <= 0) break;
    shown.push(token.text.length <= left ? token : { kind: token.kind, text: token.text.slice(0, left) });
    left -= token.text.length;
  }
  return shown;
}
