import { expect, it } from 'vitest';
import { curlPost, plainJson } from './curl';

it('is one command, whatever the task says', () => {
  const task = "it's $(rm -rf ~) `x`\n\u001b[31m \u202e é";
  const command = curlPost('http://h/v1/runs', { task });
  expect(command).toBe(
    `curl -s 'http://h/v1/runs' -H 'Content-Type: application/json' -d '{"task":"it'\\''s $(rm -rf ~) \`x\`\\n\\u001b[31m \\u202e \\u00e9"}'`,
  );
  expect(JSON.parse(plainJson({ task }))).toEqual({ task });
});
