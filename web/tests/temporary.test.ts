import { expect, it } from "vitest";
import { conversationAt, isTemporary, marked, messageAt } from "../src/temporary";

it("keeps the addresses of the two kinds apart", () => {
  const id = marked("a/b");
  expect(isTemporary(id)).toBe(true);
  expect(isTemporary("a/b")).toBe(false);
  expect(conversationAt(id)).toBe("/api/temporary/conversations/a%2Fb");
  expect(conversationAt("a/b")).toBe("/api/conversations/a%2Fb");
  expect(messageAt(id, "m")).toBe("/api/temporary/messages/m");
  expect(messageAt("a", "m")).toBe("/api/messages/m");
});
