"""What an engine is told when it is made, and what it tells about itself."""

from dataclasses import dataclass

from bise.engine.forward import Activations
from bise.engine.kernels.cells import PRECISIONS, KVPrecision


@dataclass(frozen=True)
class EngineConfig:
    """The engine's limits."""

    step_tokens: int = 256  # most tokens in one step
    step_s: float = 0.2  # seconds that a step may take while answers are written: the size of a prompt's chunks
    max_sequences: int = 32  # most sequences that run at once; more wait
    cache_bytes: int | None = None  # most memory for keys and values; None: a quarter of the machine's
    adapter_bytes: int | None = None  # most memory for adapters; None: a sixteenth of the machine's
    kv_precision: KVPrecision = "fp16"  # "int8" holds nearly twice the tokens in the same memory
    activations: Activations = "int8"  # "float32" is slow and rounds nothing
    num_threads: int | None = None  # None: the processor's usable cores
    instruction_set: str = "auto"  # "avx512", "avxvnni", "avx2" or "numpy"; the best by default
    speculation: bool = True  # whether answers' next tokens are proposed from their own text; it changes only the time
    draft: str | None = None  # directory of a smaller model of the same vocabulary, which guesses next tokens
    draft_tokens: int | None = None  # how many it guesses in a step; None: as many as pay, by what is measured
    prefix_sharing: bool = True  # whether requests of one tenant share what was computed of the same beginning

    def __post_init__(self) -> None:
        """Refuse what cannot work; every running sequence must fit into a step, or some would never get a token."""
        if not 1 <= self.max_sequences <= self.step_tokens:
            raise ValueError(
                f"max_sequences is {self.max_sequences}, but must be from 1 to step_tokens ({self.step_tokens})."
            )
        if self.step_s <= 0:
            raise ValueError(f"step_s is {self.step_s}, but must be above 0.")
        if self.kv_precision not in PRECISIONS:
            raise ValueError(f"kv_precision is {self.kv_precision!r}, but must be one of {', '.join(PRECISIONS)}.")


@dataclass(frozen=True)
class EngineStats:
    """What the engine holds at the moment, and what it did since it started."""

    num_running: int  # sequences
    num_waiting: int
    num_blocks: int  # of the cache
    num_used_blocks: int
    num_cached_blocks: int  # held by nobody, kept for sharing
    num_prompt_tokens: int  # of admitted sequences; those computed again after a preemption do not count
    num_cached_tokens: int  # of these, that were shared instead of computed
    num_drawn_tokens: int
    num_proposed_tokens: int  # that were computed on the chance that they are drawn
    num_held_tokens: int  # of these, that were
    num_preemptions: int
    num_evictions: int  # of cached blocks
    num_adapters: int  # in memory
    adapter_bytes: int  # that these take
