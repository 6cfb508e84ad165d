import type { Question } from '@/api/types';

/** Who wants to know what: the model, Piton itself, or a call whose outcome is unknown. */
export function titleOf(question: Question): string {
  if (question.kind === 'unknown_outcome') return 'Did this call take effect?';
  return question.stuck === null ? 'It asks' : 'Piton asks: the run seems to be stuck';
}
