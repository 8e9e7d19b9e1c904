"""Whether scores over the API are those of the model.

`bpb_difference`: bits per byte of some documents over the API, less those computed directly in PyTorch in float32, for the
demonstration model stored in 16 bits, which the server's engine runs in float32, too: what is left is how the API counts.
`bpb_difference_8_bits`: the same for the model as it ships, whose activations the engine rounds to 8 bits.
"""

import json
import lzma
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from bise.config import apart_environment
from bise.evals.api import Api
from bise.evals.rolling import score_documents, windows
from bise.evals.target import local_target
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.spec import read_spec
from bise.weights.store import DEFAULT_MODEL, find_model

_NUM_DOCUMENTS, _MOST_CHARACTERS, _OF_A_FILE = 40, 4_000, 8


def measure_bits_per_byte(data: Path) -> dict[str, object]:
    """The API's bits per byte against those computed directly."""
    texts = list(islice(_texts(data), _NUM_DOCUMENTS))
    with tempfile.TemporaryDirectory() as place:
        exact = _compare(_in_16_bits(Path(place)), texts)
    shipped = _compare(find_model(DEFAULT_MODEL), texts)
    return {
        "bpb_documents": len(texts),
        "bpb": round(exact[0], 6),
        "bpb_difference": abs(exact[0] - exact[1]),
        "bpb_8_bits": round(shipped[0], 6),
        "bpb_difference_8_bits": abs(shipped[0] - shipped[1]),
    }


def _in_16_bits(place: Path) -> Path:
    """The demonstration model as other programs have it, taken in again."""
    exported, home = place / "exported", place / "home"
    for words in (
        ["export", DEFAULT_MODEL, "--to", "hf", exported],
        ["pull", exported, "--name", "exact", "--bits", "16"],
    ):
        command = [sys.executable, "-m", "bise", *map(str, words)]
        subprocess.run(command, check=True, env=apart_environment(home), stdout=sys.stderr)
    return home / "models" / "exact"


def _compare(directory: Path, texts: Sequence[str]) -> tuple[float, float]:
    """Bits per byte over the API, and computed directly."""
    with local_target(str(directory), lambda text: print(text, file=sys.stderr)) as target:
        scores = score_documents(Api(target), texts)
    size_bits = math.log(2) * sum(score.size_bytes for score in scores)
    direct = _direct_nats(directory, texts, target.context_length - 1)
    return sum(score.nats for score in scores) / size_bits, direct / size_bits


def _direct_nats(directory: Path, texts: Sequence[str], size: int) -> float:
    """Surprise at all texts in PyTorch, in windows of at most `size` tokens."""
    import torch

    from bise.model.files import load_model
    from bise.model.frozen import load_frozen

    load = load_model if read_spec(directory).quantisation is None else load_frozen
    tokenizer, model = ChatTokenizer.load(directory), load(directory).float()
    nats = 0.0
    for text in texts:
        for seen, scored in windows(tokenizer.encode(text), [tokenizer.bos_id], size):
            with torch.no_grad():
                logits = model(torch.tensor([*seen, *scored])[None])[0]
            logs = logits.double().log_softmax(-1)[len(seen) - 1 : -1]
            nats -= float(logs.gather(1, torch.tensor(scored)[:, None]).sum())
    return nats


def _texts(data: Path) -> Iterator[str]:
    for path in sorted(data.rglob("*.jsonl*")):
        opened = lzma.open if path.suffix == ".xz" else open
        with opened(path, "rt", encoding="utf-8") as lines:
            for line in islice(lines, _OF_A_FILE):
                if text := json.loads(line).get("text"):
                    yield text[:_MOST_CHARACTERS]
