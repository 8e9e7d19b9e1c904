// Learning from feedback: what would be learned from, the attempt, what it changed, and what to do with it.
import { useCallback, useEffect, useRef, useState } from "react";
import { FeedbackList } from "./FeedbackList";
import { useLocale, usePageWords, type PageWordKey } from "./i18n";
import { contactsOf, count, useLearning, type Action, type Attempt, type Counts, type LearningState } from "./learning";
import { LearnResult } from "./LearnResult";
import { Refusal } from "./Refusal";
import type { ChatStore } from "./store";
import { useAttempt } from "./useAttempt";

export function Learn({ store }: { store: ChatStore }) {
  const words = usePageWords();
  const onModels = useCallback(() => void store.refreshModels(), [store]);
  const { state, items, act, exclude } = useLearning(onModels);
  const [trouble, attempt] = useAttempt();
  const status = useRef<HTMLElement>(null);
  const counts = count(items);

  const pressed = useRef(false);

  function press(action: Action): void {
    pressed.current = true;
    attempt(act(action));
  }

  // The button that was pressed has gone: the focus waits, in view, where what comes next is told.
  useEffect(() => {
    if (!pressed.current) return;
    pressed.current = false;
    status.current?.focus({ preventScroll: true });
    status.current?.scrollIntoView({ block: "nearest" });
  }, [state]);

  if (!state) return <div className="scroller" aria-busy="true" />;
  return (
    <div className="scroller" tabIndex={0} role="region" aria-label={words("learn")}>
      <p className="unseen" role="status">
        {state.attempt && words(phaseOf(state.attempt))}
      </p>
      <div className="learn">
        <p className="lead">{words("learnLead", { model: state.model })}</p>
        <section className="learn-state" ref={status} tabIndex={-1} aria-label={words("learnState")}>
          <Stage state={state} counts={counts} contacts={contactsOf(items)} audience={audience(store)} onPress={press} />
          <Refusal text={trouble} />
        </section>
        <FeedbackList items={items} onExclude={(item, excluded) => attempt(exclude(item, excluded))} onOpen={(id) => store.open(id)} />
        <section>
          <h2>{words("yourData")}</h2>
          <p>
            {words("yourDataHelp")}{" "}
            <a href="/api/feedback.jsonl" download>
              {words("download")}
            </a>
          </p>
        </section>
      </div>
    </div>
  );
}

/** Who will find what was learned among the models: its owner alone, or everybody; then an admin begins it. */
function audience(store: ChatStore): PageWordKey | null {
  const { app } = store.snapshot();
  if (!app?.accounts) return null;
  return app.user.role === "admin" ? "learnForAll" : "learnByAdmin";
}

interface StageProps {
  state: LearningState;
  counts: Counts;
  contacts: string[];
  audience: PageWordKey | null;
  onPress: (action: Action) => void;
}

function Stage(props: StageProps) {
  const { state, onPress } = props;
  const { attempt } = state;
  if (attempt?.status === "running") return <Running attempt={attempt} onCancel={() => onPress("/cancel")} />;
  if (attempt?.status === "finished" && !attempt.decided) return <Decide attempt={attempt} onPress={onPress} />;
  return (
    <>
      {attempt?.status === "finished" && <Decided attempt={attempt} state={state} onPress={onPress} />}
      <Before {...props} />
    </>
  );
}

function Before({ state, counts, contacts, audience, onPress }: StageProps) {
  const words = usePageWords();
  const [keepsContacts, keepContacts] = useState(false);
  const number = new Intl.NumberFormat(useLocale());
  const { attempt, missing, min_lessons: least } = state;
  const { betterAnswers, preferences, thumbsUp, leftOut } = counts;
  const enough = betterAnswers + preferences + thumbsUp >= least;
  const ended = attempt !== null && attempt.status !== "finished" && attempt.status !== "running";
  return (
    <>
      <h2>{words("learnFrom")}</h2>
      <dl className="counts">
        {(
          [
            ["betterAnswers", betterAnswers],
            ["preferences", preferences],
            ["thumbsUp", thumbsUp],
            ["leftOut", leftOut],
          ] as const
        ).map(([key, value]) => (
          <div key={key}>
            <dt>{words(key)}</dt>
            <dd>{number.format(value)}</dd>
          </div>
        ))}
      </dl>
      {ended && (
        <div className="trouble">
          <p>{attempt.error ?? words(phaseOf(attempt))}</p>
        </div>
      )}
      {missing.length > 0 ? (
        <>
          <p>{words("learnMissing", { packages: missing.join(", ") })}</p>
          <pre tabIndex={0}>
            <code>pip install "bise[train]"</code>
          </pre>
        </>
      ) : (
        <>
          {contacts.length > 0 && attempt?.status !== "interrupted" && (
            <label className="keep-contacts">
              <input type="checkbox" checked={keepsContacts} onChange={(event) => keepContacts(event.target.checked)} />
              <span>{words("keepContacts", { contacts: contacts.join(", ") })}</span>
            </label>
          )}
          <p className="learn-actions">
            <button
              type="button"
              className="primary"
              disabled={!enough || audience === "learnByAdmin"}
              onClick={() => onPress(keepsContacts && contacts.length > 0 ? "?keep_contacts=true" : "")}
            >
              {words(attempt?.status === "interrupted" ? "learnGoOn" : "learnStart")}
            </button>
            <span className="fine">{enough ? words("learnHint") : words("learnTooFew", { count: number.format(least) })}</span>
          </p>
          {audience && <p className="fine">{words(audience)}</p>}
        </>
      )}
    </>
  );
}

