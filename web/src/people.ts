// What the page asks about accounts: the door, one's own account.
import { request } from "./api";
import type { PageWordKey } from "./i18n";
import type { Account, DoorState } from "./server";

export type { Account, DoorState, Session } from "./server";

export type Role = Account["role"];

/** Where to go to sign in at a provider. */
export const providerAddress = (id: string, query: Record<string, string>): string => {
  const asked = new URLSearchParams(query).toString();
  return `/oidc/${at(id)}/start${asked && `?${asked}`}`;
};

const REFUSALS = ["refused", "failed", "away", "expired", "unknown", "invitation", "taken", "not_signed_in"] as const;

/** Why a provider's way back led to this page, if it did. */
export function providerRefusal(search: string): PageWordKey | null {
  const reason = new URLSearchParams(search).get("oidc");
  const known = REFUSALS.find((each) => each === reason);
  return known ? `people.oidc.${known}` : null;
}

const at = (id: string) => encodeURIComponent(id);

export const people = {
  door: () => request<DoorState>("GET", "/api/door"),
  signIn: (name: string, password: string) => request<void>("POST", "/api/sign-in", { name, password }),
  firstRun: (name: string, password: string, code: string) => request<void>("POST", "/api/first-run", { name, password, code }),
  signUp: (name: string, password: string, invitation: string) => request<void>("POST", "/api/sign-up", { name, password, invitation }),
  signOut: () => request<void>("POST", "/api/sign-out"),
  account: () => request<Account>("GET", "/api/account"),
  changePassword: (current: string, password: string) => request<void>("PUT", "/api/account/password", { current, new: password }),
  unlink: (provider: string) => request<void>("DELETE", `/api/account/identities/${at(provider)}`),
  endSession: (id: string) => request<void>("DELETE", `/api/account/sessions/${at(id)}`),
};

const BROWSERS: [RegExp, string][] = [
  [/Edg\w*\//, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\//, "Firefox"],
  [/Chrom(e|ium)\//, "Chrome"],
  [/Safari\//, "Safari"],
];
const SYSTEMS: [RegExp, string][] = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/Linux|X11/, "Linux"],
];

/** The browser and system that a browser names, or null: its name for itself is then the best there is. */
export function readAgent(agent: string): { browser: string; system: string } | null {
  const find = (names: [RegExp, string][]) => names.find(([pattern]) => pattern.test(agent))?.[1];
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)];
  return browser && system ? { browser, system } : null;
}

/** The secret of an invitation in the page's address. It stands after the #, so that no server on the way sees it. */
export const invitationIn = (hash: string): string => /^#join=([\w-]+)$/.exec(hash)?.[1] ?? "";
