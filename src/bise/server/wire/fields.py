"""Fields that several dialects share, with bounds on everything.

Three kinds of field: those that are honoured; those that would change the answer and cannot be honoured, which are
refused by name unless they have the value that changes nothing; and all others, which are ignored and named in the
response's header `x-bise-ignored-fields`.
"""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from bise.server.backend import DEFAULT_TEMPERATURE, Sampling, UnsupportedError

MAX_STOPS = 16
MAX_ANSWERS = 128
MAX_ALTERNATIVES = 20
MAX_BIASES = 1024
INT64 = 2**63
_FIELD_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# field -> the values besides null that change nothing
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "functions": ([],),
    "function_call": ("none", "auto"),
    "best_of": (1,),
    "prompt_logprobs": (False, 0),
    "top_prompt_logprobs": (0,),
    "modalities": (["text"],),
    "audio": (),
    "guardrails": ([],),
    "web_search_options": (),
    "documents": ([],),
    "chat_template": (),
    "output_dimension": (),
    "dimensions": (),
    "output_dtype": ("float",),
}


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Stops = Annotated[list[Stop], Field(max_length=MAX_STOPS), BeforeValidator(_as_list)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
NumTokens = Annotated[int, Field(ge=1, lt=INT64)]
Seed = Annotated[int, Field(ge=-INT64, lt=INT64)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
BiasedToken = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,10}$")]
Bias = Annotated[float, Field(ge=-100, le=100)]


class Body(BaseModel):
    """A request's body: unknown fields are kept aside to be named."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    def ignored_fields(self) -> str:
        """Name the fields that had no effect, for a header: names only, and only plain ones."""
        extra = self.model_extra or {}
        return ", ".join(sorted(n for n in extra if n not in UNSUPPORTED and _FIELD_NAME.fullmatch(n))[:50])

    def refuse_unsupported(self) -> None:
        """Refuse a field that would change the answer and is not honoured.

        Raises:
            UnsupportedError: it has a value that asks for something.
        """
        for name, value in (self.model_extra or {}).items():
            if name in UNSUPPORTED and value is not None and not _is_neutral(name, value):
                neutral = UNSUPPORTED[name]
                advice = f"Leave it out, or send {neutral[0]!r}." if neutral else "Leave it out."
                words = f"{name} is not supported by this server, with the value that was sent. {advice}"
                raise UnsupportedError(words, name)


class StreamOptions(BaseModel):
    """What else a stream carries."""

    include_usage: bool = False


class SampledBody(Body):
    """What all requests for tokens may say about them."""

    model: ModelName
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    min_tokens: Annotated[int, Field(ge=0, lt=INT64)] | None = None
    seed: Seed | None = None
    random_seed: Seed | None = None
    stop: Stops | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=10)] | None = None
    logit_bias: Annotated[dict[BiasedToken, Bias], Field(max_length=MAX_BIASES)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_ANSWERS)] | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a chunk for the usage alone."""
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self, max_tokens: int | None, logprobs: int | None) -> Sampling:
        """How to draw the tokens."""
        seed = self.seed if self.seed is not None else self.random_seed
        return Sampling(
            temperature=DEFAULT_TEMPERATURE if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0.0,
            max_tokens=max_tokens,
            min_tokens=self.min_tokens or 0,
            seed=None if seed is None else seed % INT64,
            stop=tuple(self.stop or ()),
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            repetition_penalty=self.repetition_penalty or 1.0,
            logit_bias=tuple((int(token), bias) for token, bias in (self.logit_bias or {}).items()),
            n=self.n or 1,
            logprobs=logprobs,
        )


def _is_neutral(name: str, value: object) -> bool:
    return any(
        value == neutral and isinstance(value, bool) == isinstance(neutral, bool) for neutral in UNSUPPORTED[name]
    )


Json = dict[str, Any]
