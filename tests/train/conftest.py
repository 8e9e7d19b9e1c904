"""A corpus, a vocabulary and a recipe small enough to train in a second."""

import json
from pathlib import Path

import pytest

from bise.corpus.pipeline import curate
from bise.corpus.recipe import CurateRecipe, Duplicates, Source, SourceFile, Sources
from bise.corpus.rules import Rules
from bise.runs import RunDirectory
from bise.tokenizer.tekken import FILE_NAME, write_tekken
from bise.tokenizer.training import train_vocabulary
from bise.train.recipe import LoopRecipe, OptimizerRecipe, Shape, TrainRecipe

SUBJECTS = ("The wind", "The old boat", "A child", "The lake", "My neighbour", "The baker")
VERBS = ("sings in", "waits for", "remembers", "walks through", "loves")
OBJECTS = ("the morning", "the harbour", "a quiet street", "the long winter", "the market")
FRENCH = ("Le vent du nord passe sur le lac", "La nuit tombe sur le port", "Un enfant attend le matin")


def raw_documents() -> list[dict[str, str]]:
    english = [
        f"{subject} {verb} {thing}. {thing.capitalize()} {verb} {subject.lower()}. " * (1 + number % 3)
        for number, (subject, verb, thing) in enumerate((s, v, o) for s in SUBJECTS for v in VERBS for o in OBJECTS)
    ]
    french = [f"{line} {number} fois. {line}, dit-on." for line in FRENCH for number in range(10)]
    return [{"id": f"en-{n}", "text": text, "lang": "en"} for n, text in enumerate(english)] + [
        {"id": f"fr-{n}", "text": text, "lang": "fr"} for n, text in enumerate(french)
    ]


@pytest.fixture(scope="session")
def parents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the finished runs curate/small and tokenizer/small."""
    root = tmp_path_factory.mktemp("parents")
    lines = (json.dumps(document) for document in raw_documents())
    (root / "raw.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sources = Sources(list=(Source("small", "Apache-2.0", (SourceFile("raw.jsonl"),)),), root=root)
    # The texts are made of few words, and much alike.
    curate(CurateRecipe("small", sources, rules=Rules(families=()), duplicates=Duplicates(near=False), root=root))
    run = RunDirectory(root, "tokenizer", "small")
    write_tekken(train_vocabulary([document["text"] for document in raw_documents()], 400), run.path / FILE_NAME)
    run.finish({}, [], {})
    return root


@pytest.fixture
def recipe(parents: Path, tmp_path: Path) -> TrainRecipe:
    """Twelve steps of a model with some ten thousand weights."""
    return TrainRecipe(
        name="small",
        corpus=parents / "curate" / "small",
        tokenizer=parents / "tokenizer" / "small",
        root=tmp_path,
        tokens=12 * 8 * 32,
        shape=Shape(16, 2, 2, 1, 8, 24, 32, tied_embeddings=True),
        held_out_fraction=0.1,
        held_out_rows=4,
        optimizer=OptimizerRecipe(matrix_learning_rate=0.02, embedding_learning_rate=0.02),
        loop=LoopRecipe(8, 4, eval_every=6, checkpoint_every=5, threads=1, precision="f32"),
    )
