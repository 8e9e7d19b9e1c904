// Who has an account and who may make one: roles, limits, disabling, invitations.
import { useCallback, useEffect, useState } from "react";
import { admin, noLimits, type Limits, type People, type Person } from "./admin";
import { AdminLimits } from "./AdminLimits";
import { CopyButton } from "./CopyButton";
import { Dialog } from "./Dialog";
import { useLocale, usePageWords } from "./i18n";
import type { Role } from "./people";
import { Refusal } from "./Refusal";
import { TableFrame } from "./TableFrame";
import { useAttempt } from "./useAttempt";

const EVERYBODY = "everybody";

export function AdminPeople() {
  const words = usePageWords();
  const [state, setState] = useState<People | null>(null);
  const [limits, setLimits] = useState<Limits[]>([]);
  const [limiting, setLimiting] = useState<string | null>(null);
  const [link, setLink] = useState<string | null>(null);
  const [trouble, attempt] = useAttempt();
  const load = useCallback(async () => {
    const [people, found] = await Promise.all([admin.people(), admin.limits()]);
    setState(people);
    setLimits(found.limits);
  }, []);
  useEffect(() => attempt(load()), [attempt, load]);
  const limitsOf = (subject: string) => limits.find((each) => each.subject === subject);

  if (!state) return <Refusal text={trouble} />;
  return (
    <>
      <TableFrame label={words("people.users")} heads={["people.name", "people.role", "people.lastSeenHead", "people.tokensMonth", "people.limits", "people.actions"]}>
        {state.people.map((person) => (
          <PersonRow
            key={person.id}
            person={person}
            isLimited={limitsOf(`user:${person.name}`) !== undefined}
            onChange={(change) => attempt(admin.change(person.id, change).finally(load))}
            onLimits={() => setLimiting(`user:${person.name}`)}
            onLink={() => attempt(admin.link(person.id).then(({ token }) => setLink(`${location.origin}/enter?token=${token}`)))}
          />
        ))}
      </TableFrame>
      <Refusal text={trouble} />
      <p>
        <button type="button" onClick={() => setLimiting(EVERYBODY)}>
          {words("people.limitsEverybody")}
        </button>
      </p>
      <h3>{words("people.invitations")}</h3>
      <p className="fine">{words(`people.signUp.${state.sign_up}`)}</p>
      {state.sign_up !== "off" && (
        <Invitations
          state={state}
          onInvite={(role, days, uses) => attempt(admin.invite(role, days, uses).then(({ token }) => setLink(`${location.origin}/#join=${token}`)).then(load))}
          onWithdraw={(id) => attempt(admin.withdraw(id).finally(load))}
        />
      )}
      {limiting !== null && (
        <AdminLimits limits={limitsOf(limiting) ?? noLimits(limiting)} onSaved={() => attempt(load())} onClose={() => setLimiting(null)} />
      )}
      {link !== null && (
        <Dialog title={words("people.linkTitle")} onClose={() => setLink(null)}>
          <p>{words("people.linkHelp")}</p>
          <p className="link-text">
            <code>{link}</code> <CopyButton text={link} label={words("people.copyLink")} />
          </p>
          <div className="dialog-actions">
            <button type="button" onClick={() => setLink(null)}>
              {words("close")}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

interface PersonRowProps {
  person: Person;
  isLimited: boolean;
  onChange: (change: { role?: Role; disabled?: boolean }) => void;
  onLimits: () => void;
  onLink: () => void;
}

function PersonRow({ person, isLimited, onChange, onLimits, onLink }: PersonRowProps) {
  const words = usePageWords();
  const locale = useLocale();
  const { name } = person;
  const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
  return (
    <tr>
      <th scope="row">
        {name} {person.disabled && <span className="fine">{words("people.disabled")}</span>}
      </th>
      <td>
        <RoleSelect label={words("people.roleOf", { name })} role={person.role} onRole={(role) => onChange({ role })} />
      </td>
      <td>{person.seen_at ? day.format(new Date(person.seen_at)) : "–"}</td>
      <td className="number">{new Intl.NumberFormat(locale).format(person.num_tokens)}</td>
      <td>
        <NamedButton text={words(isLimited ? "people.limited" : "people.unlimited")} name={name} onClick={onLimits} />
      </td>
      <td className="buttons">
        <NamedButton text={words("people.linkShort")} name={name} disabled={person.disabled} onClick={onLink} />
        <NamedButton
          text={words(person.disabled ? "people.enable" : "people.disable")}
          name={name}
          onClick={() => onChange({ disabled: !person.disabled })}
        />
      </td>
    </tr>
  );
}

interface NamedButtonProps {
  text: string;
  /** Whom it is about: heard after what is seen. */
  name: string;
  disabled?: boolean;
  onClick: () => void;
}

function NamedButton({ text, name, disabled = false, onClick }: NamedButtonProps) {
  return (
    <button type="button" disabled={disabled} aria-label={`${text}: ${name}`} onClick={onClick}>
      {text}
    </button>
  );
}

function RoleSelect({ label, role, onRole }: { label: string; role: Role; onRole: (role: Role) => void }) {
  const words = usePageWords();
  return (
    <select aria-label={label} value={role} onChange={(event) => onRole(event.target.value as Role)}>
      <option value="user">{words("people.role.user")}</option>
      <option value="admin">{words("people.role.admin")}</option>
    </select>
  );
}

interface InvitationsProps {
  state: People;
  onInvite: (role: Role, days: number, uses: number) => void;
  onWithdraw: (id: string) => void;
}

function Invitations({ state, onInvite, onWithdraw }: InvitationsProps) {
  const words = usePageWords();
  const locale = useLocale();
  const [role, setRole] = useState<Role>("user");
  const [days, setDays] = useState("7");
  const [uses, setUses] = useState("1");
  const time = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
  return (
    <>
      <form
        className="inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          onInvite(role, Number(days), Number(uses));
        }}
      >
        <RoleSelect label={words("people.role")} role={role} onRole={setRole} />
        <label>
          {words("people.inviteDays")} <input type="number" min="1" max="90" required value={days} onChange={(event) => setDays(event.target.value)} />
        </label>
        <label>
          {words("people.inviteUses")} <input type="number" min="1" max="1000" required value={uses} onChange={(event) => setUses(event.target.value)} />
        </label>
        <button type="submit" className="primary">
          {words("people.invite")}
        </button>
      </form>
      <ul className="rows">
        {state.invitations.map((each) => {
          const left = words("people.invitation", { role: words(`people.role.${each.role}`), count: String(each.uses_left), time: time.format(new Date(each.expires_at)) });
          return (
            <li key={each.id}>
              <span>{left}</span>
              <button type="button" aria-label={`${words("people.withdraw")}: ${left}`} onClick={() => onWithdraw(each.id)}>
                {words("people.withdraw")}
              </button>
            </li>
          );
        })}
      </ul>
    </>
  );
}
