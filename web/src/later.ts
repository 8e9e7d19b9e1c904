// A module that is fetched on first need and then at hand for everyone.
import { useEffect, useReducer } from "react";

export interface Later<T> {
  value: T | null;
  load(): Promise<T>;
}

export function later<T>(load: () => Promise<T>): Later<T> {
  let loading: Promise<T> | null = null;
  const module: Later<T> = {
    value: null,
    load: () =>
      (loading ??= load().then(
        (value) => (module.value = value),
        (error: unknown) => {
          loading = null; // the next need tries again
          throw error;
        },
      )),
  };
  return module;
}

/** The module's value once it is here; nothing is fetched until `needed`. */
export function useLater<T>(module: Later<T>, needed: boolean): T | null {
  const [, drawAgain] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    if (needed && module.value === null) void module.load().then(drawAgain);
  }, [module, needed]);
  return needed ? module.value : null;
}
