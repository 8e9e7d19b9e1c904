"""Room 6, base weights to chat weights.

In: a recipe naming a base model and conversations. Out: a run directory with tuned safetensors and a manifest.
Read first: `recipe.py`, then `finetune.py`.
"""
