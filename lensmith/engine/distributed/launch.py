"""Start one training as several processes of this machine, watch them, and leave none behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from lensmith.base.errors import INTERRUPTED, Stopped, UserError
from lensmith.base.read_file import json_of, toml_of

# Environment variables with the file descriptors that a process inherits: its line to the launcher, and the socket on
# which rank 0 listens.
LAUNCHER, LISTEN = "LENSMITH_LAUNCHER", "LENSMITH_LISTEN"
_MOST = 64       # processes that any machine has room for
_LOOK = 0.05     # seconds between two looks at the processes
_GRACE = 60.0    # seconds in which rank 0 can save and report, once another process has ended badly
_SHORT = 15.0    # seconds in which the others can end, once rank 0 has ended
_WRITING = 10.0  # seconds in which rank 0 can write that it was interrupted, after a second signal
_DEVICES = re.compile(r"cuda:\d+(,\d+)+")


def is_distributed() -> bool:
    """Whether this process was started as one of several, by torchrun or by `launch`."""
    return os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1")


def wanted_processes(plan: Mapping[str, Any]) -> int:
    """How many processes a section [plan] asks for: `processes`, or as many as `device` names, as in cuda:0,1.

    Raises UserError where the two disagree.
    """
    processes, device = plan.get("processes"), str(plan.get("device", ""))
    if processes is not None and (not isinstance(processes, int) or isinstance(processes, bool) or processes < 1):
        raise UserError(f"plan.processes must be at least 1; got {processes!r}")
    most = max(_MOST, 4 * (os.cpu_count() or 1))
    if isinstance(processes, int) and processes > most:
        raise UserError(f"plan.processes={processes} is more than this machine has room for: at most {most}")
    devices = len(device.split(",")) if _DEVICES.fullmatch(device) else None
    if processes not in (None, 1, devices) and devices is not None:
        raise UserError(f"plan.processes={processes} and device {device!r}, which names {devices}, disagree: leave "
                        "plan.processes out")
    return devices or processes or 1


def processes_of(run: Path) -> int:
    """How many processes a run began with; 1 where its folder cannot be read or its recipe was edited since, which a
    later reader reports."""
    try:
        plan, facts = toml_of(run / "recipe.toml")["plan"], run / "run.json"
        began = json_of(facts).get("recipe", {}).get("plan", plan) if facts.is_file() else plan
        return wanted_processes(plan) if began.get("processes") == plan.get("processes") else 1
    except (ValueError, LookupError, AttributeError):    # UserError is a ValueError
        return 1


def launch(count: int, arguments: Sequence[str], *, program: Sequence[str] = ("-m", "lensmith")) -> int:
    """Run `lensmith ARGUMENTS` as `count` processes of one group, until the last has ended; -> exit code.

    SIGINT and SIGTERM are handed on once, so that the run is saved; a second one ends it unsaved. A third ends what
    has not ended within 10 s of the second. Where one process ends badly, rank 0 has 60 s to report it. Raises Stopped
    where rank 0 could not.
    """
    watch = _Watch(count, [sys.executable, *program, *arguments])
    before = {number: signal.signal(number, watch.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return watch.wait()
    finally:
        watch.end()
        for number, handler in before.items():
            signal.signal(number, handler)


class _Watch:
    """The processes, by rank, with the line to each of them."""

    def __init__(self, count: int, command: Sequence[str]):
        self.count, self.signals = count, 0    # signals: how many have been handed on
        self.second = 0.0                      # when the second one was
        self.until = float("inf")              # when all are ended that have not ended by then
        self.lines: list[socket.socket] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        # The socket listens from the beginning, so that no other program can take its port.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1",
                      "MASTER_PORT": listening.getsockname()[1]}
            try:
                for rank in range(count):
                    self._start(rank, command, shared, listening)
            except BaseException:
                self.end()
                raise

    def _start(self, rank: int, command: Sequence[str], shared: Mapping[str, object],
               listening: socket.socket) -> None:
        ours, theirs = socket.socketpair()
        self.lines.append(ours)
        inherited = [theirs.fileno(), *([listening.fileno()] if rank == 0 else [])]
        variables = {**shared, "RANK": rank, "LOCAL_RANK": rank, LAUNCHER: theirs.fileno(), LISTEN: listening.fileno()}
        environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
        # PyTorch warns about find_unused_parameters, which has its reason in process_group.py.
        environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        if sys.platform == "linux":    # gloo takes the address of the machine's name, which may lead nowhere.
            environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
        with theirs:
            # In a session of its own, out of reach of the terminal's Ctrl-C, which is handed on from here: a process
            # that received it twice would not save.
            self.processes.append(subprocess.Popen(
                command, env=environment, pass_fds=inherited, stdin=subprocess.DEVNULL,
                stdout=None if rank == 0 else subprocess.DEVNULL, start_new_session=True))

    def note(self, number: int, frame: FrameType | None) -> None:
        """Hand a signal on: the first time for the run to be saved; the second ends all but rank 0, which writes that
        it was interrupted; a third ends it too, when it has had the time to write."""
        self.signals += 1
        if self.signals == 2:
            self.second = time.monotonic()
        if self.signals > 2:
            self.until = min(self.until, self.second + _WRITING)
            return
        for rank, process in enumerate(self.processes):
            if process.poll() is None:
                last = signal.SIGINT if rank == 0 else signal.SIGKILL
                process.send_signal(signal.SIGTERM if self.signals == 1 else last)

    def wait(self) -> int:
        """Wait until all have ended; -> the exit code of the run."""
        failed: int | None = None    # the rank that ended badly first
        while any(process.poll() is None for process in self.processes) and time.monotonic() < self.until:
            time.sleep(_LOOK)
            if self.processes[0].poll() is not None:    # The others have nothing left to do but to end.
                self.until = min(self.until, time.monotonic() + _SHORT)
            if failed is None and not self.signals:
                failed = self._failed()
                if failed is not None:
                    self.until = min(self.until, time.monotonic() + _GRACE)
                    self._tell(self._fate(failed))
        codes, run = [process.poll() for process in self.processes], self._run()
        self.end()
        go_on = f"; go on with: lensmith train --resume {run}" if run else ""
        if self.signals and (codes[0] is None or codes[0] < 0):    # It was ended before it could say so.
            interrupted = Stopped(f"interrupted{go_on}")
            interrupted.code = INTERRUPTED
            raise interrupted
        # Rank 0 has said why it failed. Where it did not fail, the run is whole, whatever became of the others.
        if codes[0] is not None and codes[0] >= 0:
            return codes[0]
        raise Stopped(f"{self._fate(failed or 0)}{go_on}")

    def _failed(self) -> int | None:
        """The rank that has ended badly; one that was killed before one that ended by itself, perhaps for its loss."""
        codes = {rank: code for rank, process in enumerate(self.processes) if (code := process.poll())}
        return min(codes, key=lambda rank: (codes[rank] > 0, rank), default=None)

    def _fate(self, rank: int) -> str:
        code = self.processes[rank].returncode
        ended = f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        return f"process {rank} of {self.count} {ended}"

    def _tell(self, text: str) -> None:
        for line in self.lines:
            with suppress(OSError):
                line.sendall(f"{text}\n".encode())

    def _run(self) -> str:
        """The run folder; empty where rank 0 ended before it named one."""
        self.lines[0].setblocking(False)
        with suppress(OSError):
            return self.lines[0].recv(65536).decode().strip()
        return ""

    def end(self) -> None:
        """End all that was started here, also a process that is suspended."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()
        for line in self.lines:
            line.close()
