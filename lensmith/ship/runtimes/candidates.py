"""The ways to compute a network's answers: a runtime, the precision that it multiplies in, and a number of threads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from lensmith.base.device import multiplies_bfloat16
from lensmith.base.errors import UserError, choose, count
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.packages import check_installed, command_for, is_installed

FLOAT32 = "float32"


@dataclass(frozen=True)
class Candidate:
    """One way to compute a network's answers."""

    runtime: str
    precision: str    # what is multiplied; of a file that is in another one than float32 that of the file, as int8
    threads: int
    how: str = ""     # of PyTorch: the layout and the rewrites, in words

    @property
    def name(self) -> str:
        """As --runtime takes it: `openvino`, or `openvino:bfloat16`."""
        return named(self.runtime, self.precision)

    def in_words(self) -> str:
        """`openvino:bfloat16, 2 threads`"""
        return ", ".join(filter(None, (self.name, self.how, count(self.threads, "thread"))))


def named(runtime: str, precision: str) -> str:
    """What a runtime in a precision is called; in float32, and in a file's own precision, by the runtime alone."""
    return f"{runtime}:{precision}" if precision in RUNTIMES[runtime].precisions[1:] else runtime


def runtime_and_precision(text: str) -> tuple[str, str]:
    """What `openvino:bfloat16` or `openvino` asks for. Raises UserError for what is unknown, not installed, or what
    this machine has no instructions for."""
    runtime, colon, precision = text.partition(":")
    entry = choose(RUNTIMES, runtime, "predict.runtime")
    if not colon:
        precision = FLOAT32
    if precision not in entry.precisions:
        raise UserError(f"predict.runtime={text}: {runtime} computes in {' or '.join(entry.precisions)}; got "
                        f"{precision!r}")
    if precision not in precisions_here(runtime):
        raise UserError(f"predict.runtime={text}: this processor has no instructions for {precision} (avx512_bf16 or "
                        f"amx_bf16), in which it would be slower than in float32: ask for {runtime}")
    check_installed(entry.package)
    return runtime, precision


def precisions_here(runtime: str) -> tuple[str, ...]:
    """The precisions that a runtime has and this machine has instructions for, float32 first."""
    return tuple(precision for precision in RUNTIMES[runtime].precisions
                 if precision != "bfloat16" or multiplies_bfloat16())


def thread_numbers(most: int | None = None) -> tuple[int, ...]:
    """The numbers of threads that are tried, the largest first: `most`, by itself as many as PyTorch takes, half of
    them where they are many, since two threads of a core multiply no faster than one, and one alone."""
    most = most or torch.get_num_threads()
    return tuple(sorted({most, most // 2 if most >= 4 else most, 1}, reverse=True))


def for_files(runtimes: Sequence[str], threads: Sequence[int], *, of_file: str = FLOAT32) -> list[Candidate]:
    """The candidates for a file whose weights are in the precision `of_file`, those in it first."""
    precisions = {name: precisions_here(name) if of_file == FLOAT32 else (of_file,) for name in runtimes}
    return [Candidate(name, precision, number) for name in runtimes for precision in precisions[name]
            for number in threads]


def installed_for_files(suffix: str = ".onnx") -> list[str]:
    """The names of the runtimes that are here and open a file with that suffix."""
    return [name for name, runtime in RUNTIMES.items() if suffix in runtime.suffixes and is_installed(runtime.package)]


def missing(suffix: str = ".onnx") -> Mapping[str, str]:
    """The runtimes that are not installed, of PyTorch and of files with that suffix, each with the command that
    installs it."""
    return {name: command_for(runtime.package) for name, runtime in RUNTIMES.items()
            if not is_installed(runtime.package) and (suffix in runtime.suffixes or runtime.open is None)}
