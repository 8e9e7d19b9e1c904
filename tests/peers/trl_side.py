"""The other half of test_tuning.py, run by the peers' Python: what peft and trl make of the same weights and ids.

Called with a directory that holds base/ (a model of transformers), adapter/ (in peft's format) and work.json; writes its
answers beside them.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

HERE = Path(sys.argv[1])
WORK = json.loads((HERE / "work.json").read_text())
COMMON = {
    "output_dir": str(HERE / "trl"),
    "use_cpu": True,
    "bf16": False,
    "report_to": [],
    "gradient_checkpointing": False,
    "disable_tqdm": True,
}


def base():
    return AutoModelForCausalLM.from_pretrained(HERE / "base", dtype=torch.float32)


def adapted():
    return PeftModel.from_pretrained(base(), HERE / "adapter", is_trainable=True)


def tokenizer():
    """Words "<0>", "<1>", … for ids, so that data can be given as text where trl wants text."""
    vocabulary = {f"<{number}>": number for number in range(WORK["vocab_size"])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<0>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<2>", pad_token="<0>", unk_token="<0>")


def text(ids):
    return " ".join(f"<{number}>" for number in ids)


def gradients(model, suffix=".default"):
    """By the names that adapter files use."""
    return {name.replace(suffix, ""): p.grad.contiguous() for name, p in model.named_parameters() if p.grad is not None}


def forward():
    model = adapted()
    ids = torch.tensor(WORK["ids"])
    logits = model(ids).logits
    torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    save_file({"logits": logits.detach().contiguous(), **gradients(model)}, HERE / "forward.safetensors")


def own_adapter():
    torch.manual_seed(3)
    config = LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "o_proj", "up_proj"], init_lora_weights=False)
    model = get_peft_model(base(), config)
    model.save_pretrained(HERE / "own_adapter")
    save_file({"logits": model(torch.tensor(WORK["ids"])).logits.contiguous()}, HERE / "own_adapter.safetensors")


def accumulated(trainer, model):
    """The loss and gradient of one step over all data, as the trainer itself accumulates them."""
    model.train()
    batches, num_items = trainer.get_batch_samples(iter(trainer.get_train_dataloader()), WORK["accumulation"], "cpu")
    trainer.current_gradient_accumulation_steps = len(batches)
    losses = []
    for batch in batches:
        loss = trainer.compute_loss(model, trainer._prepare_inputs(batch), num_items_in_batch=num_items)
        loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum().reshape(1)


def sft():
    for packing in (False, True):
        model = adapted()
        data = Dataset.from_list([{"input_ids": ids, "labels": labels} for ids, labels in WORK["sft"]])
        config = SFTConfig(
            **COMMON,
            per_device_train_batch_size=1 if packing else 2,
            gradient_accumulation_steps=WORK["accumulation"],
            max_length=WORK["row_length"],
            packing=packing,
        )
        trainer = SFTTrainer(model, args=config, train_dataset=data, processing_class=tokenizer())
        loss = accumulated(trainer, model)
        save_file({"loss": loss, **gradients(model)}, HERE / f"sft_{packing}.safetensors")


def dpo():
    model = adapted()
    rows = [
        {"prompt": text(prompt), "chosen": " " + text(chosen), "rejected": " " + text(rejected)}
        for prompt, chosen, rejected in WORK["dpo"]
    ]
    config = DPOConfig(
        **COMMON,
        per_device_train_batch_size=len(rows),
        beta=WORK["beta"],
        max_length=None,
        loss_type=["sigmoid", "sft"] if WORK["sft_weight"] else ["sigmoid"],
        loss_weights=[1.0, WORK["sft_weight"]] if WORK["sft_weight"] else None,
    )
    trainer = DPOTrainer(model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer())
    model.delete_adapter("ref")  # a copy of the adapter as it begins; without it the reference is the base
    loss = accumulated(trainer, model)
    save_file({"loss": loss, **gradients(model)}, HERE / "dpo.safetensors")


for task in (forward, own_adapter, sft, dpo):
    task()
