import '@testing-library/jest-dom/vitest';
import { cleanup } from '@testing-library/react';
import { afterEach, vi } from 'vitest';
import { setLocked } from '@/api/session';

// A dialog of happy-dom opens, but knows nothing of being modal.
HTMLDialogElement.prototype.showModal ??= HTMLDialogElement.prototype.show;
vi.stubGlobal('scrollTo', () => {});

afterEach(() => {
  cleanup();
  setLocked(false);
  localStorage.clear();
  sessionStorage.clear();
});
