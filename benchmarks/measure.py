"""Peak memory of a piece of work: what CUDA's allocator held, or what the process had in memory on a CPU (Linux).

On a CPU run a measurement in a process of its own, with `CPU_ENVIRONMENT`: without it glibc keeps freed tensors and the peak is its own.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CPU_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


class PeakMemory:
    """Peaks above what was there when this was made, in bytes, by name; the highest where a name occurs again.

    Args:
        device: `cpu` or `cuda`.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.peaks: dict[str, int] = {}
        gc.collect()
        self._start = self._now()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Count the peak of a block under a name."""
        gc.collect()
        self._reset()
        yield
        self.peaks[name] = max(self.peaks.get(name, 0), self._peak() - self._start)

    def _now(self) -> int:
        return _cuda().memory_allocated() if self.device == "cuda" else _status("VmRSS")

    def _peak(self) -> int:
        return _cuda().max_memory_allocated() if self.device == "cuda" else _status("VmHWM")

    def _reset(self) -> None:
        if self.device == "cuda":
            _cuda().reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}: memory on a CPU is measured on Linux only")


def _cuda():  # type: ignore[no-untyped-def]
    import torch

    return torch.cuda
