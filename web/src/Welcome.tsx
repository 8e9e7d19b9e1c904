// The empty page: a greeting, what this model is, and a few questions to start with.
import type { Model } from "./api";
import { Demonstration } from "./Demonstration";
import { useWords, type WordKey } from "./i18n";
import { Mark } from "./icons";

const EXAMPLES: WordKey[] = ["example1", "example2", "example3", "example4"];

interface WelcomeProps {
  model: Model | string;
  /** No conversation was ever had. */
  first: boolean;
  /** Others reach this server, so that it is nobody's own machine. */
  shared: boolean;
  onPick: (text: string) => void;
}

export function Welcome({ model, first, shared, onPick }: WelcomeProps) {
  const words = useWords();
  const isHere = typeof model !== "string" && model.host === null;
  return (
    <div className="scroller">
      <Wind />
      <div className="welcome">
        <Mark />
        <h1>{words(first && isHere && !shared ? "welcomeFirst" : "welcome")}</h1>
        {first && isHere && <p className="lead">{words(shared ? "firstRunServer" : "firstRun")}</p>}
        {first && isHere && model.demonstration && <Demonstration modelId={model.id} />}
        <h2 className="unseen">{words("tryOne")}</h2>
        <ul className="examples">
          {EXAMPLES.map((key) => (
            <li key={key}>
              <button type="button" onClick={() => onPick(words(key))}>
                {words(key)}
              </button>
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

/** Long thin gusts behind the greeting. */
function Wind() {
  return (
    <svg className="wind" viewBox="0 0 1200 600" preserveAspectRatio="xMidYMid slice" fill="none" aria-hidden="true">
      <path d="M-40 150C220 60 420 230 700 150S1060 70 1260 130" />
      <path d="M-40 230C180 170 420 320 720 230S1040 180 1260 240" />
      <path d="M-40 350C260 420 460 270 760 360S1080 420 1260 350" />
      <path d="M-40 450C240 500 520 380 760 450S1100 520 1260 440" />
    </svg>
  );
}
