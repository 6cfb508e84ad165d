import { createMemoryHistory, RouterProvider } from '@tanstack/react-router';
import { render } from '@testing-library/react';
import { makeQueryClient, Providers } from '@/app/providers';
import { makeRouter, preloadPages } from '@/app/router';

// What a browser loads while nobody waits must not count against a test's patience.
await preloadPages();

/** The whole UI, at `path`. */
export function openPage(path: string) {
  const router = makeRouter(createMemoryHistory({ initialEntries: [path] }));
  const client = makeQueryClient();
  const shown = render(
    <Providers client={client}>
      <RouterProvider router={router} />
    </Providers>,
  );
  return { ...shown, router, client };
}
