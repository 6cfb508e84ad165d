import { MessageCircleQuestionMark, TriangleAlert } from 'lucide-react';
import { useState } from 'react';
import type { Question } from '@/api/types';
import { Notice } from '@/components/card';
import { titleOf } from '../title';
import { QuestionForm, type Said } from './question-form';
import { SaidNotice } from './said-notice';

/** On a run's page: its open question, and what became of the last reply to one. */
export function Answering({ runId, question }: { runId: string; question: Question | null }) {
  const [said, setSaid] = useState<Said | null>(null);
  return (
    <>
      {said?.how === 'late' && <SaidNotice said={said} />}
      {question && question.id !== said?.questionId && (
        <Notice
          tone={question.kind === 'question' ? 'wait' : 'unknown'}
          role="region"
          icon={
            question.kind === 'question' ? (
              <MessageCircleQuestionMark aria-hidden />
            ) : (
              <TriangleAlert aria-hidden />
            )
          }
          title={titleOf(question)}
        >
          <QuestionForm key={question.id} runId={runId} question={question} onSaid={setSaid} />
        </Notice>
      )}
    </>
  );
}
