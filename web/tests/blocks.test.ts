import { describe, expect, it } from "vitest";
import { settled, splitBlocks } from "../src/blocks";

const ANSWER = `# Title

A paragraph
of two lines.

- one

  still one
- two

\`\`\`python
a = 1

b = 2
\`\`\`
After the code.

1. first

2. second

| a | b |
|---|---|
| 1 | 2 |

    indented code

> quote

$$
x

y
$$

End.
`;

describe("splitBlocks", () => {
  it("loses nothing, wherever the text ends", () => {
    for (let end = 0; end <= ANSWER.length; end++) {
      expect(splitBlocks(ANSWER.slice(0, end)).join("")).toBe(ANSWER.slice(0, end));
    }
  });

  it("changes only the last block as the text grows", () => {
    let before: string[] = [];
    for (let end = 0; end <= ANSWER.length; end++) {
      const blocks = splitBlocks(ANSWER.slice(0, end));
      expect(blocks.slice(0, Math.max(0, before.length - 1))).toEqual(before.slice(0, -1));
      before = blocks;
    }
  });

  it("keeps together what belongs together", () => {
    const blocks = splitBlocks(ANSWER).map((block) => block.trim());
    expect(blocks).toContain("- one\n\n  still one\n- two");
    expect(blocks).toContain("1. first\n\n2. second");
    expect(blocks).toContain("```python\na = 1\n\nb = 2\n```\nAfter the code.");
    expect(blocks).toContain("$$\nx\n\ny\n$$");
    expect(blocks).toContain("| a | b |\n|---|---|\n| 1 | 2 |\n\n    indented code");
  });

  it("does not end a fence at a shorter or different one", () => {
    expect(splitBlocks("````\n```\n\n~~~~\n\n````\n\nEnd")).toEqual(["````\n```\n\n~~~~\n\n````\n\n", "End"]);
  });

  it("does not cut text whose links are defined elsewhere", () => {
    const text = "See [this][1].\n\nMore.\n\n[1]: https://example.org\n";
    expect(splitBlocks(text)).toEqual([text]);
  });
});

describe("settled", () => {
  it("holds a table back until its second line is whole", () => {
    expect(settled("| a | b |")).toBe("");
    expect(settled("| a | b |\n|--")).toBe("");
    expect(settled("| a | b |\n|---|---|")).toBe("| a | b |\n|---|---|");
    expect(settled("| a | b |\nno table\nat all")).toBe("| a | b |\nno table\nat all");
    expect(settled("a | b")).toBe("a | b");
  });

  it("holds a lone marker back", () => {
    for (const marker of ["-", "*", "2", "2.", "##", "---", "> "]) expect(settled(`Text\n${marker}`)).toBe("Text");
    expect(settled("- item")).toBe("- item");
  });
});
