"""What we export as GGUF, llama.cpp computes: same ids, the same best tokens, the same greedy answer.

It runs in the environment that `make test-peers` makes.
"""

import json
import os
import shutil
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bise.gguf import write_gguf
from bise.messages import Conversation, Message
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.convert import hugging_face_files
from bise.tokenizer.exchange import gguf_vocabulary
from bise.weights.files import Weights, open_weights
from bise.weights.formats.gguf import make_metadata
from bise.weights.store import shipped_directory
from tests.command import succeed
from tests.random_models import TINY
from tests.tokenizer.conftest import HOSTILE, TEXTS
from tests.tokenizer.test_gguf import SENTENCEPIECE
from tests.tokenizer.test_hugging_face import make_directory
from tests.weights.formats.logits import our_logits

pytestmark = pytest.mark.peers

LLAMA = """
import json, sys
import llama_cpp, numpy as np

question = sys.stdin.read()
model = llama_cpp.Llama(sys.argv[1], n_ctx=256, verbose=False, logits_all=True)
ids = model.tokenize(question.encode(), add_bos=True, special=False)
model.eval(ids)
logits = np.array(model.scores[: len(ids)]).tolist()
chat = model.create_chat_completion([{"role": "user", "content": question}], temperature=0, max_tokens=24)
print(json.dumps({"ids": ids, "logits": logits, "text": chat["choices"][0]["message"]["content"]}))
"""
TOKENIZE = """
import json, sys
import llama_cpp

model = llama_cpp.Llama(sys.argv[1], vocab_only=True, verbose=False)
texts = json.load(sys.stdin)
print(json.dumps([model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]))
"""
QUESTION = "Who are you?"


def test_llama_cpp_computes_what_we_export(tmp_path: Path) -> None:
    succeed("export", "bise-demo", tmp_path / "out", "--to", "gguf")
    theirs = ask_llama(LLAMA, tmp_path / "out/bise-demo.gguf", QUESTION)
    tokenizer = ChatTokenizer.load(shipped_directory())
    assert theirs["ids"] == [tokenizer.bos_id, *tokenizer.encode(QUESTION)]
    logits, ours = np.array(theirs["logits"]), our_logits(open_weights(shipped_directory()), theirs["ids"])
    assert np.corrcoef(logits.ravel(), ours.ravel())[0, 1] > 0.999
    np.testing.assert_array_equal(logits.argmax(axis=1), ours.argmax(axis=1))
    prompt = tokenizer.render(Conversation((Message("user", QUESTION),)), for_completion=True).ids
    answer = greedy(open_weights(shipped_directory()), prompt, 24)
    assert tokenizer.decode(answer) == theirs["text"]


def greedy(weights: Weights, ids: list[int], count: int) -> list[int]:
    """The likeliest next tokens, one after another."""
    for _ in range(count):
        ids = [*ids, int(our_logits(weights, ids)[-1].argmax())]
    return ids[-count:]


@pytest.mark.parametrize("kind", ["chatml", "llama", "llama-bpe", "qwen2", "sentencepiece"])
def test_llama_cpp_cuts_text_as_the_tokenizer_json_that_we_exported(tmp_path: Path, kind: str) -> None:
    """Small ones of two families, the real ones of Llama 3 and Qwen2, and Mistral's SentencePiece."""
    directory = tmp_path / "tokenizer"
    if kind in ("chatml", "llama"):
        make_directory(kind, directory)
    else:
        directory.mkdir()
        if kind == "sentencepiece":
            shutil.copyfile(SENTENCEPIECE, directory / "tokenizer.model.v3")
        else:
            vocabularies = Path(os.environ["LLAMA_CPP_SOURCE"]) / "models"
            shutil.copyfile(vocabularies / f"ggml-vocab-{kind}.gguf", directory / "tokenizer.gguf")
        for name, text in hugging_face_files(directory).items():
            (directory / name).write_text(text, encoding="utf-8")
        (directory / "tokenizer.gguf").unlink(missing_ok=True)
    ours = ChatTokenizer.load(directory / "tokenizer.json")
    spec = replace(TINY, vocab_size=ours.vocab_size)
    vocabulary = gguf_vocabulary(directory, spec.vocab_size, {})
    write_gguf(tmp_path / "m.gguf", make_metadata(spec, "m", "F32") | vocabulary, {})
    # llama.cpp composes no text, as Qwen2's own tokenizer does first.
    texts = [unicodedata.normalize("NFC", text) for text in [*TEXTS[:14], *HOSTILE] if "\0" not in text and text]
    theirs = ask_llama(TOKENIZE, tmp_path / "m.gguf", json.dumps(texts))
    assert dict(zip(texts, theirs, strict=True)) == {text: ours.encode(text) for text in texts}


def ask_llama(program: str, model: Path, question: str) -> Any:
    """What a program in the environment of llama.cpp says of a model; the question comes to its input."""
    command = [os.environ["BISE_PEERS_PYTHON"], "-c", program, str(model)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, input=question)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
