import { Link } from '@tanstack/react-router';
import { Bookmark, X } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { Button } from '@/components/button';
import { Dialog } from '@/components/dialog';
import { Field, Input } from '@/components/field';
import type { RunFilter } from '../api/runs';
import { forgetView, saveView, useSavedViews } from '../api/saved';

const NAME_CHARS_MAX = 40;

/** Filters under names of one's own. They are kept in this browser. */
export function SavedViews({ filter }: { filter: RunFilter }) {
  const views = useSavedViews();
  const [isNaming, setNaming] = useState(false);
  const isNarrowed = Object.values(filter).some(Boolean);
  const here = JSON.stringify(sorted(filter));
  const isSaved = views.some((view) => JSON.stringify(sorted(view.filter)) === here);
  if (views.length === 0 && !isNarrowed) return null;
  return (
    <div className="-mt-2 flex min-w-0 flex-wrap items-center gap-2">
      {views.map((view) => (
        <span
          key={view.name}
          className="inline-flex max-w-60 items-center rounded-full border border-line bg-surface text-xs has-aria-[current]:border-accent"
        >
          <Link
            to="/runs"
            search={view.filter as never}
            aria-current={JSON.stringify(sorted(view.filter)) === here ? 'page' : undefined}
            activeProps={{}}
            className="truncate rounded-full py-1 pl-3 text-muted hover:text-ink aria-[current]:text-ink"
          >
            {view.name}
          </Link>
          <button
            type="button"
            aria-label={`Forget the view ${view.name}`}
            onClick={() => forgetView(view.name)}
            className="rounded-full p-1.5 text-faint hover:text-ink"
          >
            <X aria-hidden className="size-3" />
          </button>
        </span>
      ))}
      {isNarrowed && !isSaved && (
        <Button look="quiet" small Icon={Bookmark} onClick={() => setNaming(true)}>
          Save this view
        </Button>
      )}
      {isNaming && <NameDialog filter={filter} onClose={() => setNaming(false)} />}
    </div>
  );
}

const sorted = (filter: RunFilter) =>
  Object.entries(filter)
    .filter(([, value]) => Boolean(value))
    .sort(([a], [b]) => a.localeCompare(b));

function NameDialog({ filter, onClose }: { filter: RunFilter; onClose: () => void }) {
  const [name, setName] = useState(filter.q ?? filter.agent ?? filter.tenant ?? filter.owner ?? '');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim() === '') return;
    saveView({ name: name.trim(), filter });
    onClose();
  };
  return (
    <Dialog title="Save this view" onClose={onClose}>
      <form onSubmit={submit} className="flex flex-col gap-4">
        <Field label="Its name" hint="Kept in this browser, for you alone.">
          {(ids) => (
            <Input
              {...ids}
              autoFocus
              maxLength={NAME_CHARS_MAX}
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <div className="flex justify-end">
          <Button type="submit" look="primary" disabled={name.trim() === ''}>
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
