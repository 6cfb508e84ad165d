import clsx from 'clsx';
import { ChevronDown } from 'lucide-react';
import { type ComponentProps, type ReactNode, useId } from 'react';

const box = clsx(
  'w-full min-w-0 rounded-md border border-edge/70 bg-surface text-ink placeholder:text-faint',
  'hover:border-edge focus-visible:border-accent focus-visible:outline-1 focus-visible:outline-offset-0 disabled:opacity-60',
  // Below 16 px a phone zooms into the field.
  'text-sm max-sm:text-lg',
);

interface FieldProps {
  label: string;
  /** The label is for those who cannot see where the field stands. */
  hideLabel?: boolean;
  hint?: ReactNode;
  error?: string | undefined;
  children: (ids: {
    id: string;
    'aria-describedby': string | undefined;
    'aria-invalid': true | undefined;
  }) => ReactNode;
}

/** A labelled field with what helps to fill it in. */
export function Field({ label, hideLabel = false, hint, error, children }: FieldProps) {
  const id = useId();
  const said = error ?? hint;
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <label htmlFor={id} className={hideLabel ? 'sr-only' : 'text-sm font-medium'}>
        {label}
      </label>
      {children({
        id,
        'aria-describedby': said ? `${id}-said` : undefined,
        'aria-invalid': error ? true : undefined,
      })}
      {said && (
        <p
          id={`${id}-said`}
          role={error ? 'alert' : undefined}
          className={clsx('text-xs', error ? 'text-bad' : 'text-muted')}
        >
          {said}
        </p>
      )}
    </div>
  );
}

/** `inset` leaves room for an icon on the left. */
export function Input({
  inset = false,
  ...props
}: Omit<ComponentProps<'input'>, 'className'> & { inset?: boolean }) {
  return <input {...props} className={clsx(box, 'h-8 max-sm:h-10', inset ? 'pr-2 pl-8' : 'px-2.5')} />;
}

/** A text field that grows with its text. */
export function TextArea({
  bare = false,
  ...props
}: Omit<ComponentProps<'textarea'>, 'className'> & { bare?: boolean }) {
  return (
    <textarea
      {...props}
      className={clsx(
        'field-sizing-content max-h-[40vh] resize-none',
        bare
          ? 'min-h-20 w-full bg-transparent px-4 pt-3.5 pb-2 text-lg text-ink outline-none placeholder:text-faint'
          : clsx(box, 'px-2.5 py-1.5'),
      )}
    />
  );
}

export function Select({ children, ...props }: Omit<ComponentProps<'select'>, 'className'>) {
  return (
    <span className="relative inline-flex">
      <select
        {...props}
        className={clsx(box, 'h-8 max-w-44 appearance-none truncate pr-7 pl-2.5 max-sm:h-10')}
      >
        {children}
      </select>
      <ChevronDown
        aria-hidden
        className="pointer-events-none absolute top-1/2 right-2 size-4 -translate-y-1/2 text-faint"
      />
    </span>
  );
}
