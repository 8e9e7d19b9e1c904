"""The two sides of `bise compare`: models of the store, models of other servers, or directories that `bise eval` left."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from bise.engine.kernels.table import Progress
from bise.errors import InputError, NotFoundError, UnavailableError
from bise.evals.api import Api
from bise.evals.compare import Comparison, Measured, compare_results
from bise.evals.data import read_records, sample
from bise.evals.divergence import Divergence, measure_divergence
from bise.evals.results import RESULTS, EvaluatedModel, read_results
from bise.evals.run import Advance, evaluate, finished, run_name
from bise.evals.shapes import text
from bise.evals.suites import SUITES, check_suites
from bise.evals.target import Say, Target, local_target, remote_target
from bise.evals.tasks import EvalSettings, Prices
from bise.weights.adapters import find_model_and_adapter
from bise.weights.store import describe

_PIECE = 1000  # characters of a plain text that count as one text, at least


@dataclass(frozen=True)
class SideSettings:
    """Where one of the two models is, when it is not in the store."""

    url: str = ""  # of the API, with its version
    key_env: str = ""  # the variable that holds its key
    price: Prices = field(default_factory=Prices)
    name: str = ""  # of its run; empty: of the model and the suites


@dataclass(frozen=True)
class CompareSettings(EvalSettings):
    """What `--set` may change: all of `bise eval`, both sides, and what the gate allows."""

    a: SideSettings = field(default_factory=SideSettings)
    b: SideSettings = field(default_factory=SideSettings)
    gate: dict[str, float] = field(default_factory=dict)  # by metric or task: the share of A's score that B may lose

    def __post_init__(self) -> None:
        """Check what would be ignored."""
        super().__post_init__()
        if self.name:
            raise ValueError("name is of one run, and here are two. Set a.name and b.name")
        if self.price != Prices():
            raise ValueError("price is of one model, and here are two. Set a.price.prompt, b.price.prompt and so on")
        negative = [name for name, bound in self.gate.items() if bound < 0]
        if negative:
            raise ValueError(f"gate.{negative[0]} is {self.gate[negative[0]]:g}, but must not be below 0")

    def of(self, side: SideSettings) -> EvalSettings:
        """The settings with which one side is measured; both are asked by chat where one of them is remote."""
        shared = {each.name: getattr(self, each.name) for each in fields(EvalSettings)}
        chat = bool(self.a.url or self.b.url) if self.chat is None else self.chat
        return EvalSettings(**shared | {"price": side.price, "name": side.name, "chat": chat})


@dataclass(frozen=True)
class Side:
    """One of the two, as it was named."""

    name: str
    settings: SideSettings

    @property
    def results(self) -> Path | None:
        """The directory of its results, when it was measured before."""
        path = Path(self.name).expanduser()
        return path if not self.is_remote and (path / RESULTS).is_file() else None

    @property
    def is_remote(self) -> bool:
        """Whether another server has it."""
        return bool(self.settings.url)

    def target(self, say: Say) -> AbstractContextManager[Target]:
        """Reach it, as long as the block runs."""
        if self.is_remote:
            return nullcontext(remote_target(self.settings.url, self.name, self.settings.key_env))
        return local_target(self.name, say)


@dataclass(frozen=True)
class Listener:
    """Who is told how the work goes on."""

    say: Say
    advance: Advance
    preparing: Progress


def compare(
    first: Side,
    second: Side,
    suites: Sequence[str],
    texts: Sequence[Path],
    settings: CompareSettings,
    listener: Listener,
) -> Comparison:
    """Measure what was not measured yet, and compare: scores of suites, and divergence on texts.

    Raises:
        BiseError: a side, a suite or a file is not there or not fit for it; what was measured is kept.
    """
    divergence = _diverge(first, second, texts, settings, listener) if texts else None
    if texts and not suites and first.results is None and second.results is None:
        models = [_described(side) for side in (first, second)]
        return Comparison(models[0], models[1], (), divergence=divergence)
    sides = _measured(first, second, suites, settings, listener)
    return replace(compare_results(*sides, settings.seed), divergence=divergence)


def _measured(
    first: Side, second: Side, suites: Sequence[str], settings: CompareSettings, listener: Listener
) -> tuple[Measured, Measured]:
    known = {side: Measured(read_results(path), path) for side in (first, second) if (path := side.results) is not None}
    both_known = known.keys() >= {first, second}
    if known and not suites:
        asked = [task.suite for each in known.values() for task in each.results.tasks]
        suites = [name for name in dict.fromkeys(asked) if name in SUITES]
    elif both_known:
        raise InputError(
            f"{first.name} and {second.name} were both measured before, so nothing is left to measure. Leave "
            f"{' '.join(suites)} out, or name models."
        )
    names = [] if both_known else _askable(first, second, suites, settings, listener)
    for side in (first, second):
        if side not in known:
            known[side] = _measure(side, names, settings, listener)
    return known[first], known[second]


def _measure(side: Side, suites: Sequence[str], settings: CompareSettings, listener: Listener) -> Measured:
    own = settings.of(side.settings)
    with side.target(listener.say) as target:
        results = finished(target, suites, own)
        if results is None:
            results = evaluate(target, suites, own, listener.advance)[0]
        return Measured(results, own.root / "eval" / run_name(target, suites, own))


def _askable(
    first: Side, second: Side, suites: Sequence[str], settings: CompareSettings, listener: Listener
) -> list[str]:
    """The suites without those that a remote side cannot take, as it only writes answers; they are told."""
    names = check_suites(suites)
    silent = [side.name for side in (first, second) if side.is_remote and not _tells_likelihoods(side, listener.say)]
    if not silent:
        return names
    skipped = [name for name in names if any(task.scoring == "likelihood" for task in SUITES[name].tasks(settings))]
    if skipped:
        listener.say(f"Left out, as {silent[0]} tells no probabilities of a prompt's tokens: {', '.join(skipped)}")
    if skipped == names:
        raise InputError(
            f"Nothing is left to compare {silent[0]} on: its API only writes answers. Name suites that are scored by what "
            "a model writes, such as gsm8k."
        )
    return [name for name in names if name not in skipped]


def _tells_likelihoods(side: Side, say: Say) -> bool:
    with side.target(say) as target:
        api = Api(target)
        try:
            ids = api.tokenize(["A text."])[0]
            api.likelihoods([(ids[:1], ids[1:])])
        except UnavailableError:
            return False
    return True


def _diverge(
    first: Side, second: Side, paths: Sequence[Path], settings: CompareSettings, listener: Listener
) -> Divergence:
    models = [_stored(side) for side in (first, second)]
    everything = ({"text": text} for path in paths for text in _texts(path))
    texts = [str(record["text"]) for record in sample(everything, settings.limit, settings.seed)]

    def progress(done: int, total: int) -> None:
        listener.advance(done, total, "Comparing token by token")

    return measure_divergence(models[0], models[1], texts, listener.preparing, progress, settings.seed)


def _stored(side: Side) -> Path:
    """The directory of a model of the store.

    Raises:
        InputError: the side is none, or an adapter.
    """
    if side.is_remote or side.results is not None:
        raise InputError(
            f"--text compares whole distributions, which only models of the store have here; {side.name} is "
            f"{'behind an API' if side.is_remote else 'a directory of results'}. Leave --text out, or name a model."
        )
    directory, adapter = find_model_and_adapter(side.name)
    if adapter:
        raise InputError(
            f"--text compares models of one piece, and {side.name} is an adapter. Compare its scores: name a suite."
        )
    return directory


def _described(side: Side) -> EvaluatedModel:
    directory = _stored(side)
    return EvaluatedModel(directory.name, "local", bits=describe(directory).bits)


def _texts(path: Path) -> list[str]:
    """The texts of a file: lines of JSON with "text", or plain text in pieces that end at an empty line."""
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}. Give --text a file of lines of JSON with text, or a plain text.")
    if path.name.endswith((".jsonl", ".jsonl.xz")):
        return [record["text"] for record in read_records([path], {"text": text})]
    pieces = [""]
    for paragraph in path.read_text(encoding="utf-8", errors="replace").split("\n\n"):
        pieces[-1] += paragraph + "\n\n"
        if len(pieces[-1]) >= _PIECE:
            pieces.append("")
    return [kept for piece in pieces if (kept := piece.strip())]
