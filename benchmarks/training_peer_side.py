"""The peers' half of training_vs_peers.py: litgpt's pretraining and the Trainer of transformers, each in its own loop.

Runs in the peers' environment. The order is one JSON argument; Turns says when to go on.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from training_turns import Turns, bits_per_byte


class Rows(Dataset[torch.Tensor]):
    """Windows of the stream of ids in an order of their own, as both peers cut a corpus."""

    def __init__(self, data: Path, length: int, num_steps: int, rows: int, turns: Turns | None) -> None:
        self._tokens = np.memmap(data / "train" / "tokens.bin", np.uint16, "r")
        self._length, self._rows, self._turns, self._num_steps = length, rows, turns, num_steps
        self._order = np.random.default_rng(1).permutation((len(self._tokens) - 1) // 512)

    def __len__(self) -> int:
        return self._num_steps + 1

    def __getitem__(self, step: int) -> torch.Tensor:
        """The windows of one step [rows, length]."""
        if self._turns is not None and self._turns.done < self._turns.num_steps:
            self._turns.step_begins()
        places = [step * self._rows + row for row in range(self._rows)]
        starts = [int(self._order[place % len(self._order)]) * 512 for place in places]
        return torch.stack([torch.from_numpy(self._tokens[s : s + self._length].astype(np.int64)) for s in starts])


def litgpt(order: dict[str, Any], data: Path, out: Path, turns: Turns) -> Any:
    """Run litgpt's `pretrain`; give its trained model."""
    from litgpt import Config, pretrain
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.data import DataModule
    from litgpt.model import GPT

    spec, rows, steps = order["spec"], order["rows"], order["num_steps"]

    class Data(DataModule):  # type: ignore[misc]
        def connect(self, tokenizer: object = None, batch_size: int = 1, max_seq_length: int | None = None) -> None:
            """Nothing to connect."""

        def train_dataloader(self) -> DataLoader[torch.Tensor]:
            """Windows of 513 ids."""
            return DataLoader(Rows(data, 513, steps, rows, turns), batch_size=None, shuffle=False)

        def val_dataloader(self) -> DataLoader[torch.Tensor]:
            """The same, of which two are looked at before training."""
            return DataLoader(Rows(data, 513, 2, rows, None), batch_size=None, shuffle=False)

    config = Config(
        name="shipped",
        block_size=512,
        n_layer=spec["num_layers"],
        n_embd=spec["hidden_size"],
        vocab_size=spec["vocab_size"],
        padded_vocab_size=spec["vocab_size"],
        n_head=spec["num_heads"],
        n_query_groups=spec["num_kv_heads"],
        head_size=spec["head_dim"],
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
        intermediate_size=spec["ffn_size"],
    )
    optimizer: str | dict[str, Any] = "AdamW"
    if order["optimizer"] == "muon":
        optimizer = {"class_path": "training_peer_optimizer.MuonAdamW", "init_args": {}}
    elif order["setting"] == "best":
        init = {"lr": order["lr"], "betas": [0.9, 0.95], "weight_decay": 0.1, "fused": True}
        optimizer = {"class_path": "torch.optim.AdamW", "init_args": init}
    made: list[Any] = []

    class Kept(GPT):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            made.append(self)

    # Its end is a checkpoint that pickles its loader, ours with an open file in it. The model is kept instead.
    pretrain.GPT, pretrain.save_checkpoint = Kept, lambda *_: None
    pretrain.setup(
        "shipped",
        config,
        out_dir=out,
        precision="bf16-mixed" if order["setting"] == "best" else None,
        data=Data(),
        train=TrainArgs(
            save_interval=None,
            global_batch_size=rows,
            micro_batch_size=rows,
            max_tokens=steps * rows * 512,
            max_norm=1.0,
            min_lr=0.0,
            lr_warmup_steps=max(1, steps // 50),
            tie_embeddings=True,
        ),
        eval=EvalArgs(interval=10**9, max_iters=1, final_validation=False),
        optimizer=optimizer,
        devices=1,
        logger_name="csv",
        seed=1,
    )
    turns.stop()
    return made[0].train(False)  # another one counts operations


def trainer(order: dict[str, Any], data: Path, out: Path, turns: Turns) -> Any:
    """Run the Trainer on a Mistral model; give its trained model."""
    from transformers import MistralConfig, MistralForCausalLM, Trainer, TrainerCallback, TrainingArguments

    spec, rows, steps = order["spec"], order["rows"], order["num_steps"]
    is_best = order["setting"] == "best"
    torch.manual_seed(1)
    model = MistralForCausalLM(
        MistralConfig(
            vocab_size=spec["vocab_size"],
            hidden_size=spec["hidden_size"],
            intermediate_size=spec["ffn_size"],
            num_hidden_layers=spec["num_layers"],
            num_attention_heads=spec["num_heads"],
            num_key_value_heads=spec["num_kv_heads"],
            head_dim=spec["head_dim"],
            max_position_embeddings=512,
            sliding_window=None,
            tie_word_embeddings=True,
            use_cache=False,
        )
    )
    if is_best:
        model.set_attn_implementation(order["attention"])
    windows = Rows(data, 512, 0, 1, None)

    class Each(Dataset[dict[str, torch.Tensor]]):
        def __len__(self) -> int:
            return int(order["num_steps"] * rows)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            ids = windows[index][0]
            return {"input_ids": ids, "labels": ids}

    class Pause(TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            """Wait for the turn."""
            turns.step_begins()

    best: dict[str, Any] = {
        "bf16": True,
        "torch_compile": True,
        "optim": "adamw_torch_fused",
        "learning_rate": order["lr"],
        "adam_beta2": 0.95,
        "weight_decay": 0.1,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, steps // 50),
    }
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=rows,
        max_steps=steps,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=1,
        **(best if is_best else {}),
    )
    from training_peer_optimizer import MuonAdamW

    own = (MuonAdamW(model.parameters()), None) if order["optimizer"] == "muon" else (None, None)
    Trainer(model, arguments, train_dataset=Each(), callbacks=[Pause()], optimizers=own).train()
    turns.stop()
    model.train(False)
    return lambda ids: model(input_ids=ids).logits


def main(order: dict[str, Any]) -> None:
    """Train as ordered and tell what came of it."""
    torch.set_num_threads(order["threads"])
    data, out = Path(order["data"]), Path(tempfile.mkdtemp())
    turns = Turns(order["num_steps"])
    model = {"litgpt": litgpt, "trainer": trainer}[order["program"]](order, data, out, turns)
    held_out = np.load(data / "held_out.npz")
    turns.answer(bits_per_byte=bits_per_byte(model, held_out["rows"], held_out["sizes"]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
