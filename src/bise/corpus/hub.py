"""Data sets of Hugging Face by their id: their files are fetched once, at a commit, and then read as any others are.

Only files in formats that we read are fetched; a loading script is never run, and there is no switch to run one.
"""

import hashlib
import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from bise import __version__
from bise.corpus.recipe import Source, SourceFile
from bise.errors import InputError, NotFoundError, UnavailableError

HUGGING_FACE = "https://huggingface.co"
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FOLDER = "huggingface"  # below sources.root


def fetch_source(source: Source, root: Path, endpoint: str = HUGGING_FACE) -> Source:
    """The source with its data set's files below `root`, each named; a source without a data set is returned as it is.

    Args:
        source: `files` are patterns over the data set's files, `revision` a branch, tag or commit.
        root: what the paths of sources are relative to; files go to `huggingface/OWNER/NAME/COMMIT` below it.
        endpoint: where to fetch from, for tests and mirrors.

    Raises:
        NotFoundError: there is no such data set, revision or file.
        UnavailableError: the network is not there, or a file did not arrive whole.
        InputError: the data set asks for a login, or names files outside of its folder.
    """
    if not source.dataset:
        return source
    commit, files = _list_files(source, endpoint)
    names = [str(file["rfilename"]) for file in files]
    chosen = [
        file for file in files if any(fnmatchcase(str(file["rfilename"]), wanted.path) for wanted in source.files)
    ]
    if not chosen:
        raise NotFoundError(
            f"No file of the data set {source.dataset} fits {', '.join(file.path for file in source.files)}. "
            f"It has: {', '.join(names[:20])}{' and more' if len(names) > 20 else ''}."
        )
    folder = PurePosixPath(_FOLDER, source.dataset, commit)
    for file in chosen:
        _download(source, commit, file, root / folder, endpoint)
    fetched = tuple(SourceFile(_literally((folder / str(file["rfilename"])).as_posix())) for file in chosen)
    return replace(source, files=fetched, commit=commit, repository=f"{HUGGING_FACE}/datasets/{source.dataset}")


def _literally(path: str) -> str:
    """A path whose marks are not those of a pattern."""
    return "".join(f"[{mark}]" if mark in "*?[" else mark for mark in path)


def _list_files(source: Source, endpoint: str) -> tuple[str, list[dict[str, Any]]]:
    """The commit that the revision stands for, and its files in order of their names."""
    address = f"{endpoint}/api/datasets/{quote(source.dataset)}/revision/{quote(source.revision, safe='')}?blobs=true"
    what = f"the data set {source.dataset} at {source.revision}"
    with _open(address, what) as response:
        try:
            info = json.load(response)
            commit, files = str(info["sha"]), sorted(info["siblings"], key=lambda file: str(file["rfilename"]))
        except (ValueError, KeyError, TypeError):
            raise UnavailableError(
                f"{endpoint} did not answer as Hugging Face does about {what}. Try again later."
            ) from None
    if not _COMMIT.fullmatch(commit) or not all(_is_below(str(file["rfilename"])) for file in files):
        raise InputError(f"{what} has a commit or a file name that leads elsewhere. It is not fetched.")
    return commit, files


def _is_below(name: str) -> bool:
    """Whether a path stays in its folder."""
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts and "\\" not in name


def _download(source: Source, commit: str, file: dict[str, Any], folder: Path, endpoint: str) -> None:
    name = str(file["rfilename"])
    path, what = folder / name, f"{name} of the data set {source.dataset}"
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part, digest = path.with_name(f"{path.name}.part"), hashlib.sha256()
    address = f"{endpoint}/datasets/{quote(source.dataset)}/resolve/{commit}/{quote(name)}"
    with _open(address, what) as response, part.open("wb") as out:
        try:
            while chunk := response.read(_CHUNK_BYTES):
                digest.update(chunk)
                out.write(chunk)
        except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise UnavailableError(f"{what} broke off: {error}. Type the command again.") from None
    expected = file.get("size"), (file.get("lfs") or {}).get("sha256")
    if expected[0] not in (None, part.stat().st_size) or expected[1] not in (None, digest.hexdigest()):
        part.unlink()
        raise UnavailableError(f"{what} did not arrive as Hugging Face describes it. Type the command again.")
    part.replace(path)


def _open(address: str, what: str) -> Any:
    """A response whose status is good, or the reason why there is none."""
    request = urllib.request.Request(address, headers={"User-Agent": f"bise/{__version__}"})
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):  # also what Hugging Face says of data sets that do not exist
            raise InputError(
                f"Hugging Face does not give {what} to everybody: it does not exist, or asks for a login. Correct the name, "
                "or fetch the files elsewhere and name them in `files` without `dataset`."
            ) from None
        if error.code == 404:
            raise NotFoundError(f"Hugging Face does not have {what}. Correct the name or the revision.") from None
        raise UnavailableError(f"Hugging Face did not give {what}: status {error.code}. Try again later.") from None
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"Hugging Face could not be reached for {what}: {error}. Connect to the network, or fetch the files elsewhere "
            "and name them in `files` without `dataset`."
        ) from None
