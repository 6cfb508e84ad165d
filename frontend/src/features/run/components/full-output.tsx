import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { FileText } from 'lucide-react';
import { useState } from 'react';
import { Button } from '@/components/button';
import { CopyButton } from '@/components/copy';
import { Loading } from '@/components/page';
import { ProblemNotice } from '@/components/problem';
import { Prose } from '@/components/text';
import { outputQuery } from '../api/output';

/** The whole of an output that the model was shown the beginning of, fetched when it is asked for. Text, whatever it says. */
export function FullOutput({ call, bytes }: { call: string; bytes: number }) {
  const { id = '' } = useParams({ strict: false });
  const [isAsked, setAsked] = useState(false);
  const { data, error, refetch } = useQuery({ ...outputQuery(id, call), enabled: isAsked });
  if (!isAsked) {
    return (
      <div className="mt-1">
        <Button
          small
          Icon={FileText}
          title="The model was shown only the beginning"
          onClick={() => setAsked(true)}
        >
          {`Show all ${size(bytes)}`}
        </Button>
      </div>
    );
  }
  if (error) return <ProblemNotice error={error} retry={() => void refetch()} />;
  if (data === undefined) return <Loading />;
  return (
    <section aria-label="The whole output" className="mt-1 min-w-0 rounded-md bg-sunken px-3 py-2">
      <p className="flex items-baseline justify-between gap-2 text-xs text-faint">
        All {size(bytes)}; the model was shown only the beginning
        <CopyButton text={data} label="Copy all" iconOnly />
      </p>
      <Prose text={data} mono lines_max={40} chars_max={20_000} />
    </section>
  );
}

const UNITS = ['byte', 'kilobyte', 'megabyte'] as const;

function size(bytes: number): string {
  const place = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  const unit = UNITS[place] ?? 'byte';
  return new Intl.NumberFormat('en', {
    style: 'unit',
    unit,
    unitDisplay: 'short',
    maximumFractionDigits: 1,
  }).format(bytes / 1000 ** place);
}
