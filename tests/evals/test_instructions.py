import pytest

from bise.evals.instructions import follows, is_known

CASES = [
    ("en:keywords:existence", {"keywords": ["lake", "wind"]}, "The Wind over the lake.", "The wind over the lakes."),
    ("fr:keywords:forbidden_words", {"forbidden_words": ["chimie"]}, "La biochimie.", "La Chimie, oui."),
    ("en:keywords:frequency", {"keyword": "tea", "frequency": 2, "relation": "at least"}, "Tea, tea.", "Tea, team."),
    ("es:keywords:frequency", {"keyword": "té", "frequency": 1, "relation": "como máximo"}, "Un té.", "Té y té."),
    (
        "en:keywords:letter_frequency",
        {"letter": "z", "let_frequency": 2, "let_relation": "less than"},
        "Zoo.",
        "Zigzag.",
    ),
    ("fr:length_constraints:number_words", {"num_words": 3, "relation": "au moins"}, "L'eau est là.", "L'eau est."),
    ("en:length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}, "One. Two!", "A. B? C."),
    ("en:length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One\n***\nTwo", "One\n\nTwo"),
    (
        "es:length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Para"},
        "Uno.\n\n«Para ti.",
        "Uno.\n\nTodo para ti.",
    ),
    ("en:detectable_content:number_placeholders", {"num_placeholders": 2}, "[name], [place]", "[name]"),
    ("en:detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\np.p.s. more", "Bye.\nP.S. more"),
    ("fr:detectable_content:no_digits", {}, "Deux.", "2."),
    ("fr:detectable_content:informal_address", {}, "Tu viens ?", "Venez-vous ?"),
    ("en:detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n- b\n- c"),
    ("en:detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b**", "*a* and ** **"),
    (
        "en:detectable_format:multiple_sections",
        {"section_spliter": "PART", "num_sections": 2},
        "PART 1 x PART 2 y",
        "PART 1 x",
    ),
    ("en:detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("en:detectable_format:title", {}, "<<A day>> text", "<A day> text"),
    ("fr:detectable_format:constrained_response", {}, "Ma réponse est oui.", "Oui."),
    ("en:combination:two_responses", {}, "One ****** Two", "One ****** One"),
    ("en:combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "Say it. It.", "It. Say it."),
    ("en:startend:end_checker", {"end_phrase": "The end."}, 'So. "The end."', "The end. So."),
    ("fr:startend:quotation", {}, "« Bonjour »", "« Bonjour"),
    (
        "en:change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "A BIG dog",
        "A big dog",
    ),
    ("en:change_case:english_capital", {}, "HELLO, 2!", "HELLO you"),
    ("es:change_case:spanish_lowercase", {}, "hola, niño", "Hola"),
    ("en:punctuation:no_comma", {}, "No comma; none.", "A, b"),
    ("es:punctuation:question_marks", {}, "¿Sí?", "Sí?"),
    ("es:punctuation:exclamation_marks", {}, "¡Sí!", "Sí!"),
    ("es:special_character:enie", {"let_frequency": 2}, "ñandú y Ñoño", "ñandú"),
    ("es:special_character:dieresis", {"let_frequency": 1}, "pingüino", "pinguino"),
    ("es:special_character:tildes", {"num_words": 2, "relation": "al menos"}, "está allí", "está aquella"),
    ("fr:special_character:accents", {"word_to_accentuate": {"lecon": "leçon"}}, "Une leçon.", "Une lecon."),
    ("fr:special_character:no_accents", {}, "Une lecon, ça va.", "Une leçon est passée."),
    ("fr:special_character:ethel_or_cedilla", {"forbidden_char": "ç"}, "Une lecon.", "Ça va."),
    (
        "en:language:response_language",
        {"language": "de"},
        "Der Wind kommt am Morgen über den See, und die Boote liegen still.",
        "The wind comes over the lake in the morning, and the boats lie still.",
    ),
]


@pytest.mark.parametrize(("name", "arguments", "kept", "broken"), CASES, ids=[case[0] for case in CASES])
def test_an_instruction_is_kept_or_broken(name: str, arguments: dict[str, object], kept: str, broken: str) -> None:
    assert is_known(name)
    assert follows(name, kept, arguments)
    assert not follows(name, broken, arguments)
    assert not follows(name, "", arguments)


def test_what_is_unknown_is_told() -> None:
    assert not is_known("en:keywords:rhyme")
    assert not is_known("it:punctuation:no_comma")
    with pytest.raises(KeyError, match="rhyme"):
        follows("en:keywords:rhyme", "text", {})
