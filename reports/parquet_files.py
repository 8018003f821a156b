"""The sections' rows as Parquet, where a table asks for it: the lossless form, texts as they are."""

from __future__ import annotations

from itertools import islice
from typing import IO

from .section import CsvValue, Export

BATCH = 1000
"""Rows of a row group; as many are in memory."""


def write_parquet(export: Export, stream: IO[bytes]) -> None:
    """Write all rows. Only what UTF-8 can't hold is replaced: half a surrogate pair becomes `?`."""
    import pyarrow
    import pyarrow.parquet

    kinds = {name: pyarrow.string() if name in export.text else pyarrow.float64() for name in export.columns}
    kinds |= {name: pyarrow.int64() for name in export.whole}
    schema = pyarrow.schema(list(kinds.items()))
    with pyarrow.parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        remaining = iter(export.rows)
        while rows := list(islice(remaining, BATCH)):
            columns = [pyarrow.array([_cell(row[name]) for row in rows], kind) for name, kind in kinds.items()]
            writer.write_table(pyarrow.table(columns, schema))


def _cell(value: CsvValue) -> CsvValue:
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
