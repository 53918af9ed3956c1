"""Which way computes a network's answers fastest here: each is opened, checked and timed for a moment, and the choice
is kept in the user's cache."""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from lensmith.base.cache_folder import cache_folder, keep_text
from lensmith.base.device import Busy, environment, multiplies_bfloat16
from lensmith.base.errors import ModelError, UserError
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.candidates import Candidate
from lensmith.ship.runtimes.latency import in_turn, quantile, timed_call
from lensmith.ship.runtimes.packages import is_installed
from lensmith.values.value import Value

VERSION = 1         # of the way to choose: a change of it makes what is kept void
_SECONDS = 1.5      # that the candidates take turns for
_LONG = 0.5         # seconds from which a batch is cut for timing
_NEAR = 2.0         # a candidate whose first timed call took more than this many times the best's takes no turns
_FAR = 4.0          # once the first of a runtime's took more than this many times the best's, its others get no look
_BUSY = 0.5         # the fraction of the machine that other programs take above which CPU time decides
_QUIET = 0.25       # the fraction of the machine that other programs may take for a choice to be kept for good
_AGAIN = 3600.0     # seconds after which a choice that was made beside more of them is made again


@dataclass(frozen=True)
class Way:
    """A candidate that is open."""

    run: Callable[[Tensor], Any]                 # pictures as they are -> the network's output
    decode: Callable[[Any], dict[str, Value]]    # the output -> the answers, which takes time too

    def answers(self, pictures: Tensor) -> dict[str, Value]:
        return self.decode(self.run(pictures))


@dataclass(frozen=True)
class Tried:
    """What became of one candidate."""

    candidate: Candidate
    seconds: float | None    # that a quarter of its calls took less than; None where it was not timed
    verdict: str             # "chosen", "slower", "refused: ...", "not tried: ..."


@dataclass(frozen=True)
class RuntimeChoice:
    """The candidate that was chosen for batches of a size, and the way to it."""

    candidate: Candidate
    pictures: int               # that were answered together while it was timed
    tried: tuple[Tried, ...]    # the best first
    source: str = "timed"       # or "the cache"
    other_load: float | None = None    # the fraction of the machine that other programs took meanwhile
    clock: str = "time"                # or "CPU time", by which the candidates were ranked

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.candidate), "pictures": self.pictures, "source": self.source,
                "other_load": self.other_load, "clock": self.clock,
                "tried": [{**asdict(tried.candidate), "verdict": tried.verdict, "milliseconds": None
                           if tried.seconds is None else round(1000 * tried.seconds, 4)} for tried in self.tried]}

    def in_words(self) -> str:
        """`openvino, 2 threads for 8 pictures at once: openvino 3.10 ms, onnxruntime 3.90 ms a picture`"""
        best: dict[str, float] = {}
        for tried in self.tried:
            if tried.seconds is not None:
                name = tried.candidate.name
                best[name] = min(tried.seconds, best.get(name, tried.seconds))
        times = ", ".join(f"{name} {1000 * seconds / self.pictures:.2f} ms" for name, seconds in best.items())
        how_many = "one picture" if self.pictures == 1 else f"{self.pictures} pictures at once"
        why = "" if self.clock == "time" else " by CPU time, since other programs hold the cores"
        timed = f": {times} a picture{why}" if times else ", the only way to compute the file here"
        return f"{self.candidate.in_words()} for {how_many}{timed}"


def choice_from(content: Mapping[str, Any], source: str) -> RuntimeChoice:
    """What `as_json` gave. Raises KeyError, TypeError or ValueError for other content."""
    tried = tuple(Tried(_candidate(row), None if row["milliseconds"] is None else float(row["milliseconds"]) / 1000,
                        str(row["verdict"])) for row in content["tried"])
    pictures, load = int(content["pictures"]), content["other_load"]
    if pictures < 1:
        raise ValueError("a choice without pictures")
    return RuntimeChoice(_candidate(content), pictures, tried, source, None if load is None else float(load),
                         str(content["clock"]))


def _candidate(content: Mapping[str, Any]) -> Candidate:
    return Candidate(str(content["runtime"]), str(content["precision"]), int(content["threads"]), str(content["how"]))


class FastestWay:
    """Pictures -> the network's output, by the candidate that is fastest for single pictures or for batches, each
    chosen when it is first needed."""

    def __init__(self, openers: Mapping[Candidate, Callable[[], Way]],
                 problem: Callable[[Candidate, Way, Tensor], str], *, means: str,
                 limited: Callable[[tuple[int, int]], Iterable[str]], tell: Callable[[str], object]):
        """
        openers: what opens each candidate; ModelError where it cannot be.
        problem: why a candidate may not be taken, by its answers to some pictures; empty where it may.
        means: what the times depend on beside the pictures' shape, this machine and the versions of the runtimes.
        limited: the runtimes that cannot take pictures of a size (height, width).
        tell: called with each choice.
        """
        self.openers, self.problem, self.means, self.limited, self.tell = openers, problem, means, limited, tell
        self.chosen: dict[tuple[bool, frozenset[str]], tuple[RuntimeChoice, Way]] = {}

    def __call__(self, pictures: Tensor) -> Any:
        without = frozenset(self.limited((pictures.shape[2], pictures.shape[3])))
        key = (len(pictures) == 1, without)
        if key not in self.chosen:
            openers = {candidate: opener for candidate, opener in self.openers.items()
                       if candidate.runtime not in without} or self.openers
            self.chosen[key] = choose_way(openers, self.problem, pictures, means=self.means)
            self.tell(f"runtime {self.chosen[key][0].in_words()}")
        return self.chosen[key][1].run(pictures)

    def account(self) -> list[dict[str, Any]]:
        """What was chosen, as JSON."""
        return [choice.as_json() for choice, _ in self.chosen.values()]


