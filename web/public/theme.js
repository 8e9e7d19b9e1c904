// Runs before the first paint; src/theme.ts does the rest.
try {
  const theme = localStorage.getItem("bise.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off in this browser: the system's theme is used.
}
