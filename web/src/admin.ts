// What the admins' page asks.
import { request } from "./api";
import type { Role } from "./people";

export interface Person {
  id: string;
  name: string;
  role: Role;
  disabled: boolean;
  seen_at: string | null;
  /** This month, prompts and answers together. */
  num_tokens: number;
  num_requests: number;
}

export interface People {
  people: Person[];
  sign_up: "off" | "invited" | "open";
  invitations: { id: string; role: Role; expires_at: string; uses_left: number }[];
}

export const LIMITS = ["requests_per_s", "tokens_per_min", "tokens_per_month", "tokens_total", "parallel"] as const;
export type LimitName = (typeof LIMITS)[number];
/** null: without a limit. */
export type Limits = { subject: string } & Record<LimitName, number | null>;

export const noLimits = (subject: string): Limits => ({
  subject,
  requests_per_s: null,
  tokens_per_min: null,
  tokens_per_month: null,
  tokens_total: null,
  parallel: null,
});

export interface UsageRow {
  day?: string;
  user?: string;
  model?: string;
  num_requests: number;
  num_prompt_tokens: number;
  num_completion_tokens: number;
}

export type UsageBy = "day" | "user" | "model";

export interface AuditEntry {
  at: string;
  actor: string;
  action: string;
  subject: string;
  details: Record<string, unknown>;
}

/** Of a damaged one, its size and the problem alone. */
export interface ModelFacts {
  size_bytes: number;
  problem?: string;
  parameters?: number;
  /** Of most weights; null for floats of an unknown size. */
  bits?: number | null;
  context_length?: number;
  licence?: string;
  parents?: string[];
}

export interface Models {
  models: (ModelFacts & { name: string; shipped: boolean; served: boolean })[];
  pull: { name: string; source: string; status: "running" | "finished" | "failed" | "cancelled"; percent: number | null; line: string } | null;
}

const at = (id: string) => encodeURIComponent(id);

export const admin = {
  people: () => request<People>("GET", "/api/admin/people"),
  change: (id: string, change: { role?: Role; disabled?: boolean }) => request<void>("PATCH", `/api/admin/people/${at(id)}`, change),
  link: (id: string) => request<{ token: string }>("POST", `/api/admin/people/${at(id)}/link`),
  invite: (role: Role, days: number, uses: number) => request<{ token: string }>("POST", "/api/admin/invitations", { role, days, uses }),
  withdraw: (id: string) => request<void>("DELETE", `/api/admin/invitations/${at(id)}`),
  limits: () => request<{ limits: Limits[] }>("GET", "/api/admin/limits"),
  setLimits: (limits: Limits) => request<Limits>("PUT", "/api/admin/limits", limits),
  usage: (by: UsageBy) => request<{ rows: UsageRow[] }>("GET", `/api/admin/usage?by=${by}`),
  audit: (text: string) => request<{ entries: AuditEntry[] }>("GET", `/api/admin/audit?words=${at(text)}`),
  models: () => request<Models>("GET", "/api/admin/models"),
  pull: (source: string, name: string, bits: string | null) => request<void>("POST", "/api/admin/models", { source, name, bits }),
  cancelPull: () => request<void>("POST", "/api/admin/models/cancel"),
  removeModel: (name: string) => request<void>("DELETE", `/api/admin/models/${at(name)}`),
};
