"""Models that Ollama and LM Studio have on this disk already: found by their own files, and used where they lie."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bise.config import lm_studio_directories, ollama_directories
from bise.errors import NotFoundError

_MODEL_LAYER = "application/vnd.ollama.image.model"
_LICENCE_LAYER = "application/vnd.ollama.image.license"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True)
class FoundModel:
    """A GGUF file of another program."""

    source: str  # what `bise pull` takes: ollama:NAME:TAG or lmstudio:PUBLISHER/REPOSITORY/FILE
    path: Path
    size_bytes: int
    licence: str = ""  # the first line of what the program keeps


def found_models() -> list[FoundModel]:
    """Every model of Ollama and LM Studio on this disk, by source."""
    return sorted({*_ollama(), *_lm_studio()}, key=lambda model: model.source)


def find_in_place(source: str) -> FoundModel:
    """The model that `ollama:…` or `lmstudio:…` names; Ollama's tag may be left out when it is "latest".

    Raises:
        NotFoundError: there is none; the message lists those that are here.
    """
    models = found_models()
    for model in models:
        if source in (model.source, model.source.removesuffix(":latest")):
            return model
    listed = ", ".join(model.source for model in models[:10]) or "none"
    raise NotFoundError(f"There is no model {source} on this disk. Found here: {listed}. See bise pull --found.")


def _ollama() -> Iterator[FoundModel]:
    for root in ollama_directories():
        for manifest in sorted((root / "manifests").glob("*/*/*/*")):
            registry, namespace, name, tag = manifest.relative_to(root / "manifests").parts
            layers = _layers(manifest)
            blob = root / "blobs" / f"sha256-{layers.get(_MODEL_LAYER, '')}"
            if not blob.is_file():
                continue
            full = name if (registry, namespace) == ("registry.ollama.ai", "library") else f"{namespace}/{name}"
            licence = _first_line(root / "blobs" / f"sha256-{layers.get(_LICENCE_LAYER, '')}")
            yield FoundModel(f"ollama:{full}:{tag}", blob, blob.stat().st_size, licence)


def _layers(manifest: Path) -> dict[str, str]:
    """Media type -> hash of a manifest's layers; nothing of one that is damaged."""
    try:
        if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
            return {}
        layers = json.loads(manifest.read_bytes())["layers"]
        digests = {str(layer["mediaType"]): _DIGEST.fullmatch(str(layer["digest"])) for layer in layers}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {kind: digest[1] for kind, digest in digests.items() if digest}


def _first_line(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return next((line.strip() for line in file if line.strip()), "")[:80]


def _lm_studio() -> Iterator[FoundModel]:
    for root in lm_studio_directories():
        for path in sorted(root.glob("*/*/*.gguf")):
            if not path.name.startswith("mmproj"):  # the eyes of another file
                yield FoundModel(f"lmstudio:{path.relative_to(root).as_posix()}", path, path.stat().st_size)
