import { KeyRound } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { problemOf } from '@/api/problem';
import { Button } from '@/components/button';
import { Field, Input } from '@/components/field';
import { Mark } from '@/components/mark';
import { ProblemNotice } from '@/components/problem';
import { useLogin } from '../api/session';

/** The way in, where the server wants an API key. */
export function Login() {
  const [key, setKey] = useState('');
  const login = useLogin();
  const isWrong = login.isError && problemOf(login.error).status === 401;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (key !== '') login.mutate(key);
  };
  return (
    <main className="flex min-h-dvh items-center justify-center p-4">
      <form
        onSubmit={submit}
        className="flex w-full max-w-sm flex-col gap-4 rounded-lg border border-line bg-surface p-6 shadow-card"
      >
        <Mark />
        <div>
          <h1 className="text-lg font-semibold">Sign in</h1>
          <p className="text-sm text-muted">
            This server wants its API key: the value of <code>PITON_SERVER__API_KEY</code> that it was started
            with.
          </p>
        </div>
        <Field label="API key" error={isWrong ? 'That is not the key.' : undefined}>
          {(ids) => (
            <Input
              {...ids}
              type="password"
              autoComplete="current-password"
              autoFocus
              value={key}
              onChange={(event) => setKey(event.target.value)}
            />
          )}
        </Field>
        {login.isError && !isWrong && <ProblemNotice error={login.error} />}
        <Button type="submit" look="primary" Icon={KeyRound} disabled={key === ''} busy={login.isPending}>
          Sign in
        </Button>
      </form>
    </main>
  );
}
