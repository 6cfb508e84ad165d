import { Check, Copy } from 'lucide-react';
import { useEffect, useState } from 'react';
import { Button } from './button';

/** Copies a text, and says so where the press was. */
export function CopyButton({
  text,
  label,
  iconOnly = false,
}: {
  text: string;
  label: string;
  iconOnly?: boolean;
}) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1_500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <Button
      look="quiet"
      small
      Icon={copied ? Check : Copy}
      aria-label={copied ? 'Copied' : label}
      title={label}
      onClick={() => void copy(text).then(setCopied)}
    >
      {iconOnly ? undefined : copied ? 'Copied' : label}
    </Button>
  );
}

async function copy(text: string): Promise<boolean> {
  // The clipboard of today is there on HTTPS and localhost only; a LAN address gets the one of old.
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.readOnly = true;
  area.className = 'fixed opacity-0';
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}
