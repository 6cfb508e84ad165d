/** `j` and `k` go from one thing of a list to the next: those marked `data-stop`. */
import { useHotkeys } from './hotkeys';

export function useStops(): void {
  useHotkeys({ j: () => step(1), k: () => step(-1) });
}

function step(by: 1 | -1): void {
  const stops = [...document.querySelectorAll<HTMLElement>('main [data-stop]')];
  const here = document.activeElement;
  const at = stops.findIndex((stop) => stop === here || stop.contains(here));
  const next = at === -1 ? stops[by === 1 ? 0 : stops.length - 1] : stops[at + by];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}
