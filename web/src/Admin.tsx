// The admins' page: people, limits, models, what was used and what was done. It has no way to anybody's conversations.
import { AdminModels } from "./AdminModels";
import { AdminPeople } from "./AdminPeople";
import { AdminAudit, AdminUsage } from "./AdminRecords";
import { usePageWords, type PageWordKey } from "./i18n";
import type { ReactNode } from "react";

export function Admin() {
  const words = usePageWords();
  return (
    <div className="scroller" tabIndex={0} role="region" aria-label={words("people.admin")}>
      <div className="learn people wide-page">
        <p className="lead">{words("people.adminLead")}</p>
        <Part title="people.users">
          <AdminPeople />
        </Part>
        <Part title="people.models">
          <AdminModels />
        </Part>
        <Part title="people.usage">
          <AdminUsage />
        </Part>
        <Part title="people.audit">
          <AdminAudit />
        </Part>
      </div>
    </div>
  );
}

function Part({ title, children }: { title: PageWordKey; children: ReactNode }) {
  const words = usePageWords();
  return (
    <section>
      <h2>{words(title)}</h2>
      {children}
    </section>
  );
}
