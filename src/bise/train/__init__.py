"""Room 5, token shards to base weights.

In: a recipe naming a curated corpus and a tokenizer. Out: a run directory with safetensors, metrics and a manifest.
Read first: `recipe.py` (what can be set), then `loop.py` (what happens).
"""
