"""Whether scores over the API are those of the model.

`bpb_difference`: bits per byte of some documents over the API, less those computed directly in PyTorch from the same stored
weights in float32. The server's engine rounds activations to 8 bits, which is the difference.
"""

import json
import lzma
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from bise.evals.api import Api
from bise.evals.rolling import score_documents, windows
from bise.evals.target import local_target
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.store import DEFAULT_MODEL, find_model

_NUM_DOCUMENTS, _MOST_CHARACTERS, _OF_A_FILE = 40, 4_000, 8


def measure_bits_per_byte(data: Path) -> dict[str, object]:
    """The API's bits per byte against those computed directly."""
    texts = list(islice(_texts(data), _NUM_DOCUMENTS))
    with local_target(DEFAULT_MODEL, lambda text: print(text, file=sys.stderr)) as target:
        scores = score_documents(Api(target), texts)
    size_bits = math.log(2) * sum(score.size_bytes for score in scores)
    by_api = sum(score.nats for score in scores) / size_bits
    direct = _direct_nats(texts, target.context_length - 1) / size_bits
    return {"bpb_documents": len(texts), "bpb": round(by_api, 6), "bpb_difference": abs(by_api - direct)}


def _direct_nats(texts: Sequence[str], size: int) -> float:
    """Surprise at all texts in PyTorch, in windows of at most `size` tokens."""
    import torch

    from bise.model.frozen import load_frozen

    directory = find_model(DEFAULT_MODEL)
    tokenizer, model = ChatTokenizer.load(directory), load_frozen(directory)
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
