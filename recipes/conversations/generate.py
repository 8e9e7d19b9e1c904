"""Writes the conversations that the demonstration model is tuned on, from the hand-written tables beside it.

`python recipes/conversations/generate.py` rewrites `en.jsonl`, `fr.jsonl` … in this folder. The output depends on
the tables alone: every choice is drawn from a hash of what it is for, so that a changed line changes its own
conversations and leaves the others as they were.
"""

import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

LANGUAGES = ("en", "fr", "de", "es", "it")
HERE = Path(__file__).parent
NUM_DIALOGUES = 216  # conversations of several turns, per language
MAX_CHARACTERS = 1000  # of one conversation, which a test checks: stays within a context of 512 tokens

# What follows what in a conversation of several turns. "any" is a question of any other kind.
FLOWS = (
    ("greeting", "any", "thanks"),
    ("greeting", "any", "any", "thanks"),
    ("greeting", "how_are_you", "any"),
    ("greeting", "how_are_you", "any", "thanks", "bye"),
    ("greeting", "who_are_you", "what_can_you_do"),
    ("greeting", "who_are_you", "how_big", "better_model"),
    ("who_are_you", "human", "privacy"),
    ("any", "thanks"),
    ("any", "any"),
    ("any", "any", "any"),
    ("any", "wrong", "any"),
    ("any", "compliment", "bye"),
    ("any", "thanks", "bye"),
    ("capital", "and_capital", "thanks"),
    ("capital", "and_capital", "and_capital"),
    ("define", "and_define", "thanks"),
    ("define", "and_define"),
    ("joke", "another_joke", "thanks"),
    ("story", "thanks", "another_story"),
    ("introduce", "ask_name"),
    ("introduce", "any", "ask_name"),
    ("greeting", "introduce", "any", "ask_name", "thanks"),
    ("insult", "sorry", "any"),
    ("unknown", "why_not", "better_model"),
)
GREETINGS = ("greeting", "greeting", "good_morning", "good_evening")
NOT_ANY = {
    "greeting",
    "good_morning",
    "good_evening",
    "good_night",
    "thanks",
    "bye",
    "sorry",
    "mash",
    "switch",
    "ask_name",
    "wrong",
}
CORE = {
    "how_are_you",
    "who_are_you",
    "your_name",
    "name_meaning",
    "who_made_you",
    "what_can_you_do",
    "human",
    "privacy",
}
CORE |= {
    "greeting",
    "good_morning",
    "good_evening",
    "thanks",
    "bye",
    "joke",
    "better_model",
    "own_language",
    "user_is_well",
}
FOLLOW_UPS = ("another_joke", "another_story", "why_not")  # intents that make no sense as a first message

Table = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Exchange:
    """One thing asked and its answer. `lang` is the language of the answer."""

    kind: str
    lang: str
    user: str
    assistant: str


@dataclass(frozen=True)
class Talk:
    """One conversation: an optional system prompt, then exchanges in order."""

    exchanges: tuple[Exchange, ...]
    system: str = ""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation as role and content pairs."""
        head = [{"role": "system", "content": self.system}] if self.system else []
        turns = [
            {"role": role, "content": content}
            for exchange in self.exchanges
            for role, content in (("user", exchange.user), ("assistant", exchange.assistant))
        ]
        return head + turns


def number(*key: object) -> int:
    """A large number that depends on `key` alone, the same on every machine."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, key)).encode()).digest()[:8], "big")


def pick(options: Sequence[T], *key: object) -> T:
    """One of the options, chosen by `key`."""
    return options[number(*key) % len(options)]


def shuffled(items: Iterable[T], *key: object) -> list[T]:
    """The items in an order chosen by `key`."""
    return [item for _, item in sorted(enumerate(items), key=lambda pair: number(pair, *key))]


def load_tables() -> dict[str, Table]:
    """The tables by language; `words` holds what is aligned across the languages."""
    return {
        name: tomllib.loads((HERE / "tables" / f"{name}.toml").read_text("utf-8")) for name in (*LANGUAGES, "words")
    }


