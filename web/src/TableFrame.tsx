// A table that scrolls alone where it is too wide.
import type { ReactNode } from "react";
import { usePageWords, type PageWordKey } from "./i18n";

export function TableFrame({ label, heads, children }: { label: string; heads: PageWordKey[]; children: ReactNode }) {
  const words = usePageWords();
  return (
    <div className="table-frame" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col">
                {words(head)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
