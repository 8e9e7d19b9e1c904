"""Blocklists that the user brings: addresses of sites that are not wanted, and words that a text may hold only so often.

Lists of sites have millions of entries; each is kept as a 64-bit hash, eight bytes, so that ten million take 80 MB and
one address in a hundred thousand million is blocked by chance. Words are matched whole and whatever their case.
"""

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from bise.corpus.formats.lines import read_texts
from bise.corpus.kernels.sequences import find_phrases
from bise.corpus.kernels.text import Hashes, Longs
from bise.corpus.texts import pack, read_only
from bise.corpus.words import GramTable, Words, grams, split_words
from bise.errors import InputError

_LOCAL_NAMES = frozenset(["localhost", "localhost.localdomain", "local", "broadcasthost", "0.0.0.0"])
_MAX_LABELS, _MAX_SEGMENTS = 20, 20  # of a host, and of a path, that are looked up
ANY_LANGUAGE = ""


@dataclass(frozen=True)
class UrlBlocklist:
    """Domains, with everything below them, and beginnings of paths."""

    hashes: Hashes  # sorted, distinct
    has_paths: bool

    @classmethod
    def read(cls, files: Sequence[Path]) -> "UrlBlocklist":
        """Read lists, plain or packed: a domain or an address a line, a hosts file, or "||domain^" of ad blockers.

        An entry "example.org/a" blocks that path and all below it. What follows "#" or "!" is a remark.

        Raises:
            InputError: a line is none of these, a file is damaged, or no file has an entry.
        """
        hashes, has_paths = array("Q"), False
        for path in files:
            for number, line in read_texts(path):
                for entry in _entries(line, f"{path}, line {number:,}"):
                    hashes.append(_hash(entry))
                    has_paths |= "/" in entry
        if not hashes:
            raise InputError(f"The blocklist {', '.join(map(str, files))} has no entry.")
        return cls(np.unique(np.frombuffer(hashes, np.uint64)), has_paths)

    def match(self, url: str) -> str:
        """The entry that blocks an address, or "" when none does; an address without a host is not blocked."""
        try:
            parts = urlsplit(url if "//" in url else f"//{url}")
            host = _ascii_host(parts.hostname or "")
        except ValueError:
            return ""
        labels = host.split(".")[-_MAX_LABELS:]
        domains = [".".join(labels[start:]) for start in range(len(labels)) if host]
        keys = list(domains)
        if self.has_paths:
            segments = [segment for segment in parts.path.split("/") if segment][:_MAX_SEGMENTS]
            paths = ["/".join(segments[: stop + 1]) for stop in range(len(segments))]
            keys += [f"{domain}/{path}" for domain in domains for path in paths]
        if not keys:
            return ""
        wanted = np.array([_hash(key) for key in keys], np.uint64)
        places = np.minimum(np.searchsorted(self.hashes, wanted), self.hashes.size - 1)
        found = np.flatnonzero(self.hashes[places] == wanted)
        return keys[found[0]] if found.size else ""


def _entries(line: str, place: str) -> Iterator[str]:
    words = line.split("#", maxsplit=1)[0].split()
    if not words or words[0].startswith("!"):
        return
    is_hosts_line = len(words) > 1 and words[0] in ("0.0.0.0", "127.0.0.1", "::", "::1")
    if len(words) > 1 and not is_hosts_line:
        raise InputError(f"{place}: {line.strip()[:80]!r} is neither a domain, an address nor a line of a hosts file.")
    for word in words[1:] if is_hosts_line else words:
        entry = word.removeprefix("||").removesuffix("^")
        try:
            parts = urlsplit(entry if "//" in entry else f"//{entry}")
            host = _ascii_host((parts.hostname or "").removeprefix("*."))
        except ValueError as error:
            raise InputError(f"{place}: {word[:80]!r} is no address ({error}).") from None
        if host in _LOCAL_NAMES or host.startswith("ip6-"):
            continue
        if not host or any(mark in host for mark in "*^|$ "):
            raise InputError(
                f"{place}: {word[:80]!r} is no domain and no address. Patterns with marks are not known here."
            )
        path = "/".join(segment for segment in parts.path.split("/") if segment)
        yield f"{host}/{path}" if path else host


def _ascii_host(host: str) -> str:
    """A host's name as the network spells it: lower case, letters beyond ASCII in Punycode."""
    host = host.lower().rstrip(".")
    if host.isascii():
        return host
    return ".".join(
        label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in host.split(".")
    )


