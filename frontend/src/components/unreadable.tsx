import { FileWarning } from 'lucide-react';
import type { UnreadableRun } from '@/api/types';
import { Notice } from './card';

/** The runs that a list cannot show. */
const SHOWN = 5;

export function UnreadableNotice({ runs }: { runs: UnreadableRun[] | undefined }) {
  if (!runs?.length) return null;
  return (
    <Notice
      tone="bad"
      icon={<FileWarning />}
      role="status"
      title={runs.length === 1 ? 'One run cannot be read' : `${runs.length} runs cannot be read`}
    >
      <ul className="space-y-1 text-sm">
        {runs.slice(0, SHOWN).map(({ id, status, note }) => (
          <li key={id} className="min-w-0 wrap-anywhere">
            <code>{id}</code> {status && `(${status}) `}
            <span className="text-muted">{note}</span>
          </li>
        ))}
      </ul>
    </Notice>
  );
}
