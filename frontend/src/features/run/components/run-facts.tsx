import type { ReactNode } from 'react';
import type { Run } from '@/api/types';
import { CopyButton } from '@/components/copy';
import { Facts, Tag } from '@/components/facts';
import { Untrusted } from '@/components/text';
import { Ago, Lasting } from '@/components/time';
import { curlFollow, curlPost } from '@/lib/curl';
import { oneLine } from '@/lib/untrusted';

const COUNT = new Intl.NumberFormat();

/** What is known of a run besides its story. */
export function RunFacts({ run, task }: { run: Run; task: string | null }) {
  const labels = Object.entries(run.labels);
  const facts: [string, ReactNode][] = [
    ['Agent', run.agent.name],
    ['Steps', `${run.steps} of ${run.max_steps}`],
    ['Turns', run.turns],
    ['Tokens', tokens(run)],
    ['Duration', <Lasting key="d" from={run.created_at} to={run.finished_at} />],
    ['Launched', <Ago key="l" at={run.created_at} />],
    ['Worker', run.owner === null ? null : <code key="w">{oneLine(run.owner)}</code>],
    ['Attempt', run.attempt > 1 ? run.attempt : null],
    ['Tenant', run.tenant === '' || run.tenant === 'default' ? null : run.tenant],
    ['Priority', run.priority === 0 ? null : run.priority],
    ['Labels', labels.length === 0 ? null : <Labels key="t" labels={labels} />],
    [
      'Definition',
      <Short key="g" text={run.agent.digest} label="Copy the digest of the agent’s definition" />,
    ],
    ['Run', <Short key="r" text={run.id} label="Copy the run’s id" />],
  ];
  const launch = { task: task ?? run.task, agent: run.agent.name };
  return (
    <>
      <Facts facts={facts} />
      <div className="-mx-2 mt-3 flex flex-wrap gap-x-1 border-t border-line px-1 pt-2">
        <CopyButton text={curlPost(`${location.origin}/v1/runs`, launch)} label="Copy launch as curl" />
        <CopyButton
          text={curlFollow(`${location.origin}/v1/runs/${run.id}/events`)}
          label="Copy follow as curl"
        />
      </div>
    </>
  );
}

function tokens({ usage }: Run): string {
  const all = usage.input_tokens + usage.output_tokens;
  if (all === 0) return 'none counted';
  return `${COUNT.format(usage.input_tokens)} in, ${COUNT.format(usage.output_tokens)} out`;
}

function Labels({ labels }: { labels: [string, string][] }) {
  return (
    <span className="flex flex-wrap gap-1">
      {labels.map(([name, value]) => (
        <Tag key={name}>
          <Untrusted text={`${name}: ${value}`} />
        </Tag>
      ))}
    </span>
  );
}

function Short({ text, label }: { text: string; label: string }) {
  return (
    <span className="-my-1 flex items-center gap-1">
      <code className="text-xs" title={text}>
        {text.length > 13 ? `${text.slice(0, 6)}…${text.slice(-6)}` : text}
      </code>
      <CopyButton text={text} label={label} iconOnly />
    </span>
  );
}
