"""IFEval: instructions in a chat whose keeping a program can check. An answer is right when it keeps to all of its prompt's."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bise.evals.api import Api, Progress
from bise.evals.data import Questions, Record, find_files, read_records, sample
from bise.evals.instructions import arguments_of, follows, is_known
from bise.evals.results import Item, item_id
from bise.evals.shapes import anything, is_wrong, list_of, map_of, object_with, optional, some_text
from bise.evals.tasks import EvalSettings, Suite, Task

_LANGUAGES = ("en", "es", "fr")
_FIELDS = {
    "prompt": some_text,
    "instruction_id_list": list_of(some_text, least=1),
    "kwargs": list_of(optional(map_of(anything))),
}
_MAX_TOKENS = 1280


def _tasks(settings: EvalSettings) -> list[Task]:
    found = {name: find_files(settings.data.root, Questions(f"ifeval/{name}", _FIELDS)) for name in _LANGUAGES}
    return [
        Task(
            "ifeval",
            f"ifeval-{language}",
            "prompt_strict",
            files,
            partial(_measure, files, language),
            "generation",
            language,
            template="chat",
            max_tokens=settings.max_tokens or _MAX_TOKENS,
        )
        for language, files in found.items()
    ]


def _measure(files: Sequence[Path], language: str, api: Api, settings: EvalSettings, progress: Progress) -> list[Item]:
    records = sample(read_records(files, _FIELDS, _wrong_instruction), settings.limit, settings.seed)
    size = api.target.most_tokens(settings.max_tokens or _MAX_TOKENS)
    bodies = [{"messages": [{"role": "user", "content": r["prompt"]}], "max_tokens": size} for r in records]
    items = []
    for record, answer in zip(records, api.chat(bodies, progress), strict=True):
        text = str(answer.get("content") or "")
        wanted = list(zip(record["instruction_id_list"], record["kwargs"], strict=True))
        broken = [name for name, arguments in wanted if not follows(name, text, arguments or {})]
        prompt = record["prompt"]
        told = f"not kept: {', '.join(broken)}" if broken else ""
        items.append(
            Item(
                item_id(prompt),
                float(not broken),
                1.0,
                len(prompt.encode()),
                language,
                "",
                text,
                told,
                cut="refused" in answer,
            )
        )
    return items


def _wrong_instruction(record: Record) -> str:
    """What is wrong with the instructions of a record: one that has no check here, or lacks an argument of its check."""
    names, arguments = record["instruction_id_list"], record["kwargs"]
    if len(names) != len(arguments):
        return f"instruction_id_list has {len(names)} entries, but kwargs {len(arguments)}"
    for index, (name, given) in enumerate(zip(names, arguments, strict=True)):
        if not is_known(name):
            return f"instruction_id_list[{index}]{is_wrong(name, 'an instruction that can be checked here')}"
        stated = {key: value for key, value in (given or {}).items() if value is not None}  # tables fill up with null
        if told := object_with(*arguments_of(name))(stated):
            return f"kwargs[{index}]{told}, as {name} needs it"
    return ""


SUITE = Suite(
    "ifeval", "instructions that a program can check (English, Spanish, French)", _tasks, modules=("py3langid",)
)
