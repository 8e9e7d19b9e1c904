"""Room 9, requests to tokens, on the CPU, without PyTorch.

In: token ids and sampling parameters. Out: `StepOutput`s. Read first: `core.py` (one step), then `forward.py`.
Only `text.py` knows bytes. `kernels/` holds what numba compiles.
"""
