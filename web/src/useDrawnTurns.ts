// A long conversation opens at its end: its last turns are drawn at once, those before them whenever neither the browser
// nor the keyboard is busy, and nothing that is read moves.
import { useEffect, useState, type RefObject } from "react";
import { flushSync } from "react-dom";

const AT_ONCE = 4;
const AT_A_TIME = 2;
/** A browser that is never idle draws on all the same. */
const LONGEST_WAIT_MS = 200;
const PAUSE_AFTER_KEY_MS = 500;

/** How many turns of the beginning are not drawn yet; none when `wanted` says that any may be needed now. */
export function useDrawnTurns(scroller: RefObject<HTMLElement | null>, numTurns: number, wanted: boolean): number {
  const [opened, setOpened] = useState(0);
  const [drawn, setDrawn] = useState(AT_ONCE);
  if (opened === 0 && numTurns > 0) setOpened(numTurns);
  // Turns that were added since are at the end.
  const left = wanted ? 0 : Math.max(0, Math.min(opened - drawn, numTurns - 1));

  useEffect(() => {
    if (left === 0) return;
    return afterKeys(() => {
      const element = scroller.current;
      const below = element ? element.scrollHeight - element.scrollTop : 0;
      flushSync(() => setDrawn((count) => count + AT_A_TIME));
      if (element) element.scrollTop = element.scrollHeight - below;
    });
  }, [left, scroller]);
  return left;
}

/** When a key was last pressed, as far as it was watched. */
let lastKey = -Infinity;

/** Wait for a moment without typing; the function returned forgets the work. */
function afterKeys(work: () => void): () => void {
  let forget = whenIdle(look);
  const note = () => (lastKey = performance.now());

  function look(): void {
    const pause = lastKey + PAUSE_AFTER_KEY_MS - performance.now();
    if (pause <= 0) return work();
    const timer = setTimeout(() => (forget = whenIdle(look)), pause);
    forget = () => clearTimeout(timer);
  }

  document.addEventListener("keydown", note);
  return () => {
    document.removeEventListener("keydown", note);
    forget();
  };
}

/** Safari has no idle callbacks. */
function whenIdle(work: () => void): () => void {
  if (!("requestIdleCallback" in window)) {
    const timer = setTimeout(work, LONGEST_WAIT_MS / 4);
    return () => clearTimeout(timer);
  }
  const handle = requestIdleCallback(work, { timeout: LONGEST_WAIT_MS });
  return () => cancelIdleCallback(handle);
}
