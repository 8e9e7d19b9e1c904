"""What a tuning run can be told: the base, the conversations with their origin and licence, and how long to learn."""

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bise.corpus.recipe import SourceFile
from bise.train.recipe import CostRecipe, LoopRecipe, OptimizerRecipe
from bise.weights.adapter import TARGETS, AdapterSpec


@dataclass(frozen=True)
class ConversationSource:
    """JSON lines of conversations, of one origin and one licence."""

    name: str
    licence: str
    files: tuple[SourceFile, ...]
    repository: str = ""  # where the conversations came from, a URL
    commit: str = ""  # the version of the repository
    preparation: str = ""  # what was done to the repository's files to get these JSON lines
    languages: tuple[str, ...] = ()  # take these only; empty means all
    leave_out: str = ""  # regular expression: a conversation in which it is found is not taken
    max_tokens: int | None = None  # a longer conversation is not taken; none means the context decides
    max_conversations: int | None = None  # taken at most, chosen by hash; none means all
    repeats: float = 1.0  # times read in an epoch
    learn: Literal["all", "last"] = "all"  # which answers of a conversation; of a preference only the last ones count
    held_out_fraction: float | None = None  # of this source; none means the recipe's
    ignored_keys: tuple[str, ...] = ()  # of the lines, beside those that Bise knows

    def __post_init__(self) -> None:
        """Refuse what cannot be read."""
        if not self.name or not self.licence.strip() or not self.files:
            raise ValueError(f"source {self.name!r} must have a name, a licence and files.")
        if self.repeats <= 0:
            raise ValueError(f"repeats of {self.name} is {self.repeats}, but must be above 0.")
        if self.held_out_fraction is not None and not 0 <= self.held_out_fraction <= 1:
            raise ValueError(f"held_out_fraction of {self.name} must be at least 0 and at most 1.")
        for key in ("max_tokens", "max_conversations"):
            if (limit := getattr(self, key)) is not None and limit < 1:
                raise ValueError(f"{key} of {self.name} is {limit}, but must be at least 1.")
        try:
            re.compile(self.leave_out)
        except re.error as error:
            raise ValueError(f"leave_out of {self.name} is no regular expression: {error}.") from None


@dataclass(frozen=True)
class OutsideSources:
    """Conversations that lie elsewhere, as curation's sources do."""

    root: Path = Path()  # the directory that holds them
    list: tuple[ConversationSource, ...] = ()


@dataclass(frozen=True)
class AdapterRecipe:
    """Tune an adapter instead of all weights (LoRA, arXiv 2106.09685): less memory, and a file of a few megabytes."""

    rank: int = 16
    alpha: float = 32.0  # the adapter counts alpha / rank
    targets: tuple[str, ...] = TARGETS  # matrices of each layer, by canonical name
    merge: bool = True  # write the base with the adapter added, too; it takes 2 bytes a weight of the base
    strength: float = (
        1.0  # of the finished adapter, as a share: below 1 it forgets less, and says what it learned less surely
    )

    def spec(self, base: str) -> AdapterSpec:
        """The adapter's shape as it learns.

        Raises:
            ValueError: it is none.
        """
        return AdapterSpec(self.rank, self.alpha, self.targets, base)

    def finished_spec(self, base: str) -> AdapterSpec:
        """The adapter's shape as it is written."""
        return AdapterSpec(self.rank, self.alpha * self.strength, self.targets, base)

    def __post_init__(self) -> None:
        """Refuse what is no adapter."""
        self.spec("")
        if not 0 < self.strength <= 1:
            raise ValueError(f"strength is {self.strength}, but must be above 0 and at most 1.")


@dataclass(frozen=True)
class DpoRecipe:
    """Learn which of two answers is better (direct preference optimisation, arXiv 2305.18290)."""

    beta: float = 0.1  # how strongly the tuned model is held to the base: higher stays closer
    sft_weight: float = (
        0.0  # of the chosen answer's own loss beside the preference's; above 0, plain conversations count too
    )

    @property
    def loss_unit(self) -> str:
        """What the loss is counted in."""
        return "nats per pair" + (f" + {self.sft_weight:g} x nats per token" if self.sft_weight else "")

    def __post_init__(self) -> None:
        """Refuse what cannot be descended."""
        if self.beta <= 0:
            raise ValueError(f"beta is {self.beta}, but must be above 0.")
        if self.sft_weight < 0:
            raise ValueError(f"sft_weight is {self.sft_weight}, but must not be negative.")


@dataclass(frozen=True)
class GeneralText:
    """Texts that nobody tunes on, to see whether a tune forgets: JSON lines with "text" and "lang"."""

    files: tuple[SourceFile, ...]
    root: Path = Path()


@dataclass(frozen=True)
class TuneRecipe:
    """Tune base weights on conversations."""

    name: str  # the run is <root>/tune/<name>
    base: Path  # a finished training or tuning run
    conversations: tuple[ConversationSource, ...]  # files relative to the working directory
    epochs: float  # passes over the conversations
    description: str = ""  # what the model is and is not, for its card
    licence: str = ""  # of the weights, for the card
    root: Path = Path("runs")
    adapter: AdapterRecipe | None = None  # None: tune every weight
    dpo: DpoRecipe | None = None  # the conversations are then preferences
    row_length: int = 0  # tokens that are learned from together; 0: what the longest conversation needs
    general_text: GeneralText | None = None  # none: held-out documents of the base's own run, else texts of the package
    sources: OutsideSources = field(default_factory=OutsideSources)  # further conversations, relative to sources.root
    seed: int = 0
    held_out_fraction: float = 0.02  # of the conversations, chosen by hash; never learned
    held_out_rows: int = 16  # windows of each language in every evaluation, at most
    optimizer: OptimizerRecipe = field(
        default_factory=lambda: OptimizerRecipe(0.002, 0.001, warm_up_fraction=0.05, decay_fraction=0.9)
    )
    loop: LoopRecipe = field(default_factory=LoopRecipe)
    cost: CostRecipe = field(default_factory=CostRecipe)

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        if self.epochs <= 0:
            raise ValueError(f"epochs is {self.epochs}, but must be above 0.")
        if not 0 < self.held_out_fraction < 1:
            raise ValueError(f"held_out_fraction is {self.held_out_fraction}, but must lie between 0 and 1.")
        if self.held_out_rows < 1:
            raise ValueError(f"held_out_rows is {self.held_out_rows}, but must be at least 1.")
        if self.row_length < 0:
            raise ValueError(f"row_length is {self.row_length}, but must be 0 or more.")
        if not self.conversations and not self.sources.list:
            raise ValueError("conversations is empty. Name at least one source.")

    def published(self) -> dict[str, Any]:
        """The recipe as a manifest shows it: without the paths of this machine, since it travels with the model."""
        table = asdict(self)
        del table["root"], table["sources"]["root"]
        if self.base.is_absolute():
            table["base"] = Path("runs", *self.base.parts[-2:])
        return table
