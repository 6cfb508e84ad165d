import { expect, it } from 'vitest';
import { tableOf } from './table';

it('lists of like objects are tables', () => {
  const value = [
    { a: 1, b: 'x' },
    { a: 2, c: null },
  ];
  const table = {
    columns: ['a', 'b', 'c'],
    rows: [
      ['1', 'x', ''],
      ['2', '', 'null'],
    ],
  };
  expect(tableOf(value)).toEqual(table);
  expect(tableOf({ items: value })).toEqual(table);
});

it.each([
  [[1, 2]],
  [[{ a: 1 }]],
  [[{ a: { b: 1 } }, { a: 1 }]],
  [{ a: 1 }],
  [null],
  ['x'],
  [[{}, {}]],
  [[{ a: 'x'.repeat(200) }, { a: 1 }]],
])('%j is none', (value) => expect(tableOf(value)).toBeNull());

it('names of the language are names like any other', () => {
  const value = JSON.parse('[{"__proto__": 1}, {"__proto__": 2}]') as unknown;
  expect(tableOf(value)).toEqual({ columns: ['__proto__'], rows: [['1'], ['2']] });
});
