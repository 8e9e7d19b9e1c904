"""`python -m bise` is `bise`."""

from bise.cli.main import run

run()
