"""Programs that take turns: each in a process of its own, so that no setting leaks, and stopped while others run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
_HANDLE = "BENCHMARK_TURNS"    # the environment's name for the number of the socket that a program is given
_LOOK = 0.25                   # seconds between looks at a program's memory


class Failed(Exception):
    """A program ended before its last turn; says with what."""


class Turn:
    """In the program: waits to be told to go, measures from there to the end of an epoch, and tells."""

    def __init__(self) -> None:
        self.talk = socket.socket(fileno=int(os.environ[_HANDLE])).makefile("rw")
        self.told: dict[str, Any] = {}    # what the first answer says beside that the program is ready
        self.began, self.started = False, 0.0
        self.first_step: float | None = None    # seconds from the beginning of the first epoch

    def begin(self) -> None:
        """Call right before an epoch: returns when it is this program's turn. Ends the program when there is none."""
        if not self.began:
            self._tell({"ready": True, **self.told})
            self.began = True
        if not self.talk.readline():
            os._exit(0)    # at once, whatever framework is around
        self.started = time.perf_counter()

    def stepped(self) -> None:
        """Call right after each step; only the first is told of."""
        if self.first_step is None:
            self.first_step = time.perf_counter() - self.started

    def end(self, pictures: int) -> None:
        """Call right after an epoch."""
        self._tell({"seconds": time.perf_counter() - self.started, "pictures": pictures,
                    "first_step": self.first_step})

    def _tell(self, content: Mapping[str, Any]) -> None:
        self.talk.write(json.dumps(content) + "\n")
        self.talk.flush()


class Program:
    """One of the programs that take turns, as the one who asks sees it.

    `start_seconds` go from its process's start to its first epoch, `first_step` to the end of its first step (None
    where it does not say); `memory` is the most that it and its workers held, in MB, each shared page counted once;
    `told` is what it said when it was ready.
    """

    def __init__(self, name: str, module: str, job: Mapping[str, Any], *, environment: Mapping[str, str], log: Path):
        """`module` is run with python -m in benchmarks/, with `job` as JSON for its argument."""
        self.name, self.log, self.memory, self.stopped = name, log, 0.0, False
        own, other = socket.socketpair()
        started = time.perf_counter()
        with open(log, "w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, json.dumps(job)], cwd=HERE, pass_fds=[other.fileno()],
                env={**os.environ, **environment, _HANDLE: str(other.fileno())}, stdout=output, stderr=output,
                start_new_session=True)
        other.close()
        own.settimeout(_LOOK)
        self.talk, self.rest = own, b""
        try:
            self.told = self._answer(watch=True)
        except BaseException:
            self.end()
            raise
        self.start_seconds = time.perf_counter() - started
        self.first_step: float | None = None
        self._signal(signal.SIGSTOP)

    def turn(self, *, watch: bool = False) -> float:
        """Pictures a second of one epoch. With `watch` memory is looked at all the while, which takes some time."""
        self._signal(signal.SIGCONT)
        with suppress(BrokenPipeError):    # it has ended: with what is said where its answer is read
            self.talk.sendall(b"go\n")
        found = self._answer(watch=watch)
        self._signal(signal.SIGSTOP)
        if self.first_step is None and found.get("first_step") is not None:
            self.first_step = self.start_seconds + found["first_step"]
        return float(found["pictures"] / found["seconds"])

    def end(self) -> None:
        """Ends it and its workers."""
        self._signal(signal.SIGKILL)
        self.process.wait()
        self.talk.close()

    def _answer(self, *, watch: bool) -> dict[str, Any]:
        while b"\n" not in self.rest:
            try:
                found = self.talk.recv(1 << 16)
            except TimeoutError:
                if watch:
                    self.memory = max(self.memory, held(self.process.pid))
                continue
            if not found:
                self.process.wait()
                last = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()][-1:]
                raise Failed(f"{self.name} ended with {self.process.returncode}: {''.join(last)[:300]}")
            self.rest += found
        line, _, self.rest = self.rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return


@contextmanager
def stage() -> Iterator[tuple[Path, list[Program]]]:
    """A temporary folder, and a list for the programs that run in it: they are ended, whatever happens."""
    programs: list[Program] = []
    with TemporaryDirectory() as folder:
        try:
            yield Path(folder), programs
        finally:
            for program in programs:
                program.end()


def held(group: int) -> float:
    """MB that the processes of a group hold, each shared page counted once (Linux's PSS); 0 where that is not told."""
    total = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(place.name)) == group:
                fields = (place / "smaps_rollup").read_text().split()
                total += int(fields[fields.index("Pss:") + 1])
        except (OSError, ValueError):    # it has just ended
            continue
    return total / 1024


def end_gently() -> None:
    """Have a request to end raise KeyboardInterrupt, so that programs that are stopped do not stay behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def in_turn(programs: Sequence[Program], rounds: int) -> list[list[float]]:
    """Pictures a second, [round][program], after one epoch of each that is not counted."""
    for program in programs:
        program.turn(watch=True)
    return [[program.turn() for program in programs] for _ in range(rounds)]
