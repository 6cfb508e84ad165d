import { describe, expect, it } from 'vitest';
import { inlineMembers, jsonText, jsonTokens } from './json-tokens';

const laidOut = (text: string) =>
  jsonTokens(text)
    ?.map((token) => token.text)
    .join('');

describe('jsonTokens', () => {
  it('lays JSON out over lines', () => {
    expect(laidOut('{"a":1,"b":[true,null,{}],"c":[]}')).toBe(
      '{\n  "a": 1,\n  "b": [\n    true,\n    null,\n    {}\n  ],\n  "c": []\n}',
    );
  });

  it('keeps every digit and every escape as they were written', () => {
    expect(laidOut('[12345678901234567890,1.10,1e400,"\\u202e\\" ,"]')).toBe(
      '[\n  12345678901234567890,\n  1.10,\n  1e400,\n  "\\u202e\\" ,"\n]',
    );
  });

  it('tells keys from strings', () => {
    expect(jsonTokens('{"a":"b"}')?.map((token) => token.kind)).toEqual([
      'punctuation',
      'punctuation',
      'key',
      'punctuation',
      'string',
      'punctuation',
      'punctuation',
    ]);
  });

  it('is null for what is no JSON', () => {
    expect(jsonTokens('{"a": 1')).toBeNull();
    expect(jsonTokens('')).toBeNull();
  });

  it('survives depth', () => {
    const deep = '['.repeat(5_000) + ']'.repeat(5_000);
    expect(laidOut(deep)?.replace(/\s/g, '')).toBe(deep);
  });
});

describe('jsonText', () => {
  it('has words for what JSON cannot hold', () => {
    expect(jsonText({ a: 1 })).toBe('{"a":1}');
    expect(jsonText(undefined)).toBe('undefined');
    const circle: unknown[] = [];
    circle.push(circle);
    expect(jsonText(circle)).toBe('[too deep to be shown]');
  });
});

describe('inlineMembers', () => {
  it('takes flat objects of a few values', () => {
    expect(inlineMembers('{"a": 17, "b": "x"}')).toEqual([
      ['a', '17'],
      ['b', '"x"'],
    ]);
    expect(inlineMembers('{}')).toEqual([]);
  });

  it('leaves the rest to be laid out', () => {
    expect(inlineMembers('{"a": [1]}')).toBeNull();
    expect(inlineMembers('[1]')).toBeNull();
    expect(inlineMembers('no json')).toBeNull();
    expect(inlineMembers(`{"a": "${'x'.repeat(200)}"}`)).toBeNull();
  });
});
