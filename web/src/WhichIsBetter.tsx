// Where two answers stand in one place: which one is better? The answer that is shown is compared with its neighbour.
import { useId } from "react";
import type { Message, Verdict } from "./api";
import { useWords } from "./i18n";
import { rival, verdictOn } from "./path";

interface WhichIsBetterProps {
  message: Message;
  /** With null, a verdict is taken back. */
  onJudge: (otherId: string, verdict: Verdict | null) => void;
}

export function WhichIsBetter({ message, onJudge }: WhichIsBetterProps) {
  const words = useWords();
  const heading = useId();
  const other = rival(message);
  if (other === null || !message.content) return null;
  const said = verdictOn(message, other);
  const number = String(message.branches.indexOf(other) + 1);
  const choices: [Verdict, string][] = [
    ["this", words("thisOne")],
    ["other", words("thatOne", { number })],
    ["equal", words("equallyGood")],
  ];
  return (
    <div className="which" role="group" aria-labelledby={heading}>
      <span className="fine" id={heading}>
        {words("whichIsBetter")}
      </span>
      {choices.map(([verdict, label]) => (
        <button key={verdict} type="button" className="chip" aria-pressed={said === verdict} onClick={() => onJudge(other, said === verdict ? null : verdict)}>
          {label}
        </button>
      ))}
    </div>
  );
}
