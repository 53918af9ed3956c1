"""How a process joins its process group: the variables of torchrun or of the launcher, and the line to the launcher."""

import os
import signal
import socket
import threading
import time
from datetime import timedelta
from functools import cache
from typing import Any

import torch.distributed as dist

from lensmith.base.errors import Stopped, UserError
from lensmith.engine.distributed.launch import LAUNCHER, LISTEN, is_distributed
from lensmith.engine.distributed.process_group import Lost, ProcessGroup

_BEGIN = timedelta(minutes=5)    # in which all processes have to be there
_NEWS = 3.0                      # seconds in which the launcher can say which process is missing


class Line:
    """The line to the process that launched this one. Where that process ends, this one is ended as well."""

    def __init__(self, descriptor: int):
        self.line = socket.socket(fileno=descriptor)
        self.message, self.arrived = "", threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while received := self._next():
            self.message = self.message or received.decode().strip()
            self.arrived.set()
        # The launcher has ended, and no orphan is to stay: a process that trains saves first, and ends.
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        os._exit(Stopped.code)

    def _next(self) -> bytes:
        try:
            return self.line.recv(4096)
        except OSError:
            return b""

    def tell(self, text: str) -> None:
        self.line.sendall(f"{text}\n".encode())

    def news(self) -> str:
        """What the launcher says of the other processes, after waiting for a moment."""
        self.arrived.wait(_NEWS)
        return self.message


@cache
def _joined() -> ProcessGroup:
    """The process group that torchrun, or what sets the same variables, has put this process into."""
    try:
        rank, world_size, local_rank, local_world_size = (
            int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except (KeyError, ValueError) as error:
        raise UserError(f"WORLD_SIZE={os.environ['WORLD_SIZE']} says that this is one of several processes, but RANK, "
                        "LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT are not all set as torchrun sets "
                        f"them ({error}): start with torchrun, or with lensmith train --processes") from error
    launcher = Line(int(os.environ[LAUNCHER])) if LAUNCHER in os.environ else None
    try:
        if launcher is None:
            store, _, _ = next(dist.rendezvous("env://", rank, world_size, timeout=_BEGIN))
        else:
            listen: dict[str, Any] = {"master_listen_fd": int(os.environ[LISTEN])} if rank == 0 else {}
            store = dist.TCPStore(host, port, world_size, rank == 0, _BEGIN, wait_for_workers=False, **listen)
    except RuntimeError as error:
        raise Lost(f"process {rank} of {world_size} cannot reach the first one at {host}:{port} ({error})") from error
    return ProcessGroup(rank, world_size, local_rank=local_rank, local_world_size=local_world_size, store=store,
                        launcher=launcher)


def join() -> ProcessGroup:
    """The process group of this process, of one unless it was started as one of several; the same at every call."""
    return _joined() if is_distributed() else ProcessGroup()


def should_report(error: UserError) -> bool:
    """Whether it is for this process to say what ended it. Before it has joined the others, it is."""
    return not _joined.cache_info().currsize or _joined().should_report(error)
