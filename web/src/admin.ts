// What the admins' page asks.
import { request } from "./api";
import type { Role } from "./people";
import type { AllLimits, Audit, Limits, Models, People, Secret, Usage } from "./server";

export type { AuditEntry, Limits, Models, People, Person, StoredModel, UsageRow } from "./server";

export const LIMITS = ["requests_per_s", "tokens_per_min", "tokens_per_month", "tokens_total", "parallel"] as const;
export type LimitName = (typeof LIMITS)[number];

export const noLimits = (subject: string): Limits => ({
  subject,
  requests_per_s: null,
  tokens_per_min: null,
  tokens_per_month: null,
  tokens_total: null,
  parallel: null,
});

export type UsageBy = "day" | "user" | "model";

const at = (id: string) => encodeURIComponent(id);

export const admin = {
  people: () => request<People>("GET", "/api/admin/people"),
  change: (id: string, change: { role?: Role; disabled?: boolean }) => request<void>("PATCH", `/api/admin/people/${at(id)}`, change),
  link: (id: string) => request<Secret>("POST", `/api/admin/people/${at(id)}/link`),
  invite: (role: Role, days: number, uses: number) => request<Secret>("POST", "/api/admin/invitations", { role, days, uses }),
  withdraw: (id: string) => request<void>("DELETE", `/api/admin/invitations/${at(id)}`),
  limits: () => request<AllLimits>("GET", "/api/admin/limits"),
  setLimits: (limits: Limits) => request<Limits>("PUT", "/api/admin/limits", limits),
  usage: (by: UsageBy) => request<Usage>("GET", `/api/admin/usage?by=${by}`),
  audit: (text: string) => request<Audit>("GET", `/api/admin/audit?words=${at(text)}`),
  models: () => request<Models>("GET", "/api/admin/models"),
  pull: (source: string, name: string, bits: string | null) => request<void>("POST", "/api/admin/models", { source, name, bits }),
  cancelPull: () => request<void>("POST", "/api/admin/models/cancel"),
  removeModel: (name: string) => request<void>("DELETE", `/api/admin/models/${at(name)}`),
};
