// What this browser remembers: theme, language, drafts. A browser that refuses storage forgets them when the page closes.
const fallback = new Map<string, string>();

export function recall(name: string): string {
  try {
    return localStorage.getItem(`bise.${name}`) ?? "";
  } catch {
    return fallback.get(name) ?? "";
  }
}

/** Keep `value`; an empty value is forgotten. */
export function remember(name: string, value: string): void {
  try {
    if (value) localStorage.setItem(`bise.${name}`, value);
    else localStorage.removeItem(`bise.${name}`);
  } catch {
    fallback.set(name, value);
  }
}

/** Forget all text that was not sent. */
export function forgetDrafts(): void {
  fallback.clear();
  try {
    for (const name of Object.keys(localStorage)) if (name.startsWith("bise.draft.")) localStorage.removeItem(name);
  } catch {
    // A browser that refuses storage has kept none.
  }
}
