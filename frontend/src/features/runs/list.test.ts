import { describe, expect, it } from 'vitest';
import { type Row, splice } from './list';

const row = (id: string, status: Row['status'] = 'running'): Row => ({
  id,
  status,
  task: '',
  agent: 'a',
  steps: 0,
  max_steps: 10,
  tokens: 0,
  gist: null,
  created_at: '',
  finished_at: null,
});
const rows = (ids: string, status?: Row['status']) => [...ids].map((id) => row(id, status));
const told = (list: Row[]) => list.map(({ id }) => id).join('');

describe('a page takes the place of what was known of its stretch', () => {
  it('at the top: what is new comes, what is gone goes, what is below stays', () => {
    expect(told(splice(rows('geca'), null, rows('hgd'), false))).toBe('hgdca');
  });
  it('in the middle', () => {
    expect(told(splice(rows('gfedcba'), 'f', rows('ec'), false))).toBe('gfecba');
  });
  it('at the end', () => {
    expect(told(splice(rows('gfe'), 'e', rows('dc'), false))).toBe('gfedc');
    expect(told(splice(rows('gfedc'), 'f', rows('e'), true))).toBe('gfe');
    expect(told(splice(rows('gf'), null, [], true))).toBe('');
  });
  it('with the status of now', () => {
    expect(splice(rows('ba'), null, rows('b', 'complete'), false)[0]?.status).toBe('complete');
  });
  it('and changes nothing where nothing changed', () => {
    const known = rows('cba');
    expect(splice(known, null, rows('cb'), false)).toBe(known);
    expect(splice(known, 'c', rows('ba'), true)).toBe(known);
  });
});
