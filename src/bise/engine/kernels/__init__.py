"""What the forward pass is made of, compiled by numba or, where that cannot run, in NumPy.

Every function computes each token by itself and adds in a fixed order, so a token's result never depends on which other
tokens share its step: batch = single and chunked = whole, bit for bit. There are two ways. Operation by operation:
`reference.py` says in NumPy what each computes, `compiled.py` is the fast twin, `table.py` chooses between them. Fused:
`step.py` runs a whole model; it calls `linear.py` for integer products and `attention.py`. Read `reference.py` first,
then `step.py`. `vectors.py` and `memory.py` are what they are written with; `cache.py` keeps compiled code.
"""
