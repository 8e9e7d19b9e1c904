// Who is not in: sign in, make an account where that is allowed, or make the first admin's.
import { useEffect, useId, useState, type ReactNode } from "react";
import { Field, NEW_PASSWORD, PasswordField } from "./Field";
import { usePageWords } from "./i18n";
import { Mark } from "./icons";
import { invitationIn, people, providerAddress, providerRefusal, type DoorState } from "./people";
import { Closed, NeedsKey } from "./Problem";
import { Refusal } from "./Refusal";
import { useAnswered } from "./useAnswered";
import { useAttempt } from "./useAttempt";

export function Door() {
  const words = usePageWords();
  const [door, trouble] = useAnswered(people.door, "door");
  const invitation = invitationIn(location.hash);
  const [joining, setJoining] = useState(invitation !== "");
  useEffect(() => void (document.title = "Bise"), []);
  if (trouble !== null) return <Closed why={trouble} />;
  if (!door) return <main className="problem" aria-busy="true" />;
  if (!door.accounts) return <NeedsKey />;
  if (door.first_run) return <FirstRun />;
  if (joining && mayJoin(door, invitation)) return <SignUp door={door} invitation={invitation} onBack={() => setJoining(false)} />;
  return (
    <SignIn>
      <Providers door={door} invitation="" />
      {mayJoin(door, invitation) && (
        <button type="button" className="link" onClick={() => setJoining(true)}>
          {words("people.makeAccount")}
        </button>
      )}
    </SignIn>
  );
}

const mayJoin = (door: DoorState, invitation: string): boolean => door.sign_up === "open" || (door.sign_up === "invited" && invitation !== "");

/** Into the chat, with nothing left of whoever was here before; the address keeps no secret. */
const goIn = () => {
  history.replaceState(null, "", location.pathname);
  location.reload();
};

function SignIn({ children }: { children: ReactNode }) {
  const words = usePageWords();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  return (
    <DoorForm title={words("people.signIn")} button={words("people.signIn")} onSubmit={() => people.signIn(name, password)} more={children}>
      <Field label={words("people.name")} value={name} onText={setName} autoComplete="username" autoCapitalize="none" autoFocus />
      <PasswordField label={words("people.password")} value={password} onText={setPassword} autoComplete="current-password" />
    </DoorForm>
  );
}

function FirstRun() {
  const words = usePageWords();
  const [code, setCode] = useState("");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  return (
    <DoorForm
      title={words("people.firstRun")}
      lead={words("people.firstRunHelp")}
      button={words("people.makeAccount")}
      onSubmit={() => people.firstRun(name, password, code)}
    >
      <Field label={words("people.code")} hint={words("people.codeHelp")} value={code} onText={setCode} autoComplete="one-time-code" autoFocus />
      <NewAccountFields name={name} onName={setName} password={password} onPassword={setPassword} />
    </DoorForm>
  );
}

function SignUp({ door, invitation, onBack }: { door: DoorState; invitation: string; onBack: () => void }) {
  const words = usePageWords();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  return (
    <DoorForm
      title={words("people.makeAccount")}
      lead={invitation ? words("people.invited") : undefined}
      button={words("people.makeAccount")}
      onSubmit={() => people.signUp(name, password, invitation)}
      more={
        <>
          <Providers door={door} invitation={invitation} />
          <button type="button" className="link" onClick={onBack}>
            {words("people.haveAccount")}
          </button>
        </>
      }
    >
      <NewAccountFields name={name} onName={setName} password={password} onPassword={setPassword} />
    </DoorForm>
  );
}

function Providers({ door, invitation }: { door: DoorState; invitation: string }) {
  const words = usePageWords();
  const refusal = providerRefusal(location.search);
  if (door.providers.length === 0) return null;
  return (
    <div className="providers">
      <p className="fine">{words("people.or")}</p>
      {door.providers.map(({ id, name }) => (
        <a key={id} className="button" href={providerAddress(id, invitation ? { invitation } : {})}>
          {words("people.signInWith", { provider: name })}
        </a>
      ))}
      {refusal && (
        <p className="refusal" role="alert">
          {words(refusal)}
        </p>
      )}
    </div>
  );
}

interface NewAccountProps {
  name: string;
  onName: (name: string) => void;
  password: string;
  onPassword: (password: string) => void;
}

function NewAccountFields({ name, onName, password, onPassword }: NewAccountProps) {
  const words = usePageWords();
  return (
    <>
      <Field label={words("people.name")} value={name} onText={onName} autoComplete="username" autoCapitalize="none" maxLength={100} />
      <PasswordField label={words("people.password")} hint={words("people.passwordHelp")} value={password} onText={onPassword} {...NEW_PASSWORD} />
    </>
  );
}

interface DoorFormProps {
  title: string;
  lead?: string | undefined;
  button: string;
  onSubmit: () => Promise<void>;
  more?: ReactNode;
  children: ReactNode;
}

function DoorForm({ title, lead, button, onSubmit, more, children }: DoorFormProps) {
  const heading = useId();
  const [trouble, attempt] = useAttempt();
  return (
    <main className="problem door">
      <Mark />
      <h1 id={heading}>{title}</h1>
      {lead && <p>{lead}</p>}
      <form
        aria-labelledby={heading}
        onSubmit={(event) => {
          event.preventDefault();
          attempt(onSubmit().then(goIn));
        }}
      >
        {children}
        <Refusal text={trouble} />
        <button type="submit" className="primary">
          {button}
        </button>
      </form>
      {more}
    </main>
  );
}
