"""What the service costs over time: resident memory and open descriptors of one process, read from /proc."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

MEMORY_MAY_GROW = 1.05
"""From the second quarter of a life to its last one. A leak of ten kilobytes a rotation is more than that."""

MEMORY_NOISE = 2048
"""KiB. What an allocator gives and takes."""

DESCRIPTORS_MAY_GROW = 4

LEAST = 300
"""Samples, two seconds apart: a shorter life is one of threads and libraries that come as they are first needed."""


@dataclass
class Life:
    """The samples of one process, KiB and descriptors."""

    pid: int
    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def look(self) -> None:
        """Take a sample, if it still lives."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
            count = len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        except OSError:
            return
        resident = next((line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")), None)
        if resident is not None:
            self.memory.append(int(resident))
            self.descriptors.append(count)

    def complaints(self) -> list[str]:
        """Return in what it grew; nothing for a life that is too short to tell."""
        if len(self.memory) < LEAST:
            return []
        found = []
        before, after = _quarters(self.memory)
        if after > max(before * MEMORY_MAY_GROW, before + MEMORY_NOISE):
            found.append(f"memory of process {self.pid} grew from {before} to {after} KiB")
        before, after = _quarters(self.descriptors)
        if after > before + DESCRIPTORS_MAY_GROW:
            found.append(f"descriptors of process {self.pid} grew from {before} to {after}")
        return found

    def sentence(self) -> str:
        """Return its figures."""
        memory, descriptors = _quarters(self.memory), _quarters(self.descriptors)
        return (
            f"process {self.pid}: {len(self.memory)} samples; memory {memory[0] / 1024:.1f} MiB in the second quarter, "
            f"{memory[1] / 1024:.1f} in the last, {max(self.memory) / 1024:.1f} at most; "
            f"descriptors {descriptors[0]}, {descriptors[1]}, {max(self.descriptors)}"
        )


def _quarters(samples: list[int]) -> tuple[int, int]:
    """Return the medians of the second and of the last quarter."""
    quarter = max(1, len(samples) // 4)
    return int(median(samples[quarter : 2 * quarter] or samples)), int(median(samples[-quarter:]))
