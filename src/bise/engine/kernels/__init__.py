"""What the forward pass is made of: one table of functions, compiled by numba or, where that cannot run, in NumPy.

Every function computes each token by itself and adds in a fixed order, so a token's result never depends on which other
tokens share its step: batch = single and chunked = whole, bit for bit. Read first: `reference.py`, which says in NumPy
what each function computes. `table.py` chooses between it and `compiled.py`, the fast twin; `simd.py` holds its vector
instructions and `cache.py` says where compiled code is kept.
"""
