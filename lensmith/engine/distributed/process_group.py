"""Several processes that train one network together: who they are, what they tell each other, how one is missed."""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from inspect import signature
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lensmith.base.errors import Stopped, UserError

Made = TypeVar("Made")
# The argument was renamed, and the old name warns.
_BUFFERS = next(name for name in ("forward_sync_buffers", "broadcast_buffers")
                if name in signature(DistributedDataParallel).parameters)
_LONG = timedelta(days=7)         # decoding a large set and timing plans may take one process as long as it needs
_LEAVE = timedelta(seconds=10)    # for the others to read what they were told before the first one may end
_LOST = ("connection closed by peer", "connection reset", "connection was", "broken pipe", "timed out", "timeout",
         "socket", "connectfullmesh", "nccl")    # what gloo, NCCL and the store write, in lower case


class Lost(Stopped):
    """Another process of the run has ended or gives no sign.

    Whoever ends the process for it does so `at_once`: gloo's threads, which wait for an answer, would abort an
    interpreter that ends in order.
    """

    at_once = True


class Elsewhere(Stopped):
    """Another process of the run failed, and says why itself."""


class Launcher(Protocol):
    """The process that started this one."""

    def tell(self, text: str) -> None: ...

    def news(self) -> str:
        """What it says of the other processes, waited for a moment; empty where it says nothing."""


