import { expect, it } from "vitest";
import { groupByDay } from "../src/days";
import { AS_EVER } from "../src/settings";

it("names days in the reader's language", () => {
  const now = new Date(2026, 10, 23, 9);
  const ages = [0, 1, 2, 7, 8, 40];
  const conversations = ages.map((days) => ({
    id: String(days),
    title: "",
    generating: false, model: null, folder_id: null, pinned: false, settings: AS_EVER,
    updated_at: new Date(2026, 10, 23 - days, 23, 59).toISOString(),
  }));
  const groups = groupByDay(conversations, now, "fr", "7 derniers jours");
  expect(groups.map(({ label, conversations: members }) => [label, members.map((c) => c.id)])).toEqual([
    ["Aujourd’hui", ["0"]],
    ["Hier", ["1"]],
    ["7 derniers jours", ["2", "7"]],
    ["Novembre 2026", ["8"]],
    ["Octobre 2026", ["40"]],
  ]);
});
