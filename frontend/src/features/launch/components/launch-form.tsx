import { ArrowUp } from 'lucide-react';
import { type FormEvent, type KeyboardEvent, useRef, useState } from 'react';
import type { Agent, Run } from '@/api/types';
import { Button } from '@/components/button';
import { Key } from '@/components/facts';
import { Field, Select, TextArea } from '@/components/field';
import { ProblemNotice } from '@/components/problem';
import { oneLine } from '@/lib/untrusted';
import { useLaunch } from '../api/launch';

interface LaunchFormProps {
  agents: Agent[];
  defaultAgent: string | undefined;
  /** Tasks to try, fit for the model that is there. */
  examples: string[];
  onLaunched: (run: Run) => void;
}

/** The one field: what the agent shall do, in plain words. */
export function LaunchForm({ agents, defaultAgent, examples, onLaunched }: LaunchFormProps) {
  const [task, setTask] = useState('');
  const [chosen, setChosen] = useState<string>();
  const launch = useLaunch();
  const field = useRef<HTMLTextAreaElement>(null);
  const agent = chosen ?? defaultAgent ?? agents[0]?.name;
  const isReady = task.trim() !== '' && !launch.isPending;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) launch.mutate({ task, ...(agent && { agent }) }, { onSuccess: onLaunched });
  };
  const tryOut = (example: string) => {
    setTask(example);
    field.current?.focus();
  };

  return (
    <form onSubmit={submit} className="flex min-w-0 flex-col gap-3">
      <div className="rounded-lg border border-edge/70 bg-surface shadow-card focus-within:border-accent focus-within:ring-1 focus-within:ring-accent">
        <Field label="What shall the agent do?" hideLabel>
          {(ids) => (
            <TextArea
              {...ids}
              ref={field}
              bare
              rows={3}
              autoFocus
              value={task}
              placeholder="What shall the agent do? Say it in plain words."
              onChange={(event) => setTask(event.target.value)}
              onKeyDown={submitOnEnter}
            />
          )}
        </Field>
        <div className="flex min-w-0 items-center justify-between gap-3 px-2 pb-2">
          <div className="flex min-w-0 items-center gap-2">
            <span className="shrink-0">
              <AgentPicker agents={agents} agent={agent} onChoose={setChosen} />
            </span>
            <span className="truncate text-xs text-muted max-md:hidden">
              {oneLine(agents.find(({ name }) => name === agent)?.description ?? '')}
            </span>
          </div>
          <div className="flex shrink-0 items-center gap-3">
            <span className="text-xs text-muted max-sm:hidden">
              <Key>Enter</Key>
            </span>
            <Button type="submit" look="primary" Icon={ArrowUp} disabled={!isReady} busy={launch.isPending}>
              Launch
            </Button>
          </div>
        </div>
      </div>
      {launch.isError && <ProblemNotice error={launch.error} />}
      <div className="flex min-w-0 flex-wrap items-center gap-2">
        <span className="text-xs text-muted">Try</span>
        {examples.map((example) => (
          <button
            key={example}
            type="button"
            onClick={() => tryOut(example)}
            className="max-w-full truncate rounded-full border border-line bg-surface px-3 py-1 text-xs text-muted hover:border-edge hover:text-ink"
          >
            {example}
          </button>
        ))}
      </div>
    </form>
  );
}

function AgentPicker({
  agents,
  agent,
  onChoose,
}: {
  agents: Agent[];
  agent: string | undefined;
  onChoose: (name: string) => void;
}) {
  if (agents.length === 0) return null;
  return (
    <Field label="Agent" hideLabel>
      {(ids) => (
        <Select {...ids} value={agent} onChange={(event) => onChoose(event.target.value)}>
          {agents.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </Select>
      )}
    </Field>
  );
}

/** Enter launches, Shift Enter begins a line; not while a character is being composed. */
function submitOnEnter(event: KeyboardEvent<HTMLTextAreaElement>) {
  if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
  event.preventDefault();
  event.currentTarget.form?.requestSubmit();
}
