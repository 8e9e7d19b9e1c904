"""Other servers behind this one: which there are, and how a request is said to each kind of them.

They all speak OpenAI's dialect, and differ in what they call things and in what they lack. What a kind of server lacks is
refused by name: it would otherwise be ignored in silence, or answered with another question's answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bise.config import load_recipe
from bise.errors import InputError
from bise.messages import Message
from bise.server.backend import ChatRequest, CompletionRequest, ResponseFormat, Sampling, ToolChoice, UnsupportedError

Kind = Literal["openai", "mistral", "vllm", "llama-server", "ollama", "bise"]
Body = dict[str, Any]
_EVERYTHING = ("top_k", "min_p", "min_tokens", "repetition_penalty", "logit_bias", "n", "logprobs")


@dataclass(frozen=True)
class Upstream:
    """Another server; a table `[[upstreams]]` of the file."""

    name: str
    url: str  # with its version: http://10.0.0.5:8000/v1
    kind: Kind = "openai"
    key: str = field(default="", repr=False)
    key_file: Path | None = None  # holds the key, so that this file need not
    models: Mapping[str, str] = field(
        default_factory=dict
    )  # name here -> name there; empty: all, as they are called there
    context_length: int = 32_768  # tokens, of models that do not tell
    timeout_s: float = 600.0  # without a byte
    connect_timeout_s: float = 5.0
    retries: int = 2  # before the first byte of an answer

    def __post_init__(self) -> None:
        """Check what would fail at the first request only."""
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"the url of {self.name} is {self.url!r}, but must begin with http:// or https://")
        if self.key and self.key_file is not None:
            raise ValueError(f"{self.name} has both key and key_file; give one")
        if min(self.timeout_s, self.connect_timeout_s) <= 0 or self.retries < 0 or self.context_length < 1:
            raise ValueError(f"{self.name}: times and context_length must be above 0, retries at least 0")

    def read_key(self) -> str:
        """The key.

        Raises:
            InputError: its file cannot be read.
        """
        if self.key_file is None:
            return self.key
        try:
            return self.key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The key of {self.name} could not be read from {self.key_file}: {error}.") from None


@dataclass(frozen=True)
class Upstreams:
    """The file that `bise serve --upstreams` names."""

    upstreams: tuple[Upstream, ...]


def read_upstreams(path: Path) -> tuple[Upstream, ...]:
    """Read the file of other servers.

    Raises:
        InputError: it is missing or wrong.
    """
    found = load_recipe(path, Upstreams).upstreams
    names = [upstream.name for upstream in found]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: two upstreams have the same name. Names: {', '.join(names)}.")
    return found


@dataclass(frozen=True)
class Dialect:
    """How a kind of server differs from OpenAI's API."""

    extras: Mapping[str, str]  # of the fields that not all have: our name -> theirs
    seed: str = "seed"
    required: str = "required"
    max_tokens: str = "max_tokens"
    prefix: Literal["flag", "continue", "trailing"] | None = None  # how an answer's beginning is said
    usage_option: bool = True  # usage in a stream has to be asked for
    tool_choice: bool = True
    suffix: bool = False  # of /completions
    fim: bool = False  # has /fim/completions

    @property
    def repeats_prefix(self) -> bool:
        """Whether answers begin with the beginning that was given."""
        return self.prefix == "flag"


def _extras(*names: str, **renamed: str) -> dict[str, str]:
    return {name: name for name in names} | renamed


DIALECTS: dict[Kind, Dialect] = {
    "openai": Dialect(_extras("logit_bias", "n", "logprobs"), max_tokens="max_completion_tokens", suffix=True),
    "mistral": Dialect(_extras("n"), seed="random_seed", required="any", prefix="flag", usage_option=False, fim=True),
    "vllm": Dialect(_extras(*_EVERYTHING), prefix="continue"),
    "llama-server": Dialect(
        _extras("top_k", "min_p", "n", "logit_bias", "logprobs", repetition_penalty="repeat_penalty"), prefix="trailing"
    ),
    "ollama": Dialect(_extras("logprobs"), prefix="trailing", tool_choice=False, suffix=True),
    "bise": Dialect(_extras(*_EVERYTHING), prefix="flag", fim=True),
}
_NEUTRAL: dict[str, object] = {
    "top_k": 0,
    "min_p": 0.0,
    "min_tokens": 0,
    "repetition_penalty": 1.0,
    "logit_bias": (),
    "n": 1,
    "logprobs": None,
}


