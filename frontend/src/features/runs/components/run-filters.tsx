import { Search, X } from 'lucide-react';
import { useEffect, useState } from 'react';
import { Button } from '@/components/button';
import { Field, Input, Select } from '@/components/field';
import { Tabs } from '@/components/tabs';
import { type RunFilter, VIEWS, viewOf } from '../api/runs';

interface FiltersProps {
  filter: RunFilter;
  agents: string[];
  onChange: (filter: RunFilter) => void;
}

/** What the list is narrowed to: views as links, search and agent as fields. All of it lives in the URL. */
export function RunFilters({ filter, agents, onChange }: FiltersProps) {
  return (
    <div className="flex flex-wrap-reverse items-start justify-between gap-x-4 gap-y-3 border-b border-line">
      <Tabs
        label="Which runs"
        current={viewOf(filter.status)}
        tabs={VIEWS.map(({ key, label, statuses }) => ({
          key,
          label,
          search: { ...filter, status: statuses.join(',') },
        }))}
      />
      <div className="flex min-w-0 gap-2 pb-2 max-sm:w-full">
        {filter.tenant && (
          <Button Icon={X} onClick={() => onChange({ ...filter, tenant: '' })}>
            {`Tenant ${filter.tenant}`}
          </Button>
        )}
        {filter.owner && (
          <Button Icon={X} onClick={() => onChange({ ...filter, owner: '' })}>
            {`Held by ${filter.owner}`}
          </Button>
        )}
        <SearchField q={filter.q ?? ''} onSearch={(q) => onChange({ ...filter, q })} />
        {(agents.length > 1 || filter.agent) && (
          <Field label="Agent" hideLabel>
            {(ids) => (
              <Select
                {...ids}
                value={filter.agent ?? ''}
                onChange={(event) => onChange({ ...filter, agent: event.target.value })}
              >
                <option value="">All agents</option>
                {[...new Set([...agents, ...(filter.agent ? [filter.agent] : [])])].map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </Select>
            )}
          </Field>
        )}
      </div>
    </div>
  );
}

/** Long enough not to ask for every letter, short enough to feel at once. */
const PAUSE_MS = 200;

function SearchField({ q, onSearch }: { q: string; onSearch: (q: string) => void }) {
  const [typed, setTyped] = useState(q);
  // The URL may change by other ways: back, a link.
  useEffect(() => setTyped(q), [q]);
  useEffect(() => {
    if (typed === q) return;
    const timer = setTimeout(() => onSearch(typed), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed, q, onSearch]);
  return (
    <div className="relative min-w-0 flex-1 sm:w-64">
      <Search
        aria-hidden
        className="pointer-events-none absolute top-1/2 left-2.5 size-4 -translate-y-1/2 text-faint"
      />
      <Field label="Search runs" hideLabel>
        {(ids) => (
          <Input
            {...ids}
            type="search"
            maxLength={200}
            inset
            value={typed}
            placeholder="Task or id"
            onChange={(event) => setTyped(event.target.value)}
          />
        )}
      </Field>
    </div>
  );
}
