"""Where preference pairs come from: one file, a folder of files by split, or a data set of the Hugging Face hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InfrastructureError, InputError
from .files import check_regular, read_json
from .pair_formats import domain_of
from .tables import ARRAY, SUFFIXES, OnBad, Row, iter_rows, suffix_of

HH_RLHF = "Anthropic/hh-rlhf"
HH_SUBSETS = ("harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled")
_KINDS = (*SUFFIXES, ARRAY)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_OF_A_SPLIT = re.compile(r"(train|test|validation|valid|dev|dataset)([-_]\d[\w-]*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A file, or a part of a hub data set, whose rows belong to one subset."""

    label: str
    """How messages and quarantined rows name it; relative, so that it is the same on every machine."""
    subset: str
    path: Path | None = None
    split: str = ""

    def rows(self, on_bad: OnBad) -> Iterator[tuple[int, Row]]:
        """(1-based line or row, row); lines that can't be read go to `on_bad`."""
        if self.path is not None and _is_array(self.path):
            return _array_rows(self.path)
        if self.path is not None:
            return iter_rows(self.path, "file of pairs", on_bad=on_bad, kinds=_KINDS)
        return _hub_rows(self)


def find_sources(name_or_path: str | Path, split: str) -> list[Source]:
    """The sources of a name or path, in name order.

    Raises:
        InputError: a folder without a file for `split`; a path that isn't there fails when its rows are read.

    `OWNER/NAME` means the hub unless there is a folder OWNER here.
    """
    text = str(name_or_path)
    path = Path(text)
    if os.path.isdir(text):
        return _folder_sources(path, split)
    if _is_on_hub(text):
        subsets = HH_SUBSETS if text == HH_RLHF else ("",)
        return [Source(text, subset, split=split) for subset in subsets]
    subset = path.absolute().parent.name if path.absolute().parent.name in HH_SUBSETS else ""
    return [Source(path.name, subset, path)]


def set_name(name_or_path: str | Path) -> str:
    """What a set is called, the same however its path is written: the hub's name; a folder's own; a file's, without suffix.

    A file that is named after its split alone goes by its folder, too: `harmless-base-test`.
    """
    text = str(name_or_path)
    path = Path(os.path.abspath(text))
    if not os.path.isdir(text) and _is_on_hub(text):
        return text
    stem = path.name if os.path.isdir(text) else path.name[: len(_stem(path))]
    return f"{path.parent.name}-{stem}" if _OF_A_SPLIT.fullmatch(stem) else stem or path.name


def _is_on_hub(text: str) -> bool:
    path = Path(text)
    return bool(_HUB_NAME.fullmatch(text)) and not os.path.lexists(path.parts[0]) and not _is_data(path)


def _folder_sources(folder: Path, split: str) -> list[Source]:
    """Files named `SPLIT.*`, `SPLIT-*`, `dataset.*` or as RM-Bench's anywhere below; the domain or their folder names their subset."""
    files = sorted(p for p in folder.rglob("*") if _is_data(p) and p.is_file())
    if not files:
        raise InputError("no file of pairs below it", file=folder, advice=f"Expected names that end with {', '.join(_KINDS)}.")
    wanted = [p for p in files if re.fullmatch(rf"{re.escape(split)}([-_].*)?|dataset", _stem(p)) or domain_of(_stem(p))]
    if not wanted:
        found = ", ".join(sorted({_stem(p) for p in files})[:8])
        raise InputError(f"no file for the split {split!r}; there are: {found}", file=folder, advice="Name the split or give one file.")
    return [Source(p.relative_to(folder).as_posix(), _subset(folder, p), p) for p in wanted]


def _stem(path: Path) -> str:
    return path.name.lower().removesuffix(ARRAY if _is_array(path) else suffix_of(path))


def _is_array(path: Path) -> bool:
    return path.name.lower().endswith(ARRAY)


def _is_data(path: Path) -> bool:
    return bool(suffix_of(path)) or _is_array(path)


def _array_rows(path: Path) -> Iterator[tuple[int, Row]]:
    check_regular(path, "file of pairs")
    rows = read_json(path, "file of pairs")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError("expected an array of objects", file=path, advice="A pair is an object with `prompt`, `chosen` and `rejected`.")
    yield from enumerate(rows, 1)


def _subset(folder: Path, path: Path) -> str:
    if domain := domain_of(_stem(path)):
        return domain
    parent = path.parent if path.parent != folder else folder.absolute()
    return parent.name if path.parent != folder or parent.name in HH_SUBSETS else ""


def _hub_rows(source: Source) -> Iterator[tuple[int, Row]]:
    yield from enumerate(hub_dataset(source.label, source.split, data_dir=source.subset), 1)


def hub_dataset(name: str, split: str, *, config: str = "", data_dir: str = "") -> Any:
    """The rows of one split of a data set of the hub.

    Raises:
        InputError: no such data set, split or configuration, a login is needed, or the hub may not be asked.
        InfrastructureError: the hub can't be reached.
    """
    import datasets
    import datasets.exceptions

    try:
        return datasets.load_dataset(name, **({"name": config} if config else {}), data_dir=data_dir or None, split=split)
    except datasets.exceptions.DatasetNotFoundError as error:
        page = f"https://huggingface.co/datasets/{name}"
        problem = "no such file or data set, or it needs a login"
        raise InputError(problem, file=name, advice=f"See {page}; log in with `hf auth login` or HF_TOKEN.") from error
    except (ConnectionError, datasets.exceptions.DatasetsError, OSError) as error:
        if datasets.config.HF_HUB_OFFLINE:
            problem = "no such file or folder, and the hub may not be asked: HF_HUB_OFFLINE is set"
            raise InputError(problem, file=name, advice="Give a local file or folder, or unset HF_HUB_OFFLINE.") from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InfrastructureError(f"{name}: can't be fetched: {reason}\nGive a local file or folder instead.") from error
    except ValueError as error:
        raise InputError(str(error).splitlines()[0], file=name) from error
