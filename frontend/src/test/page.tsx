import { createMemoryHistory, RouterProvider } from '@tanstack/react-router';
import { render } from '@testing-library/react';
import { makeQueryClient, Providers } from '@/app/providers';
import { makeRouter } from '@/app/router';

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
