/** JSON that reads better as a table: a list of objects with much the same few short members. */

export interface TableOf {
  columns: string[];
  rows: string[][];
}

const COLUMNS_MAX = 8;
const ROWS_MAX = 200;
const CELL_CHARS_MAX = 120;

export function tableOf(value: unknown): TableOf | null {
  const list = listIn(value);
  if (!list || list.length < 2 || list.length > ROWS_MAX) return null;
  const columns: string[] = [];
  for (const item of list) {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return null;
    for (const [name, member] of Object.entries(item)) {
      if (typeof member === 'object' && member !== null) return null;
      if (String(member).length > CELL_CHARS_MAX) return null;
      if (!columns.includes(name)) columns.push(name);
      if (columns.length > COLUMNS_MAX) return null;
    }
  }
  if (columns.length === 0) return null;
  const rows = list.map((item) => {
    const members = new Map(Object.entries(item as object));
    return columns.map((name) => (members.has(name) ? String(members.get(name)) : ''));
  });
  return { columns, rows };
}

/** The list itself, or the one list that an object has as its only member. */
function listIn(value: unknown): unknown[] | null {
  if (Array.isArray(value)) return value;
  if (typeof value !== 'object' || value === null) return null;
  const members = Object.values(value);
  return members.length === 1 && Array.isArray(members[0]) ? members[0] : null;
}
