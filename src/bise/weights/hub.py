"""Models of the Hugging Face hub by their id: the files of one format, at a commit, checked by hash.

huggingface_hub does the fetching, so what its users have set up (a token, a mirror, a proxy) holds here too. A download that
was stopped goes on at the next call. Files that can run code are never asked for.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from bise.errors import InputError, NotFoundError, UnavailableError
from bise.weights.formats import hugging_face, mistral
from bise.weights.formats.foreign import is_tokenizer_file, read_json

_ID = re.compile(r"(?:hf:)?([\w.-]+/[\w.-]+?)(?:/([\w./-]+\.gguf))?(?:@([\w./-]+))?", re.ASCII)
_SHARD = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
_CHUNK_BYTES = 4 << 20

Progress = Callable[[int, int], None]  # (bytes done, bytes in all)


@dataclass(frozen=True)
class HubModel:
    """What an address on the hub means."""

    repository: str  # owner/name
    file: str | None  # one GGUF file of it
    revision: str | None


@dataclass(frozen=True)
class Fetched:
    """A model's files on this disk."""

    path: Path  # a directory, or a GGUF file
    directory: Path  # to be deleted when the model has been taken in
    origin: str  # hf:owner/name@commit


def parse_hub(text: str) -> HubModel | None:
    """Read `hf:owner/name`, `owner/name/file.gguf` or `owner/name@revision`; None for anything else."""
    match = _ID.fullmatch(text)
    return HubModel(*match.groups()) if match and ".." not in text else None


def fetch(model: HubModel, downloads: Path, progress: Progress | None = None, endpoint: str | None = None) -> Fetched:
    """Bring a model's files to `downloads`/owner--name/commit; those that are there whole are not fetched again.

    Args:
        model: which one.
        downloads: where downloads live.
        progress: told of bytes.
        endpoint: another address than the hub's, for mirrors and tests.

    Raises:
        NotFoundError: there is no such model, revision or file.
        InputError: the model is behind a form, or asks for code of its own.
        UnavailableError: the hub cannot be reached, or a file did not arrive whole.
    """
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]  # its HTTP library's

    report = progress or (lambda _done, _total: None)
    try:
        info = HfApi(endpoint=endpoint).model_info(model.repository, revision=model.revision, files_metadata=True)
        files = {str(file.rfilename): file for file in info.siblings or ()}
        chosen = choose_files(model, list(files))
        directory = downloads / model.repository.replace("/", "--") / str(info.sha)
        total = sum(files[name].size or 0 for name in chosen)
        done = 0
        for name in chosen:  # small files first, so that a config that asks for code costs no download of weights
            path = directory / name
            if not _is_whole(path, files[name]):
                url = hf_hub_url(model.repository, name, revision=info.sha, endpoint=endpoint)
                _download(url, path, files[name], partial(_add, report, done, total))
            if name == hugging_face.CONFIG and "auto_map" in read_json(path):
                hugging_face.read_config(read_json(path), name)
            done += files[name].size or 0
            report(done, total)
    except HfHubHTTPError as error:
        raise _explain(error, model) from None
    except (HTTPError, OSError, ValueError) as error:
        raise UnavailableError(
            f"{model.repository} did not arrive: {error}. Connect to the network and type the same command again: it goes "
            "on where it was."
        ) from None
    path = directory / chosen[-1] if model.file or chosen[-1].endswith(".gguf") else directory
    return Fetched(path, directory, f"hf:{model.repository}@{info.sha}")


def _add(report: Progress, before: int, total: int, count: int) -> None:
    """Tell the bytes of earlier files and of this one."""
    report(before + count, total)


def choose_files(model: HubModel, names: list[str]) -> list[str]:
    """The files of one format among a repository's, the largest kind last.

    Raises:
        NotFoundError: none of them is a model that Bise reads.
    """
    plain = [name for name in names if "/" not in name and PurePosixPath(name).name == name]
    small = [name for name in plain if name in ("README.md", hugging_face.CONFIG) or is_tokenizer_file(name)]
    if model.file:
        if model.file in names and ".." not in model.file:
            return [model.file]
        raise NotFoundError(f"{model.repository} has no {model.file}. It has: {_some(names, '.gguf')}.")
    shards = [name for name in plain if _SHARD.fullmatch(name)]
    if hugging_face.CONFIG in plain and shards:
        return small + sorted(shards, key=lambda name: not name.endswith(".json"))
    if mistral.PARAMS in plain and mistral.WEIGHTS in plain:
        return [mistral.PARAMS, *(name for name in small if name != hugging_face.CONFIG), mistral.WEIGHTS]
    gguf = [name for name in names if name.endswith(".gguf")]
    if len(gguf) == 1:
        return gguf
    if gguf:
        raise NotFoundError(
            f"{model.repository} has {len(gguf)} GGUF files. Name one, as in hf:{model.repository}/{gguf[0]}. It has: "
            f"{_some(names, '.gguf')}."
        )
    raise NotFoundError(
        f"{model.repository} has no safetensors or GGUF files, and Bise reads nothing else. It has: {_some(names, '')}."
    )


def _some(names: list[str], ending: str) -> str:
    found = sorted(name for name in names if name.endswith(ending))
    return ", ".join(found[:20]) + (" and more" if len(found) > 20 else "") or "none"


def _is_whole(path: Path, file: Any) -> bool:
    return path.is_file() and (file.size is None or path.stat().st_size == file.size)


def _download(url: str, path: Path, file: Any, progress: Callable[[int], object]) -> None:
    """Fetch a file, from where an earlier call stopped, and compare size and, where the hub tells it, SHA-256.

    The library's own download forgets what it had when its process ends, so it only moves the bytes here.
    """
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, yet not in __all__

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("ab") as out:
        progress(out.tell())
        if file.size is None or out.tell() < file.size:
            http_get(
                url,
                out,
                resume_size=out.tell(),
                headers=build_hf_headers(library_name="bise"),
                expected_size=file.size,
                tqdm_class=_bar(progress),
            )
    expected = file.lfs.sha256 if file.lfs is not None else None
    if not _is_whole(part, file) or (expected is not None and _sha256(part) != expected):
        part.unlink()
        raise UnavailableError(f"{path.name} did not arrive as the hub describes it. Type the same command again.")
    part.replace(path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _explain(error: Any, model: HubModel) -> NotFoundError | InputError | UnavailableError:
    """An error of the hub, as a sentence that says what to do."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    page = f"https://huggingface.co/{model.repository}"
    if isinstance(error, GatedRepoError):
        return InputError(
            f"{model.repository} is behind a form. Open {page}, accept its conditions, make a token under Settings, type "
            "`hf auth login`, and then the same command again."
        )
    if isinstance(error, RevisionNotFoundError):
        return NotFoundError(f"{model.repository} has no revision {model.revision}. See {page}/commits.")
    if isinstance(error, RepositoryNotFoundError):
        return NotFoundError(
            f"The hub has no model {model.repository}, or hides it. Correct the name, or type `hf auth login` if it is "
            "yours."
        )
    status = getattr(error.response, "status_code", "unknown")
    return UnavailableError(f"The hub did not give {model.repository}: status {status}. Type the same command again.")


def _bar(progress: Callable[[int], object]) -> Any:
    """A bar of the library's kind that shows nothing and tells ours."""
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.reached = int(kwargs.get("initial") or 0)
            super().__init__(*args, **(kwargs | {"disable": True}))

        def update(self, n: float | None = 1) -> bool | None:
            self.reached += int(n or 0)
            progress(self.reached)
            return None

    return Bar
