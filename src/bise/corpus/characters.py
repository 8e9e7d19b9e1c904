"""Tables over Unicode's code points, for the compiled loops: what a character is, and what it is folded to.

Built from Python's `unicodedata` in a fraction of a second at first use; nothing is stored or fetched.
"""

import unicodedata
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

CODE_POINTS = 0x110000
# Ranges (first, last) of ideographs that were assigned together, and are all alike in what is asked here.
_ALIKE = (
    *((0x3400, 0x4DB5), (0x4E00, 0x9FEF), (0x17000, 0x187EC), (0x20000, 0x2A6D6), (0x2A700, 0x2B734)),
    *((0x2B740, 0x2B81D), (0x2B820, 0x2CEA1), (0x2CEB0, 0x2EBE0), (0x30000, 0x3134A)),
)

# The kinds of a character, as bits.
WORD = 1  # may stand in a word: letters, digits, numerals, marks, "_" and the two joiners of scripts
ALPHA = 2  # a letter
SPACE = 4  # white space, as str.split() sees it
BREAK = 8  # ends a line, as str.splitlines() sees it
PLAIN = 16  # neither punctuation nor control
TERMINAL = 32  # ends a sentence (Unicode's Sentence_Terminal property, and the full stops of other scripts)
IDEOGRAPH = 64  # a word by itself: Han and Hiragana are written without spaces
MARKUP = 128  # {}[]<>|`*_=\
PHRASE = 256  # occurs in one of the phrases that `scan.py` looks for, and is rare elsewhere
CLOSER = 512  # may stand between the end of a sentence and the space after it

MARKUP_CHARACTERS = "{}[]<>|`*_=\\"
_PHRASE_CHARACTERS = "jkvmJKVM"
_CONTROLS = (*range(9), 11, 12, *range(13, 32), *range(127, 160))
# Punctuation beside ASCII's, as the published filters count it (CCNet, arXiv 1911.00359): CJK forms, dashes, quotes.
_PUNCTUATION = (
    *(0xAB, 0xB4, 0xBB, 0x2013, 0x2014, 0x2019, 0x201C, 0x201D, 0x201E, 0x2026, 0x2236, 0x2501, 0x25BA),
    *(0x3001, 0x3002, 0x3008, 0x3009, 0x300A, 0x300B, 0x300C, 0x300D, 0x3010, 0x3011),
    *(0xFF01, 0xFF05, 0xFF08, 0xFF09, 0xFF0C, 0xFF0E, 0xFF11, 0xFF1A, 0xFF1B, 0xFF1F, 0xFF5E),
)
# Ranges (first, last) of characters that end a sentence.
_TERMINALS = (
    *((0x21, 0x21), (0x2E, 0x2E), (0x3F, 0x3F), (0x589, 0x589), (0x61D, 0x61F), (0x6D4, 0x6D4), (0x700, 0x702)),
    *((0x7F9, 0x7F9), (0x837, 0x837), (0x839, 0x839), (0x83D, 0x83E), (0x964, 0x965), (0x104A, 0x104B)),
    *((0x1362, 0x1362), (0x1367, 0x1368), (0x166E, 0x166E), (0x1735, 0x1736), (0x17D4, 0x17D6), (0x17D9, 0x17DA)),
    *((0x1803, 0x1803), (0x1809, 0x1809), (0x1944, 0x1945), (0x1AA8, 0x1AAB), (0x1B5A, 0x1B5B), (0x1B5E, 0x1B5F)),
    *((0x1B7D, 0x1B7E), (0x1C3B, 0x1C3C), (0x1C7E, 0x1C7F), (0x203C, 0x203D), (0x2047, 0x2049), (0x2E2E, 0x2E2E)),
    *((0x2E3C, 0x2E3C), (0x2E53, 0x2E54), (0x3002, 0x3002), (0xA4FF, 0xA4FF), (0xA60E, 0xA60F), (0xA6F3, 0xA6F3)),
    *((0xA6F7, 0xA6F7), (0xA876, 0xA877), (0xA8CE, 0xA8CF), (0xA92F, 0xA92F), (0xA9C8, 0xA9C9), (0xAA5D, 0xAA5F)),
    *((0xAAF0, 0xAAF1), (0xABEB, 0xABEB), (0xFE52, 0xFE52), (0xFE56, 0xFE57), (0xFF01, 0xFF01), (0xFF0E, 0xFF0E)),
    *((0xFF1F, 0xFF1F), (0xFF61, 0xFF61), (0x10A56, 0x10A57), (0x10F55, 0x10F59), (0x10F86, 0x10F89)),
    *((0x11047, 0x11048), (0x110BE, 0x110C1), (0x11141, 0x11143), (0x111C5, 0x111C6), (0x111CD, 0x111CD)),
    *((0x111DE, 0x111DF), (0x11238, 0x11239), (0x1123B, 0x1123C), (0x112A9, 0x112A9), (0x1144B, 0x1144C)),
    *((0x115C2, 0x115C3), (0x115C9, 0x115D7), (0x11641, 0x11642), (0x1173C, 0x1173E), (0x11944, 0x11944)),
    *((0x11946, 0x11946), (0x11A42, 0x11A43), (0x11A9B, 0x11A9C), (0x11C41, 0x11C42), (0x11EF7, 0x11EF8)),
    *((0x11F43, 0x11F44), (0x16A6E, 0x16A6F), (0x16AF5, 0x16AF5), (0x16B37, 0x16B38), (0x16B44, 0x16B44)),
    *((0x16E98, 0x16E98), (0x1BC9F, 0x1BC9F), (0x1DA88, 0x1DA88)),
)
_IDEOGRAPHS = ((0x3041, 0x309F), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))


