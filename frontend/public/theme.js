// Runs before the first paint, so that a chosen theme never flashes the other one. A file of its own because the
// Content-Security-Policy allows no inline script. The keys and values are those of src/lib/theme.ts.
try {
  const theme = localStorage.getItem('piton.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be switched off; then the system's theme it is.
}
