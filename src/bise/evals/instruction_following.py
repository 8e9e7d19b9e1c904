"""IFEval: instructions in a chat whose keeping a program can check. An answer is right when it keeps to all of its prompt's."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bise.errors import InputError
from bise.evals.api import Api, Progress
from bise.evals.data import Questions, find_files, read_records, sample
from bise.evals.instructions import follows, is_known
from bise.evals.results import Item, item_id
from bise.evals.tasks import EvalSettings, Suite, Task

_LANGUAGES = ("en", "es", "fr")
_FIELDS = ("prompt", "instruction_id_list", "kwargs")
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
    records = sample(read_records(files, _FIELDS), settings.limit, settings.seed)
    unknown = sorted({name for record in records for name in record["instruction_id_list"] if not is_known(name)})
    if unknown:
        raise InputError(f"{files[0]} has instructions that are not known here: {', '.join(unknown)}.")
    size = api.target.most_tokens(settings.max_tokens or _MAX_TOKENS)
    bodies = [{"messages": [{"role": "user", "content": r["prompt"]}], "max_tokens": size} for r in records]
    items = []
    for record, answer in zip(records, api.chat(bodies, progress), strict=True):
        text = str(answer.get("content") or "")
        wanted = list(zip(record["instruction_id_list"], record["kwargs"], strict=True))
        broken = [name for name, arguments in wanted if not follows(name, text, arguments)]
        prompt = str(record["prompt"])
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


SUITE = Suite(
    "ifeval", "instructions that a program can check (English, Spanish, French)", _tasks, modules=("py3langid",)
)
