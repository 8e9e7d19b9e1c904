"""What a training run can be told. One dial first (`tokens`, `shape`); the rest has defaults that hold at this size."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Shape:
    """The model's shape; the vocabulary is the tokenizer's. Field meanings are those of `ModelSpec`."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn_size: int
    context_length: int  # tokens
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    tied_embeddings: bool = False


@dataclass(frozen=True)
class OptimizerRecipe:
    """Muon for the matrices of the blocks, AdamW for the rest; warm up, stay, decay to zero (arXiv 2405.18392)."""

    matrix_learning_rate: float = 0.006  # per step, in units of AdamW's (update RMS 0.2)
    embedding_learning_rate: float = 0.004  # per step; embeddings, output, norms and adapters
    weight_decay: float = 0.05  # of the matrices, times their learning rate
    warm_up_fraction: float = 0.02  # of all steps, 0..1
    decay_fraction: float = 0.4  # of all steps, 0..1

    def __post_init__(self) -> None:
        """Refuse rates that cannot train."""
        for name in ("matrix_learning_rate", "embedding_learning_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be above 0 and at most 1.")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay is {self.weight_decay}, but must not be negative.")
        if min(self.warm_up_fraction, self.decay_fraction) < 0 or self.warm_up_fraction + self.decay_fraction > 1:
            raise ValueError("warm_up_fraction and decay_fraction must be at least 0 and together at most 1.")


@dataclass(frozen=True)
class LoopRecipe:
    """How the steps run. The gradient does not depend on `microbatch_rows`."""

    batch_rows: int = 32  # windows a step
    microbatch_rows: int = 8  # windows at once in memory; divides batch_rows
    eval_every: int = 100  # steps
    checkpoint_every: int = 100  # steps
    threads: int = 0  # 0: one for each processor
    precision: Literal["auto", "bf16", "f32"] = "auto"  # auto: the faster one here, measured at the start
    compile: Literal["auto", True, False] = "auto"  # the blocks, by torch.compile; auto: when it is earned back
    # Compute each block twice instead of keeping what its gradient needs: a third slower, a fraction of the memory. auto: beside
    # quantised weights, where it would be more than a gigabyte. The result is the same, bit for bit.
    recompute: Literal["auto", True, False] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: a CUDA device where there is one

    def __post_init__(self) -> None:
        """Refuse batches that cannot be split."""
        for name in ("batch_rows", "microbatch_rows", "eval_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        if self.batch_rows % self.microbatch_rows:
            raise ValueError(
                f"batch_rows ({self.batch_rows}) must be a multiple of microbatch_rows ({self.microbatch_rows})."
            )
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}, but must be 0 or more.")


@dataclass(frozen=True)
class CostRecipe:
    """What the machine takes and what that costs, for the record; nothing is said about what is left at 0."""

    watts: float = 0.0  # of the whole machine while it trains, as a meter shows it
    price_per_kwh: float = 0.0
    price_per_hour: float = 0.0  # of a rented machine
    currency: str = "EUR"

    def __post_init__(self) -> None:
        """Refuse negative figures."""
        for name in ("watts", "price_per_kwh", "price_per_hour"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must not be negative.")

    def kwh(self, seconds: float) -> float:
        """Energy of so many seconds."""
        return self.watts * seconds / 3.6e6

    def price(self, seconds: float) -> float:
        """Cost of so many seconds, in the currency."""
        return self.kwh(seconds) * self.price_per_kwh + self.price_per_hour * seconds / 3600


@dataclass(frozen=True)
class TrainRecipe:
    """Train base weights from a curated corpus."""

    name: str  # the run is <root>/train/<name>
    corpus: Path  # a finished curation run
    tokenizer: Path | None = None  # a finished tokenizer run; none with a base, which keeps its own
    base: Path | None = None  # train on from it: a training or tuning run, or the name of a model in the store
    # The dial, one of three: time on this machine; a number of parameters; or shape and tokens. Of the first two, shape,
    # batch and learning rates follow (`budget.py`), the optimizer's being those for a width of 256.
    budget: str = ""  # such as "25m" or "2h"
    parameters: int | None = None  # of the nearest shape; `tokens` may be given too
    shape: Shape | None = None
    tokens: int | None = None  # to train on; beyond the corpus's own number it is read again in another order
    description: str = ""  # what the model is and is not, for its card
    licence: str = ""  # of the weights, for the card
    root: Path = Path("runs")
    row_length: int = 0  # tokens of a training window, at most the context; 0: the context. Short windows are faster
    seed: int = 0
    repeats: Mapping[str, float] = field(default_factory=dict)  # source -> times read in an epoch; 1 unless named
    held_out_fraction: float = 0.005  # of the documents, chosen by the hash of their id; never trained on
    held_out_rows: int = 24  # windows of each language in every evaluation, at most
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    loop: LoopRecipe = field(default_factory=LoopRecipe)
    cost: CostRecipe = field(default_factory=CostRecipe)

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        self._check_dial()
        if self.shape and not 0 <= self.row_length <= self.shape.context_length:
            raise ValueError(f"row_length is {self.row_length}, but must be 0..{self.shape.context_length}.")
        if any(times < 0 for times in self.repeats.values()):
            raise ValueError("repeats must not be negative. Write 0 to leave a source out.")
        if not 0 < self.held_out_fraction < 1:
            raise ValueError(f"held_out_fraction is {self.held_out_fraction}, but must lie between 0 and 1.")
        if self.held_out_rows < 1:
            raise ValueError(f"held_out_rows is {self.held_out_rows}, but must be at least 1.")

    def _check_dial(self) -> None:
        if (self.base is None) == (self.tokenizer is None):
            raise ValueError("it must give either tokenizer, to begin from nothing, or base, to train on from a model.")
        given = [name for name in ("budget", "parameters", "shape") if getattr(self, name)]
        if self.base and (given == ["budget"]) == bool(self.tokens):
            raise ValueError("with a base, give its budget (a time) or tokens; its shape stays.")
        if self.base:
            return
        if self.tokens is not None and self.tokens < 1:
            raise ValueError(f"tokens is {self.tokens}, but must be at least 1.")
        is_one = given in (["budget"], ["parameters"], ["shape"])
        if not is_one or (self.budget and self.tokens) or (self.shape and not self.tokens):
            given += ["tokens"] if self.tokens else []
            raise ValueError(
                f"it gives {' and '.join(given) or 'no size'}. Give one: budget (a time), parameters with or without "
                "tokens, or shape with tokens."
            )
        if self.parameters is not None and self.parameters < 1:
            raise ValueError(f"parameters is {self.parameters}, but must be at least 1.")
