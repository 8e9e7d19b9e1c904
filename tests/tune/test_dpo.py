"""Preference optimisation: the loss is the paper's, whatever stands beside a pair; it teaches, and resumes bit for bit."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from bise.corpus.recipe import SourceFile
from bise.errors import InputError
from bise.messages import Conversation
from bise.model.files import load_model
from bise.model.lora import add_adapter
from bise.model.transformer import Transformer
from bise.tokenizer.chat import ChatTokenizer
from bise.train.packing import Batch
from bise.train.report import Silent
from bise.tune.conversations import Line, parse
from bise.tune.data import Example, Renderer, rows
from bise.tune.dpo import Preferences, numbered, reference
from bise.tune.finetune import tune
from bise.tune.recipe import AdapterRecipe, ConversationSource, DpoRecipe, TuneRecipe
from tests.tune.conftest import BETA, preferences


@pytest.fixture
def tokenizer(base: Path) -> ChatTokenizer:
    return ChatTokenizer.load(base / "model")


@pytest.fixture
def lines() -> list[Line]:
    return [parse(json.dumps(line)) for line in preferences()[:7]]


@pytest.fixture
def examples(lines: list[Line], tokenizer: ChatTokenizer) -> list[Example]:
    renderer = Renderer(tokenizer, ConversationSource("pairs", "Apache-2.0", (SourceFile("pairs.jsonl"),)), 65)
    made = [example for line in lines if (example := renderer.example(line))]
    assert len(made) == len(lines)
    return numbered(made, first=0)


@pytest.fixture
def model(base: Path) -> Transformer:
    """One whose words are not all alike."""
    made = load_model(base / "model")
    torch.manual_seed(1)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made


def packed(examples: list[Example], row_length: int) -> Batch:
    layout = rows(examples, row_length, seed=0)
    return layout.batch(0, layout.num_rows)


def log_probability(model: Transformer, tokenizer: ChatTokenizer, conversation: Conversation) -> torch.Tensor:
    """Of the last answer, alone in the model."""
    prompt = tokenizer.render(replace(conversation, messages=conversation.messages[:-1]), for_completion=True).ids
    ids = torch.tensor(tokenizer.render(conversation, for_completion=False).ids)
    told = functional.log_softmax(model(ids[None, :-1])[0], dim=-1).gather(1, ids[1:, None])
    return told[len(prompt) - 1 :].sum()


def loss_of_the_paper(
    model: Transformer, tokenizer: ChatTokenizer, lines: list[Line], known_S: torch.Tensor
) -> torch.Tensor:
    losses = []
    for number, line in enumerate(lines):
        better = log_probability(model, tokenizer, line.conversation) - known_S[2 * number]
        worse = log_probability(model, tokenizer, line.with_rejected()) - known_S[2 * number + 1]
        losses.append(-functional.logsigmoid(BETA * (better - worse)))
    return torch.stack(losses).mean()


def gradients(model: Transformer) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize(("row_length", "rows_at_once"), [(100, 1), (300, 2), (1000, 4)])
def test_loss_and_gradient_are_the_papers_however_pairs_are_packed(
    examples: list[Example],
    lines: list[Line],
    model: Transformer,
    tokenizer: ChatTokenizer,
    row_length: int,
    rows_at_once: int,
) -> None:
    known_S = torch.linspace(-60, -50, 2 * len(lines))
    expected = loss_of_the_paper(model, tokenizer, lines, known_S)
    expected.backward()
    expected_gradients = gradients(model)
    batch = packed(examples, row_length)
    measures = Preferences(known_S, DpoRecipe(BETA))(model, batch, rows_at_once, "f32")
    assert measures["loss"] == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-3, atol=1e-5)


def test_plain_conversations_beside_pairs_count_in_the_sft_term_only(
    examples: list[Example], lines: list[Line], model: Transformer, tokenizer: ChatTokenizer
) -> None:
    mixed = [examples[0], Example(examples[1].chosen), examples[2]]
    known_S = torch.linspace(-60, -50, 2 * len(lines))
    chosen = [log_probability(model, tokenizer, line.conversation) for line in lines[:3]]
    num_tokens = sum(int(example.chosen.learned.sum()) for example in mixed if example.chosen.learned is not None)
    pairs = [loss_of_the_paper(model, tokenizer, [lines[n]], known_S[2 * n :]).item() for n in (0, 2)]
    expected = sum(pairs) / 2 - 0.7 * sum(chosen).item() / num_tokens  # type: ignore[union-attr]
    measures = Preferences(known_S, DpoRecipe(BETA, sft_weight=0.7))(model, packed(mixed, 200), 1, "f32")
    assert measures["loss"] == pytest.approx(expected, rel=1e-5)


def test_at_its_start_a_model_is_its_reference_with_an_adapter_or_without(
    examples: list[Example], model: Transformer, tmp_path: Path
) -> None:
    batch = packed(examples, 200)
    known_S = reference(tmp_path / "base", model, {"pairs": batch}, 2, "f32", Silent())
    add_adapter(model, AdapterRecipe(rank=4).spec(""))
    adapted_S = reference(tmp_path / "adapted", model, {"pairs": batch}, 2, "f32", Silent())
    torch.testing.assert_close(adapted_S, known_S)
    measures = Preferences(adapted_S, DpoRecipe(BETA))(model, batch, 2, "f32")
    assert measures == {"loss": pytest.approx(math.log(2)), "accuracy": 0.0, "margin": 0.0}


def test_a_kept_reference_is_read_again_only_for_the_same_documents(
    examples: list[Example], model: Transformer, tmp_path: Path
) -> None:
    path, batch = tmp_path / "reference.safetensors", packed(examples, 200)
    known_S = reference(path, model, {"pairs": batch}, 2, "f32", Silent())
    torch.nn.init.zeros_(model.norm.weight)
    assert torch.equal(reference(path, model, {"pairs": batch}, 2, "f32", Silent()), known_S)
    others = reference(path, model, {"pairs": packed(examples[:3], 200)}, 2, "f32", Silent())
    assert not torch.equal(others, known_S[: len(others)])
    path.write_bytes(path.read_bytes()[:20])
    assert torch.equal(reference(path, model, {"pairs": packed(examples[:3], 200)}, 2, "f32", Silent()), others)


@pytest.mark.parametrize("adapter", [None, AdapterRecipe(rank=8, alpha=16.0)], ids=["all weights", "adapter"])
def test_it_learns_to_prefer_what_it_has_not_seen(preferring: TuneRecipe, adapter: AdapterRecipe | None) -> None:
    facts = tune(replace(preferring, adapter=adapter), Silent()).facts
    before, after = facts["held_out_before"], facts["held_out"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before["pairs en"] == {"loss": pytest.approx(math.log(2), abs=1e-3), "accuracy": 0.0, "margin": 0.0}
    assert after["pairs en"]["accuracy"] == 1.0
    assert after["pairs en"]["margin"] > 1
    assert not list((preferring.root / "tune" / "preferring").glob("reference*"))


def test_preferences_need_a_section_and_conversations_a_weight(preferring: TuneRecipe, recipe: TuneRecipe) -> None:
    with pytest.raises(InputError, match=r"20 preferences .* has no \[dpo\] section"):
        tune(replace(preferring, dpo=None), Silent())
    with pytest.raises(InputError, match=r"29 of the 29 lines .* dpo.sft_weight above 0"):
        tune(replace(recipe, dpo=DpoRecipe()), Silent())
