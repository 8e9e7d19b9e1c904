"""Tuning teaches answers and nothing but answers, leaks nothing between conversations, and counts what it leaves out."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bise.corpus.recipe import SourceFile
from bise.errors import InputError, NotFoundError
from bise.messages import Conversation, Message
from bise.model.files import load_model
from bise.model.lora import AdaptedLinear, load_adapter, merged_weights
from bise.tokenizer.chat import ChatTokenizer
from bise.train.packing import IGNORED
from bise.train.recipe import OptimizerRecipe
from bise.train.report import Silent
from bise.train.step import target_losses
from bise.tune.conversations import parse
from bise.tune.data import Renderer, prepare, rows
from bise.tune.finetune import tune
from bise.tune.recipe import AdapterRecipe, GeneralText, TuneRecipe
from bise.tune.verdict import what_got_worse
from bise.weights.adapter import TARGETS
from bise.weights.pull import Source, pull


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def weights(recipe: TuneRecipe) -> dict[str, torch.Tensor]:
    return load_model(recipe.root / "tune" / recipe.name / "model").state_dict()


def test_tuning_lowers_the_held_out_loss_and_answers(recipe: TuneRecipe) -> None:
    facts = tune(recipe, Silent()).facts
    before, after = facts["held_out_before"], facts["held_out"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    general = {f"text {lang}" for lang in ("de", "en", "es", "fr", "it")}
    assert before.keys() == after.keys() == {"en", "fr"} | general
    assert all(after[lang]["loss"] < before[lang]["loss"] / 2 for lang in ("en", "fr"))
    model, tokenizer = (kind(recipe.root / "tune" / "small" / "model") for kind in (load_model, ChatTokenizer.load))
    prompt = Conversation((Message("user", "What colour is grass?"),))
    ids = tokenizer.render(prompt, for_completion=True).ids
    while ids[-1] != tokenizer.eos_id and len(ids) < 60:
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    assert tokenizer.decode(ids).endswith("It is green.")
    record = (recipe.root / "tune" / "small" / "manifest.json").read_text(encoding="utf-8")
    assert '"talk"' in record
    assert str(recipe.base.parents[2]) not in record, "a record travels with its model"


def test_conversations_packed_in_a_row_equal_each_alone(recipe: TuneRecipe) -> None:
    tokenizer, model = ChatTokenizer.load(recipe.base / "model"), load_model(recipe.base / "model")
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    samples = prepare(recipe, tokenizer, 64, Silent()).learned
    packed = rows(samples, 64, seed=0)
    assert packed.num_rows < len(samples)
    alone = rows(samples, max(sample.num_places for sample in samples), seed=0)
    losses = []
    for layout in (packed, alone):
        batch = layout.batch(0, layout.num_rows)
        with torch.no_grad():
            losses.append(target_losses(model, batch, "f32")[batch.targets_BT.flatten() != IGNORED].sort().values)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-4)


def test_only_the_assistants_words_and_its_eos_are_learned(recipe: TuneRecipe) -> None:
    tokenizer = ChatTokenizer.load(recipe.base / "model")
    for example in prepare(recipe, tokenizer, 64, Silent()).learned:
        sample = example.chosen
        assert sample.learned is not None
        learned = sample.ids[sample.learned]
        assert tokenizer.decode(learned).startswith(("It is ", "Elle est "))
        assert learned[-1] == tokenizer.eos_id


def with_adapter(recipe: TuneRecipe) -> TuneRecipe:
    optimizer = OptimizerRecipe(matrix_learning_rate=0.02, embedding_learning_rate=0.02)
    return replace(recipe, name="adapted", adapter=AdapterRecipe(rank=8, alpha=16.0), optimizer=optimizer)


def test_an_adapter_learns_and_its_merged_model_is_the_base_with_it(recipe: TuneRecipe) -> None:
    facts = tune(with_adapter(recipe), Silent()).facts
    before, after = facts["held_out_before"], facts["held_out"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert all(after[lang]["loss"] < before[lang]["loss"] - 0.1 for lang in ("en", "fr"))
    run = recipe.root / "tune" / "adapted"
    adapted, merged = load_model(recipe.base / "model"), load_model(run / "model")
    load_adapter(run / "adapter", adapted)
    matrices = {name: module for name, module in adapted.named_modules() if isinstance(module, AdaptedLinear)}
    assert len(matrices) == 7 * adapted.spec.num_layers
    for name, matrix in matrices.items():
        exact = matrix.base.weight + matrix.scale * matrix.lora_B @ matrix.lora_A
        assert torch.equal(merged.get_submodule(name).weight, exact.bfloat16().float()), name
    ids = torch.arange(30).reshape(1, 30)
    with torch.no_grad():
        expected, difference = adapted(ids), merged(ids) - adapted(ids)
    assert difference.std() < 0.1 * expected.std(), "what rounding the merged weights to bfloat16 may do"
    base = load_model(recipe.base / "model").state_dict()
    frozen = [name for name in base if not name.endswith(tuple(f"{target}.weight" for target in TARGETS))]
    assert all(torch.equal(base[name], merged.state_dict()[name]) for name in frozen)


def test_an_adapter_of_less_strength_lies_between_the_base_and_what_was_learned(recipe: TuneRecipe) -> None:
    whole = with_adapter(recipe)
    assert whole.adapter
    half = replace(whole, name="half", adapter=replace(whole.adapter, strength=0.5))
    facts = {each.name: tune(each, Silent()).facts for each in (whole, half)}
    base = load_model(recipe.base / "model").state_dict()
    merged, halfway = (load_model(recipe.root / "tune" / name / "model").state_dict() for name in facts)
    for name, weight in base.items():
        torch.testing.assert_close(halfway[name] - weight, (merged[name] - weight) / 2, rtol=0.1, atol=0.004)
    adapted = load_model(recipe.base / "model")
    load_adapter(recipe.root / "tune/half/adapter", adapted)
    torch.testing.assert_close(merged_weights(adapted), halfway, rtol=0, atol=0, check_dtype=False)
    learned, weaker = (facts[name]["held_out"]["en"]["loss"] for name in facts)  # type: ignore[index]
    assert learned < weaker < facts["half"]["held_out_before"]["en"]["loss"]  # type: ignore[index]


def test_an_adapter_learns_beside_four_bit_weights_of_a_model_in_the_store(
    recipe: TuneRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BISE_HOME", str(recipe.root / "home"))
    pull(Source(recipe.base), "stored", "4")
    facts = tune(replace(with_adapter(recipe), base=Path("stored")), Silent()).facts
    before, after = facts["held_out_before"], facts["held_out"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert all(after[lang]["loss"] < before[lang]["loss"] - 0.1 for lang in ("en", "fr"))
    assert load_model(recipe.root / "tune" / "adapted" / "model").spec.quantisation is None
    with pytest.raises(InputError, match=r"quantised to 4 bits.*\[adapter\] section"):
        tune(replace(recipe, base=Path("stored")), Silent())


def test_too_long_conversations_are_counted_and_said(recipe: TuneRecipe) -> None:
    talk = replace(recipe.sources.list[0], max_tokens=14)
    listener = Listener()
    data = prepare(
        replace(recipe, sources=replace(recipe.sources, list=(talk,))),
        ChatTokenizer.load(recipe.base / "model"),
        64,
        listener,
    )
    counts = data.facts["talk"]
    assert isinstance(counts["too_long"], int)
    assert counts["too_long"] > 0
    assert f"{counts['too_long']} conversations are longer than 14 tokens" in listener.said[0]
    assert max(len(example.chosen.ids) for example in data.learned) <= 14


def test_repeats_copy_what_is_learned_and_not_what_is_held_out(recipe: TuneRecipe) -> None:
    tokenizer = ChatTokenizer.load(recipe.base / "model")
    once = prepare(recipe, tokenizer, 64, Silent())
    talk = replace(recipe.sources.list[0], repeats=3.0)
    thrice = prepare(replace(recipe, sources=replace(recipe.sources, list=(talk,))), tokenizer, 64, Silent())
    assert len(thrice.learned) == 3 * len(once.learned)
    assert {k: len(v) for k, v in thrice.held_out.items()} == {k: len(v) for k, v in once.held_out.items()}


def test_nothing_to_learn(recipe: TuneRecipe) -> None:
    talk = replace(recipe.sources.list[0], languages=("fi",))
    with pytest.raises(InputError, match="0 conversations are left to learn"):
        tune(replace(recipe, sources=replace(recipe.sources, list=(talk,))), Silent())


def test_the_base_must_be_a_finished_model_run(recipe: TuneRecipe, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no run"):
        tune(replace(recipe, base=tmp_path / "train" / "nothing"), Silent())


def test_duplicates_and_the_work_ahead_are_told_before_anything_starts(recipe: TuneRecipe) -> None:
    path = recipe.sources.root / "talk.jsonl"
    path.write_text(path.read_text() + "".join(path.read_text().splitlines(keepends=True)[:3]))
    listener = Listener()
    facts = tune(replace(recipe, epochs=1.0), listener).facts
    sources = facts["sources"]
    assert isinstance(sources, dict)
    assert sources["talk"]["duplicates"] == 3
    assert any("steps are few to learn in" in sentence for sentence in listener.said)
    assert "talk: 3 conversations are there more than once" in listener.said[0]
    assert re.search(
        r"\d+ conversations of [\d,]+ tokens in \d+ rows of 64; \d+ steps of 4 rows: about", listener.said[1]
    )


def test_only_the_last_answer_is_learned_where_a_source_says_so(recipe: TuneRecipe) -> None:
    tokenizer = ChatTokenizer.load(recipe.base / "model")
    turns = [("user", "grass?"), ("assistant", "green"), ("user", "snow?"), ("assistant", "white")]
    line = parse(json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]}))
    told = []
    for learn in ("all", "last"):
        example = Renderer(tokenizer, replace(recipe.sources.list[0], learn=learn), 64).example(line)
        assert example is not None
        assert example.chosen.learned is not None
        told.append(tokenizer.decode(example.chosen.ids[example.chosen.learned]))
    assert told == ["greenwhite", "white"]


def test_a_tune_that_forgets_says_so_with_both_numbers(recipe: TuneRecipe) -> None:
    listener = Listener()
    facts = tune(recipe, listener).facts
    before, after, warnings = facts["held_out_before"], facts["held_out"], facts["warnings"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert isinstance(warnings, list)
    assert after["text de"]["bits_per_byte"] > before["text de"]["bits_per_byte"] * 1.01
    numbers = [f"{found['text de']['bits_per_byte']:.3f}" for found in (before, after)]
    told = next(warning for warning in warnings if "(de)" in warning)
    assert told.startswith(f"General text (de) got worse: {numbers[0]} bits per byte before, {numbers[1]} after. ")
    assert f"Warning: {told}" in listener.said
    assert told.endswith("or an adapter help.")
    (advised,) = what_got_worse({"text de": before["text de"]}, {"text de": after["text de"]}, has_adapter=True)
    assert advised.endswith("or a strength below 1 help.")


def test_general_text_may_be_named(recipe: TuneRecipe, tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"text": "Grass and snow and coal.", "lang": "en"}\n{"text": "Nu."}\n')
    named = replace(recipe, epochs=1.0, general_text=GeneralText((SourceFile("own.jsonl"),), tmp_path))
    held_out = tune(named, Silent()).facts["held_out"]
    assert isinstance(held_out, dict)
    assert held_out.keys() == {"en", "fr", "text en", "text und"}
    (tmp_path / "own.jsonl").write_text('{"words": "Grass"}\n')
    with pytest.raises(InputError, match=r"own\.jsonl:1: not"):
        tune(replace(named, name="other"), Silent())
    with pytest.raises(NotFoundError, match=r"no files none\.jsonl"):
        tune(replace(named, name="third", general_text=GeneralText((SourceFile("none.jsonl"),), tmp_path)), Silent())
