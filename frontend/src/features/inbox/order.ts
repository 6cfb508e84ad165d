/** In which order the inbox is shown. */
import type { InboxItem } from '@/api/types';

export type Order = 'oldest' | 'urgent';
export const ORDERS: { key: Order; label: string }[] = [
  { key: 'oldest', label: 'Oldest first' },
  { key: 'urgent', label: 'Most urgent first' },
];

/**
 * What may have changed the world and nobody knows is the most urgent, then runs that spend steps on getting nowhere,
 * then what an agent wants to know. Among equals the longest waiting is first.
 */
export function ordered(items: InboxItem[], order: Order): InboxItem[] {
  const oldest = [...items].sort((a, b) => a.asked_at.localeCompare(b.asked_at));
  return order === 'oldest' ? oldest : oldest.sort((a, b) => urgency(a) - urgency(b));
}

function urgency({ question }: InboxItem): number {
  if (question.kind === 'unknown_outcome') return 0;
  return question.stuck === null ? 2 : 1;
}
