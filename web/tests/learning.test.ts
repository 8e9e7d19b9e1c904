import { expect, it } from "vitest";
import { contactsOf, count, type FeedbackItem } from "../src/learning";

const item = (kind: FeedbackItem["kind"], teaches: boolean, excluded = false): FeedbackItem => ({
  id: "",
  kind,
  created_at: "",
  conversation_id: "",
  excluded,
  teaches_nothing: teaches ? null : "no_better",
  model: null,
  parameters: {},
  conversation: [],
  num_masked: 0,
  contacts: [],
});

it("counts what teaches and was not left out, and everything once", () => {
  const items = [
    item("better_answer", true),
    item("better_answer", true),
    item("better_answer", true, true),
    item("preference", true),
    item("preference", false),
    item("rating", true),
    item("rating", false, true),
  ];
  const counts = count(items);
  expect(counts).toEqual({ betterAnswers: 2, preferences: 1, thumbsUp: 1, leftOut: 3 });
  expect(Object.values(counts).reduce((sum, each) => sum + each)).toBe(items.length);
  expect(count([])).toEqual({ betterAnswers: 0, preferences: 0, thumbsUp: 0, leftOut: 0 });
});

it("asks about contacts once, and only about those that would be learned", () => {
  const contacts = ["ada@example.org"];
  const items = [
    { ...item("better_answer", true), contacts: [...contacts, "+41 22 345 67 89"] },
    { ...item("rating", true), contacts },
    { ...item("rating", true, true), contacts: ["left@example.org"] },
    { ...item("rating", false), contacts: ["useless@example.org"] },
  ];
  expect(contactsOf(items)).toEqual(["ada@example.org", "+41 22 345 67 89"]);
});