def chat_body(request: ChatRequest, upstream: Upstream, model: str) -> Body:
    """A chat request as this server wants it.

    Raises:
        UnsupportedError: it asks for what this kind of server lacks.
    """
    dialect = DIALECTS[upstream.kind]
    extras = _extra_fields(request.sampling, upstream)
    logprobs = extras.pop("logprobs", None)
    body: Body = {"model": model, "messages": _messages(request, upstream, dialect), "stream": True}
    body |= _sampling(request.sampling, dialect, dialect.max_tokens) | extras
    if logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": logprobs}
    if dialect.usage_option:
        body["stream_options"] = {"include_usage": True}
    if dialect.prefix == "continue" and request.prefix:
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body | _tools(request, upstream, dialect) | _format(request.response_format)


def completion_body(request: CompletionRequest, upstream: Upstream, model: str) -> Body:
    """A request for text without a template, for /completions or /fim/completions.

    Raises:
        UnsupportedError: it asks for what this kind of server lacks.
    """
    dialect = DIALECTS[upstream.kind]
    prompt = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
    body: Body = {"model": model, "prompt": prompt, "stream": True}
    body |= _sampling(request.sampling, dialect, "max_tokens") | _extra_fields(request.sampling, upstream)
    if dialect.usage_option:
        body["stream_options"] = {"include_usage": True}
    if request.suffix is not None:
        if not (dialect.suffix or dialect.fim):
            raise _lacks(upstream, "suffix")
        body["suffix"] = request.suffix
    if request.echo:
        body |= {"echo": True} | ({"echo_from": request.echo_from} if request.echo_from else {})
    return body


def _sampling(sampling: Sampling, dialect: Dialect, max_tokens: str) -> Body:
    body: Body = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    optional = {
        max_tokens: sampling.max_tokens,
        dialect.seed: sampling.seed,
        "stop": list(sampling.stop) or None,
        "presence_penalty": sampling.presence_penalty or None,
        "frequency_penalty": sampling.frequency_penalty or None,
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _extra_fields(sampling: Sampling, upstream: Upstream) -> Body:
    """The fields that not all servers have, where they ask for something."""
    names, body = DIALECTS[upstream.kind].extras, {}
    for name, neutral in _NEUTRAL.items():
        value = getattr(sampling, name)
        if value == neutral:
            continue
        if name not in names:
            raise _lacks(upstream, name)
        body[names[name]] = {str(token): bias for token, bias in value} if name == "logit_bias" else value
    return body


def _messages(request: ChatRequest, upstream: Upstream, dialect: Dialect) -> list[Body]:
    messages = [_message(message) for message in request.conversation.messages]
    if request.prefix:
        if dialect.prefix is None:
            raise _lacks(upstream, "prefix")
        if dialect.prefix == "flag":
            messages[-1]["prefix"] = True
    return messages


def _message(message: Message) -> Body:
    body: Body = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    optional = {"tool_call_id": message.tool_call_id, "name": message.name}
    return body | {name: value for name, value in optional.items() if value is not None}


def _tools(request: ChatRequest, upstream: Upstream, dialect: Dialect) -> Body:
    choice, tools = request.tool_choice, request.conversation.tools
    if not tools:
        return {}
    functions = [
        {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)} for tool in tools
    ]
    body: Body = {"tools": [{"type": "function", "function": function} for function in functions]}
    if choice == ToolChoice():
        return body
    if not dialect.tool_choice:
        raise _lacks(upstream, "tool_choice")
    if choice.name is not None:
        body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    else:
        body["tool_choice"] = dialect.required if choice.mode == "required" else choice.mode
    return body if choice.parallel else body | {"parallel_tool_calls": False}


def _format(wanted: ResponseFormat) -> Body:
    if wanted.kind == "text":
        return {}
    if wanted.kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    schema = {"name": wanted.name or "answer", "schema": dict(wanted.schema or {}), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _lacks(upstream: Upstream, field_name: str) -> UnsupportedError:
    return UnsupportedError(
        f"{field_name} is not possible with this model: it is answered by {upstream.name}, a server of the kind "
        f"{upstream.kind}, which lacks it. Leave it out, or use another model.",
        field_name,
    )
