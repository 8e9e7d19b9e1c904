"""Whether the licences of the sources let the weights have the licence that was chosen. No legal advice: it says what to read.

Licences are told by their names in the text that the source's owner states; of several in one text, the strictest counts.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bise.openness.steps import Source

Kind = Literal[
    "non-commercial", "no derivatives", "copyleft", "share-alike", "attribution", "permissive", "public domain"
]
Verdict = Literal[
    "fits", "fits with attribution", "to be decided", "conflicts", "to be read", "no licence of the weights is chosen"
]

# The strictest first.
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("non-commercial", re.compile(r"\bNC\b|non-?commercial|research only", re.IGNORECASE)),
    ("no derivatives", re.compile(r"\bND\b|no ?derivatives", re.IGNORECASE)),
    ("copyleft", re.compile(r"\bA?L?GPL|\bMPL\b|\bEUPL\b|\bGFDL\b|\bOSL\b", re.IGNORECASE)),
    ("share-alike", re.compile(r"\bSA\b|share-?alike|CDLA-Sharing|ODbL", re.IGNORECASE)),
    ("attribution", re.compile(r"CC[ -]BY\b|Licence Ouverte|ODC-By|\bOGL\b|Etalab|DL-DE", re.IGNORECASE)),
    ("permissive", re.compile(r"\bMIT\b|\bBSD\b|Apache|\bISC\b|Zlib|CDLA-Permissive|\bPSF\b", re.IGNORECASE)),
    ("public domain", re.compile(r"CC0|public domain|Unlicense|\bPDM\b|0BSD", re.IGNORECASE)),
)
# Names as people write them -> SPDX ids.
_IDS = {
    "apache 2.0": "Apache-2.0",
    "mit": "MIT",
    "unlicense": "Unlicense",
    "cc0 1.0": "CC0-1.0",
    "cc by 3.0": "CC-BY-3.0",
    "cc by 4.0": "CC-BY-4.0",
    "cc by-sa 3.0": "CC-BY-SA-3.0",
    "cc by-sa 4.0": "CC-BY-SA-4.0",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 2-clause": "BSD-2-Clause",
    "licence ouverte 2.0": "etalab-2.0",
    "cdla-sharing 1.0": "CDLA-Sharing-1.0",
    "mpl 2.0": "MPL-2.0",
    "eupl 1.2": "EUPL-1.2",
}
_KNOWN_IDS = {name.lower(): name for name in _IDS.values()}


@dataclass(frozen=True)
class Finding:
    """One source's licence against the weights'."""

    source: str
    licence: str
    kind: Kind | None  # None: not recognised
    verdict: Verdict


def kind_of(licence: str) -> Kind | None:
    """What a licence asks for; None when its name is not known."""
    return next((kind for kind, pattern in _KINDS if pattern.search(licence)), None)


def spdx_id(licence: str) -> str | None:
    """The SPDX id of a licence that is one, by its usual name or the id itself; a note in brackets is left out."""
    name = licence.split("(")[0].strip().lower()
    return _IDS.get(name) or _KNOWN_IDS.get(name)


def compare(sources: Iterable[Source], chosen: str) -> list[Finding]:
    """Each source's licence against the chosen one of the weights."""
    return [Finding(one.name, one.licence, kind_of(one.licence), _verdict(one.licence, chosen)) for one in sources]


def _verdict(licence: str, chosen: str) -> Verdict:
    if not chosen:
        return "no licence of the weights is chosen"
    kind = kind_of(licence)
    if kind is None or kind_of(chosen) is None:
        return "to be read"
    if kind in ("non-commercial", "no derivatives"):
        return "fits" if kind_of(chosen) == kind else "conflicts"
    if kind in ("copyleft", "share-alike"):  # whether weights are an adaptation of their texts is not settled
        return "fits with attribution" if spdx_id(licence) == spdx_id(chosen) is not None else "to be decided"
    return "fits" if kind == "public domain" else "fits with attribution"
