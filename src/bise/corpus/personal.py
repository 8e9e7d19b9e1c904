"""Personal data in texts: found, counted and replaced by stable placeholders such as `<EMAIL>`.

Found are e-mail addresses, IP addresses, phone numbers (international, and as German, English, French, Italian and
Spanish speakers write them), IBANs and payment cards. What has a checksum must pass it. Where a number could as well be a
date, an ISBN, a version or an amount, it stays: a text with its figures taken out is worth less than one with a number
too many. The server uses this too, so it needs nothing beyond the runtime's packages.

Searches begin at single characters that are quick to find ("@", ".", ":") or where digits stand close together, and
each expression takes time in proportion to the text: no part of one can match the same characters in two ways.
"""

import ipaddress
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from bise.corpus.phones import find_phones

Kind = Literal["email", "ip", "iban", "card", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # in order of precedence where two overlap

_LOCAL_MARKS = frozenset("_.!#$%&'*+/=?^`{|}~-")
_MAX_ROUNDS = 20  # what blocks a piece on its right blocks it on its left, so that three have always done
_MAX_LOCAL = 64  # characters before the "@"
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w-])")
_IPV4_START = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![\w]|\.[0-9])")
_IPV6_START = re.compile(r":[0-9A-Fa-f]{0,4}:")
_IPV6_TAIL = re.compile(r"[0-9A-Fa-f:]{2,39}(?![\w:])")
_VERSION_WORD = re.compile(
    r"(?:version|release|section|chapter|kapitel|abschnitt|§|\bv|\br)[\s.:]{0,3}\Z", re.IGNORECASE
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_CARD = re.compile(
    r"(?<![\w.,-])(?:[0-9]{12,19}(?!\w|[.,-][0-9])|(?<![0-9] )(?:[0-9]{4,6}[ -]){1,4}[0-9]{1,6}(?!\w|[ .,-][0-9]))"
)
_CARD_WORD = re.compile(r"(?:card|karte|carte|tarjeta|carta|visa|master|\bcc\b)[^\n]{0,30}\Z", re.IGNORECASE)
_DENSE = re.compile(r"[0-9](?:[ \u00a0\u202f.()/‑–-]{0,3}[0-9]){6,}")
_DENSE_DIGITS, _DENSE_BYTES = 7, 28  # what a stretch needs at least: seven digits, at most this far apart in UTF-8
_DENSE_GAP_BYTES = 10  # from a digit to the next that `_DENSE` can span: three marks of three bytes

# Length of an IBAN by country: the registry of SWIFT.
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA",
        30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


class Span(NamedTuple):
    """One piece of personal data."""

    start: int
    stop: int
    kind: Kind


CONTACTS: tuple[Kind, ...] = ("email", "phone")  # that may be public, and worth to be known


@dataclass(frozen=True)
class PersonalData:
    """What counts as personal data, and what takes its place."""

    kinds: tuple[Kind, ...] = KINDS
    addresses: Literal["public", "all"] = "public"  # which IP addresses: those of the internet, or also private ones

    def mask(self, text: str) -> tuple[str, dict[Kind, int]]:
        """The text with each piece replaced by `<KIND>`, and how many there were; masking twice changes nothing."""
        counts = Counter[Kind]()
        for _ in range(_MAX_ROUNDS):  # what stands beside a piece may become one when the piece is gone
            if not (spans := self.find(text)):
                break
            parts, end = [], 0
            for start, stop, kind in spans:
                parts += [text[end:start], f"<{kind.upper()}>"]
                counts[kind] += 1
                end = stop
            text = "".join([*parts, text[end:]])
        return text, dict(counts)

    def find(self, text: str) -> list[Span]:
        """Every piece in order, none overlapping another."""
        spans: list[Span] = []
        if "email" in self.kinds:
            spans += _emails(text)
        if "ip" in self.kinds:
            spans += _addresses(text, self.addresses == "all")
        if {"iban", "card", "phone"} & set(self.kinds):
            spans += [span for span in _numbers(text) if span.kind in self.kinds]
        return _without_overlaps(spans)


def _without_overlaps(spans: list[Span]) -> list[Span]:
    if len(spans) < 2:
        return spans
    taken: list[Span] = []
    for kind in KINDS:
        found = sorted(span for span in spans if span.kind == kind)
        merged, rest = [], iter(found)
        candidate = next(rest, None)
        for span in sorted(taken):
            while candidate and candidate.start < span.stop:
                if candidate.stop <= span.start:
                    merged.append(candidate)
                candidate = next(rest, None)
        taken += merged + ([candidate] if candidate else []) + list(rest)
    return sorted(taken)


def _emails(text: str) -> Iterator[Span]:
    end = 0
    at = text.find("@")
    while at >= 0:
        start = _local_start(text, max(end, at - _MAX_LOCAL), at)
        if start < at and (domain := _DOMAIN.match(text, at + 1)):
            yield Span(start, domain.end(), "email")
            end = domain.end()
        at = text.find("@", at + 1)


def _local_start(text: str, earliest: int, at: int) -> int:
    """Where the part before "@" begins; dots and marks do not open one."""
    start = at
    while start > earliest and (text[start - 1].isalnum() or text[start - 1] in _LOCAL_MARKS):
        start -= 1
    while start < at and not (text[start].isalnum() or text[start] in "_+"):
        start += 1
    return start


def _addresses(text: str, also_private: bool) -> Iterator[Span]:
    for found in _IPV4_START.finditer(text):
        start = found.start()
        while start > 0 and found.start() - start < 4 and text[start - 1] in "0123456789":
            start -= 1
        before = text[max(0, start - 12) : start]
        if before[-1:].isalnum() or before[-1:] in ("_", ".") or _VERSION_WORD.search(before):
            continue
        if _is_address(text[start : found.end()], also_private):
            yield Span(start, found.end(), "ip")
    end = 0
    for found in _IPV6_START.finditer(text):
        start = found.start()
        while start > end and found.start() - start < 4 and text[start - 1] in "0123456789abcdefABCDEF":
            start -= 1
        tail = _IPV6_TAIL.match(text, start) if start >= end else None
        if (
            tail
            and not (text[start - 1 : start].isalnum() or text[start - 1 : start] == ":")
            and _is_address(tail[0], also_private)
        ):
            yield Span(start, tail.end(), "ip")
            end = tail.end()


def _is_address(text: str, also_private: bool) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 4 and max(address.packed) < _SMALL_OCTET:  # "3.10.2.3" is a section
        return also_private and address.is_private
    if address.version == 6 and address not in _GLOBAL_UNICAST:  # "a::b" may be anything
        return also_private and ("::" not in text or address.is_link_local or address in _UNIQUE_LOCAL)
    return also_private or address.is_global


_SMALL_OCTET = 64  # all four below: one address in 256
_GLOBAL_UNICAST, _UNIQUE_LOCAL = ipaddress.ip_network("2000::/3"), ipaddress.ip_network("fc00::/7")


def _dense_stretches(text: str) -> list[tuple[int, int]]:
    """Where digits stand close together, seven of them at least: an IBAN, a card and a phone number all have that."""
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    places = np.flatnonzero((data - np.uint8(48)) < 10)
    ahead = _DENSE_DIGITS - 1
    if places.size <= ahead:
        return []
    hits = np.flatnonzero(places[ahead:] - places[:-ahead] <= _DENSE_BYTES)
    if not hits.size:
        return []
    ends = np.append(np.flatnonzero(np.diff(places) > _DENSE_GAP_BYTES), places.size - 1)  # last digit of each stretch
    wanted = np.unique(np.searchsorted(ends, hits))
    starts = places[np.where(wanted > 0, ends[wanted - 1] + 1, 0)]
    stops = places[ends[wanted]] + 1
    if not text.isascii():  # bytes to characters
        inner = np.flatnonzero((data & 0xC0) == 0x80)
        starts, stops = starts - np.searchsorted(inner, starts), stops - np.searchsorted(inner, stops)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _numbers(text: str) -> Iterator[Span]:
    end = 0
    stretches = _dense_stretches(text)
    for dense in itertools.chain.from_iterable(_DENSE.finditer(text, start, stop) for start, stop in stretches):
        for iban in _IBAN.finditer(text, max(end, dense.start() - 12), min(len(text), dense.end() + 24)):
            if stop := _iban_end(iban):
                yield Span(iban.start(), stop, "iban")
                end = max(end, stop)
        for card in _CARD.finditer(text, dense.start(), min(len(text), dense.end() + 2)):
            if _is_card(card):
                yield Span(*card.span(), "card")
        for start, stop in find_phones(text, dense.start(), dense.end()):
            yield Span(start, stop, "phone")


def _iban_end(found: re.Match[str]) -> int:
    """Where the IBAN that begins like `found` ends, or 0 if it is none."""
    length = _IBAN_LENGTHS.get(found[0][:2].upper(), 0)
    code, stop = "", found.start()
    for character in found[0]:
        if len(code) == length:
            break
        stop += 1
        code += character if character.isalnum() else ""
    if length == 0 or len(code) < length or found.string[stop : stop + 1].isalnum():
        return 0
    return stop if int("".join(str(int(digit, 36)) for digit in code[4:] + code[:4])) % 97 == 1 else 0


def _is_card(found: re.Match[str]) -> bool:
    digits = [int(digit) for digit in found[0] if digit.isdigit()]
    number = "".join(map(str, digits))
    if not 12 <= len(number) <= 19:
        return False
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    if (sum(digits[-1::-2]) + doubled) % 10 or len(set(digits)) == 1:
        return False
    before = found.string[max(0, found.start() - 40) : found.start()]
    is_in_address = before.endswith(("=", "/"))
    return (_has_card_range(number) and not is_in_address) or _CARD_WORD.search(before) is not None


def _has_card_range(number: str) -> bool:
    """Whether the issuer's range fits the length: Visa, Mastercard, Amex, Diners, Discover, JCB, UnionPay, Maestro."""
    two, four = int(number[:2]), int(number[:4])
    match len(number):
        case 14:
            return 300 <= int(number[:3]) <= 305 or two in (36, 38, 39)
        case 15:
            return two in (34, 37) or four in (1800, 2131)
        case 16:
            return (
                number[0] == "4"
                or 51 <= two <= 55
                or 2221 <= four <= 2720
                or 3528 <= four <= 3589
                or two in (62, 64, 65)
                or four in (6011, 5018, 5020, 5038, 6304, 6759, 6761, 6762, 6763)
            )
        case 17 | 18 | 19:
            return two in (62, 67) or (number[0] == "4" and len(number) == 19)
    return False
