"""The peers' half of `lora_vs_trl.py`: steps of trl's SFTTrainer with peft, at the settings that its caller names.

Called with the directory of the model and the conversations, "packed" or "padded", and the number of threads.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from orders import answer_orders

sys.path.pop(0)  # this directory: its kernels.py hides a package that transformers looks for

HERE, SETTING, THREADS = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
WORK: dict[str, Any] = json.loads((HERE / "work.json").read_text(encoding="utf-8"))
_PADDED_ROWS = 8  # conversations at once, about as many tokens as two packed rows


def make_trainer() -> Any:
    """A trainer whose optimiser is ready."""
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer, models
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer(models.WordLevel({"<0>": 0, "<2>": 2}, unk_token="<0>")),
        eos_token="<2>",
        pad_token="<0>",
    )
    packed = SETTING == "packed"
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=True,
        report_to=[],
        gradient_checkpointing=False,
        packing=packed,
        max_length=WORK["row_length"],
        per_device_train_batch_size=1 if packed else _PADDED_ROWS,
        gradient_accumulation_steps=WORK["batch_rows"],
        learning_rate=WORK["learning_rate"],
        train_sampling_strategy="random" if packed else "group_by_length",
        max_steps=1000,
    )
    lora = LoraConfig(r=WORK["rank"], lora_alpha=WORK["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")
    model = AutoModelForCausalLM.from_pretrained(HERE / "theirs", dtype=torch.bfloat16, attn_implementation="sdpa")
    data = Dataset.from_list([{"input_ids": ids, "labels": labels} for ids, labels in WORK["conversations"]])
    trainer = SFTTrainer(model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora)
    trainer.create_optimizer()
    return trainer


class Steps:
    """Steps of the trainer as its own loop takes them, without its logging."""

    def __init__(self) -> None:
        self.trainer = make_trainer()
        self.loader = self.trainer.get_train_dataloader()
        self.batches = iter(self.loader)

    def next_batch(self) -> dict[str, torch.Tensor]:
        """The next rows, from the start again after the last."""
        try:
            batch: dict[str, torch.Tensor] = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            batch = next(self.batches)
        return batch

    def steps(self, count: int) -> dict[str, float]:
        """Take some: the tokens that are no padding, and the processor's seconds."""
        trainer, tokens, began = self.trainer, 0, time.process_time()
        trainer.current_gradient_accumulation_steps = WORK["batch_rows"]
        trainer.model.train()
        for _ in range(count):
            batches = [self.next_batch() for _ in range(WORK["batch_rows"])]
            num_items = sum((batch["labels"] != -100).sum() for batch in batches)
            for batch in batches:
                trainer.training_step(trainer.model, batch, num_items_in_batch=num_items)
                mask = batch.get("attention_mask")
                tokens += int(batch["input_ids"].numel() if mask is None else mask.sum())
            trainer.optimizer.step()
            trainer.model.zero_grad()
        return {"tokens": tokens, "cpu_s": time.process_time() - began}


torch.set_num_threads(THREADS)
answer_orders({"steps": Steps().steps})