@cache
def _listed() -> tuple[int, ...]:
    """The code points whose properties must be looked up one by one; of ranges that are alike the first."""
    ranges = (range(0xD800), range(0xE000, 0x32400), range(0xE0000, 0xE01F0))  # no other is assigned
    alike = frozenset(chain.from_iterable(range(first + 1, last + 1) for first, last in _ALIKE))
    return tuple(code for code in chain.from_iterable(ranges) if code not in alike)


@cache
def kinds() -> NDArray[np.uint16]:
    """The kinds of each code point, as bits [CODE_POINTS]."""
    table = np.zeros(CODE_POINTS, np.uint16)
    punctuation = _punctuation()
    for code in _listed():
        table[code] = _kind(chr(code)) | (0 if code in punctuation else PLAIN)
    for first, last in _ALIKE:
        table[first : last + 1] = table[first]
    for first, last in _TERMINALS:
        table[first : last + 1] |= TERMINAL
    for first, last in _IDEOGRAPHS:
        table[first : last + 1] |= IDEOGRAPH * (table[first : last + 1] & WORD)
    table.flags.writeable = False
    return table


def _kind(character: str) -> int:
    category = unicodedata.category(character)
    bits = WORD if character.isalnum() or category in ("Mn", "Mc") or character in "_\u200c\u200d" else 0
    bits |= ALPHA if character.isalpha() else 0
    bits |= SPACE if character.isspace() else 0
    bits |= BREAK if len(f"a{character}a".splitlines()) == 2 else 0
    bits |= MARKUP if character in MARKUP_CHARACTERS else 0
    bits |= PHRASE if character in _PHRASE_CHARACTERS else 0
    return bits | (CLOSER if category in ("Pe", "Pf", "Pi") or character in "\"'" else 0)


def _punctuation() -> frozenset[int]:
    """Code points that do not make a token a word."""
    ascii_marks = (code for code in range(33, 127) if unicodedata.category(chr(code))[0] in "PS")
    terminals = chain.from_iterable(range(first, last + 1) for first, last in _TERMINALS)
    return frozenset(chain(ascii_marks, _CONTROLS, _PUNCTUATION, terminals))


@cache
def letters() -> NDArray[np.uint32]:
    """What each code point becomes where near copies are compared [CODE_POINTS].

    Lower case without diacritics; any digit becomes "0", punctuation and white space a space; 0 means nothing is left.
    """
    table = np.arange(CODE_POINTS, dtype=np.uint32)
    punctuation = _punctuation()
    for code in _listed():
        table[code] = 32 if code in punctuation and chr(code) != "_" else _letter(chr(code))
    table.flags.writeable = False
    return table


def _letter(character: str) -> int:
    if character.isspace():
        return 32
    if character.isdigit():
        return 48
    lower = character.lower()
    bases = [part for part in unicodedata.normalize("NFD", lower) if unicodedata.category(part) != "Mn"]
    if not bases:
        return 0
    return ord(bases[0] if len(bases) == 1 else lower[0])  # a syllable of Hangul is no letter with marks


@cache
def folds() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Case folding in canonical decomposition: of each code point its only character, or CODE_POINTS + an index.

    The second table holds, at that index, how many characters follow there, and then these.
    """
    table, expansions = np.arange(CODE_POINTS, dtype=np.uint32), [0]
    for code in _listed():
        folded = unicodedata.normalize("NFD", chr(code).casefold())
        if len(folded) == 1:
            table[code] = ord(folded)
        else:
            table[code] = CODE_POINTS + len(expansions)
            expansions += [len(folded), *map(ord, folded)]
    table.flags.writeable = False
    longer = np.array(expansions, np.uint32)
    longer.flags.writeable = False
    return table, longer


@cache
def combining_classes() -> NDArray[np.uint8]:
    """The canonical combining class of each code point [CODE_POINTS]; marks out of its order must be sorted."""
    table = np.zeros(CODE_POINTS, np.uint8)
    for code in _listed():
        table[code] = unicodedata.combining(chr(code))
    table.flags.writeable = False
    return table


# What a character says of its text's case and normal form, as bits.
UPPER = 1  # upper case
LOWER = 2  # lower or title case
COMPOSING = 4  # may not be in Unicode's composed normal form (NFC) where it stands


@cache
def forms() -> NDArray[np.uint8]:
    """The case and normal form of each code point, as bits [CODE_POINTS]."""
    table = np.zeros(CODE_POINTS, np.uint8)
    for code in _listed():
        character = chr(code)
        table[code] |= UPPER * character.isupper() | LOWER * (
            character.islower() or character.istitle() > character.isupper()
        )
        table[code] |= COMPOSING * (
            unicodedata.combining(character) > 0 or not unicodedata.is_normalized("NFC", character)
        )
        parts = unicodedata.decomposition(character).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            table[int(parts[1], 16)] |= COMPOSING
    table[0x1161:0x1176] |= COMPOSING  # the vowels and last consonants of Hangul, which compose by rule
    table[0x11A8:0x11C3] |= COMPOSING
    table.flags.writeable = False
    return table
