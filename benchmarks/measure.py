"""A child process that is timed, and how much memory it and its children take at most."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[1]
SAMPLED_EVERY_S = 0.1
# A sample of half a gigabyte takes 10 ms of a core, and more of them slow what is measured.
PAUSE_PER_SAMPLE = 30


@dataclass(frozen=True)
class Measured:
    """What a process came to.

    Attributes:
        seconds: From its start to its end, or what it says itself of the part that counts.
        cpu_s: Of the process and its children.
        peak_mb: Proportional set size of the process and its children, at most; PostgreSQL's
            own processes are no children of it.
        out: What it printed.
    """

    seconds: float
    cpu_s: float
    peak_mb: float
    out: str


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """The command was run to its end.

    Raises:
        RuntimeError: It failed; with the end of what it wrote.
    """
    began, before = time.perf_counter(), os.times()
    process = subprocess.Popen(
        command,
        cwd=PROJECT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = _Peak(process.pid)
    with peak:
        out, err = process.communicate()
    seconds, after = time.perf_counter() - began, os.times()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{out[-2000:]}\n{err[-4000:]}")
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    return Measured(seconds, cpu_s, peak.mb, out)


def last_object(out: str) -> dict[str, float]:
    """The JSON object on the last line."""
    found: dict[str, float] = json.loads(out.strip().rpartition("\n")[2])
    return found


def python(module: str, *arguments: str) -> list[str]:
    """A command that runs a module of the benchmarks."""
    return [sys.executable, "-m", module, *arguments]


class _Peak:
    """Samples the memory of a process and its children until it is left."""

    def __init__(self, pid: int) -> None:
        self.mb = 0.0
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        pause_s = SAMPLED_EVERY_S
        while not self._over.wait(pause_s):
            began = time.perf_counter()
            self.mb = max(self.mb, self._now_mb())
            pause_s = max(SAMPLED_EVERY_S, PAUSE_PER_SAMPLE * (time.perf_counter() - began))

    def _now_mb(self) -> float:
        total = 0
        with suppress(psutil.Error):
            for one in (self._process, *self._process.children(recursive=True)):
                with suppress(psutil.Error):
                    if one.name() != "postgres":
                        total += one.memory_full_info().pss
        return total / 1024**2
