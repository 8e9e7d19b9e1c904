"""What every document of a release is filled from: the lineage, and what a person says in a TOML file.

What neither of them holds is marked for a person to fill in. Nothing is guessed.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bise.openness.lineage import Ancestor, Lineage
from bise.openness.steps import Source, sources_of
from bise.weights.spec import ModelSpec

TRAINING = ("train", "tune")


@dataclass(frozen=True)
class About:
    """What only people know; every field may stay empty and is then marked in the documents."""

    version: str = ""
    licence: str = ""  # of the weights, as an SPDX id; else the recipe's
    provider: str = ""  # legal name
    address: str = ""
    contact: str = ""
    representative: str = ""  # in the Union, of a provider outside of it
    market_date: str = ""  # when it was first offered in the Union
    intended_use: str = ""
    out_of_scope_use: str = ""
    limitations: str = ""
    acceptable_use: str = ""  # the policy, or where it is
    rights_reservations: str = ""  # how opt-outs from text and data mining were respected
    unlawful_content: str = ""  # what was done to leave it out
    bias_measures: str = ""
    rationale: str = ""  # of design decisions
    repository: str = ""  # address of the release
    technical_report: str = ""  # addresses
    research_paper: str = ""
    dataset: str = ""
    evaluation_data: str = ""
    intermediate_weights: str = ""
    sample_outputs: str = ""


@dataclass(frozen=True)
class Record:
    """Everything that is known of a model."""

    name: str
    spec: ModelSpec
    lineage: Lineage
    about: About

    @property
    def model(self) -> Ancestor:
        """The model itself."""
        return self.lineage.links[0]

    @property
    def version(self) -> str:
        """As a person says, else the beginning of the manifest's hash."""
        return self.about.version or self.model.sha256[:12]

    @property
    def licence(self) -> str:
        """Of the weights; "" when nobody has chosen one."""
        configs = (str(link.manifest.config.get("licence") or "") for link in self.lineage.stage(*TRAINING))
        return self.about.licence or next((licence for licence in configs if licence), "") or self._stated_licence()

    def _stated_licence(self) -> str:
        facts = self.model.manifest.facts
        return "" if self.trained else str(facts.get("licence") or "")

    @property
    def description(self) -> str:
        """What the recipes say of it."""
        texts = (str(link.manifest.config.get("description") or "") for link in self.lineage.stage(*TRAINING))
        return next((text for text in texts if text), "")

    @property
    def trained(self) -> tuple[Ancestor, ...]:
        """The runs that changed weights, the last one first."""
        return self.lineage.stage(*TRAINING)

    @property
    def corpora(self) -> tuple[Ancestor, ...]:
        """The curated corpora."""
        return self.lineage.stage("curate")

    @property
    def sources(self) -> tuple[Source, ...]:
        """The texts of all steps, nearest first, each once."""
        found: dict[tuple[str, str], Source] = {}
        for link in self.lineage.links:
            for source in sources_of(link.manifest):
                found.setdefault((source.kind, source.name), source)
        return tuple(found.values())

    @property
    def languages(self) -> dict[str, int]:
        """Bytes of curated text in each language, the most first."""
        sizes = Counter[str]()
        for corpus in self.corpora:
            for lang, entry in table(corpus.manifest.facts.get("languages")).items():
                sizes[lang] += int(entry["bytes"])
        return dict(sizes.most_common())

    def total(self, fact: str) -> float | None:
        """The sum of a fact over the runs that changed weights; None when one of them does not state it."""
        values = [link.manifest.facts.get(fact) for link in self.trained]
        numbers = [value for value in values if isinstance(value, int | float)]
        return sum(numbers) if numbers and len(numbers) == len(values) else None

    @property
    def held_out(self) -> dict[str, float]:
        """Bits per byte of held-out texts after the last run, by language or kind."""
        after = table(self.trained[0].manifest.facts.get("held_out")) if self.trained else {}
        return {kind: float(one["bits_per_byte"]) for kind, one in after.items() if "bits_per_byte" in one}


def table(value: object) -> Mapping[str, Any]:
    """A table of a manifest's facts, or an empty one."""
    return value if isinstance(value, dict) else {}
