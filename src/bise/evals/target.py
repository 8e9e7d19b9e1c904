"""Whom to ask: a model of this machine, served by a `bise serve` of its own, or any API that speaks OpenAI's dialect.

The server of a local model lives as long as the block, on a free port of loopback, with a home, a database and a key that
are thrown away: what is measured is what others would get from `bise serve`, and nothing of the user's is touched. It ends
with this process, however that ends.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from bise.config import apart_environment, home, named_variable
from bise.errors import InputError, UnavailableError
from bise.evals.results import EvaluatedModel
from bise.lifetime import before_sigterm
from bise.runs import MANIFEST, sha256_file
from bise.store.accounts import local_owner
from bise.store.database import open_database
from bise.store.keys import create_key
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.adapters import find_adapter, find_model_and_adapter
from bise.weights.store import describe

_STOP_S = 30.0
_LOOK_EVERY_S = 0.2
_ASK_S = 30.0  # for the list of models

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """A model behind an address."""

    url: str  # of the API, with its version: http://127.0.0.1:8421/v1
    model: str  # as requests name it
    described: EvaluatedModel
    key: str = field(default="", repr=False)
    context_length: int = 2048  # tokens; of a model that does not tell
    vocabulary: ChatTokenizer | None = field(default=None, repr=False)  # of a local model; others are asked for ids

    @property
    def root(self) -> str:
        """The address without the version, where /tokenize is."""
        return self.url.removesuffix("/v1")

    def most_tokens(self, wished: int) -> int:
        """How long an answer may be: as wished, but at most half of the context."""
        return min(wished, self.context_length // 2)

    @property
    def headers(self) -> dict[str, str]:
        """What shows who asks."""
        return {"authorization": f"Bearer {self.key}"} if self.key else {}


def remote_target(url: str, model: str, key_variable: str = "") -> Target:
    """Name a model of another server; the key is the value of an environment variable.

    Raises:
        InputError: the address is none, the variable is not set, or the server has no such model.
        UnavailableError: the server does not answer.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"--url is {url!r}, but must begin with http:// or https://, such as http://10.0.0.5:8000/v1")
    key = named_variable(key_variable) if key_variable else ""
    address = url.rstrip("/")
    target = Target(address, model, EvaluatedModel(model, "remote", url=address), key)
    return _with_context(target)


@contextmanager
def local_target(model: str, say: Say) -> Iterator[Target]:
    """Serve a model of the store, or `model:adapter`, while the block runs.

    Raises:
        NotFoundError: there is no such model.
        UnavailableError: its server did not come up; what it said is in the message.
    """
    directory, adapter = find_model_and_adapter(model)
    name = f"{directory.name}:{adapter}" if adapter else directory.name
    manifest = (find_adapter(directory.name, adapter).path if adapter else directory) / MANIFEST
    weights = directory / "model.safetensors"
    stamp = next((sha256_file(path) for path in (manifest, weights) if path.is_file()), "")
    described = EvaluatedModel(name, "local", stamp, bits=describe(directory).bits)
    with tempfile.TemporaryDirectory(prefix="bise-eval-") as place:
        apart = Path(place)
        if (home() / "adapters").is_dir():
            (apart / "adapters").symlink_to((home() / "adapters").resolve())
        key = asyncio.run(_make_key(apart))
        with _serving(directory, apart, say) as root:
            vocabulary = ChatTokenizer.load(directory)
            yield _with_context(Target(f"{root}/v1", name, described, key, vocabulary=vocabulary))


async def _make_key(apart: Path) -> str:
    database = await open_database(f"sqlite:///{apart / 'bise.db'}")
    try:
        return (await create_key(database, await local_owner(database), "bise eval"))[1]
    finally:
        await database.close()


@contextmanager
def _serving(directory: Path, apart: Path, say: Say) -> Iterator[str]:
    """Run the server; gives its address once it is ready."""
    bise = [sys.executable, "-m", "bise.lifetime", str(os.getpid())]
    command = [*bise, "serve", "--model", str(directory.resolve()), "--port", "0"]
    log = apart / "serve.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=apart_environment(apart)
        ) as process,
    ):

        def clear_up() -> None:
            process.kill()
            with suppress(ChildProcessError):
                os.waitpid(process.pid, 0)  # the object's own lock may be held by what the signal came between
            shutil.rmtree(apart, ignore_errors=True)

        try:
            with before_sigterm(clear_up):
                say(f"Serving {directory.name} …")
                yield _wait_until_ready(process, log)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_ready(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Its address; as long as it takes, since a first start compiles kernels."""
    while True:
        told = log.read_text(encoding="utf-8", errors="replace")
        if process.poll() is not None:
            raise UnavailableError(f"bise serve ended with code {process.returncode}. Its words: {told.strip()[-600:]}")
        address = next((word for word in told.split() if word.startswith("http://127.0.0.1:")), None)
        if address is not None and "is ready" in told:
            return address.split("/enter")[0]
        try:
            process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue


def _with_context(target: Target) -> Target:
    """The target with the model's context length as the server tells it.

    Raises:
        InputError: the key opens nothing, or there is no such model.
        UnavailableError: the server does not answer.
    """
    try:
        answer = httpx.get(f"{target.url}/models", headers=target.headers, timeout=_ASK_S, trust_env=False)
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"{target.url} does not answer ({type(error).__name__}: {error}). Start that server, or correct --url."
        ) from None
    if answer.status_code in (401, 403):
        raise InputError(f"{target.url} refuses the key ({answer.status_code}). Name its variable with --key-env.")
    if answer.status_code != httpx.codes.OK:
        raise UnavailableError(f"{target.url}/models answers {answer.status_code}: {answer.text[:200]}")
    cards = {str(card.get("id")): card for card in answer.json().get("data") or ()}
    if target.model not in cards:
        raise InputError(f"{target.url} has no model {target.model!r}. It offers: {', '.join(cards) or 'none'}.")
    length = cards[target.model].get("max_model_len")
    if not isinstance(length, int):
        return target
    return replace(target, context_length=length)
