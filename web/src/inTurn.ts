// Requests about one thing, sent in the order in which they were asked for: each waits for the one before it.

export type InTurn = <T>(key: string, send: () => Promise<T>) => Promise<T>;

/** What is said twice about one key arrives as it was said; one that fails does not hold up the next. */
export function inTurn(): InTurn {
  const last = new Map<string, Promise<unknown>>();
  return (key, send) => {
    const sent = (last.get(key) ?? Promise.resolve()).then(send, send);
    last.set(key, sent);
    const forget = (): void => void (last.get(key) === sent && last.delete(key));
    sent.then(forget, forget);
    return sent;
  };
}
