"""Several processes that train one network together: who they are, what they exchange, how a missing one is noticed."""

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
# The argument was renamed in PyTorch, and the old name warns.
_BUFFERS = next(name for name in ("forward_sync_buffers", "broadcast_buffers")
                if name in signature(DistributedDataParallel).parameters)
# Decoding a large set and timing plans may take one process as long as it needs.
_LONG = timedelta(days=7)
# The other processes have this long to read the last of what rank 0 told them, before rank 0 may end.
_LEAVE = timedelta(seconds=10)
# What gloo, NCCL and the store write where another process is gone, in lower case.
_LOST = ("connection closed by peer", "connection reset", "connection was", "broken pipe", "timed out", "timeout",
         "socket", "connectfullmesh", "nccl")


class Lost(Stopped):
    """Another process of the run has ended or gives no sign.

    Whoever ends the process for this reason does so `at_once`: gloo's threads, which wait for an answer, would abort an
    interpreter that ends in order.
    """

    at_once = True


class Elsewhere(Stopped):
    """Another process of the run failed, and reports it itself."""


class Launcher(Protocol):
    """The process that started this one."""

    def tell(self, text: str) -> None: ...

    def news(self) -> str:
        """What it says of the other processes, after waiting for a moment; empty where it says nothing."""


class ProcessGroup:
    """The processes of one run, seen from one of them.

    Rank 0 alone writes, and what must be the same everywhere comes from it. A process alone is a group of one, which
    costs nothing.
    """

    def __init__(self, rank: int = 0, world_size: int = 1, *, local_rank: int = 0, local_world_size: int = 1,
                 store: Any = None, launcher: Launcher | None = None):
        """
        rank: of this process among all, from 0.
        world_size: the number of processes.
        local_rank: of this process among those of its machine.
        local_world_size: the number of processes on this machine.
        store: torch.distributed's store, in which all processes read and write; None for a process alone.
        launcher: the process of ours that started this one; None where torchrun did.
        """
        self.rank, self.world_size = rank, world_size
        self.local_rank, self.local_world_size = local_rank, local_world_size
        self.store, self.launcher = store, launcher
        self.stopping = False     # whether all have agreed to end after this step
        self.timeout = 0.0        # seconds after which a silent process is given up
        self._asked_to_stop = False
        self._barriers = self._reads = self._connections = 0    # how many there have been: each has keys of its own

    @property
    def is_rank_zero(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @property
    def noise(self) -> tuple[int, ...]:
        """What distinguishes the random numbers that this process draws in a step, such as dropout's, from those of the
        other processes, beside the seed and the step."""
        return (self.rank,) if self.rank else ()

    def connect(self, device: str, *, timeout: float) -> None:
        """Connect the processes: gloo for tensors in main memory, NCCL for those on CUDA devices."""
        if self.world_size == 1:
            return
        self.stopping = self._asked_to_stop = False
        self.timeout = timeout
        if torch.device(device).type == "cuda":
            torch.cuda.set_device(device)
        if dist.is_initialized():    # An earlier training of this script failed, and nobody disconnected.
            return
        self._connections += 1    # The keys of an earlier training lead to closed connections.
        backend = "cpu:gloo,cuda:nccl" if torch.device(device).type == "cuda" else "gloo"
        with self._reporting_lost():
            dist.init_process_group(backend, store=dist.PrefixStore(f"run/{self._connections}", self.store),
                                    rank=self.rank, world_size=self.world_size, timeout=timedelta(seconds=timeout))

    @contextmanager
    def barrier(self) -> Iterator[None]:
        """Around what each process does by itself, however long it takes. At its end all wait for each other, and where
        it failed in one of them, Elsewhere is raised in the others."""
        if self.world_size == 1:
            yield
            return
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        self._barriers += 1
        keys = [f"barrier/{self._barriers}/{rank}" for rank in range(self.world_size)]
        with self._reporting_lost():
            self.store.set(keys[self.rank], "" if failure is None else f"{getattr(failure, 'code', 1)} {failure}")
            if failure is not None:
                raise failure
            self.store.wait(keys, _LONG)
            outcomes = [self.store.get(key).decode() for key in keys]
        for rank, outcome in enumerate(outcomes):
            if outcome:
                code, _, text = outcome.partition(" ")
                elsewhere = Elsewhere(f"{self._name(rank)}: {text}")
                elsewhere.code = int(code)
                raise elsewhere

    def broadcast(self, make: Callable[[], Made]) -> Made:
        """What `make` gives on rank 0, on all processes."""
        if self.world_size == 1:
            return make()
        box: list[Any] = [None]
        with self.barrier():
            if self.is_rank_zero:
                box = [make()]
        with self._reporting_lost():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        made: Made = box[0]
        return made

    def broadcast_json(self, make: Callable[[], Made]) -> Made:
        """What `make` gives on rank 0, on all processes: plain data as JSON has it, also before `connect`."""
        if self.world_size == 1:
            return make()
        self._reads += 1
        key = f"read/{self._reads}"
        with self.barrier():
            if self.is_rank_zero:
                self.store.set(key, json.dumps(make()))
        with self._reporting_lost():
            made: Made = json.loads(self.store.get(key))
        return made

    def device(self, name: str) -> str:
        """The device of this process where `name` was asked for: its own of a list such as `cuda:0,1`, or one CUDA
        device a process. Raises UserError where there are too few."""
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
        available = torch.cuda.device_count()
        numbers = [int(number) for number in name[5:].split(",")] if ":" in name else list(range(available))
        if any(number >= available for number in numbers):
            raise UserError(f"device {name!r} is not on this machine, which has {available} CUDA devices: use "
                            "plan.processes with plan.device=cpu")
        if len(numbers) < self.local_world_size:
            raise UserError(f"{self.local_world_size} processes on a machine need as many CUDA devices, and {name!r} "
                            f"gives {len(numbers)}: start fewer with plan.processes, or use plan.device=cpu")
        return f"cuda:{numbers[self.local_rank]}"

    def threads(self, wanted: int) -> int:
        """Threads for this process: as many as `wanted`. Where that is 0, its fraction of those that PyTorch would
        take, unless OMP_NUM_THREADS sets them."""
        if wanted or self.local_world_size == 1 or "OMP_NUM_THREADS" in os.environ:
            return wanted
        return max(1, torch.get_num_threads() // self.local_world_size)

    def synchronise_batch_norm(self, network: nn.Module, *, device: str) -> None:
        """Make batch norm use the statistics of all processes' pictures. In place; the weights keep their names.

        Raises UserError where PyTorch has no such layer.
        """
        if torch.device(device).type != "cuda":
            raise UserError(f"plan.synchronise needs CUDA devices, and the device is {device}: PyTorch synchronises "
                            "batch norm on CUDA alone. Leave it out, and each process uses the statistics of its own "
                            "pictures")
        nn.SyncBatchNorm.convert_sync_batchnorm(network)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network in a DDP wrapper, whose gradients are the mean over the processes. The weights stay where they
        are, and so do their names on `network` itself."""
        if self.world_size == 1:
            return network
        # A buffer such as batch norm's begins each step as rank 0 has it, which is what is saved.
        buffers = {name for name, _ in network.named_buffers()} - {"mean", "deviation"}
        # With find_unused_parameters DDP never regroups the buckets of gradients after the first step. A run that is
        # gone on with then adds in the same order, to the bit, for any number of processes. A network may also leave
        # parameters unused.
        with self._reporting_lost():
            arguments: dict[str, Any] = {"find_unused_parameters": True, _BUFFERS: bool(buffers)}
            return DistributedDataParallel(network, **arguments)

    def gradient_sync(self, wrapped: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """The context of a forward and backward. The processes mix their gradients in the `last` of a step alone."""
        return nullcontext() if last or not isinstance(wrapped, DistributedDataParallel) else wrapped.no_sync()

    def reduce_loss(self, count: int, terms: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """The pictures of this step over all processes, and the mean of each loss term over them. `count` and `terms`
        are those of this process. The processes also agree here on whether to end after this step."""
        if self.world_size == 1:
            return count, dict(terms)
        numbers = torch.tensor([count, self._asked_to_stop, *(count * value for value in terms.values())],
                               dtype=torch.float64)
        with self._reporting_lost():
            dist.all_reduce(numbers)
        whole, asked, *sums = numbers.tolist()
        self.stopping = self.stopping or asked > 0
        return int(whole), {name: total / whole for name, total in zip(terms, sums, strict=True)}

    def loss_weight(self, count: int, whole: int) -> float:
        """The weight of the loss of `count` of `whole` pictures.

        DDP takes the mean over P processes of the gradients g_p, each the mean over n_p of n pictures. With the weights
        P n_p / n it is sum(n_p g_p) / n, the gradient of the mean over all pictures, however they are divided.
        """
        return self.world_size * count / whole if self.world_size > 1 else 1.0

    def ask_to_stop(self) -> None:
        """End after a step that all processes agree on; `stopping` says when."""
        self._asked_to_stop = True
        self.stopping = self.stopping or self.world_size == 1

    def rows(self, length: int, batch: int) -> range:
        """Which of `length` samples this process measures: whole batches, in order, so that every batch is one that a
        process alone would have."""
        batches = -(-length // batch)
        begin, end = (batches * rank // self.world_size * batch for rank in (self.rank, self.rank + 1))
        return range(begin, min(end, length))

    def all_gather(self, value: Made) -> list[Made]:
        """The values of all processes, by rank, on all of them."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        with self._reporting_lost():
            dist.all_gather_object(values, value)
        return values

    def broadcast_buffers(self, *networks: nn.Module) -> None:
        """Give every process the buffers of rank 0: running statistics differ, as each has seen other pictures."""
        if self.world_size == 1:
            return
        with self._reporting_lost(), torch.no_grad():
            for network in networks:
                for buffer in network.buffers():
                    dist.broadcast(buffer, src=0)

    def post(self, message: Any) -> None:
        """Leave a message for rank 0, in place of the one left before: plain data as JSON has it."""
        if not self.is_rank_zero:
            with suppress(RuntimeError):    # Where rank 0 is gone, the next exchange raises Lost.
                self.store.set(f"message/{self._connections}/{self.rank}", json.dumps(message))

    def posted(self) -> list[Any]:
        """The messages that the others have left so far, on rank 0. Waits for none."""
        messages = []
        for key in (f"message/{self._connections}/{rank}" for rank in range(1, self.world_size)):
            with suppress(RuntimeError):
                messages += [json.loads(self.store.get(key))] if self.store.check([key]) else []
        return messages

    def disconnect(self) -> None:
        """End what the processes of this training exchange; each goes on, or ends, by itself."""
        if self.world_size == 1 or not dist.is_initialized():
            return
        keys = [f"left/{self._connections}/{rank}" for rank in range(1, self.world_size)]
        with suppress(RuntimeError):
            if self.is_rank_zero:    # The store may end with this process.
                self.store.wait(keys, _LEAVE)
            else:
                self.store.set(keys[self.rank - 1], "")
        dist.destroy_process_group()

    def tell_launcher(self, folder: str) -> None:
        """Let the process that launched this one know where the run lies, for the case that this one dies."""
        if self.launcher is not None and self.is_rank_zero:
            self.launcher.tell(folder)

    def should_report(self, error: UserError) -> bool:
        """Whether it is for this process to say what ended it. Each different sentence is said once, by rank 0 where it
        has the same; a sentence of another process is given its rank."""
        if isinstance(error, Elsewhere):
            return False
        if self.is_rank_zero:
            self._claim(str(error))
            return True
        time.sleep(1.0)    # Rank 0 claims its own sentence at once.
        text = str(error)
        error.args = (f"{self._name(self.rank)}: {text}",)
        try:
            return self._claim(text)
        except RuntimeError:    # Rank 0 has ended, and has said why, or its launcher says it.
            return self.launcher is None and not isinstance(error, Lost)

    def _claim(self, text: str) -> bool:
        """Whether this process is the first to claim a sentence."""
        if self.world_size == 1:
            return True
        key = f"told/{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
        claimed: bytes = self.store.compare_set(key, "", str(self.rank))
        return claimed.decode() == str(self.rank)

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
        """The error as a sentence where it means that another process has ended or is silent; else None."""
        text = str(error).lower()
        of_others = isinstance(error, dist.DistError) or any(word in text for word in _LOST)
        if self.world_size == 1 or isinstance(error, UserError) or not of_others:
            return None
        silent = "timed out" in text or "timeout" in text
        news = self.launcher.news() if self.launcher is not None and not silent else ""
        other = self._name(1 - self.rank) if self.world_size == 2 else "another process of the run"
        if silent and self.timeout:
            return Lost(f"{other} gave no sign for {self.timeout:g} s (plan.timeout): it hangs, or needs longer")
        return Lost(news or f"{other} has ended")
