"""Room 4, the Mistral architecture in PyTorch, for training and tuning.

In: a `ModelSpec` and token ids. Out: logits. Read first: `transformer.py`. The runtime never imports this room.
"""
