"""Conversations and preferences to packed rows with loss on what the assistant says only."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bise.errors import InputError
from bise.messages import Conversation
from bise.runs import Input, file_input
from bise.tokenizer.chat import ChatTokenizer
from bise.train.packing import PackedRows, Sample
from bise.train.report import Reporter
from bise.tune.conversations import Line, find_files, read_source
from bise.tune.recipe import ConversationSource, TuneRecipe

_UNKNOWN_LANGUAGE = "und"  # ISO 639-3's code for it
_LONG_ROW = 512  # tokens: longer rows hardly waste less of themselves
_ROW_STEP = 64
_MANY_ROWS = 64  # in an epoch: with fewer, a step would be a large part of all there is to learn


@dataclass(frozen=True)
class Example:
    """One conversation as ids; of a preference, with the worse answer as a conversation of its own."""

    chosen: Sample
    rejected: Sample | None = None

    def samples(self) -> Sequence[Sample]:
        """What must stand in one row."""
        return (self.chosen,) if self.rejected is None else (self.chosen, self.rejected)

    @property
    def num_places(self) -> int:
        """Places that it takes in a row."""
        return sum(len(sample.ids) - 1 for sample in self.samples())


@dataclass
class TuneData:
    """What is learned, what is held out by language, and what was left out: all counted."""

    learned: list[Example] = field(default_factory=list)
    held_out: dict[str, list[Example]] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    facts: dict[str, dict[str, object]] = field(default_factory=dict)  # by source

    def row_length(self, wanted: int, context_length: int) -> int:
        """Places of a row: those wanted, or (0) few enough for an epoch of many rows, but enough for the longest example.

        The two sides of a preference may exceed the context together: each is a document of its own.
        """
        held_out = itertools.chain.from_iterable(self.held_out.values())
        longest = max(example.num_places for example in itertools.chain(self.learned, held_out))
        in_all = sum(example.num_places for example in self.learned)
        some = _ROW_STEP * math.ceil(max(longest, min(_LONG_ROW, in_all / _MANY_ROWS)) / _ROW_STEP)
        return max(longest, wanted or min(context_length, some))


def prepare(recipe: TuneRecipe, tokenizer: ChatTokenizer, longest: int, reporter: Reporter) -> TuneData:
    """Read and check every source, then render all conversations of at most `longest` tokens.

    Raises:
        NotFoundError: a file is not there.
        InputError: a line breaks the rules, or nothing is left to learn or to hold out.
    """
    sources = [(source, Path()) for source in recipe.conversations]
    sources += [(source, recipe.sources.root) for source in recipe.sources.list]
    read = [(source, root, read_source(source, root)) for source, root in sources]
    for source, _, lines in read:
        _check_kinds(recipe, source, lines)
    data = TuneData()
    for source, root, lines in read:
        data.inputs += [file_input(path) for path in find_files(source, root)]
        bound = min(longest, source.max_tokens or longest)
        _add(data, source, lines, recipe.held_out_fraction, Renderer(tokenizer, source, bound), reporter)
    if not data.learned or not data.held_out:
        raise InputError(
            f"{len(data.learned):,} conversations are left to learn and "
            f"{sum(map(len, data.held_out.values())):,} to hold out, but both must be at least one. "
            "Add conversations or change held_out_fraction."
        )
    return data


def rows(examples: Iterable[Example], row_length: int, seed: int) -> PackedRows:
    """Pack conversations; those in one row do not see each other."""
    kept = list(examples)
    places = np.array([example.num_places for example in kept], np.int64)
    return PackedRows(places, lambda item: kept[item].samples(), row_length, seed)


def _check_kinds(recipe: TuneRecipe, source: ConversationSource, lines: Sequence[Line]) -> None:
    """Preferences need a recipe that learns them; conversations beside them need a weight."""
    num_preferences = sum(line.rejected is not None for line in lines)
    if num_preferences and recipe.dpo is None:
        raise InputError(
            f"{source.name} holds {num_preferences:,} preferences (chosen and rejected), but the recipe has no [dpo] "
            "section. Add one, or give conversations."
        )
    if recipe.dpo and not recipe.dpo.sft_weight and num_preferences < len(lines):
        raise InputError(
            f"{len(lines) - num_preferences:,} of the {len(lines):,} lines of {source.name} have no chosen and rejected "
            "answers. Give preferences only, or learn the others as answers too, with dpo.sft_weight above 0."
        )


@dataclass(frozen=True)
class Renderer:
    """Lines of a source to ids."""

    tokenizer: ChatTokenizer
    source: ConversationSource
    longest: int  # tokens

    def example(self, line: Line) -> Example | None:
        """The line as ids, or None when it is too long."""
        only_last = self.source.learn == "last" or line.rejected is not None
        chosen = self._sample(line.conversation, only_last)
        rejected = self._sample(line.with_rejected(), only_last) if line.rejected else None
        if max(len(sample.ids) for sample in (chosen, rejected or chosen)) > self.longest:
            return None
        return Example(chosen, rejected)

    def _sample(self, conversation: Conversation, only_last: bool) -> Sample:
        rendered = self.tokenizer.render(conversation, for_completion=False)
        learned = np.array(rendered.loss_mask, np.bool_)
        if only_last:
            before = Conversation(conversation.messages[:-1], conversation.tools)
            learned[: len(self.tokenizer.render(before, for_completion=True).ids)] = False
        return Sample(np.array(rendered.ids, np.int64), learned)


def _add(
    data: TuneData,
    source: ConversationSource,
    lines: list[Line],
    held_out_fraction: float,
    renderer: Renderer,
    reporter: Reporter,
) -> None:
    fraction = held_out_fraction if source.held_out_fraction is None else source.held_out_fraction
    counts = dict.fromkeys(("conversations", "held_out", "too_long", "duplicates", "tokens"), 0)
    seen: set[str] = set()
    for done, line in enumerate(lines, start=1):
        reporter.advance(f"Rendering {source.name}", done, len(lines))
        counts["duplicates"] += line.sha256 in seen
        seen.add(line.sha256)
        example = renderer.example(line)
        if example is None:
            counts["too_long"] += 1
        elif int(line.sha256[:8], 16) / 16**8 < fraction:
            data.held_out.setdefault(line.lang or _UNKNOWN_LANGUAGE, []).append(example)
            counts["held_out"] += 1
        else:
            data.learned += [example] * _num_copies(source.repeats, int(line.sha256[8:16], 16) / 16**8)
            counts["conversations"] += 1
            counts["tokens"] += example.num_places
    _tell(source, counts, renderer.longest, reporter)
    data.facts[source.name] = {
        **counts,
        "repeats": source.repeats,
        "licence": source.licence,
        "repository": source.repository,
        "commit": source.commit,
    }


def _tell(source: ConversationSource, counts: dict[str, int], longest: int, reporter: Reporter) -> None:
    if num := counts["too_long"]:
        reporter.say(f"{source.name}: {num:,} conversations are longer than {longest:,} tokens and left out.")
    if num := counts["duplicates"]:
        reporter.say(f"{source.name}: {num:,} conversations are there more than once, and are learned as often.")


def _num_copies(repeats: float, share: float) -> int:
    return int(repeats) + (share < repeats % 1)