def typeset(text: str, lang: str) -> str:
    """Curly apostrophes and, in French, no-break spaces; text between backticks is a command and stays as it is."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"(?<=\w)'", "’", parts[i])
        if lang == "fr":
            parts[i] = re.sub(r" (?=[?!:;»])|(?<=«) ", "\u00a0", parts[i])
    return "`".join(parts)


def unaccented(text: str, lang: str) -> str:
    """The text as typed on a keyboard without accents."""
    if lang == "de":
        for letter, pair in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("Ä", "Ae"), ("Ö", "Oe"), ("Ü", "Ue"), ("ß", "ss")):
            text = text.replace(letter, pair)
    decomposed = unicodedata.normalize("NFD", text.replace("œ", "oe").replace("ß", "ss"))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).replace("¿", "").replace("¡", "")


def hurried(text: str) -> str:
    """Lower case, straight quotes, no mark at either end."""
    return re.sub(r"[“”„«»]\s?|\s(?=»)", '"', text).replace(' "?', '"?').lower().strip("¿¡").rstrip(" .!?…")


def mistyped(text: str) -> str:
    """One slip of the fingers: two neighbouring letters of a longer word swapped, or a letter lost."""
    words = list(re.finditer(r"[^\W\d_]{5,}", text))
    if not words:
        return text
    word = pick(words, text)
    at = word.start() + 1 + number(text, "letter") % (len(word.group()) - 2)
    if number(text, "slip") % 2:
        return text[:at] + text[at + 1 :]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def phrasings(text: str, table: Table, count: int) -> list[str]:
    """`text` and up to `count` - 1 other ways in which a person may type it."""
    lang = table["lang"]
    quick = hurried(text)
    question = text.rstrip().endswith("?") and not text.startswith("¿")
    forms = [
        quick,
        unaccented(quick, lang),
        mistyped(quick),
        quick[:1].upper() + quick[1:],
        text.replace(" ?", "?").replace(" !", "!") if lang == "fr" else text.replace("¿", "").replace("¡", ""),
        f"{quick}?" if question else f"{quick}!" if len(quick) < 20 else f"{quick}.",
    ]
    if len(text) > 12 and number(text, "polite") % 3 == 0:
        opener = pick(table["openers"], text)
        closer = pick(table["closers"], text, "closer")
        forms += [opener + quick, quick + closer, opener + text[:1].lower() + text[1:]]
    if number(text, "loud") % 12 == 0:
        forms.append(quick.upper())
    first = typeset(text, lang) if number(text, "typeset") % 4 == 0 else text
    return list(dict.fromkeys([first, *shuffled(forms, text)]))[:count]


def ask_all(kind: str, asks: Iterable[str], answers: Sequence[str], table: Table, count: int = 3) -> Iterator[Exchange]:
    """Every way of asking, each with one of the answers."""
    lang = table["lang"]
    for ask in asks:
        for user in phrasings(ask, table, count):
            yield Exchange(kind, lang, user, typeset(pick(answers, kind, user), lang))


def intents(table: Table) -> Iterator[Exchange]:
    """Greetings, questions about Bise, small talk, advice, refusals: what has one answer however it is asked."""
    for kind, intent in table["intents"].items():
        yield from ask_all(kind, intent["ask"], intent["answer"], table, 3 if kind in CORE else 2)
    for kind, intent in table["facts"].items():
        yield from ask_all("fact_" + kind, intent["ask"], [intent["answer"]], table, 3)


def definitions(table: Table) -> Iterator[Exchange]:
    """What is the Moon?"""
    for key, (name, answer) in table["topics"].items():
        frames = shuffled(table["frames"]["define"], key)[:3]
        yield from ask_all("define", [_sentence(f.format(x=name)) for f in frames], [answer], table, 1)
        yield from ask_all("define", [_sentence(frames[0].format(x=name))], [answer], table, 3)


def capitals(table: Table) -> Iterator[Exchange]:
    """The capital of a country, and the country of a capital."""
    frames = table["frames"]
    for key, (of, city) in table["countries"].items():
        answer = typeset(_sentence(frames["capital_answer"].format(of=of, city=city)), table["lang"])
        for i, frame in enumerate(shuffled(frames["capital"], key)[:3]):
            yield from ask_all("capital", [_sentence(frame.format(of=of))], [answer], table, 2 if i == 0 else 1)
        reverse = typeset(frames["country_answer"].format(of=of, city=city), table["lang"])
        yield from ask_all("country", [pick(frames["country"], key).format(city=city)], [reverse], table, 2)


def translations(table: Table, tables: dict[str, Table]) -> Iterator[Exchange]:
    """Common words and phrases in the four other languages."""
    lang, frames = table["lang"], table["frames"]
    for row in tables["words"]["words"]:
        for other in LANGUAGES:
            if other == lang:
                continue
            slots = {"word": row[lang], "target": row[other], "language": table["languages"][other]}
            ask = pick(frames["translate"], row[lang], other).format(**slots)
            yield from ask_all("translate", [ask], [frames["translate_answer"].format(**slots)], table, 1)


def switches(table: Table, tables: dict[str, Table]) -> Iterator[Exchange]:
    """A request to speak another language is answered in that language."""
    for other in LANGUAGES:
        if other == table["lang"]:
            continue
        for frame in table["frames"]["switch"]:
            for user in phrasings(frame.format(language=table["languages"][other]), table, 3):
                answer = pick(tables[other]["switched"], user)
                yield Exchange("switch", other, user, typeset(answer, other))


def sums(table: Table) -> Iterator[Exchange]:
    """Small sums in words; those in signs have no language and are shared out among the files."""
    lang, frames = table["lang"], table["frames"]
    pairs = [(a, b) for a in range(11) for b in range(11)]
    cases = [("plus", "+", a, b, a + b) for a, b in pairs if a + b <= 20]
    cases += [("minus", "−", a, b, a - b) for a, b in pairs if b <= a]
    cases += [("times", "×", a, b, a * b) for a, b in pairs if a <= 6 and b <= 6]
    for name, sign, a, b, result in cases:
        if number(name, a, b, lang) % 3 > 0:
            frame = pick(frames[name], a, b, name)
            answer = frames[f"{name}_answer"].format(a=a, b=b, c=result)
            yield from ask_all("sum", [frame.format(a=a, b=b)], [answer], table, 1)
        if pick(LANGUAGES, name, a, b) == lang:
            typed = pick({"+": "+", "−": "-", "×": "*x×"}[sign], a, b)
            user = pick(("{a}{s}{b}", "{a} {s} {b}", "{a} {s} {b} =", "{a}{s}{b}=?", "{a} {s} {b} ?"), name, a, b)
            yield Exchange("sum", lang, user.format(a=a, b=b, s=typed), f"{a} {sign} {b} = {result}.")


def creations(table: Table) -> Iterator[Exchange]:
    """Short stories and poems, on a subject or on none."""
    for kind in ("story", "poem"):
        texts = table["stories" if kind == "story" else "poems"]
        for name, text in texts.values():
            asks = [frame.format(x=name) for frame in table["frames"][kind]]
            yield from ask_all(kind, asks, [text], table, 2)
        yield from ask_all(kind, table["frames"][f"any_{kind}"], [text for _, text in texts.values()], table, 3)


def unknowns(table: Table) -> Iterator[Exchange]:
    """What a small model cannot know, and words that do not exist: it says so."""
    unknown = table["unknown"]
    yield from ask_all("unknown", unknown["ask"], unknown["answer"], table, 2)
    for i in range(20):
        word = mash(table["lang"], i)
        frame = pick(table["frames"]["define"], word)
        yield from ask_all("mash", [_sentence(frame.format(x=word))], unknown["no_such_word"], table, 1)
        noise = " ".join([mash(table["lang"], i, "noise"), *unknown["noise"][i % len(unknown["noise"])].split()])
        yield from ask_all("mash", [noise + " " + mash(table["lang"], i, "end")], unknown["rephrase"], table, 1)


def mash(*key: object) -> str:
    """A word that no language has."""
    length = 2 + number("length", *key) % 3
    return "".join(
        pick("bcdfgklmnprstvwz", i, *key) + pick(("u", "o", "ij", "oq", "ak", "yx"), i, 1, *key) for i in range(length)
    )


def introductions(table: Table) -> Iterator[Exchange]:
    """People who say their name are greeted by it."""
    frames = table["frames"]
    for name in table["names"]:
        for frame in shuffled(frames["introduce"], name)[:2]:
            answers = [answer.format(name=name) for answer in frames["introduce_answer"]]
            yield from ask_all("introduce", [frame.format(name=name)], answers, table, 2)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] if text[:1] != "¿" else text[:1] + text[1:2].upper() + text[2:]


def follow_up(slot: str, talk: Sequence[Exchange], table: Table, key: tuple[object, ...]) -> Exchange | None:
    """An exchange that leans on what came before; None for a slot that stands alone."""
    lang, frames = table["lang"], table["frames"]
    if slot == "and_capital":
        of, city = pick(list(table["countries"].values()), *key)
        answer = _sentence(frames["capital_answer"].format(of=of, city=city))
        user = pick(frames["and_capital"], *key).format(of=of)
    elif slot == "and_define":
        name, answer = pick(list(table["topics"].values()), *key)
        user = pick(frames["and_define"], *key).format(x=name)
    elif slot == "ask_name":
        name = next(
            n for e in talk if e.kind == "introduce" for n in table["names"] if n.lower() in e.assistant.lower()
        )
        user, answer = pick(frames["ask_name"], *key), frames["ask_name_answer"].format(name=name)
    elif slot == "another_story":
        told = {e.assistant for e in talk}
        texts = [text for _, text in table["stories"].values() if typeset(text, lang) not in told]
        user, answer = pick(table["intents"][slot]["ask"], *key), pick(texts, *key)
    else:
        return None
    return Exchange(slot, lang, pick(phrasings(user, table, 3), *key), typeset(answer, lang))


def dialogue(i: int, singles: dict[str, list[Exchange]], table: Table) -> Talk:
    """The `i`-th conversation of several turns."""
    flow, lang = FLOWS[i % len(FLOWS)], table["lang"]
    free = sorted(singles.keys() - NOT_ANY - set(FOLLOW_UPS) - set(flow))
    talk: list[Exchange] = []
    for turn, slot in enumerate(flow):
        key = (lang, i, turn)
        exchange = follow_up(slot, talk, table, key)
        if exchange is None:
            kind = pick(free, *key) if slot == "any" else pick(GREETINGS, *key) if slot == "greeting" else slot
            free = [other for other in free if other != kind]
            said = {e.assistant for e in talk}
            exchange = pick([e for e in singles[kind] if e.assistant not in said], *key, "one")
        talk.append(exchange)
    return Talk(tuple(talk), pick(table["frames"]["system"], lang, i) if i % 8 == 0 else "")


def in_asked_language(table: Table, tables: dict[str, Table]) -> Iterator[Talk]:
    """A system prompt names a language: the answer comes in it, whatever the question was written in."""
    lang = table["lang"]
    shared = [("topics", key) for key in table["topics"]] + [
        ("intents", k) for k in ("who_are_you", "how_are_you", "greeting")
    ] * 3
    for i, (group, key) in enumerate(shared):
        asked = LANGUAGES[(LANGUAGES.index(lang) + 1 + i % len(LANGUAGES)) % len(LANGUAGES)]
        source = tables[asked]
        if group == "topics":
            ask, answer = (
                _sentence(pick(source["frames"]["define"], i).format(x=source["topics"][key][0])),
                table[group][key][1],
            )
        else:
            ask, answer = pick(source[group][key]["ask"], i, lang), pick(table[group][key]["answer"], i)
        prompt = pick(source["frames"]["system_language"], i, lang).format(language=source["languages"][lang])
        yield Talk((Exchange("asked", lang, ask, typeset(answer, lang)),), prompt)


def single_exchanges(lang: str, tables: dict[str, Table]) -> list[Exchange]:
    """Everything one can say first, in this language."""
    table = tables[lang]
    groups = (intents(table), definitions(table), capitals(table), translations(table, tables), switches(table, tables))
    more = (sums(table), creations(table), unknowns(table), introductions(table))
    return [exchange for group in (*groups, *more) for exchange in group]


def conversations(tables: dict[str, Table]) -> dict[str, list[Talk]]:
    """All conversations by language; a first message never stands in two languages or with two meanings."""
    talks: dict[str, list[Talk]] = {lang: [] for lang in LANGUAGES}
    meaning: dict[str, tuple[str, str]] = {}
    for lang in LANGUAGES:
        by_kind: dict[str, list[Exchange]] = {}
        for exchange in single_exchanges(lang, tables):
            owner = meaning.setdefault(exchange.user.casefold(), (lang, exchange.kind))
            if owner != (lang, exchange.kind):
                continue
            by_kind.setdefault(exchange.kind, []).append(exchange)
            if exchange.kind not in FOLLOW_UPS:
                talks[exchange.lang].append(Talk((exchange,)))
        talks[lang] += [dialogue(i, by_kind, tables[lang]) for i in range(NUM_DIALOGUES)]
        talks[lang] += in_asked_language(tables[lang], tables)
    return talks


def lines(talks: Iterable[Talk], lang: str) -> list[str]:
    """The conversations as JSON lines, without duplicates, mixed so that any part of a file has all kinds."""
    rows = (
        json.dumps({"messages": talk.messages, "lang": lang, "source": "bise"}, ensure_ascii=False) for talk in talks
    )
    return sorted(dict.fromkeys(rows), key=number)


def generate() -> dict[str, str]:
    """The text of every file by language."""
    return {
        lang: "".join(f"{row}\n" for row in lines(talks, lang)) for lang, talks in conversations(load_tables()).items()
    }


if __name__ == "__main__":
    for language, text in generate().items():
        (HERE / f"{language}.jsonl").write_text(text, encoding="utf-8")