function Running({ attempt, onCancel }: { attempt: Attempt; onCancel: () => void }) {
  const words = usePageWords();
  const locale = useLocale();
  const { step, num_steps: total, seconds_left: left } = attempt.progress ?? { step: 0, num_steps: null, seconds_left: null };
  const numbers = new Intl.NumberFormat(locale);
  return (
    <>
      <h2>{words(phaseOf(attempt))}</h2>
      <progress max={total ?? 1} value={total === null ? undefined : step} aria-label={words("learnProgress")} />
      <p className="learn-actions">
        <button type="button" onClick={onCancel}>
          {words("cancel")}
        </button>
        <span className="fine">
          {[
            step > 0 && words(total === null ? "learnStep" : "learnSteps", { step: numbers.format(step), total: numbers.format(total ?? 0) }),
            left !== null && left > 0 && words("timeLeft", { time: duration(left, locale) }),
            words("learnMayLeave"),
          ]
            .filter(Boolean)
            .join(" · ")}
        </span>
      </p>
    </>
  );
}

function Decide({ attempt, onPress }: { attempt: Attempt; onPress: (action: Action) => void }) {
  const words = usePageWords();
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // Whoever waited at the bar that is gone goes on here.
    if (document.activeElement === document.body) heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <>
      <h2 ref={heading} tabIndex={-1}>
        {words("whatChanged")}
      </h2>
      {attempt.result && <LearnResult result={attempt.result} />}
      <p className="learn-actions">
        <button type="button" className="primary" onClick={() => onPress("/keep")}>
          {words("keep")}
        </button>
        <button type="button" onClick={() => onPress("/discard")}>
          {words("discard")}
        </button>
        <span className="fine">{words("keepHelp", { adapter: attempt.adapter })}</span>
      </p>
    </>
  );
}

function Decided({ attempt, state, onPress }: { attempt: Attempt; state: LearningState; onPress: (action: Action) => void }) {
  const words = usePageWords();
  const kept = state.default_model === attempt.adapter;
  return (
    <div className="decided">
      <p>{words(kept ? "keptNow" : "baseNow", { adapter: attempt.adapter, model: state.model })}</p>
      <p className="learn-actions">
        {kept ? (
          <button type="button" onClick={() => onPress("/back")}>
            {words("goBack")}
          </button>
        ) : (
          <>
            <button type="button" onClick={() => onPress("/keep")}>
              {words("useAgain")}
            </button>
            <button type="button" onClick={() => onPress("/discard")}>
              {words("discard")}
            </button>
          </>
        )}
      </p>
      {attempt.result && (
        <details>
          <summary>{words("whatChanged")}</summary>
          <LearnResult result={attempt.result} />
        </details>
      )}
    </div>
  );
}

/** Where an attempt stands, in a few words; told to screen readers when it changes. */
function phaseOf({ status, progress }: Attempt): PageWordKey {
  if (status === "finished") return "whatChanged";
  if (status === "failed") return "learnFailed";
  if (status !== "running") return status === "cancelled" ? "learnCancelled" : "learnInterrupted";
  if (!progress?.step) return "learnPreparing";
  return progress.step === progress.num_steps ? "learnComparing" : "learnRunning";
}

function duration(seconds: number, locale: string): string {
  const unit = seconds < 90 ? "second" : "minute";
  const value = unit === "second" ? seconds : Math.round(seconds / 60);
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(value);
}
