import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { Bell, BellOff } from 'lucide-react';
import { Button } from '@/components/button';
import { Loading, Page } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { Tabs } from '@/components/tabs';
import { UnreadableNotice } from '@/components/unreadable';
import { inboxQuery } from '@/features/inbox/api/inbox';
import { InboxList } from '@/features/inbox/components/inbox-list';
import { setNotifying, useNotifying } from '@/features/inbox/notify';
import { ORDERS } from '@/features/inbox/order';
import { useStops } from '@/lib/stops';

const route = getRouteApi('/inbox');

export function InboxPage() {
  const { order = 'oldest' } = route.useSearch();
  const { data, error, refetch } = useQuery(inboxQuery);
  useStops();
  return (
    <Page
      title="Inbox"
      lead="Questions and unknown outcomes of all runs."
      width="narrow"
      actions={<NotifyButton />}
    >
      {error && <ProblemNotice error={error} retry={() => void refetch()} />}
      <UnreadableNotice runs={data?.unreadable} />
      {data && data.items.length > 1 && (
        <div className="border-b border-line">
          <Tabs
            label="In which order"
            current={order}
            tabs={ORDERS.map(({ key, label }) => ({
              key,
              label,
              search: { order: key === 'oldest' ? undefined : key },
            }))}
          />
        </div>
      )}
      {data ? <InboxList items={data.items} order={order} /> : !error && <Loading />}
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
