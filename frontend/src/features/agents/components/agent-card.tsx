import type { ReactNode } from 'react';
import type { Agent, Limits, ToolSpec } from '@/api/types';
import { Card } from '@/components/card';
import { CopyButton } from '@/components/copy';
import { Facts, Tag } from '@/components/facts';
import { Prose, Untrusted } from '@/components/text';

const EFFECTS: Record<ToolSpec['effect'], { label: string; meaning: string }> = {
  pure: { label: 'pure', meaning: 'Changes nothing outside: may be called again at will' },
  idempotent: { label: 'idempotent', meaning: 'The same key has its effect once: may be called again' },
  at_most_once: {
    label: 'at most once',
    meaning: 'Never called again by itself: an unknown result is put to a human',
  },
};

const COUNT = new Intl.NumberFormat();

/** When Piton asks a human in the model's place. */
function stuckText({ tool_errors, repeated_calls }: Limits): string {
  const reasons = [
    tool_errors > 0 && `at ${tool_errors} tool ${tool_errors === 1 ? 'error' : 'errors in a row'}`,
    repeated_calls > 0 && `at ${repeated_calls} equal calls with equal results`,
  ];
  return reasons.filter(Boolean).join(', ') || 'never';
}

/** An agent's definition: what it is told, what it may use, and how far it may go. */
export function AgentCard({
  agent,
  isDefault,
  aside,
}: {
  agent: Agent;
  isDefault: boolean;
  aside: ReactNode;
}) {
  return (
    <Card
      title={
        <span className="flex items-center gap-2">
          {agent.name}
          {isDefault && <Tag title="Used where a launch names no agent">default</Tag>}
        </span>
      }
      aside={aside}
    >
      <div className="grid min-w-0 gap-5 lg:grid-cols-[minmax(0,1fr)_minmax(0,1fr)]">
        <div className="flex min-w-0 flex-col gap-4">
          {agent.description && (
            <div className="text-muted">
              <Prose text={agent.description} />
            </div>
          )}
          <Facts
            facts={[
              [
                'Model',
                <code key="m" className="text-xs">
                  {agent.model}
                </code>,
              ],
              ['Step limit', agent.max_steps],
              ['Event limit', COUNT.format(agent.limits.events)],
              ['Asks when stuck', stuckText(agent.limits)],
              [
                'Digest',
                <span key="d" className="-my-1 flex items-center gap-1">
                  <code className="text-xs" title={agent.digest}>
                    {agent.digest.slice(0, 12)}…
                  </code>
                  <CopyButton text={agent.digest} label="Copy the digest" iconOnly />
                </span>,
              ],
            ]}
          />
          <div className="min-w-0">
            <h3 className="mb-1 text-xs font-medium text-muted">Prompt</h3>
            <div className="rounded-md bg-sunken px-3 py-2 text-sm">
              <Prose text={agent.instructions} lines_max={10} chars_max={900} />
            </div>
          </div>
        </div>
        <div className="min-w-0">
          <h3 className="mb-1 text-xs font-medium text-muted">Tools</h3>
          <ul className="divide-y divide-line rounded-md border border-line">
            {agent.tools.map((tool) => (
              <ToolRow key={tool.name} tool={tool} />
            ))}
          </ul>
        </div>
      </div>
    </Card>
  );
}

function ToolRow({ tool }: { tool: ToolSpec }) {
  const members = Object.keys((tool.parameters as { properties?: object }).properties ?? {});
  return (
    <li className="min-w-0 px-3 py-2">
      <div className="flex min-w-0 items-baseline justify-between gap-2">
        <code className="min-w-0 text-sm wrap-anywhere">
          <span className="font-medium">
            <Untrusted text={tool.name} />
          </span>
          <span className="text-faint">
            (<Untrusted text={members.join(', ')} />)
          </span>
        </code>
        <ToolTag tool={tool} />
      </div>
      <p className="text-xs text-muted">
        <Untrusted text={tool.description} />
      </p>
    </li>
  );
}

function ToolTag({ tool }: { tool: ToolSpec }) {
  const { kind } = tool.kind;
  if (kind === 'ask_human') return <Tag title="The run waits for the answer">asks you</Tag>;
  if (kind === 'final_answer') return <Tag title="The run is complete with it">ends the run</Tag>;
  const effect = EFFECTS[tool.effect];
  return <Tag title={effect?.meaning}>{effect?.label ?? tool.effect}</Tag>;
}
