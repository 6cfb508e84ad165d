import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { MessageCircleQuestionMark, Rocket } from 'lucide-react';
import { Card, Notice } from '@/components/card';
import { Empty, Loading, useTitle } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { agentsQuery } from '@/features/agents/api/agents';
import { inboxQuery } from '@/features/inbox/api/inbox';
import { LaunchForm } from '@/features/launch/components/launch-form';
import { EXAMPLES } from '@/features/launch/examples';
import { RecentRuns } from '@/features/runs/components/recent-runs';
import { systemQuery } from '@/features/system/api/system';
import { PracticeBanner } from '@/features/system/components/banners';

export function HomePage() {
  useTitle('Piton');
  const navigate = useNavigate();
  const agents = useQuery(agentsQuery);
  const system = useQuery(systemQuery);
  return (
    <div className="mx-auto flex w-full max-w-3xl flex-col gap-6 px-4 py-8 sm:px-6 lg:py-14">
      <header>
        <h1 className="text-2xl font-semibold tracking-tight">Launch an agent</h1>
        <p className="mt-1 text-muted">
          Watch each step live, answer what it asks. Whatever crashes meanwhile, a step that was done stays
          done.
        </p>
      </header>
      <LaunchForm
        agents={agents.data?.agents ?? []}
        defaultAgent={system.data?.default_agent}
        examples={EXAMPLES}
        onLaunched={(run) => void navigate({ to: '/runs/$id', params: { id: run.id } })}
      />
      {agents.error && <ProblemNotice error={agents.error} retry={() => void agents.refetch()} />}
      <PracticeBanner />
      <WaitingForYou />
      <Card
        flush
        title="Recent runs"
        aside={
          <Link to="/runs" className="text-xs font-medium text-accent hover:underline">
            All runs
          </Link>
        }
      >
        <RecentRuns
          loading={<Loading />}
          empty={
            <Empty Icon={Rocket} title="No runs yet">
              Say above what an agent shall do, or press one of the examples.
            </Empty>
          }
        />
      </Card>
    </div>
  );
}

function WaitingForYou() {
  const waiting = useQuery(inboxQuery).data?.items ?? [];
  if (waiting.length === 0) return null;
  return (
    <Notice
      tone="wait"
      role="region"
      icon={<MessageCircleQuestionMark aria-hidden />}
      title={waiting.length === 1 ? 'One run waits for you' : `${waiting.length} runs wait for you`}
      aside={
        <Link to="/inbox" className="text-xs leading-6 font-medium text-accent hover:underline">
          Answer in the inbox
        </Link>
      }
    />
  );
}
