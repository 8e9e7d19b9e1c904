// A part of the page that opens on demand: its code, words and looks are fetched together, when it is first drawn.
import { lazy, useReducer, type ComponentType } from "react";
import { ErrorBoundary } from "./ErrorBoundary";
import { LANGUAGES, preferredLanguage } from "./i18n";

/** `Instead` is drawn where the part cannot be fetched: the server is away, or was upgraded since this page was loaded. */
export function onDemand<Props extends object>(load: () => Promise<ComponentType<Props>>, Instead?: ComponentType<Props>) {
  async function fetched() {
    const words = LANGUAGES[preferredLanguage()]!.onDemand.load();
    const [component] = await Promise.all([load(), words, import("./styles/pages.css")]);
    return { default: component };
  }
  let Part = lazy(fetched);
  return function OnDemand(props: Props) {
    const [, drawAgain] = useReducer((count: number) => count + 1, 0);
    const fetchAgain = () => {
      Part = lazy(fetched); // a `lazy` that failed stays so
      drawAgain();
    };
    return (
      <ErrorBoundary instead={Instead && <Instead {...props} />} onRetry={fetchAgain}>
        <Part {...props} />
      </ErrorBoundary>
    );
  };
}
