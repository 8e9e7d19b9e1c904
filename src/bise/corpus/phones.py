"""Phone numbers among digits that stand close together.

International numbers begin with "+" or "00". National ones are known by their shape: how German, English, French, Italian
and Spanish speakers group the digits. A number of another shape counts only behind a word such as "phone".
"""

import re
from collections.abc import Iterator

_SPACE = " \u00a0\u202f"
_MARKS = f"{_SPACE}.()/‑–-"
_DIGITS = re.compile("[0-9]+")
_WIDE_GAP = re.compile(r"[^0-9]{2,3}")
_EXTENSION = re.compile(r" ?(?:x|ext\.? ?)[0-9]{1,6}(?!\w)", re.IGNORECASE)
_CUE = re.compile(
    r"(?<![^\W_])(?:tel|tél|telefon\w{0,2}|telephone|téléphone|teléfono|phone|fax|mobile?|móvil|cell\w{0,5}|call|dial|handy|"
    r"rufnummer|appele[rz]|llam\w{1,3}|chiam\w{1,3}|whatsapp|sms|portable|desk|answering at|messages? to)(?![^\W_])"
    r"(?:[^\n]{0,24}|:?[ \t]{0,2}\n[ \t]{0,4})\Z",
    re.IGNORECASE,
)
_CUE_BEHIND = re.compile(r"[ \\,(-]{1,3}(?:office|fax|mobile|home|cell|work|desk)\b", re.IGNORECASE)
_SOCIAL_SECURITY = re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}")
_DATE = re.compile(
    r"(?<![0-9])(?:[0-9]{1,2}[./-][0-9]{1,2}[./-](?:1[89]|20)[0-9]{2}|(?:1[89]|20)[0-9]{2}[./-][0-9]{1,2}[./-][0-9]{1,2})(?![0-9])"
)
_ISBN_WORD = re.compile(r"(?:ISBN|ISSN|DOI|ean)[\w\s:()-]{0,12}\Z", re.IGNORECASE)

_NORTH_AMERICAN = re.compile(r"(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[.-])[0-9]{3}[ .-][0-9]{4}")
_SPANISH = re.compile(rf"[6-9][0-9]{{2}}(?:[{_SPACE}.-][0-9]{{2}}){{3}}")
_ITALIAN_MOBILE = re.compile(rf"3[2-9][0-9][{_SPACE}./-](?:[0-9]{{6,7}}|[0-9]{{3}}[{_SPACE}.-][0-9]{{3,4}})")
_LOCAL_PARTS = (2, 9)  # digits of a group behind an area code


def find_phones(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Spans of phone numbers in `text[start:stop]`, a stretch that begins and ends with a digit."""
    start = _opening(text, start)
    if _is_phone(text, start, stop):
        yield start, _extended(text, stop)
        return
    for piece_start, piece_stop in _pieces(text, start, stop):
        if _is_phone(text, piece_start, piece_stop):
            yield piece_start, _extended(text, piece_stop)


def _opening(text: str, start: int) -> int:
    """Take in what may stand before the first digit: "+", "(" or "(+"."""
    for mark in "+(":
        if start > 0 and text[start - 1] == mark:
            start -= 1
    return start


def _pieces(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """What stands between gaps of two characters and more."""
    for gap in _WIDE_GAP.finditer(text, start, stop):
        if gap.start() > start:
            yield start, gap.start()
        start = gap.end() - (gap[0][-1] in "+(")
    yield start, stop


def _extended(text: str, stop: int) -> int:
    extension = _EXTENSION.match(text, stop)
    return extension.end() if extension else stop


def _is_phone(text: str, start: int, stop: int) -> bool:
    number = text[start:stop]
    groups = _DIGITS.findall(number)
    num_digits = sum(map(len, groups))
    if not 7 <= num_digits <= 17 or _is_part_of_something(text, start, stop):
        return False
    before = text[max(0, start - 40) : start]
    if _DATE.search(number) or _ISBN_WORD.search(before) or (num_digits == 13 and number.startswith(("978", "979"))):
        return False
    if number.startswith(("+", "(+")):
        return num_digits >= 8 and not groups[0].startswith("0")
    has_cue = _CUE.search(before) is not None or _CUE_BEHIND.match(text, stop) is not None
    if groups[0].startswith("00"):
        return num_digits >= 10 and groups[0][2:3] != "0" and (has_cue or (len(groups) > 2 and groups[0] != "00"))
    if _NORTH_AMERICAN.fullmatch(number) or _SPANISH.fullmatch(number) or _ITALIAN_MOBILE.fullmatch(number):
        return True
    return _has_area_code(number, groups, num_digits) or (has_cue and num_digits <= 15 and len(groups[0]) > 1)


def _is_part_of_something(text: str, start: int, stop: int) -> bool:
    """Whether a letter, a sign or a further digit shows that this is a piece of a longer word or number."""
    before, after = text[start - 1 : start], text[stop : stop + 2]
    if before.isalnum() or (before in ("_", "=", "/", ".", ",", "-", "#", "$", "€", "£") and before):
        return True
    if before == ":" and text[start - 2 : start - 1].isdigit():
        return True
    if _EXTENSION.match(text, stop):
        return False
    return bool(after) and (after[0].isalnum() or after[0] in "_%€$£" or (after[0] in ".,:-/" and after[1:].isdigit()))


def _has_area_code(number: str, groups: list[str], num_digits: int) -> bool:
    """Whether a number begins with 0 and is grouped as in France, Germany, Italy or the United Kingdom."""
    code, rest = groups[0], groups[1:]
    if not (9 <= num_digits <= 12 and re.fullmatch("0[1-9][0-9]{0,4}", code) and rest):
        return False
    if len(rest) == 1 and ("." in number or (num_digits < 10 and " " in number)):  # a fraction; postcode and number
        return False
    if _SOCIAL_SECURITY.fullmatch(number):
        return False
    return all(_LOCAL_PARTS[0] <= len(group) <= _LOCAL_PARTS[1] for group in rest)
