"""Whether an answer follows instructions that a program can check: IFEval (Zhou et al. 2023, arXiv 2311.07911) in English,
French and Spanish, with the instructions of M-IFEval (Dussolle et al. 2025, arXiv 2502.04688).

Each check is written from the instruction's definition. Sentences and words are counted by simple rules, stated beside them,
so that no model of a language is needed; counts near a limit may differ from other implementations' by one.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from bise.corpus.language import identify_languages
from bise.corpus.texts import pack
from bise.evals.shapes import Shape, list_of, map_of, some_text, whole_number

Arguments = Mapping[str, Any]
Check = Callable[[str, Arguments], bool]

_AT_MOST = ("less than", "au plus", "moins de", "como máximo", "menos de", "à moins de")
_BELOW = ("less than", "moins de", "menos de")
_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_SENTENCE_END = re.compile(r"[.!?…]+(?=[\s\"'»”)]|$)")
_CHOICES = {
    "en": ("My answer is yes.", "My answer is no.", "My answer is maybe."),
    "fr": ("Ma réponse est oui.", "Ma réponse est non.", "Ma réponse est éventuellement."),
    "es": ("Mi respuesta es sí.", "Mi respuesta es no.", "Mi respuesta es quizás."),
}
_FORMAL = re.compile(r"\b(?:vous|votre|vos|vôtres?)\b", re.IGNORECASE)


def follows(instruction: str, answer: str, arguments: Arguments) -> bool:
    """Whether an answer follows one instruction, named as `fr:keywords:existence`; an empty answer follows none.

    Raises:
        KeyError: the instruction is unknown.
    """
    language, _, name = instruction.partition(":")
    check = _CHECKS.get(name)
    if name == "detectable_format:constrained_response":
        return any(choice.lower() in answer.lower() for choice in _CHOICES[language])
    if check is None:
        raise KeyError(instruction)
    return bool(answer.strip()) and check(answer, arguments)


def is_known(instruction: str) -> bool:
    """Whether there is a check of that name."""
    language, _, name = instruction.partition(":")
    return language in _CHOICES and (name in _CHECKS or name == "detectable_format:constrained_response")


def arguments_of(instruction: str) -> tuple[Mapping[str, Shape], Mapping[str, Shape]]:
    """The arguments that the check of a known instruction needs, and those that it takes besides; null is none."""
    return _NEEDS.get(instruction.partition(":")[2], {}), _TAKES


def _compared(count: int, wanted: int, relation: str | None) -> bool:
    """`at least` where nothing else is said."""
    if relation in _BELOW:
        return count < wanted
    return count <= wanted if relation in _AT_MOST else count >= wanted


def _language(text: str) -> str:
    (label,), _ = identify_languages(*pack([text]))
    return label


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _num_sentences(text: str) -> int:
    """Runs of letters that end with a full stop, a question or exclamation mark, or with the text."""
    parts = (part for part in _SENTENCE_END.split(text) if re.search(r"\w", part))
    return sum(1 for _ in parts)


def _paragraphs(text: str, separator: str) -> list[str]:
    return [part.strip() for part in re.split(separator, text) if part.strip()]


def _count(text: str, wanted: str) -> int:
    return len(re.findall(rf"\b{re.escape(wanted)}\b", text, re.IGNORECASE))


def _nth_paragraph_first_word(answer: str, arguments: Arguments) -> bool:
    found = _paragraphs(answer, r"\n\n")
    nth = int(arguments["nth_paragraph"])
    if len(found) != int(arguments["num_paragraphs"]) or nth > len(found):
        return False
    words = _words(found[nth - 1])
    return bool(words) and words[0].lower() == str(arguments["first_word"]).lower()


def _is_json(answer: str, _: Arguments) -> bool:
    text = re.sub(r"^```(?:json)?\s*|\s*```$", "", answer.strip(), flags=re.IGNORECASE)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _two_responses(answer: str, _: Arguments) -> bool:
    parts = [part.strip() for part in answer.split("******")]
    inner = [part for part in parts if part]
    return len(inner) == 2 and all(parts[1:-1]) and inner[0] != inner[1]


def _capital_words(answer: str, arguments: Arguments) -> bool:
    count = sum(word.isupper() for word in _words(answer))
    return _compared(count, int(arguments["capital_frequency"]), arguments.get("capital_relation"))


def _highlights(answer: str, arguments: Arguments) -> bool:
    found = re.findall(r"\*\*[^\n*]+\*\*|\*[^\n*]+\*", answer)
    return sum(bool(each.strip("* ")) for each in found) >= int(arguments["num_highlights"])


def _sections(answer: str, arguments: Arguments) -> bool:
    found = re.findall(rf"\s?{re.escape(str(arguments['section_spliter']))}\s?\d+\s?", answer)
    return len(found) >= int(arguments["num_sections"])


def _bullets(answer: str, arguments: Arguments) -> bool:
    found = re.findall(r"^\s*(?:\*[^*]|-\s|•)", answer, re.MULTILINE)
    return len(found) == int(arguments["num_bullets"])


def _letters(answer: str, arguments: Arguments) -> bool:
    count = answer.lower().count(str(arguments["letter"]).lower())
    return _compared(count, int(arguments["let_frequency"]), arguments.get("let_relation"))


def _postscript(answer: str, arguments: Arguments) -> bool:
    marker = str(arguments["postscript_marker"])
    parts = [re.escape(part) for part in re.split(r"[.\s]+", marker) if part]
    return re.search(r"\s*" + r"\.?\s?".join(parts), answer, re.IGNORECASE) is not None


def _repeats_prompt(answer: str, arguments: Arguments) -> bool:
    return answer.strip().lower().startswith(str(arguments["prompt_to_repeat"]).strip().lower())


def _ends_with(answer: str, arguments: Arguments) -> bool:
    return answer.strip().strip('"').lower().endswith(str(arguments["end_phrase"]).strip().lower())


def _marks_of(letters: str) -> Check:
    def count(answer: str, arguments: Arguments) -> bool:
        found = sum(answer.lower().count(letter) for letter in letters)
        return _compared(
            found, int(arguments.get("let_frequency") or arguments.get("num_words") or 1), arguments.get("relation")
        )

    return count


def _words_with_accents(answer: str, arguments: Arguments) -> bool:
    count = sum(any(letter in "áéíóú" for letter in word.lower()) for word in _words(answer))
    return _compared(count, int(arguments["num_words"]), arguments.get("relation"))


def _accentuated(answer: str, arguments: Arguments) -> bool:
    """The given words stand in the answer with their accents."""
    text = answer.lower()
    return all(str(word).lower() in text for word in arguments["word_to_accentuate"].values())


def _has_no_accents(answer: str, _: Arguments) -> bool:
    return not any(unicodedata.combining(mark) for mark in unicodedata.normalize("NFD", answer) if mark != "\u0327")


_COUNT = whole_number(0)
_TAKES: dict[str, Shape] = dict.fromkeys(("relation", "let_relation", "capital_relation"), some_text) | {
    "let_frequency": _COUNT,
    "num_words": _COUNT,
}
_NEEDS: dict[str, dict[str, Shape]] = {
    "keywords:existence": {"keywords": list_of(some_text)},
    "keywords:forbidden_words": {"forbidden_words": list_of(some_text)},
    "keywords:frequency": {"keyword": some_text, "frequency": _COUNT},
    "keywords:letter_frequency": {"letter": some_text, "let_frequency": _COUNT},
    "language:response_language": {"language": some_text},
    "length_constraints:number_words": {"num_words": _COUNT},
    "length_constraints:number_sentences": {"num_sentences": _COUNT},
    "length_constraints:number_paragraphs": {"num_paragraphs": _COUNT},
    "length_constraints:nth_paragraph_first_word": {
        "num_paragraphs": _COUNT,
        "nth_paragraph": whole_number(1),
        "first_word": some_text,
    },
    "detectable_content:number_placeholders": {"num_placeholders": _COUNT},
    "detectable_content:postscript": {"postscript_marker": some_text},
    "detectable_format:number_bullet_lists": {"num_bullets": _COUNT},
    "detectable_format:number_highlighted_sections": {"num_highlights": _COUNT},
    "detectable_format:multiple_sections": {"section_spliter": some_text, "num_sections": _COUNT},
    "combination:repeat_prompt": {"prompt_to_repeat": some_text},
    "startend:end_checker": {"end_phrase": some_text},
    "change_case:capital_word_frequency": {"capital_frequency": _COUNT},
    "special_character:tildes": {"num_words": _COUNT},
    "special_character:accents": {"word_to_accentuate": map_of(some_text)},
    "special_character:ethel_or_cedilla": {"forbidden_char": some_text},
}
_CHECKS: dict[str, Check] = {
    "keywords:existence": lambda text, a: all(_count(text, str(word)) for word in a["keywords"]),
    "keywords:forbidden_words": lambda text, a: not any(_count(text, str(word)) for word in a["forbidden_words"]),
    "keywords:frequency": lambda text, a: _compared(
        _count(text, str(a["keyword"]).strip()), int(a["frequency"]), a.get("relation")
    ),
    "keywords:letter_frequency": _letters,
    "language:response_language": lambda text, a: _language(text) == str(a["language"])[:2],
    "length_constraints:number_words": lambda text, a: _compared(
        len(_words(text)), int(a["num_words"]), a.get("relation")
    ),
    "length_constraints:number_sentences": lambda text, a: _compared(
        _num_sentences(text), int(a["num_sentences"]), a.get("relation")
    ),
    "length_constraints:number_paragraphs": lambda text, a: (
        len(_paragraphs(text, r"\s?\*\*\*\s?")) == int(a["num_paragraphs"])
    ),
    "length_constraints:nth_paragraph_first_word": _nth_paragraph_first_word,
    "detectable_content:number_placeholders": lambda text, a: (
        len(re.findall(r"\[.*?\]", text)) >= int(a["num_placeholders"])
    ),
    "detectable_content:postscript": _postscript,
    "detectable_content:no_digits": lambda text, _: not any(letter.isdigit() for letter in text),
    "detectable_content:informal_address": lambda text, _: _FORMAL.search(text) is None,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _is_json,
    "detectable_format:title": lambda text, _: any(t.strip("<> ") for t in re.findall(r"<<[^\n]+?>>", text)),
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeats_prompt,
    "startend:end_checker": _ends_with,
    "startend:quotation": lambda text, _: (
        len(t := text.strip()) > 1 and (t[0], t[-1]) in (('"', '"'), ("«", "»"), ("“", "”"))
    ),
    "change_case:capital_word_frequency": _capital_words,
    **{f"change_case:{name}_capital": lambda text, _: text.isupper() for name in ("english", "french", "spanish")},
    **{f"change_case:{name}_lowercase": lambda text, _: text.islower() for name in ("english", "french", "spanish")},
    "punctuation:no_comma": lambda text, _: "," not in text,
    "punctuation:question_marks": lambda text, _: "¿" in text and "?" in text,
    "punctuation:exclamation_marks": lambda text, _: "¡" in text and "!" in text,
    "special_character:enie": _marks_of("ñ"),
    "special_character:dieresis": _marks_of("ü"),
    "special_character:tildes": _words_with_accents,
    "special_character:accents": _accentuated,
    "special_character:no_accents": _has_no_accents,
    "special_character:ethel_or_cedilla": lambda text, a: str(a["forbidden_char"]).lower() not in text.lower(),
}
