"""A vocabulary, a small base run and conversations about two things."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bise.corpus.recipe import SourceFile
from bise.model.files import save_model
from bise.model.transformer import Transformer
from bise.runs import RunDirectory
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.tekken import FILE_NAME, write_tekken
from bise.tokenizer.training import train_vocabulary
from bise.train.recipe import LoopRecipe, OptimizerRecipe
from bise.tune.recipe import ConversationSource, DpoRecipe, OutsideSources, TuneRecipe
from bise.weights.spec import ModelSpec

COLOURS = {"grass": "green", "the sky": "blue", "snow": "white", "coal": "black", "a rose": "red"}
QUESTIONS = ("What colour is {}?", "Tell me the colour of {}.", "{}: which colour?", "Say how {} looks.")
BETA = 0.3
FRENCH = {"l'herbe": "verte", "la neige": "blanche", "la nuit": "noire"}


def conversations() -> list[dict[str, object]]:
    pairs = [("en", q.format(thing), f"It is {c}.") for thing, c in COLOURS.items() for q in QUESTIONS]
    pairs += [("fr", f"{q} {t} ?", f"Elle est {c}.") for t, c in FRENCH.items() for q in ("Comment est", "Et", "Dis,")]
    return [
        {
            "messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}],
            "lang": lang,
        }
        for lang, ask, answer in pairs
    ]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training run whose model knows nothing."""
    run = RunDirectory(tmp_path_factory.mktemp("base"), "train", "base")
    text = [json.dumps(conversation, ensure_ascii=False) for conversation in conversations()] * 3
    (run.path / "model").mkdir()
    write_tekken(train_vocabulary(text, 400), run.path / "model" / FILE_NAME)
    vocab_size = ChatTokenizer.load(run.path / "model").vocab_size
    torch.manual_seed(0)
    save_model(run.path / "model", Transformer(ModelSpec(vocab_size, 32, 2, 2, 1, 16, 64, 64, tied_embeddings=True)))
    run.finish({}, [], {})
    return run.path


@pytest.fixture
def recipe(base: Path, tmp_path: Path) -> TuneRecipe:
    path = tmp_path / "talk.jsonl"
    lines = [json.dumps(conversation) for conversation in conversations()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    talk = ConversationSource("talk", "Apache-2.0", (SourceFile("talk.jsonl"),))
    return TuneRecipe(
        name="small",
        base=base,
        conversations=(),
        sources=OutsideSources(tmp_path, (talk,)),
        root=tmp_path / "runs",
        epochs=24.0,
        held_out_fraction=0.15,
        optimizer=OptimizerRecipe(matrix_learning_rate=0.02, embedding_learning_rate=0.02),
        loop=LoopRecipe(batch_rows=4, microbatch_rows=2, eval_every=50, checkpoint_every=7, threads=1, precision="f32"),
    )


def preferences() -> list[dict[str, object]]:
    """Short answers are better than long ones."""
    return [
        {
            "messages": [{"role": "user", "content": question.format(thing)}],
            "chosen": f"It is {colour}.",
            "rejected": {"role": "assistant", "content": f"Well, {thing} is {colour}, so I have been told."},
            "lang": "en",
        }
        for thing, colour in COLOURS.items()
        for question in QUESTIONS
    ]


@pytest.fixture
def preferring(recipe: TuneRecipe, tmp_path: Path) -> TuneRecipe:
    lines = "".join(json.dumps(line) + "\n" for line in preferences())
    (tmp_path / "pairs.jsonl").write_text(lines, encoding="utf-8")
    source = ConversationSource("pairs", "Apache-2.0", (SourceFile("pairs.jsonl"),))
    return replace(
        recipe,
        name="preferring",
        sources=OutsideSources(tmp_path, (source,)),
        epochs=12.0,
        held_out_fraction=0.3,
        dpo=DpoRecipe(beta=BETA),
    )
