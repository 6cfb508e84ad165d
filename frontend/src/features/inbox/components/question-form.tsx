import { CornerDownLeft } from 'lucide-react';
import { type FormEvent, type KeyboardEvent, useState } from 'react';
import { problemOf } from '@/api/problem';
import type { Question } from '@/api/types';
import { Button } from '@/components/button';
import { Facts, Key } from '@/components/facts';
import { Field, TextArea } from '@/components/field';
import { Json } from '@/components/json';
import { ProblemNotice } from '@/components/problem';
import { Rich } from '@/components/rich';
import { Prose, Untrusted } from '@/components/text';
import { Clock } from '@/components/time';
import { type Reply, useReply } from '../api/inbox';

/** What became of a reply: sent, or too late because somebody else was first. */
export interface Said {
  how: 'sent' | 'late';
  runId: string;
  /** The id of the question it was meant for: that one is settled, whatever the page still shows. */
  questionId: string;
  /** What was written, so that it is not lost where it came too late. */
  draft: string;
}

interface FormProps {
  runId: string;
  question: Question;
  onSaid: (said: Said) => void;
}

/** Answers the open question of a run, or decides its unknown outcome. Give it the question's id as its key. */
export function QuestionForm(props: FormProps) {
  return props.question.kind === 'question' ? <AnswerForm {...props} /> : <DecisionForm {...props} />;
}

function useSend({ runId, question, onSaid }: FormProps) {
  const reply = useReply(runId);
  const send = (what: Reply, draft: string) => {
    const said = { runId, questionId: question.id, draft };
    reply.mutate(what, {
      onSuccess: () => onSaid({ ...said, how: 'sent' }),
      onError: (error) => problemOf(error).isConflict && onSaid({ ...said, how: 'late' }),
    });
  };
  const trouble =
    reply.isError && !problemOf(reply.error).isConflict ? <ProblemNotice error={reply.error} /> : null;
  return { send, trouble, busy: reply.isPending };
}

function AnswerForm(props: FormProps) {
  const [answer, setAnswer] = useState('');
  const { send, trouble, busy } = useSend(props);
  const isReady = answer.trim() !== '' && !busy;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) send({ question: props.question.id, answer }, answer);
  };
  return (
    <form onSubmit={submit} className="flex min-w-0 flex-col gap-3">
      <Rich text={props.question.text} lines_max={30} />
      <Field label="Your answer" hideLabel>
        {(ids) => (
          <TextArea
            {...ids}
            data-stop
            rows={2}
            value={answer}
            placeholder="Your answer, in plain words"
            onChange={(event) => setAnswer(event.target.value)}
            onKeyDown={submitOnEnter}
          />
        )}
      </Field>
      {trouble}
      <div className="flex items-center gap-3">
        <Button type="submit" look="primary" Icon={CornerDownLeft} disabled={!isReady} busy={busy}>
          Send answer
        </Button>
        <span className="text-xs text-muted max-sm:hidden">
          <Key>Enter</Key> sends, <Key>Shift</Key> <Key>Enter</Key> begins a line
        </span>
      </div>
    </form>
  );
}

/** Enter sends, unless it ends the composition of a character. */
function submitOnEnter(event: KeyboardEvent<HTMLTextAreaElement>) {
  if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
  event.preventDefault();
  event.currentTarget.form?.requestSubmit();
}

const CHOICES = [
  { decision: 'happened', label: 'It happened', hint: 'The run goes on with the result you give.' },
  {
    decision: 'did_not_happen',
    label: 'It did not happen',
    hint: 'The call is made again, with the same key.',
  },
  { decision: 'abort', label: 'Give the run up', hint: 'The run is cancelled.' },
] as const;

function DecisionForm(props: FormProps) {
  const { question } = props;
  const [chosen, setDecision] = useState<(typeof CHOICES)[number]['decision'] | null>(null);
  const isHeld = (choice: typeof chosen) => choice === 'did_not_happen' && question.still_acting !== null;
  const decision = isHeld(chosen) ? null : chosen;
  const [result, setResult] = useState('');
  const { send, trouble, busy } = useSend(props);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (decision === null || busy) return;
    if (decision === 'happened') send({ question: question.id, decision, result: resultOf(result) }, result);
    else send({ question: question.id, decision }, '');
  };
  return (
    <form onSubmit={submit} className="flex min-w-0 flex-col gap-3">
      <Prose text={question.text} />
      <div className="flex flex-col gap-2 rounded-md border border-line bg-surface p-3">
        <Facts
          facts={[
            [
              'Call',
              question.call && (
                <code key="c">
                  <Untrusted text={question.call.name} />
                </code>
              ),
            ],
            ['Begun', question.started && <Clock key="b" at={question.started.at} />],
            ['By worker', question.started && <code key="w">{question.started.worker}</code>],
            [
              'Attempt',
              question.started && `${question.started.attempt}, under epoch ${question.started.epoch}`,
            ],
            [
              'Key',
              question.call && (
                <code key="k" className="text-xs">
                  {question.call.id}
                </code>
              ),
            ],
          ]}
        />
        {question.call && <Json text={question.call.arguments} />}
      </div>
      <p className="text-sm text-muted">
        Look where the call would have left its mark, for example by its key, then say what you found.
      </p>
      {question.still_acting !== null && (
        <p role="status" className="text-sm text-unknown">
          Worker <code>{question.still_acting}</code> began the call and its process is still there: it may
          yet make it. “It did not happen” can be said once that process has ended.
        </p>
      )}
      <fieldset className="grid gap-2 sm:grid-cols-3">
        <legend className="sr-only">Did it happen?</legend>
        {CHOICES.map((choice) => (
          <label
            key={choice.decision}
            className="flex cursor-pointer items-start gap-2.5 rounded-md border border-line bg-surface px-3 py-2 has-checked:border-accent has-disabled:cursor-not-allowed has-disabled:opacity-60"
          >
            <input
              type="radio"
              name="decision"
              data-stop={choice.decision === 'happened' ? true : undefined}
              className="mt-1 accent-accent"
              disabled={isHeld(choice.decision)}
              checked={decision === choice.decision}
              onChange={() => setDecision(choice.decision)}
            />
            <span className="text-sm">
              <span className="font-medium">{choice.label}</span>
              <span className="block text-xs text-muted">{choice.hint}</span>
            </span>
          </label>
        ))}
      </fieldset>
      {decision === 'happened' && (
        <Field label="Its result" hint="JSON, or plain text. Leave it empty if it gave none.">
          {(ids) => (
            <TextArea {...ids} rows={2} value={result} onChange={(event) => setResult(event.target.value)} />
          )}
        </Field>
      )}
      {trouble}
      <div>
        <Button
          type="submit"
          look={decision === 'abort' ? 'danger' : 'primary'}
          disabled={decision === null}
          busy={busy}
        >
          Decide
        </Button>
      </div>
    </form>
  );
}

/** What was typed as a result: JSON where it is JSON, else the text itself. */
function resultOf(text: string): unknown {
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
