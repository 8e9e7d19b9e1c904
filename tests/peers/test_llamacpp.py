"""What we export as GGUF, llama.cpp computes: same ids, the same best tokens, the same greedy answer.

It runs in the environment that `make test-peers` makes.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bise.tokenizer.chat import ChatTokenizer
from bise.weights.files import open_weights
from bise.weights.store import shipped_directory
from tests.command import succeed
from tests.weights.formats.logits import our_logits

pytestmark = pytest.mark.peers

LLAMA = """
import json, sys
import llama_cpp, numpy as np

model = llama_cpp.Llama(sys.argv[1], n_ctx=256, verbose=False, logits_all=True)
ids = model.tokenize(sys.argv[2].encode(), add_bos=True, special=False)
model.eval(ids)
logits = np.array(model.scores[: len(ids)]).tolist()
chat = model.create_chat_completion([{"role": "user", "content": sys.argv[2]}], temperature=0, max_tokens=24)
print(json.dumps({"ids": ids, "logits": logits, "text": chat["choices"][0]["message"]["content"]}))
"""
QUESTION = "Who are you?"


def test_llama_cpp_computes_what_we_export(tmp_path: Path) -> None:
    succeed("export", "bise-demo", tmp_path / "out", "--to", "gguf")
    command = [os.environ["BISE_PEERS_PYTHON"], "-c", LLAMA, str(tmp_path / "out/bise-demo.gguf"), QUESTION]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.splitlines()[-1])
    tokenizer = ChatTokenizer.load(shipped_directory())
    assert theirs["ids"] == [tokenizer.bos_id, *tokenizer.encode(QUESTION)]
    logits, ours = np.array(theirs["logits"]), our_logits(open_weights(shipped_directory()), theirs["ids"])
    assert np.corrcoef(logits.ravel(), ours.ravel())[0, 1] > 0.999
    np.testing.assert_array_equal(logits.argmax(axis=1), ours.argmax(axis=1))
    answer = json.loads(succeed("ask", QUESTION, "--json"))["text"]
    assert answer.startswith(theirs["text"][:40])
