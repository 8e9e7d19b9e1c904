"""Room 1, raw text to curated documents.

In: JSON lines, Parquet, texts, web pages and web archives (plain, gz, xz, zst) named by a recipe. Out: Parquet
of `Document`s, and a reason for each one dropped.
Read first: `document.py` (what passes on), then `recipe.py` (what can be asked) and `pipeline.py` (how a run goes).
"""
