import { useQuery } from '@tanstack/react-query';
import { FlaskConical, PackageX, Unplug, UserRoundX, X } from 'lucide-react';
import { useState } from 'react';
import { problemOf } from '@/api/problem';
import type { Lacking } from '@/api/types';
import { Button } from '@/components/button';
import { Notice } from '@/components/card';
import { oneLine } from '@/lib/untrusted';
import { systemQuery, workersQuery } from '../api/system';

/** What a reader of any page has to know: the server is gone, or nobody works. Nothing when all is well. */
export function HealthBanner() {
  const { data, error } = useQuery(workersQuery);
  if (error && problemOf(error).status === 0) {
    return (
      <Notice tone="bad" role="alert" icon={<Unplug aria-hidden />} title="Piton does not answer">
        What is shown may be out of date. It is asked again every two seconds; what it had acknowledged is
        safe.
      </Notice>
    );
  }
  if (data && !data.workers.some((worker) => worker.alive)) {
    return (
      <Notice tone="limit" role="status" icon={<UserRoundX aria-hidden />} title="No worker is alive">
        Runs are safe, but none goes on. Start a worker beside the server with <code>piton worker</code>, or
        the server itself with <code>--workers 1</code>.
      </Notice>
    );
  }
  return null;
}

/** Which runs wait for a worker with something that none has. */
export function LackingBanner({ lacking }: { lacking: Lacking[] }) {
  if (lacking.length === 0) return null;
  return (
    <Notice
      tone="limit"
      role="status"
      icon={<PackageX aria-hidden />}
      title="Runs wait for a worker that has what they need"
    >
      <ul>
        {lacking.map(({ agent, what, runs }) => (
          <li key={`${agent} ${what}`}>
            {runs} {runs === 1 ? 'run' : 'runs'} of {oneLine(agent)}: no worker has {oneLine(what)}
          </li>
        ))}
      </ul>
    </Notice>
  );
}

const HIDDEN_KEY = 'piton.practice-hidden';

/** Says that no real model is behind the answers, and how to plug one in. */
export function PracticeBanner() {
  const { data } = useQuery(systemQuery);
  const [isHidden, setHidden] = useState(() => sessionStorage.getItem(HIDDEN_KEY) !== null);
  if (!data?.practice_model || isHidden) return null;
  const hide = () => {
    sessionStorage.setItem(HIDDEN_KEY, '1');
    setHidden(true);
  };
  return (
    <Notice
      tone="off"
      icon={<FlaskConical aria-hidden />}
      title="This is the practice model"
      aside={<Button look="quiet" small Icon={X} aria-label="Hide this note" onClick={hide} />}
    >
      <PracticeWords />
    </Notice>
  );
}

export function PracticeWords() {
  return (
    <p className="text-sm text-muted">
      Built in, rule-based, and good at arithmetic only, so that you can try everything without a key. For a
      real model, start Piton with <code className="text-ink">OPENAI_API_KEY</code> set, and{' '}
      <code className="text-ink">OPENAI_BASE_URL</code> for an endpoint other than OpenAI’s.
    </p>
  );
}
