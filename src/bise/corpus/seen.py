"""Read what a finished run knows of every document it saw: by column, or one document's row."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from bise.config import from_table
from bise.corpus.output import STATISTICS_FOLDER
from bise.corpus.rules import Rules
from bise.errors import InputError, NotFoundError
from bise.runs import Manifest, read_manifest


@dataclass(frozen=True)
class Run:
    """A finished curate run.

    Raises:
        NotFoundError: there is none in the directory.
        InputError: the run is of another stage, or has no statistics.
    """

    directory: Path

    def __post_init__(self) -> None:
        if self.manifest.stage != "curate" or not (self.directory / STATISTICS_FOLDER).is_dir():
            raise InputError(
                f"{self.directory} holds a {self.manifest.stage} run without statistics of documents. "
                "Give the directory of a curate run, for example runs/curate/tiny."
            )

    @cached_property
    def manifest(self) -> Manifest:
        """The run's record."""
        return read_manifest(self.directory)

    @cached_property
    def rules(self) -> Rules:
        """The rules that it was made with."""
        return from_table(self.manifest.config["rules"], Rules, where=str(self.directory))  # type: ignore[arg-type]

    @cached_property
    def _dataset(self) -> Any:
        return ds.dataset(self.directory / STATISTICS_FOLDER)

    def columns(self, *names: str) -> pa.Table:
        """Some columns of all documents, in reading order."""
        return self._dataset.to_table(columns=list(names))

    def batches(self, *names: str, num_rows: int) -> Iterator[Any]:
        """Some columns of all documents, a bounded number at once.

        Raises:
            InputError: the run is of an older version, which did not measure one of them.
        """
        if missing := [name for name in names if name not in self._dataset.schema.names]:
            raise InputError(
                f"{self.directory} was made by Bise {self.manifest.bise_version}, which did not measure "
                f"{', '.join(missing)} yet. Curate again under another name (--set name=…) to try rules on its statistics."
            )
        yield from self._dataset.to_batches(columns=list(names), batch_size=num_rows)

    def values(self, name: str) -> NDArray[Any]:
        """One column of numbers; what is unknown is NaN."""
        return np.asarray(self.columns(name).column(name).to_numpy())

    def words(self, name: str) -> NDArray[Any]:
        """One column of text."""
        return np.asarray(self.columns(name).column(name).to_numpy(), dtype=object)

    def rows(self, *ids: str) -> list[dict[str, Any]]:
        """Everything that is known of the documents with some ids; an id that was met twice gives two rows."""
        found: list[dict[str, Any]] = self._dataset.to_table(filter=pc.field("id").isin(list(ids))).to_pylist()
        for row in found:
            row["details"] = json.loads(row["details"])
        return found

    def document(self, document_id: str) -> dict[str, Any]:
        """The row of one document.

        Raises:
            NotFoundError: the run has seen no document with this id.
        """
        if rows := self.rows(document_id):
            return rows[0]
        ids = self.words("id")
        near = [name for name in ids if document_id in name][:5] or list(ids[:3])
        raise NotFoundError(
            f"{self.directory} has seen no document with the id {document_id!r}. It has seen {len(ids):,} documents, "
            f"such as {', '.join(near)}."
        )
