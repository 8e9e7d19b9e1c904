"""What the engine is asked, what it answers, and what it remembers of each answer in between."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bise.engine.adapters import HeldAdapter
from bise.engine.blocks import Namespace, Node
from bise.engine.draft import Drafting
from bise.engine.embedding import MeanState
from bise.engine.lookup import Lookup
from bise.engine.sampling import Sampler, SamplingParams, TokenLogprob
from bise.errors import InputError
from bise.weights.spec import ModelSpec

FinishReason = Literal["stop", "length", "failed", "grammar"]
Priority = Literal["interactive", "batch"]
MOST_GRAMMAR = 1 << 18  # characters
MOST_PREEMPTIONS = 4  # of a sequence, before it is promoted
PromptLogprobs = tuple[TokenLogprob | None, ...]


@dataclass(frozen=True)
class AdapterRef:
    """Which adapter a request wants."""

    key: str  # stands for its content: another adapter under the same name has another
    directory: str  # where it is read from when it is not in memory


@dataclass(frozen=True)
class Grammar:
    """What an answer must be.

    Raises:
        InputError: it is larger than may be.
    """

    kind: Literal["json_schema", "regex", "lark"]
    source: str
    trigger: int | None = None  # a token with which it begins: what comes before is free, and may be all

    def __post_init__(self) -> None:
        """Check the size."""
        if len(self.source) > MOST_GRAMMAR:
            raise InputError(
                f"The schema or grammar has {len(self.source)} characters, but may have at most {MOST_GRAMMAR}."
            )


class Constraint(Protocol):
    """Where one answer is in its grammar; `grammar.py` has the one there is."""

    @property
    def problem(self) -> str | None:
        """Why it cannot go on, if it cannot."""

    @property
    def is_finished(self) -> bool:
        """Whether the answer is whole and nothing can follow."""

    def copy(self) -> "Constraint":
        """Another answer at the same place."""

    def allowed(self) -> NDArray[np.bool_] | None:
        """For each token of the model whether it may follow; None: all may."""

    def take(self, token: int) -> None:
        """Go on by an allowed token."""

    def jump(self, most: int) -> list[int]:
        """Go on by the tokens that are the only way, at most so many."""


@dataclass(frozen=True)
class Request:
    """A prompt and how to answer it, `params.n` times."""

    request_id: str
    prompt_ids: Sequence[int]
    params: SamplingParams
    tenant: str = ""  # opaque; served fairly beside others, and computed prompts are shared within it only
    priority: Priority = "interactive"
    adapter: AdapterRef | None = None
    grammar: Grammar | None = None
    embeds: bool = False  # answer with a vector instead of tokens

    @property
    def namespace(self) -> Namespace:
        """Within what computed prompts are shared: keys and values depend on the adapter."""
        return (self.tenant, self.adapter.key if self.adapter else "")


@dataclass(frozen=True)
class StepOutput:
    """New tokens of one of a request's answers; the last output of each has a finish reason."""

    request_id: str
    token_ids: tuple[int, ...]
    # "failed": the model computed values that are not numbers; "grammar": keeping to it took more than it may
    finish_reason: FinishReason | None = None
    index: int = 0  # which of the request's answers
    logprobs: tuple[TokenLogprob, ...] = ()  # when asked for: of `token_ids`, then of the stop token that ended them
    prompt_logprobs: PromptLogprobs | None = None  # None where none is wanted; in the first output of answer 0
    num_cached_tokens: int = 0  # of the prompt, that others had computed
    embedding: tuple[float, ...] | None = None  # in the only output of a request that `embeds`


@dataclass(eq=False)
class SequenceState:
    """One answer of a request, from its arrival to its end."""

    request: Request
    index: int
    number: int  # order of arrival
    token_ids: list[int]  # prompt and answer
    max_length: int  # tokens, prompt included
    sampler: Sampler
    ending_ids: frozenset[int]
    node: Node  # of the last block that the tree knows
    adapter: HeldAdapter | None = None
    constraint: Constraint | None = None
    lookup: Lookup | None = None  # what proposes its next tokens from its own text
    drafting: Drafting | None = None  # how many of them a smaller model proposes, where that finds none
    unsent: tuple[int, ...] = ()  # tokens that the grammar forced at the beginning, until the first one is drawn
    blocks: list[int] = field(default_factory=list)
    num_shared: int = 0  # leading blocks that the tree knows
    num_computed: int = 0  # leading tokens whose keys and values are in the cache
    num_cached_tokens: int = 0  # of the prompt, that others had computed
    prompt_logprobs: list[TokenLogprob | None] | None = None  # so far; None: not wanted, or given out
    embedding: MeanState | None = None  # so far; None: not wanted
    has_to_follow: bool = False  # waits for another answer to compute the prompt
    row: int = -1  # of the engine's table of blocks; -1 unless running
    impatience: float = 0.0  # grows when others go before; full at 1
    num_preemptions: int = 0

    @property
    def num_left(self) -> int:
        """Tokens to compute before the next can be drawn: the rest of the prompt, then always one."""
        return len(self.token_ids) - self.num_computed

    @property
    def wants_prompt_rows(self) -> bool:
        """Whether logits of the prompt are to be looked at."""
        return self.prompt_logprobs is not None and len(self.prompt_logprobs) < len(self.request.prompt_ids)

    @property
    def num_to_share(self) -> int:
        """Leading tokens that need not be computed again where others have computed them, and one more."""
        if self.embedding is not None:
            return 0
        if self.wants_prompt_rows:
            assert self.prompt_logprobs is not None
            return len(self.prompt_logprobs)
        return len(self.token_ids)

    def num_logit_rows(self, count: int) -> int:
        """Of the next `count` tokens, how many need logits: the last ones."""
        stop = self.num_computed + count
        if self.wants_prompt_rows:
            assert self.prompt_logprobs is not None
            return max(0, min(count, stop - len(self.prompt_logprobs) + 1))
        return int(stop == len(self.token_ids))

    @property
    def is_promoted(self) -> bool:
        """Whether it goes before all that are not."""
        return self.impatience >= 1 or self.num_preemptions >= MOST_PREEMPTIONS

    @property
    def is_batch(self) -> bool:
        """Whether interactive ones go before it."""
        return self.request.priority == "batch" and not self.is_promoted


def check_prompt(prompt_ids: Sequence[int], spec: ModelSpec, max_length: int) -> None:
    """Refuse a prompt that the model cannot take.

    Raises:
        InputError: it is empty, holds ids outside the vocabulary, or leaves no room for an answer.
    """
    if not prompt_ids:
        raise InputError("The prompt is empty. Send at least one token.")
    if len(prompt_ids) >= max_length:
        limit = "this model's context is" if max_length == spec.context_length else "the memory set aside here holds"
        raise InputError(
            f"The prompt has {len(prompt_ids)} tokens, but {limit} {max_length} tokens, answer included. Shorten the "
            "conversation or start a new one."
        )
    wrong = next((token for token in prompt_ids if not 0 <= token < spec.vocab_size), None)
    if wrong is not None:
        raise InputError(f"Token id {wrong} is outside the model's vocabulary of {spec.vocab_size}.")