def _hash(entry: str) -> int:
    return int.from_bytes(hashlib.blake2b(entry.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class WordMatches:
    """What a word list found in a batch."""

    counts: Longs  # matches in each text
    num_words: Longs  # words in each text
    found_words: Longs  # word of the batch at which each match begins
    found_phrases: NDArray[np.int32]  # which phrase of the list it is

    def shares(self) -> NDArray[np.float64]:
        """Matches a word, for each text."""
        shares: NDArray[np.float64] = self.counts / np.maximum(self.num_words, 1)
        return shares


@dataclass(frozen=True)
class WordList:
    """Words and phrases by language."""

    languages: tuple[str, ...]  # ANY_LANGUAGE first
    phrases: tuple[str, ...]
    left_out: tuple[str, ...]  # entries whose marks would be lost, so that other words would match: "a$$" as "a"
    table: GramTable  # of first words
    begins: Longs  # first phrase of each first word [first words + 1]
    lengths: Longs  # words of each phrase
    hashes: Hashes  # of each phrase
    phrase_languages: Longs  # place in `languages` of each phrase

    @classmethod
    def read(cls, files: Mapping[str, Path]) -> "WordList":
        """Read a list for each language, one word or phrase a line, plain or packed; "" is every language's.

        Raises:
            InputError: a file is damaged, or no file has an entry.
        """
        return cls.build({lang: [line for _, line in read_texts(path)] for lang, path in files.items()})

    @classmethod
    def build(cls, entries: Mapping[str, Sequence[str]]) -> "WordList":
        """Make a list of the entries of each language.

        Raises:
            InputError: nothing is left to look for.
        """
        languages = (ANY_LANGUAGE, *sorted(set(entries) - {ANY_LANGUAGE}))
        wanted = sorted({(lang, entry.strip()) for lang in entries for entry in entries[lang] if entry.strip()})
        kept = [(lang, entry) for lang, entry in wanted if _keeps_its_marks(entry)]
        words = split_words(*pack([entry for _, entry in kept]))
        if not kept:
            raise InputError("The word list has no entry with a letter or figure. Write one word or phrase a line.")
        lengths, first = words.counts(), words.hashes[words.firsts[:-1]]
        order = np.lexsort((-lengths, first))
        distinct, begins = np.unique(first[order], return_index=True)
        return cls(
            languages=languages,
            phrases=tuple(kept[k][1] for k in order),
            left_out=tuple(entry for _, entry in wanted if not _keeps_its_marks(entry)),
            table=GramTable.build(distinct),
            begins=np.append(begins, len(kept)).astype(np.int64),
            lengths=lengths[order],
            hashes=grams(words, words.firsts[:-1], lengths)[order],
            phrase_languages=np.array([languages.index(kept[k][0]) for k in order], np.int64),
        )

    def match(self, words: Words, langs: Sequence[str]) -> WordMatches:
        """Find every entry in a batch whose texts are in `langs`; the longest at each place, none within another."""
        numbers = {lang: number for number, lang in enumerate(self.languages)}
        found, phrases = np.empty(words.hashes.size, np.int64), np.empty(words.hashes.size, np.int32)
        count = find_phrases(
            read_only(words.hashes),
            read_only(words.firsts),
            read_only(np.array([numbers.get(lang, -1) for lang in langs], np.int64)),
            self.table.keys,
            self.table.values,
            self.table.bits,
            read_only(self.begins),
            read_only(self.lengths),
            read_only(self.hashes),
            read_only(self.phrase_languages),
            found,
            phrases,
        )
        texts = np.searchsorted(words.firsts, found[:count], side="right") - 1
        counts = np.bincount(texts, minlength=words.firsts.size - 1).astype(np.int64)
        return WordMatches(counts, words.counts(), found[:count], phrases[:count])


def _keeps_its_marks(entry: str) -> bool:
    """Whether an entry has words, and nothing but spaces, hyphens, apostrophes and full stops between and beside them."""
    data, offsets = pack([entry])
    words = split_words(data, offsets)
    kept = sum(stop - start for start, stop in zip(words.starts.tolist(), words.stops.tolist(), strict=True))
    return kept > 0 and bool(
        kept + sum(len(c.encode()) for c in entry if c.isspace() or c in "-'’.,‐") == int(data.size)
    )
