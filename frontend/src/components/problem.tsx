import { RotateCw, Unplug } from 'lucide-react';
import { problemOf } from '@/api/problem';
import { oneLine } from '@/lib/untrusted';
import { Button } from './button';
import { Notice } from './card';

/** What went wrong and, where trying again may help, a button for it. */
export function ProblemNotice({ error, retry }: { error: unknown; retry?: (() => void) | undefined }) {
  const { title, message, status } = problemOf(error);
  return (
    <Notice
      tone="bad"
      role="alert"
      icon={<Unplug aria-hidden />}
      title={oneLine(title)}
      aside={
        retry && (
          <Button small Icon={RotateCw} onClick={retry}>
            Try again
          </Button>
        )
      }
    >
      {message && <p className="wrap-anywhere">{oneLine(message)}</p>}
      {status > 0 && <p className="mt-1 text-xs text-muted">The server answered {status}.</p>}
    </Notice>
  );
}
