import { Link, type LinkProps } from '@tanstack/react-router';
import clsx from 'clsx';
import { LoaderCircle, type LucideIcon } from 'lucide-react';
import type { ComponentProps, ReactNode } from 'react';

type Look = 'primary' | 'plain' | 'quiet' | 'danger';

const LOOKS: Record<Look, string> = {
  primary: 'bg-accent text-on-accent shadow-card hover:brightness-110 active:brightness-95',
  plain: 'border border-line bg-surface text-ink shadow-card hover:bg-hover',
  quiet: 'text-muted hover:bg-hover hover:text-ink',
  danger: 'border border-line bg-surface text-bad shadow-card hover:bg-bad-soft',
};

const shape = (look: Look, small: boolean, iconOnly: boolean) =>
  clsx(
    'inline-flex shrink-0 items-center justify-center gap-1.5 rounded-md font-medium whitespace-nowrap transition-colors select-none',
    'disabled:cursor-not-allowed disabled:opacity-45 disabled:shadow-none disabled:brightness-100',
    small ? 'h-7 text-xs' : 'h-8 text-sm max-sm:h-9',
    iconOnly ? (small ? 'w-7' : 'w-8 max-sm:w-9') : small ? 'px-2.5' : 'px-3',
    LOOKS[look],
  );

interface Common {
  look?: Look;
  small?: boolean;
  Icon?: LucideIcon;
}

type ButtonProps = Common & Omit<ComponentProps<'button'>, 'className'> & { busy?: boolean };

export function Button({
  look = 'plain',
  small = false,
  Icon,
  busy = false,
  children,
  disabled,
  ...rest
}: ButtonProps) {
  const Shown = busy ? LoaderCircle : Icon;
  return (
    <button
      type="button"
      {...rest}
      disabled={disabled || busy}
      aria-busy={busy || undefined}
      className={shape(look, small, !children)}
    >
      {Shown && <Shown aria-hidden className={clsx('size-4', busy && 'animate-spin')} />}
      {children}
    </button>
  );
}

type ButtonLinkProps = Common & {
  to: NonNullable<LinkProps['to']>;
  params?: Record<string, string>;
  search?: Record<string, string>;
  children: ReactNode;
};

/** A link that looks like a button, for what goes somewhere. */
export function ButtonLink({ look = 'plain', small = false, Icon, children, ...link }: ButtonLinkProps) {
  return (
    <Link {...(link as LinkProps)} className={shape(look, small, false)}>
      {Icon && <Icon aria-hidden className="size-4" />}
      {children}
    </Link>
  );
}
