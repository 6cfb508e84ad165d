import { X } from 'lucide-react';
import { type ReactNode, useEffect, useRef } from 'react';
import { Button } from './button';

interface DialogProps {
  title: string;
  onClose: () => void;
  /** A box in the middle, or a sheet along the right edge. */
  shape?: 'box' | 'sheet';
  children: ReactNode;
}

const SHAPES = {
  box: 'm-auto w-[min(30rem,calc(100vw-2rem))] rounded-lg',
  sheet:
    'my-0 mr-0 ml-auto h-dvh max-h-dvh w-[min(36rem,100vw)] max-w-full rounded-none border-y-0 border-r-0',
};

/**
 * A modal dialog: the browser's own, which keeps the focus in, closes on Escape and hides the page from a screen reader,
 * with no style of its own to inject.
 */
export function Dialog({ title, onClose, shape = 'box', children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    if (element && !element.open) {
      element.showModal();
      // The browser takes the first button; who has to type wants the field.
      element.querySelector<HTMLElement>('input, textarea')?.focus();
    }
    return () => {
      element?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is the keyboard's way, and the browser sees to it
    <dialog
      ref={dialog}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === dialog.current && onClose()}
      className={`border border-line bg-surface p-0 text-ink shadow-over ${SHAPES[shape]}`}
    >
      <div className="flex max-h-full min-h-full flex-col">
        <header className="flex min-h-12 items-center justify-between gap-3 border-b border-line py-2 pr-2 pl-4">
          <h2 className="font-semibold">{title}</h2>
          <Button look="quiet" Icon={X} aria-label="Close" onClick={onClose} />
        </header>
        <div className="min-h-0 flex-1 overflow-y-auto overscroll-contain p-4">{children}</div>
      </div>
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  children: ReactNode;
  action: string;
  busy: boolean;
  onConfirm: () => void;
  onClose: () => void;
}

/** Asks once before something that cannot be undone. */
export function Confirm({ title, children, action, busy, onConfirm, onClose }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      <div className="text-muted">{children}</div>
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onClose}>Keep it</Button>
        <Button look="danger" busy={busy} onClick={onConfirm}>
          {action}
        </Button>
      </div>
    </Dialog>
  );
}
