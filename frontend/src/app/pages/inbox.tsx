import { useQuery } from '@tanstack/react-query';
import { Loading, Page } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { inboxQuery } from '@/features/inbox/api/inbox';
import { InboxList } from '@/features/inbox/components/inbox-list';

export function InboxPage() {
  const { data, error, refetch } = useQuery(inboxQuery);
  return (
    <Page
      title="Inbox"
      lead="Questions and unknown outcomes of all runs, the longest waiting first."
      width="narrow"
    >
      {error && <ProblemNotice error={error} retry={() => void refetch()} />}
      {data ? <InboxList items={data.items} /> : !error && <Loading />}
    </Page>
  );
}
