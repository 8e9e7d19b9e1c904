// Shows one growing answer in one of three ways, `?side=ours|whole|streamdown`; `window.grow` is called by benchmarks/web.py.
import type { ReactNode } from "react";
import { createRoot } from "react-dom/client";

type View = (text: string, growing: boolean) => ReactNode;

/** Each way loads nothing of the others. */
const SIDES: Record<string, () => Promise<{ view: View }>> = {
  ours: () => import("./ours"),
  whole: () => import("./whole"),
  streamdown: () => import("./streamed"),
};

const frame = () => new Promise<void>((resolve) => requestAnimationFrame(() => resolve()));

const { view } = await SIDES[new URLSearchParams(location.search).get("side") ?? "ours"]!();

Object.assign(window, {
  /** Let a text grow in equal steps, one a frame, and wait until nothing is left to do. */
  grow: async (text: string, steps: number): Promise<void> => {
    const root = createRoot(document.getElementById("root")!);
    for (let step = 1; step <= steps; step++) {
      root.render(view(text.slice(0, Math.round((text.length * step) / steps)), step < steps));
      await frame();
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    await frame();
  },
});
