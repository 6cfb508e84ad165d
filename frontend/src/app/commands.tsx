import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { Bot, ListTree, Monitor, Moon, Play, Search, Sun } from 'lucide-react';
import { useDeferredValue, useState } from 'react';
import { Dialog } from '@/components/dialog';
import { Key } from '@/components/facts';
import { type Entry, Palette } from '@/components/palette';
import { statusLabel } from '@/components/status';
import { agentsQuery } from '@/features/agents/api/agents';
import { fewRunsQuery } from '@/features/runs/api/runs';
import { chooseTheme } from '@/lib/theme';
import { PLACES } from './places';

const RUNS_SHOWN = 6;

/** Everything that can be gone to or done from anywhere, by its name. */
export function Commands({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const [typed, setTyped] = useState('');
  const q = useDeferredValue(typed.trim());
  const runs = useQuery(fewRunsQuery(q ? { q } : {}, RUNS_SHOWN)).data ?? [];
  const agents = useQuery(agentsQuery).data?.agents ?? [];
  const entries: Entry[] = [
    ...PLACES.map(({ to, label, key, Icon }) => ({
      key: to,
      label,
      hint: `g ${key}`,
      Icon,
      run: () => void navigate({ to }),
    })),
    {
      key: 'waiting',
      label: 'Runs that need you',
      Icon: ListTree,
      run: () => void navigate({ to: '/runs', search: { status: 'waiting_human_input,undecided' } }),
    },
    {
      key: 'trouble',
      label: 'Runs in trouble',
      Icon: ListTree,
      run: () => void navigate({ to: '/runs', search: { status: 'failed,max_steps_reached,quarantined' } }),
    },
    ...agents.map(({ name }) => ({
      key: `agent-${name}`,
      label: `Runs of ${name}`,
      hint: 'Agent',
      Icon: Bot,
      run: () => void navigate({ to: '/runs', search: { agent: name } }),
    })),
    { key: 'light', label: 'Light theme', Icon: Sun, run: () => chooseTheme('light') },
    { key: 'dark', label: 'Dark theme', Icon: Moon, run: () => chooseTheme('dark') },
    { key: 'system-theme', label: 'Theme of the system', Icon: Monitor, run: () => chooseTheme('system') },
    // What is still being looked for comes last, so that nothing moves under the reader's hand.
    ...runs.map(({ id, task, status }) => ({
      key: id,
      label: task === '' ? id : task,
      hint: statusLabel(status),
      Icon: Play,
      isAlways: true,
      run: () => void navigate({ to: '/runs/$id', params: { id } }),
    })),
    ...(q === ''
      ? []
      : [
          {
            key: 'search',
            label: `Search all runs for “${q}”`,
            Icon: Search,
            isAlways: true,
            run: () => void navigate({ to: '/runs', search: { q } }),
          },
        ]),
  ];
  return <Palette entries={entries} typed={typed} onType={setTyped} onClose={onClose} />;
}

const KEYS: [keys: string[], what: string][] = [
  [['Ctrl', 'K'], 'Go to a page or a run, or do something (⌘ K on a Mac)'],
  ...PLACES.map(({ key, label }): [string[], string] => [['g', key], label]),
  [['/'], 'Search runs'],
  [['j'], 'Next: question, run'],
  [['k'], 'The one before'],
  [['Enter'], 'Launch, send, open'],
  [['Esc'], 'Close'],
  [['?'], 'This list'],
];

export function KeysDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl className="grid grid-cols-[auto_minmax(0,1fr)] items-baseline gap-x-4 gap-y-2 text-sm">
        {KEYS.map(([keys, what]) => (
          <div key={what} className="contents">
            <dt className="flex gap-1">
              {keys.map((key) => (
                <Key key={key}>{key}</Key>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
