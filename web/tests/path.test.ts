import { describe, expect, it } from "vitest";
import type { Message, Verdict } from "../src/api";
import { answered, judged, rival, verdictOn, withoutReplaced, withTurn } from "../src/path";

function message(id: string, role: Message["role"], branches = [id]): Message {
  return {
    id,
    role,
    content: id,
    status: "complete",
    model: null,
    created_at: "",
    finish_reason: null,
    stats: null,
    error: null,
    error_facts: null,
    parent_id: null,
    shown: true,
    system_prompt: null,
    parameters: null,
    branches,
    better: null,
    rating: null,
    preferences: [],
    thinking: null,
  };
}

const PATH = [message("q1", "user"), message("a1", "assistant"), message("q2", "user"), message("a2", "assistant")];
const ids = (messages: Message[]): string[] => messages.map((each) => each.id);

describe("withTurn", () => {
  it("adds a new turn at the end, once", () => {
    const turn = { user_message: message("q3", "user"), assistant_message: message("a3", "assistant") };
    const once = withTurn(PATH, turn);
    expect(ids(once)).toEqual(["q1", "a1", "q2", "a2", "q3", "a3"]);
    expect(ids(withTurn(once, turn))).toEqual(ids(once));
  });

  it("puts a question asked anew in the place of the first, and drops what followed that", () => {
    const turn = { user_message: message("q1b", "user", ["q1", "q1b"]), assistant_message: message("b", "assistant") };
    expect(ids(withTurn(PATH, turn))).toEqual(["q1b", "b"]);
  });

  it("puts an answer made anew behind the same question, which stays the same object", () => {
    const turn = { user_message: message("q1", "user"), assistant_message: message("a1b", "assistant", ["a1", "a1b"]) };
    const path = withTurn(PATH, turn);
    expect(ids(path)).toEqual(["q1", "a1b"]);
    expect(path[0]).toBe(PATH[0]);
  });

  it("opens an answer that goes on again", () => {
    const open = { ...message("a2", "assistant"), status: "generating" as const };
    expect(withTurn(PATH, { user_message: message("q2", "user"), assistant_message: open }).at(-1)).toBe(open);
  });
});

it("withoutReplaced leaves what stays in view", () => {
  expect(ids(withoutReplaced(PATH, "q2"))).toEqual(["q1", "a1"]);
  expect(withoutReplaced(PATH, null)).toBe(PATH);
});

it("answered keeps what was thought of an answer meanwhile", () => {
  const rated = { ...PATH[1]!, branches: ["a1", "a9"], rating: { thumb: "up" as const, reason: null, comment: null } };
  const [, after, other] = answered([PATH[0]!, rated, PATH[2]!], { ...message("a1", "assistant"), content: "end" });
  expect(after).toEqual({ ...rated, content: "end" });
  expect(other).toBe(PATH[2]);
});

describe("preferences", () => {
  const branches = ["x", "y", "z"];
  const answers = branches.map((id) => message(id, "assistant", branches));

  it("compares with the branch before, and the first with the second", () => {
    expect(answers.map(rival)).toEqual(["y", "x", "y"]);
    expect(rival(message("alone", "assistant"))).toBeNull();
  });

  it.each(["this", "other", "equal"] as Verdict[])("reads back what was said from both sides: %s", (verdict) => {
    const mirrored = { this: "other", other: "this", equal: "equal" }[verdict];
    for (const [one, other] of [
      [answers[0]!, answers[1]!],
      [answers[2]!, answers[1]!],
    ] as const) {
      const preferences = judged(one, other.id, verdict);
      expect(verdictOn({ ...one, preferences }, other.id)).toBe(verdict);
      expect(verdictOn({ ...other, preferences }, one.id)).toBe(mirrored);
      expect(judged({ ...one, preferences }, other.id, null)).toEqual([]);
    }
  });

  it("keeps what was said of other pairs", () => {
    const first = { ...answers[1]!, preferences: judged(answers[1]!, "x", "this") };
    const both = { ...first, preferences: judged(first, "z", "equal") };
    expect(verdictOn(both, "x")).toBe("this");
    expect(verdictOn(both, "z")).toBe("equal");
  });
});
