// Names for questions: the same name sent twice is the same question.

/** A random name for one question. `crypto.randomUUID` is missing on pages served over plain HTTP from another machine. */
export function newClientId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
