import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Loading, Page } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { agentsQuery } from '@/features/agents/api/agents';
import { AgentCard } from '@/features/agents/components/agent-card';
import { systemQuery } from '@/features/system/api/system';

export function AgentsPage() {
  const { data, error, refetch } = useQuery(agentsQuery);
  const defaultAgent = useQuery(systemQuery).data?.default_agent;
  return (
    <Page
      title="Agents"
      lead={
        <>
          Defined by the files in <code>config/agents</code>, read when the server starts. A run keeps the
          definition it was launched with.
        </>
      }
    >
      {error && <ProblemNotice error={error} retry={() => void refetch()} />}
      {!data && !error && <Loading />}
      {data?.agents.map((agent) => (
        <AgentCard
          key={agent.name}
          agent={agent}
          isDefault={agent.name === defaultAgent}
          aside={
            <Link
              to="/runs"
              search={{ agent: agent.name }}
              className="text-xs font-medium text-accent hover:underline"
            >
              Its runs
            </Link>
          }
        />
      ))}
    </Page>
  );
}
