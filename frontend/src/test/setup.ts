import '@testing-library/jest-dom/vitest';
import { cleanup, configure } from '@testing-library/react';
import { afterEach, vi } from 'vitest';
import { setLocked } from '@/api/session';

// A busy machine is slow; what never comes fails all the same.
configure({ asyncUtilTimeout: 5_000 });

// A dialog of happy-dom opens, but knows nothing of being modal.
HTMLDialogElement.prototype.showModal ??= HTMLDialogElement.prototype.show;
vi.stubGlobal('scrollTo', () => {});

afterEach(() => {
  cleanup();
  setLocked(false);
  localStorage.clear();
  sessionStorage.clear();
});
