"""How the database came to its present shape, step by step. `versions/` is applied in order; `env.py` runs it."""
