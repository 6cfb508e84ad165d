import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { makeQueryClient, Providers } from '@/app/providers';
import { makeRouter, preloadPages } from '@/app/router';
import './styles.css';

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Providers client={makeQueryClient()}>
        <RouterProvider router={makeRouter()} />
      </Providers>
    </StrictMode>,
  );
  // Safari knows no idle callback.
  setTimeout(() => void preloadPages(), 1_500);
}