@torch.inference_mode()
def choose_way(openers: Mapping[Candidate, Callable[[], Way]], problem: Callable[[Candidate, Way, Tensor], str],
               pictures: Tensor, *, means: str) -> tuple[RuntimeChoice, Way]:
    """The fastest of the candidates for such a batch of pictures, as the cache has it or as timed now, and it open.

    Raises ModelError where none can be opened.
    """
    path = cache_folder() / "runtimes" / f"{_key(openers, pictures, means)}.json"
    kept = _recall(path)
    if kept is not None and kept.candidate in openers:
        return kept, openers[kept.candidate]()
    if len(openers) == 1:
        (candidate, opener), = openers.items()
        return RuntimeChoice(candidate, len(pictures), (), "alone"), opener()
    threads = torch.get_num_threads()
    try:
        choice, way = _Search(openers, problem, pictures).run()
    finally:
        torch.set_num_threads(threads)
    keep_text(path, json.dumps(choice.as_json(), indent=1) + "\n")
    return choice, way


class _Search:
    """One choosing: candidates are opened one after another, and those near the best take turns."""

    def __init__(self, openers: Mapping[Candidate, Callable[[], Way]],
                 problem: Callable[[Candidate, Way, Tensor], str], pictures: Tensor):
        self.openers, self.problem, self.pictures, self.busy = openers, problem, pictures, Busy()
        self.near: dict[Candidate, Way] = {}
        self.looks: dict[Candidate, float] = {}    # seconds of one call
        self.out: list[Tried] = []
        self.error: ModelError | None = None

    def run(self) -> tuple[RuntimeChoice, Way]:
        for candidate, opener in self.openers.items():
            self._look(candidate, opener)
        if not self.near:
            assert self.error is not None
            raise self.error
        least = min(self.looks[candidate] for candidate in self.near)
        for candidate in [one for one in self.near if self.looks[one] > _NEAR * least]:
            self.out.append(Tried(candidate, self.looks[candidate], "slower"))
            del self.near[candidate]
        calls = in_turn({candidate: lambda way=way: way.answers(self.pictures)    # type: ignore[misc]
                         for candidate, way in self.near.items()}, seconds=_SECONDS)
        # Where the cores are taken, the time that passes tells who was interrupted, and CPU time who gets done first.
        load = self.busy.others()
        clock = int((load or 0.0) > _BUSY)
        # Other programs only ever add to a time, and the least of several threads' times is luck: hence the quarter.
        quarters = {candidate: quantile([took[clock] for took in some], 0.25) for candidate, some in calls.items()}
        best = min(quarters, key=lambda candidate: quarters[candidate])
        timed = [Tried(candidate, seconds, "chosen" if candidate == best else "slower")
                 for candidate, seconds in sorted(quarters.items(), key=lambda item: item[1])]
        choice = RuntimeChoice(best, len(self.pictures), (*timed, *self.out), other_load=load,
                               clock=("time", "CPU time")[clock])
        return choice, self.near[best]

    def _look(self, candidate: Candidate, opener: Callable[[], Way]) -> None:
        """Open a candidate, check it and time it once."""
        own = [seconds for other, seconds in self.looks.items() if other.runtime == candidate.runtime]
        if own and self.near and min(own) > _FAR * min(self.looks.values()):
            self.out.append(Tried(candidate, None, f"not tried: {candidate.runtime} was far slower"))
            return
        try:
            way = opener()
            problem = self.problem(candidate, way, self.pictures)
        except UserError as error:
            problem = str(error)
        if problem:
            self.error = ModelError(f"{candidate.name}: {problem}")
            self.out.append(Tried(candidate, None, f"refused: {problem}"))
            return
        way.answers(self.pictures)
        seconds = self._seconds(way)
        if seconds > _LONG and len(self.pictures) > 1 and not self.near:
            fewer = max(1, int(len(self.pictures) * _LONG / seconds))
            self.pictures, seconds = self.pictures[:fewer], seconds * fewer / len(self.pictures)
        self.near[candidate], self.looks[candidate] = way, seconds

    def _seconds(self, way: Way) -> float:
        """Of one call: those that passed, or those that one thread computed where others interrupted it."""
        return min(timed_call(lambda: way.answers(self.pictures)))


def _recall(path: Any) -> RuntimeChoice | None:
    """The choice that is kept; None where none is, where it is damaged, or old and made on a busy machine."""
    try:
        kept = choice_from(json.loads(path.read_text(encoding="utf-8")), "the cache")
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return kept if (kept.other_load or 0.0) <= _QUIET or age < _AGAIN else None


def _key(candidates: Iterable[Candidate], pictures: Tensor, means: str) -> str:
    machine = environment()
    content = {
        "version": VERSION, "means": means, "candidates": sorted(repr(candidate) for candidate in candidates),
        "pictures": [list(pictures.shape), str(pictures.dtype)],
        "machine": [machine[name] for name in ("processor", "cores")] + [platform.machine(), multiplies_bfloat16()],
        "versions": {name: version(runtime.package) for name, runtime in RUNTIMES.items()
                     if is_installed(runtime.package)},
        "capability": [torch.backends.cpu.get_cpu_capability(), os.environ.get("ONEDNN_MAX_CPU_ISA", "")],
    }
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
