"""The statistics as the papers say them, in plain Python: what the compiled pass must agree with, number for number."""

import re
import unicodedata
from collections import Counter

from bise.corpus.characters import IDEOGRAPH, MARKUP_CHARACTERS, PLAIN, TERMINAL, kinds
from bise.corpus.stop_words import STOP_WORDS

CITATION = re.compile(r"\[[0-9]*]|\[edit]|\[citation needed]", re.IGNORECASE)
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
JOINERS = "'’."


def is_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character) in ("Mn", "Mc") or character in "_\u200c\u200d"


def is_ideograph(character: str) -> bool:
    return bool(kinds()[ord(character)] & IDEOGRAPH)


def tokenise(text: str) -> list[str]:
    tokens, i = [], 0
    while i < len(text):
        j = i + 1
        if text[i].isspace():
            i = j
            continue
        if is_ideograph(text[i]):
            pass
        elif is_word(text[i]):
            while j < len(text):
                following = text[j : j + 2]
                if is_word(text[j]) and not is_ideograph(text[j]):
                    j += 1
                elif (
                    following[0] in JOINERS
                    and len(following) == 2
                    and is_word(following[1])
                    and not is_ideograph(following[1])
                ):
                    j += 2
                else:
                    break
        else:
            while j < len(text) and text[j] == text[i]:
                j += 1
        tokens.append(text[i:j])
        i = j
    return tokens


def count_sentences(line: str) -> int:
    """Sentences end at a full stop and its kin, closing quotes and brackets, and then white space."""
    count, is_open, ended = 0, False, False
    for character in line:
        if character.isspace():
            if ended:
                count, is_open, ended = count + 1, False, False
            continue
        is_open = True
        if kinds()[ord(character)] & TERMINAL or character == "…":
            ended = True
        elif unicodedata.category(character) not in ("Pe", "Pf", "Pi") and character not in "\"'":
            ended = False
    return max(count + is_open, 1)


def repeats(parts: list[str]) -> tuple[int, int]:
    """Parts that were there before, and their characters."""
    seen, count, characters = set(), 0, 0
    for part in parts:
        if part in seen:
            count, characters = count + 1, characters + len(part)
        seen.add(part)
    return count, characters


def repeated_ngrams(tokens: list[str], n: int) -> int:
    seen, characters, i = set(), 0, 0
    while i + n <= len(tokens):
        gram = tuple(tokens[i : i + n])
        if gram in seen:
            characters, i = characters + sum(map(len, gram)), i + n
        else:
            seen.add(gram)
            i += 1
    return characters


def top_ngram(tokens: list[str], n: int) -> int:
    grams = Counter(" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
    if not grams:
        return 0
    [(gram, count)] = grams.most_common(1)
    return len(gram) * count


def c4_lines(text: str) -> dict[str, int]:
    names = ("sentences", "curly_bracket_lines", "early_curly_bracket_lines", "lorem_ipsum_lines", "javascript_lines")
    result = dict.fromkeys((*names, "policy_lines", "wordless_lines"), 0)
    for line in text.splitlines():
        words, lower = line.split(), re.sub("[A-Z]", lambda match: match[0].lower(), line)
        if len(words) < 3 or max(map(len, words)) > 1000:
            result["wordless_lines"] += bool(words)
        elif "lorem ipsum" in lower:
            result["lorem_ipsum_lines"] += 1
        elif "javascript" in lower:
            result["javascript_lines"] += 1
        elif "{" in line:
            result["curly_bracket_lines"] += 1
            result["early_curly_bracket_lines"] += not result["lorem_ipsum_lines"]
        elif any(phrase in lower for phrase in POLICY):
            result["policy_lines"] += 1
        else:
            result["sentences"] += count_sentences(CITATION.sub("", line))
    return result


def slow_statistics(text: str, lang: str = "en") -> dict[str, float]:
    tokens, size = tokenise(text), len(text)
    words = [token for token in tokens if any(kinds()[ord(character)] & PLAIN for character in token)]
    lines, parts = text.splitlines(), re.split("\n+", text)
    written = [line for line in text.split("\n") if line.strip()]
    paragraphs = re.split("\n{2,}", text.strip())
    num_tokens, num_lines, num_written = len(tokens) or 1, len(lines) or 1, len(written) or 1
    starts = [line.lstrip()[:1] for line in lines]
    newlines = text.count("\n")
    return {
        "characters": size,
        "tokens": len(tokens),
        "words": len(words),
        "mean_word_length": sum(map(len, words)) / (len(words) or 1),
        "alpha_words": sum(any(map(str.isalpha, token)) for token in tokens) / num_tokens,
        "hashes_per_word": text.count("#") / num_tokens,
        "ellipses_per_word": (text.count("...") + text.count("…")) / num_tokens,
        "stop_words": len(set(tokens) & set(STOP_WORDS[lang])),
        "lines": len(lines),
        "bullet_lines": sum(start in ("•", "-") for start in starts) / num_lines,
        "ellipsis_lines": sum(line.rstrip().endswith(("...", "…")) for line in lines) / num_lines,
        "markup_per_word": sum(map(text.count, MARKUP_CHARACTERS)) / num_tokens,
        "duplicate_lines": repeats(parts)[0] / len(parts) if text else 0,
        "duplicate_line_characters": repeats(parts)[1] / (size or 1),
        "duplicate_paragraphs": repeats(paragraphs)[0] / len(paragraphs),
        "duplicate_paragraph_characters": repeats(paragraphs)[1] / (size or 1),
        **{f"top_{n}_gram": top_ngram(tokens, n) / (size or 1) for n in (2, 3, 4)},
        **{f"duplicate_{n}_grams": repeated_ngrams(tokens, n) / (size or 1) for n in range(5, 11)},
        **c4_lines(text),
        "punctuated_lines": sum(bool(kinds()[ord(line[-1])] & TERMINAL) for line in written) / num_written,
        "short_lines": sum(len(line) <= 30 for line in written) / num_written,
        "repeated_line_characters": repeats(written)[1] / ((size - newlines) or 1),
        "newlines_per_word": newlines / num_tokens if tokens else 0,
    }
