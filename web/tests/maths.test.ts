import { describe, expect, it } from "vitest";
import { normaliseMaths } from "../src/maths";

describe("normaliseMaths", () => {
  it.each([
    ["nothing here", "nothing here"],
    ["energy is $E = mc^2$.", "energy is $E = mc^2$."],
    ["energy is \\(E = mc^2\\).", "energy is $E = mc^2$."],
    ["$x$ and $y$", "$x$ and $y$"],
    ["one line $$x^2$$ here", "one line \n$$\nx^2\n$$\n here"],
    ["\\[\nx^2\n\\]", "\n$$\nx^2\n$$\n"],
    ["It costs $5 or $10.", "It costs \\$5 or \\$10."],
    ["Between $3.50 and $4", "Between \\$3.50 and \\$4"],
    ["already \\$5", "already \\$5"],
    ["`$x$` and $y$", "`$x$` and $y$"],
    ["```sh\necho $HOME $PATH\n```\n$y$", "```sh\necho $HOME $PATH\n```\n$y$"],
    ["```sh\necho $HOME $$", "```sh\necho $HOME $$"],
  ])("%j", (text, expected) => expect(normaliseMaths(text)).toBe(expected));

  it("changes nothing the second time", () => {
    const text = "a $x$ b $5 c `$` \\(y\\) and\n\n$$\nz\n$$\n";
    expect(normaliseMaths(normaliseMaths(text)).replace(/\n+/g, "\n")).toBe(normaliseMaths(text).replace(/\n+/g, "\n"));
  });
});
