// One's own account: the password, where one is signed in, signing out.
import { useState } from "react";
import { Field, NEW_PASSWORD, PasswordField } from "./Field";
import { useLocale, usePageWords } from "./i18n";
import { forgetDrafts } from "./memory";
import { people, providerAddress, providerRefusal, readAgent, type Account as AccountFacts, type Session } from "./people";
import { Refusal } from "./Refusal";
import { useAnswered } from "./useAnswered";
import { useAttempt } from "./useAttempt";

export function Account() {
  const words = usePageWords();
  const [round, setRound] = useState(0); // counts what was changed, so that everything is read again
  const [account, trouble] = useAnswered(people.account, `account ${round}`);
  const [shown, setShown] = useState<AccountFacts | null>(null);
  if (account && account !== shown) setShown(account); // what was there stays until what comes next is
  if (!shown) return <div className="scroller" aria-busy={trouble === null}>{trouble && <p role="alert">{trouble}</p>}</div>;
  return (
    <div className="scroller" tabIndex={0} role="region" aria-label={words("people.account")}>
      <div className="learn people">
        <p className="lead">{words(shown.role === "admin" ? "people.signedInAdmin" : "people.signedInAs", { name: shown.name })}</p>
        <section>
          <h2>{words("people.password")}</h2>
          <ChangePassword account={shown} onChanged={() => setRound(round + 1)} />
        </section>
        <section>
          <h2>{words("people.sessions")}</h2>
          <p className="fine">{words("people.sessionsHelp")}</p>
          <Sessions sessions={shown.sessions} onChanged={() => setRound(round + 1)} />
        </section>
        {shown.providers.length > 0 && (
          <section>
            <h2>{words("people.otherWays")}</h2>
            <Providers account={shown} onChanged={() => setRound(round + 1)} />
          </section>
        )}
        <section>
          <button type="button" onClick={() => void signOut()}>
            {words("people.signOut")}
          </button>
        </section>
      </div>
    </div>
  );
}

/** Whoever comes next to this browser finds nothing of what was written. */
async function signOut(): Promise<void> {
  await people.signOut();
  forgetDrafts();
  location.assign("/");
}

function ChangePassword({ account, onChanged }: { account: AccountFacts; onChanged: () => void }) {
  const words = usePageWords();
  const [current, setCurrent] = useState("");
  const [password, setPassword] = useState("");
  const [changed, setChanged] = useState(false);
  const [trouble, attempt] = useAttempt();

  async function change(): Promise<void> {
    setChanged(false);
    await people.changePassword(current, password);
    setCurrent("");
    setPassword("");
    setChanged(true);
    onChanged();
  }

  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        attempt(change());
      }}
    >
      <input type="text" className="unseen" tabIndex={-1} aria-hidden="true" autoComplete="username" value={account.name} readOnly />
      {account.has_password && (
        <Field type="password" label={words("people.currentPassword")} value={current} onText={setCurrent} autoComplete="current-password" maxLength={1000} />
      )}
      <PasswordField label={words("people.newPassword")} hint={words("people.passwordHelp")} value={password} onText={setPassword} {...NEW_PASSWORD} />
      <Refusal text={trouble} />
      <p role="status">{changed && words("people.passwordChanged")}</p>
      <div>
        <button type="submit" className="primary">
          {words("people.changePassword")}
        </button>
      </div>
    </form>
  );
}

function Providers({ account, onChanged }: { account: AccountFacts; onChanged: () => void }) {
  const words = usePageWords();
  const [trouble, attempt] = useAttempt();
  const refusal = providerRefusal(location.search);
  return (
    <>
      <ul className="rows">
        {account.providers.map(({ id, name, is_linked: isLinked }) => (
          <li key={id}>
            <span>
              <strong>{name}</strong>
              <span className="fine">{words(isLinked ? "people.linked" : "people.notLinked")}</span>
            </span>
            {isLinked ? (
              <button type="button" aria-label={words("people.unlinkOf", { provider: name })} onClick={() => attempt(people.unlink(id).then(onChanged))}>
                {words("people.unlink")}
              </button>
            ) : (
              <a className="button" aria-label={words("people.linkOf", { provider: name })} href={providerAddress(id, { link: "true" })}>
                {words("people.link")}
              </a>
            )}
          </li>
        ))}
      </ul>
      {(trouble ?? refusal) && (
        <p className="refusal" role="alert">
          {trouble ?? (refusal && words(refusal))}
        </p>
      )}
    </>
  );
}

function Sessions({ sessions, onChanged }: { sessions: Session[]; onChanged: () => void }) {
  const [trouble, attempt] = useAttempt();
  return (
    <>
      <ul className="rows">
        {sessions.map((session) => (
          <SessionRow key={session.id} session={session} onEnd={() => attempt(people.endSession(session.id).finally(onChanged))} />
        ))}
      </ul>
      <Refusal text={trouble} />
    </>
  );
}

function SessionRow({ session, onEnd }: { session: Session; onEnd: () => void }) {
  const words = usePageWords();
  const locale = useLocale();
  const agent = readAgent(session.agent);
  const name = agent ? words("people.browserOn", agent) : session.agent || words("people.unknownBrowser");
  const time = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
  const seen = time.format(new Date(session.seen_at ?? session.created_at));
  return (
    <li>
      <span>
        <strong>{name}</strong>
        <span className="fine">{session.is_current ? words("people.thisBrowser") : words("people.lastSeen", { time: seen })}</span>
      </span>
      {!session.is_current && (
        <button type="button" aria-label={words("people.endSessionOf", { browser: name, time: seen })} onClick={onEnd}>
          {words("people.endSession")}
        </button>
      )}
    </li>
  );
}
