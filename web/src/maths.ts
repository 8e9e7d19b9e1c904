// Finds maths in Markdown and writes it the one way the parser reads it: `$…$` inline, `$$` on lines of its own.
// A dollar sign that does not delimit maths (5 $, $3.50) is escaped. Code is left alone.

const CODE = /(^ {0,3}(`{3,}|~{3,})[^\n]*\n[\s\S]*?(?:^ {0,3}\2[`~]*[ \t]*$|(?![\s\S]))|(`+)(?!`)[\s\S]*?[^`]\3(?!`))/gm;
const DISPLAY = /\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\]/g;
/** Pandoc's rule: no space inside the dollars, no digit after them. */
const INLINE = /(?<![\\$])\$(?![\s$])((?:\\.|[^$\\\n])*?(?:\\.|[^\s$\\]))\$(?![\d$])|\\\((.+?)\\\)/g;
const MARK = "\u0000";

export function mayHoldMaths(text: string): boolean {
  return text.includes("$") || text.includes("\\(") || text.includes("\\[");
}

export function normaliseMaths(text: string): string {
  if (!mayHoldMaths(text)) return text;
  let out = "";
  let end = 0;
  for (const code of text.matchAll(CODE)) {
    out += proseMaths(text.slice(end, code.index)) + code[0];
    end = code.index + code[0].length;
  }
  return out + proseMaths(text.slice(end));
}

function proseMaths(prose: string): string {
  const found: string[] = [];
  const keep = (maths: string) => `${MARK}${found.push(maths) - 1}${MARK}`;
  const marked = prose
    .replaceAll(MARK, "")
    .replace(DISPLAY, (_, dollars?: string, brackets?: string) => keep(`\n$$\n${(dollars ?? brackets ?? "").trim()}\n$$\n`))
    .replace(INLINE, (_, dollars?: string, brackets?: string) => keep(`$${(dollars ?? brackets ?? "").trim()}$`))
    .replace(/(?<!\\)\$/g, "\\$");
  return marked.replace(new RegExp(`${MARK}(\\d+)${MARK}`, "g"), (_, index: string) => found[Number(index)] ?? "");
}
