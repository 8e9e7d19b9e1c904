import { describe, expect, it } from "vitest";
import { inTurn } from "../src/inTurn";

const soon = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("requests in turn", () => {
  it("keeps the order about one thing, whatever each takes", async () => {
    const send = inTurn();
    const arrived: string[] = [];
    const slow = send("a", () => soon(20).then(() => arrived.push("slow")));
    const quick = send("a", () => soon(0).then(() => arrived.push("quick")));
    await Promise.all([slow, quick]);
    expect(arrived).toEqual(["slow", "quick"]);
  });

  it("lets other things pass", async () => {
    const send = inTurn();
    const arrived: string[] = [];
    await Promise.all([send("a", () => soon(20).then(() => arrived.push("a"))), send("b", () => soon(0).then(() => arrived.push("b")))]);
    expect(arrived).toEqual(["b", "a"]);
  });

  it("goes on after a failure, which its own sender sees", async () => {
    const send = inTurn();
    const refused = send("a", () => Promise.reject(new Error("refused")));
    const next = send("a", () => Promise.resolve("noted"));
    await expect(refused).rejects.toThrow("refused");
    await expect(next).resolves.toBe("noted");
  });
});
