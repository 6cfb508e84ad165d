import { render, screen } from '@testing-library/react';
import { expect, it } from 'vitest';
import openapi from '../../../crates/api/openapi.json';
import { StatusBadge, StatusIcon } from './status';

const STATUSES = openapi.components.schemas.Status.enum as Parameters<typeof StatusBadge>[0]['status'][];

it('has a name, and a shape of its own, for every status the server knows', () => {
  const names = new Set<string | null>();
  const shapes = new Set<string>();
  for (const status of STATUSES) {
    const { container, unmount } = render(<StatusBadge status={status} />);
    names.add(container.textContent);
    unmount();
    const icon = render(<StatusIcon status={status} />);
    shapes.add(icon.container.querySelector('svg')?.innerHTML ?? '');
    icon.unmount();
  }
  expect(STATUSES).toHaveLength(10);
  expect(names.size).toBe(STATUSES.length);
  expect(shapes.size).toBe(STATUSES.length);
  expect(names).toContain('Needs an answer');
});

it('says what a status means', () => {
  render(<StatusBadge status="undecided" />);
  expect(screen.getByText('Outcome unknown')).toHaveAttribute(
    'title',
    expect.stringContaining('somebody has to decide'),
  );
});

it('shows a status it does not know by its name', () => {
  render(<StatusBadge status={'sleeping' as never} />);
  expect(screen.getByText('sleeping')).toBeInTheDocument();
});
