import { useQuery } from '@tanstack/react-query';
import { Bell, BellOff } from 'lucide-react';
import { Button } from '@/components/button';
import { Loading, Page } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { inboxQuery } from '@/features/inbox/api/inbox';
import { InboxList } from '@/features/inbox/components/inbox-list';
import { setNotifying, useNotifying } from '@/features/inbox/notify';
import { useStops } from '@/lib/stops';

export function InboxPage() {
  const { data, error, refetch } = useQuery(inboxQuery);
  useStops();
  return (
    <Page
      title="Inbox"
      lead="Questions and unknown outcomes of all runs, the longest waiting first."
      width="narrow"
      actions={<NotifyButton />}
    >
      {error && <ProblemNotice error={error} retry={() => void refetch()} />}
      {data ? <InboxList items={data.items} /> : !error && <Loading />}
    </Page>
  );
}

/** Asks the browser to tell of new questions while another tab is looked at. */
function NotifyButton() {
  const state = useNotifying();
  if (state === 'missing') return null;
  return (
    <Button
      look="quiet"
      Icon={state === 'on' ? Bell : BellOff}
      aria-pressed={state === 'on'}
      disabled={state === 'denied'}
      title={
        state === 'denied'
          ? 'This browser refuses notifications of this site; its settings can change that'
          : 'A notification for each new question while you look elsewhere'
      }
      onClick={() => void setNotifying(state !== 'on')}
    >
      {state === 'on' ? 'Notifying' : 'Notify me'}
    </Button>
  );
}
