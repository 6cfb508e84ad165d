import { ExternalLink } from 'lucide-react';
import { Fragment, type ReactNode, useMemo, useState } from 'react';
import { type Block, type Inline, isMarkdown, readMarkdown } from '@/lib/markdown';
import { Prose, ShowAll, TextButton, Untrusted, useClip } from './text';

interface RichProps {
  text: string;
  chars_max?: number;
  lines_max?: number;
}

/** What a model wrote, laid out where it is Markdown, and as it was written at a press. */
export function Rich({ text, chars_max = 4_000, lines_max = 40 }: RichProps) {
  const [isAsWritten, setAsWritten] = useState(false);
  const reads = useMemo(() => isMarkdown(text.slice(0, 20_000)), [text]);
  if (!reads) return <Prose text={text} chars_max={chars_max} lines_max={lines_max} />;
  return (
    <div className="min-w-0">
      {isAsWritten ? (
        <Prose text={text} mono chars_max={chars_max} lines_max={lines_max} />
      ) : (
        <LaidOut text={text} chars_max={chars_max} lines_max={lines_max} />
      )}
      <span className="mt-1 flex text-xs">
        <TextButton onClick={() => setAsWritten(!isAsWritten)}>
          {isAsWritten ? 'Lay it out' : 'As it was written'}
        </TextButton>
      </span>
    </div>
  );
}

function LaidOut({ text, chars_max, lines_max }: Required<RichProps>) {
  const clipped = useClip(text, chars_max, lines_max);
  const blocks = useMemo(() => readMarkdown(clipped.shown), [clipped.shown]);
  return (
    <div dir="auto" className="flex min-w-0 flex-col gap-2 wrap-anywhere">
      <Blocks blocks={blocks} />
      {clipped.hidden > 0 && '…'}
      <ShowAll {...clipped} />
    </div>
  );
}

const Blocks = ({ blocks }: { blocks: Block[] }) =>
  // biome-ignore lint/suspicious/noArrayIndexKey: the blocks of one text keep their places
  blocks.map((block, at) => <OneBlock key={at} block={block} />);

function OneBlock({ block }: { block: Block }): ReactNode {
  switch (block.kind) {
    case 'paragraph':
      return (
        <p className="whitespace-pre-wrap">
          <Inlines parts={block.parts} />
        </p>
      );
    case 'heading':
      // Not a heading of the page: what a model wrote does not order it.
      return (
        <p className={block.level <= 2 ? 'mt-1 text-lg font-semibold' : 'mt-1 font-semibold'}>
          <Inlines parts={block.parts} />
        </p>
      );
    case 'code':
      return (
        <pre className="rounded-md bg-sunken px-3 py-2 font-mono text-sm wrap-anywhere whitespace-pre-wrap">
          <Untrusted text={block.text} />
        </pre>
      );
    case 'rule':
      return <hr className="border-line" />;
    case 'quote':
      return (
        <div className="flex flex-col gap-2 border-l-2 border-line pl-3 text-muted">
          <Blocks blocks={block.blocks} />
        </div>
      );
    case 'list': {
      const items = block.items.map((item, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the items of one text keep their places
        <li key={at}>
          <Blocks blocks={item} />
        </li>
      ));
      return block.isOrdered ? (
        <ol start={block.start} className="list-decimal space-y-0.5 pl-6">
          {items}
        </ol>
      ) : (
        <ul className="list-disc space-y-0.5 pl-5">{items}</ul>
      );
    }
    case 'table':
      return (
        <Table
          head={block.head.map((cell) => <Inlines key={JSON.stringify(cell)} parts={cell} />)}
          rows={block.rows.map((row) =>
            // biome-ignore lint/suspicious/noArrayIndexKey: the cells of one text keep their places
            row.map((cell, at) => <Inlines key={at} parts={cell} />),
          )}
        />
      );
  }
}

/** A table of what somebody else wrote; too wide a one scrolls by itself. */
export function Table({ head, rows }: { head: ReactNode[]; rows: ReactNode[][] }) {
  return (
    <section
      aria-label="Table"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard
      tabIndex={0}
      className="w-fit max-w-full overflow-x-auto rounded-md border border-line"
    >
      <table className="w-max text-left text-sm">
        <thead>
          <tr className="border-b border-line bg-sunken text-muted">
            {head.map((cell, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: columns keep their places
              <th key={at} scope="col" className="px-2.5 py-1 font-medium whitespace-nowrap">
                {cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {rows.map((row, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows keep their places
            <tr key={at}>
              {row.map((cell, column) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: columns keep their places
                <td key={column} className="max-w-80 px-2.5 py-1 align-top wrap-break-word tabular-nums">
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

const Inlines = ({ parts }: { parts: Inline[] }) =>
  parts.map((part, at) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text keep their places
    <Fragment key={at}>
      <OneInline part={part} />
    </Fragment>
  ));

function OneInline({ part }: { part: Inline }): ReactNode {
  switch (part.kind) {
    case 'text':
      return <Untrusted text={part.text} />;
    case 'code':
      return (
        <code className="rounded-sm bg-sunken px-1 text-[0.92em]">
          <Untrusted text={part.text} />
        </code>
      );
    case 'strong':
      return (
        <strong className="font-semibold">
          <Inlines parts={part.parts} />
        </strong>
      );
    case 'em':
      return (
        <em>
          <Inlines parts={part.parts} />
        </em>
      );
    case 'gone':
      return (
        <s>
          <Inlines parts={part.parts} />
        </s>
      );
    case 'link':
      return <OutLink href={part.href} parts={part.parts} />;
  }
}

/** A link somebody else wrote: it says where it goes, loads nothing, and tells that place nothing of this page. */
function OutLink({ href, parts }: { href: string; parts: Inline[] }) {
  const says = parts.map((part) => ('text' in part ? part.text : '')).join('');
  return (
    <a
      href={href}
      target="_blank"
      rel="noopener noreferrer nofollow"
      referrerPolicy="no-referrer"
      className="text-accent underline underline-offset-2"
    >
      <Inlines parts={parts} />
      {says !== href && (
        <span className="text-muted">
          {' '}
          (<Untrusted text={hostOf(href)} />)
        </span>
      )}
      <ExternalLink aria-label="opens another site" role="img" className="ml-0.5 inline size-3" />
    </a>
  );
}

function hostOf(href: string): string {
  try {
    return new URL(href).host;
  } catch {
    return href;
  }
}
