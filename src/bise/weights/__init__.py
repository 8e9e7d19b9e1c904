"""Room 3, model files: the spec, safetensors in and out, quantisation, the local model store.

In: directories of safetensors. Out: a `ModelSpec` and memory-mapped tensors under canonical names.
Read first: `spec.py` (names and layouts). Nothing here imports torch; only safetensors is ever read.
"""