class ProcessGroup:
    """The processes of one run, seen from one of them.

    Rank 0 alone writes, and what must be the same everywhere comes from it. A process alone is a group of one, which
    costs nothing.
    """

    def __init__(self, rank: int = 0, world_size: int = 1, *, local_rank: int = 0, local_world_size: int = 1,
                 store: Any = None, launcher: Launcher | None = None):
        """`local_rank` and `local_world_size` are those on this machine; `store` is torch.distributed's, of all."""
        self.rank, self.world_size = rank, world_size
        self.local_rank, self.local_world_size = local_rank, local_world_size
        self.store, self.launcher = store, launcher
        self.stopping = False     # all have agreed to end after this step
        self.timeout = 0.0        # seconds after which a silent process is given up
        self._asked, self._gathered, self._read, self._started = False, 0, 0, 0

    @property
    def is_rank_zero(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @property
    def noise(self) -> tuple[int, ...]:
        """What sets apart that which this process draws in a step, beside the seed and the step: dropout."""
        return (self.rank,) if self.rank else ()

    def connect(self, device: str, *, timeout: float) -> None:
        """Connect the processes: gloo for what lies in main memory, NCCL for what lies on CUDA devices."""
        if self.world_size == 1:
            return
        self.stopping = self._asked = False
        self.timeout = timeout
        if torch.device(device).type == "cuda":
            torch.cuda.set_device(device)
        if dist.is_initialized():    # a training of this script failed and nobody left
            return
        self._started += 1    # each training has keys of its own: those of the one before lead to closed connections
        backend = "cpu:gloo,cuda:nccl" if torch.device(device).type == "cuda" else "gloo"
        with self._reporting_lost():
            dist.init_process_group(backend, store=dist.PrefixStore(f"run/{self._started}", self.store),
                                    rank=self.rank, world_size=self.world_size, timeout=timedelta(seconds=timeout))

    @contextmanager
    def barrier(self) -> Iterator[None]:
        """What each process does by itself, however long it takes; where it fails in one of them, it does in all."""
        if self.world_size == 1:
            yield
            return
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        self._gathered += 1
        keys = [f"together/{self._gathered}/{rank}" for rank in range(self.world_size)]
        with self._reporting_lost():
            self.store.set(keys[self.rank], "" if failure is None else f"{getattr(failure, 'code', 1)} {failure}")
            if failure is not None:
                raise failure
            self.store.wait(keys, _LONG)
            told = [self.store.get(key).decode() for key in keys]
        for rank, word in enumerate(told):
            if word:
                code, _, text = word.partition(" ")
                elsewhere = Elsewhere(f"{self._name(rank)}: {text}")
                elsewhere.code = int(code)
                raise elsewhere

    def broadcast(self, make: Callable[[], Made]) -> Made:
        """What the first process makes, on all of them."""
        if self.world_size == 1:
            return make()
        box: list[Any] = [None]
        with self.barrier():
            if self.is_rank_zero:
                box = [make()]
        with self._reporting_lost():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        found: Made = box[0]
        return found

    def broadcast_json(self, make: Callable[[], Made]) -> Made:
        """What the first process reads of a file, on all of them: plain data as JSON has it, before `connect`."""
        if self.world_size == 1:
            return make()
        self._read += 1
        key, made = f"read/{self._read}", None
        with self.barrier():
            if self.is_rank_zero:
                made = make()
                self.store.set(key, json.dumps(made))
        with self._reporting_lost():
            found: Made = json.loads(self.store.get(key))
        return found

    def device(self, name: str) -> str:
        """The device of this process where `name` was asked for: its own of a list as `cuda:0,1`, or one CUDA device a
        process. Raises UserError where there are too few."""
        if self.world_size == 1:
            return name
        if name == "mps":
            raise UserError("several processes share out CPUs or CUDA devices, and device 'mps' is neither: use "
                            "plan.device=cpu")
        if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return "cpu"
        if name != "auto" and not re.fullmatch(r"cuda(:\d+(,\d+)*)?", name):
            raise UserError(f"unknown device {name!r}: accepted are auto, cpu, cuda, and cuda:0,1 with one "
                            "for each process")
        there = torch.cuda.device_count()
        numbers = [int(number) for number in name[5:].split(",")] if ":" in name else list(range(there))
        if any(number >= there for number in numbers):
            raise UserError(f"device {name!r} is not on this machine, which has {there} CUDA devices: use "
                            "plan.processes with plan.device=cpu")
        if len(numbers) < self.local_world_size:
            raise UserError(f"{self.local_world_size} processes on a machine need as many CUDA devices, and {name!r} "
                            f"gives {len(numbers)}: start fewer with plan.processes, or use plan.device=cpu")
        return f"cuda:{numbers[self.local_rank]}"

    def threads(self, wanted: int) -> int:
        """Threads for this process: as many as `wanted`, or its part of those that PyTorch would take, unless
        OMP_NUM_THREADS says it."""
        if wanted or self.local_world_size == 1 or "OMP_NUM_THREADS" in os.environ:
            return wanted
        return max(1, torch.get_num_threads() // self.local_world_size)

    def synchronise_batch_norm(self, network: nn.Module, *, device: str) -> None:
        """Make batch norm use the statistics of all processes' pictures; in place, the weights keep their names.

        Raises UserError where PyTorch has none.
        """
        if torch.device(device).type != "cuda":
            raise UserError(f"plan.synchronise needs CUDA devices, and the device is {device}: PyTorch synchronises "
                            "batch norm on CUDA alone. Leave it out, and each process uses the statistics of its own "
                            "pictures")
        nn.SyncBatchNorm.convert_sync_batchnorm(network)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network as it learns: its gradients are the mean over the processes. Its weights stay where they are, and
        so do their names on `network` itself."""
        if self.world_size == 1:
            return network
        # An own buffer, such as batch norm's, begins each step as the first process has it, which is what is saved.
        buffers = {name for name, _ in network.named_buffers()} - {"mean", "deviation"}
        # With find_unused_parameters the buckets of gradients are never regrouped after the first step: a run that is
        # gone on with adds in the same order, to the bit, for any number of processes; and a network may leave
        # parameters unused.
        with self._reporting_lost():
            wanted: dict[str, Any] = {"find_unused_parameters": True, _BUFFERS: bool(buffers)}
            return DistributedDataParallel(network, **wanted)

    def gradient_sync(self, learning: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """The context of a forward and backward; the gradients are mixed in the `last` of a step."""
        return nullcontext() if last or not isinstance(learning, DistributedDataParallel) else learning.no_sync()

    def reduce_loss(self, count: int, parts: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """The pictures of this step over all processes and the mean of each part of the loss over them; `count` and
        `parts` are those of this process. Also agrees on whether to end after this step."""
        if self.world_size == 1:
            return count, dict(parts)
        told = torch.tensor([count, self._asked, *(count * value for value in parts.values())], dtype=torch.float64)
        with self._reporting_lost():
            dist.all_reduce(told)
        whole, asked, *sums = told.tolist()
        self.stopping = self.stopping or asked > 0
        return int(whole), {name: total / whole for name, total in zip(parts, sums, strict=True)}

    def loss_weight(self, count: int, whole: int) -> float:
        """What to weigh the loss of `count` of `whole` pictures with: the mean of the processes' gradients is then the
        gradient of the mean over all pictures, however they are divided."""
        return self.world_size * count / whole if self.world_size > 1 else 1.0

    def ask_to_stop(self) -> None:
        """End after a step that all processes agree on; `stopping` says when."""
        self._asked = True
        self.stopping = self.stopping or self.world_size == 1

    def rows(self, length: int, batch: int) -> range:
        """Which of `length` samples this process measures: whole batches, in order, so that every batch is one that a
        process alone would have."""
        batches = -(-length // batch)
        begin, end = (batches * rank // self.world_size * batch for rank in (self.rank, self.rank + 1))
        return range(begin, min(end, length))

    def all_gather(self, own: Made) -> list[Made]:
        """What each process has, by rank, on all of them."""
        if self.world_size == 1:
            return [own]
        found: list[Any] = [None] * self.world_size
        with self._reporting_lost():
            dist.all_gather_object(found, own)
        return found

    def broadcast_buffers(self, *networks: nn.Module) -> None:
        """Give every process the first one's buffers: running statistics differ, as each has seen other pictures."""
        if self.world_size == 1:
            return
        with self._reporting_lost(), torch.no_grad():
            for network in networks:
                for buffer in network.buffers():
                    dist.broadcast(buffer, src=0)

    def post(self, word: Any) -> None:
        """Leave word for the first process, in place of what was left before: plain data as JSON has it."""
        if not self.is_rank_zero:
            with suppress(RuntimeError):    # where the first one is gone, what they do together next says so
                self.store.set(f"word/{self._started}/{self.rank}", json.dumps(word))

    def posted(self) -> list[Any]:
        """The word that the others have left so far, on the first process; waits for none."""
        found = []
        for key in (f"word/{self._started}/{rank}" for rank in range(1, self.world_size)):
            with suppress(RuntimeError):
                found += [json.loads(self.store.get(key))] if self.store.check([key]) else []
        return found

    def disconnect(self) -> None:
        """Nothing more is said among the processes of this training; each goes on, or ends, by itself."""
        if self.world_size == 1 or not dist.is_initialized():
            return
        keys = [f"left/{self._started}/{rank}" for rank in range(1, self.world_size)]
        with suppress(RuntimeError):
            if self.is_rank_zero:    # the meeting point may end with this process
                self.store.wait(keys, _LEAVE)
            else:
                self.store.set(keys[self.rank - 1], "")
        dist.destroy_process_group()

    def tell_launcher(self, folder: str) -> None:
        """Let the process that launched this one know where the run lies, for the case that it dies."""
        if self.launcher is not None and self.is_rank_zero:
            self.launcher.tell(folder)

    def should_report(self, error: UserError) -> bool:
        """Whether it is for this process to say what ended it: each different sentence is said once, by the first
        process where it has it too. Adds the rank where it is another that speaks."""
        if isinstance(error, Elsewhere):
            return False
        if self.is_rank_zero:
            self._claim(str(error))
            return True
        time.sleep(1.0)    # the first process claims its own words at once
        told = str(error)
        error.args = (f"{self._name(self.rank)}: {told}",)
        try:
            return self._claim(told)
        except RuntimeError:    # the first process has ended, and has said why, or its launcher says it
            return self.launcher is None and not isinstance(error, Lost)

    def _claim(self, told: str) -> bool:
        if self.world_size == 1:
            return True
        key = f"told/{hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}"
        found: bytes = self.store.compare_set(key, "", str(self.rank))
        return found.decode() == str(self.rank)

    def _name(self, rank: int) -> str:
        return f"process {rank} of {self.world_size}"

    @contextmanager
    def _reporting_lost(self) -> Iterator[None]:
        """Raises Lost where the others cannot be reached."""
        try:
            yield
        except RuntimeError as error:
            raise (self.as_lost(error) or error) from error

    def as_lost(self, error: RuntimeError) -> Lost | None:
        """The error in words where it says that another process has ended or is silent."""
        told = str(error).lower()
        known = isinstance(error, dist.DistError) or any(word in told for word in _LOST)
        if self.world_size == 1 or isinstance(error, UserError) or not known:
            return None
        silent = "timed out" in told or "timeout" in told
        news = self.launcher.news() if self.launcher is not None and not silent else ""
        other = self._name(1 - self.rank) if self.world_size == 2 else "another process of the run"
        if silent and self.timeout:
            return Lost(f"{other} gave no sign for {self.timeout:g} s (plan.timeout): it hangs, or needs longer")
        return Lost(news or f"{other} has ended")
