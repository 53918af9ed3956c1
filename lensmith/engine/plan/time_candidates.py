"""Pick the plan: compute in each way for a moment, check what comes out, and take the fastest."""

import math
import time
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import replace

import torch
from torch import nn

from lensmith.base.device import Busy, free_memory
from lensmith.base.errors import UserError, first_line
from lensmith.data.sources.sample import Batch
from lensmith.engine.plan.candidates import MOST, UNTRIED, Choice, Timing, Wanted, limit_of, pays_to_compile
from lensmith.engine.plan.check_gradient import GradientCheck
from lensmith.engine.plan.compare_trials import NEEDED_FRACTION, faster
from lensmith.engine.plan.plan import Plan, Precision, Rewrite
from lensmith.engine.plan.trial import Steppers, Trial, moving_seconds, on_the_same_weights, product_seconds
from lensmith.models.rewrites.exact import fold_batch_norm, may_pay
from lensmith.tasks.task import Task

# The stages in their order. In each, one candidate after the other takes turns with the best so far. No turn but the
# first of a candidate begins once that fraction of the time limit is over.
#
#   stage                   candidates                                                              fraction
#   first look              plain float32 on all threads, and on half of them where cores are busy
#   precision and layout    every precision that the device has, in every layout                    0.8
#                           ... the same where the network has rewrites to try                      0.6
#   rewrites                all rewrites together, then each alone, in every near plan              0.9
#   threads                 the best plan with the other number of threads                          1
#   compilation             the best plan compiled, where the run is long enough to pay for it      1
#   inference               the best network with batch norm folded, for what is not learned from   1
_FORMATS_END = 0.8
_FORMATS_END_BEFORE_REWRITES = 0.6
_REWRITES_END = 0.9

# A candidate is begun only where the time is enough for so many passes of the best: the check, one that prepares, and
# two turns of both; where passes are long, the check and a turn of both.
_PASSES, _LONG_PASSES = 6, 3
# The timed passes of all candidates together number about this many. How many pictures a timed pass takes follows from
# it and from the time limit.
_STEPS = 24
# The check takes as many pictures as have 32,768 pixels together, but at most 32. At least it takes 4, and where 2 have
# 200,000 pixels these: with fewer, the statistics of batch norm would be unlike those of a whole batch.
_CHECKED_PIXELS, _LARGE_PIXELS = 1 << 15, 200_000
_FEWEST_CHECKED, _MOST_CHECKED = 4, 32
# Another layout in a precision whose pass takes more than this many times the best's gets no look.
_SLOW = 2.0
# A plan in another precision that takes more than this many times the best's time is not timed with rewrites.
_BEHIND = 1.5
# The same for plans in another layout.
_NEAR = 1.3
# A precision in which a matrix product takes more than this many times as long as in float32 gets no look at all. On a
# processor whose 16-bit instructions are hidden it took 180 times as long, on one whose instructions multiply no faster
# than those of float32 1.9 times, as convolutions did.
_FAR = 1.3
# Where other programs take more than this fraction of the machine, half of the threads are tried in the first look.
_OTHERS = 0.3
# So many passes tell whether a network with its batch norm folded is faster.
_INFERENCE_TURNS = 3
_CUT = "cut off"    # how the verdict on a candidate begins that was far slower


def pick(wanted: Wanted, network: nn.Module, task: Task, batch: Batch, *, steps: int, stepper: Steppers,
         seconds: float | None = None) -> Choice:
    """The fastest of what `wanted` leaves open, for a run of so many optimizer `steps` on batches like `batch`, or else
    for one that takes so many `seconds`."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    search = _Search(wanted, network, task, batch, steps, stepper, seconds)
    try:
        best = search.run()
        gains = search.inference(best)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)
    chosen = replace(best.plan, rewrites=(*best.plan.rewrites, *gains))
    return Choice(chosen, "timed", search.account(best, chosen), len(search.timed), search.spent, search.step_seconds,
                  search.limit, search.busy.others(), {name: round(value, 3) for name, value in gains.items()})


class _Search:
    """One picking: the candidates, stage by stage, and the time that is left for them."""

    def __init__(self, wanted: Wanted, network: nn.Module, task: Task, batch: Batch, steps: int, stepper: Steppers,
                 seconds: float | None):
        self.wanted, self.task, self.steps = wanted, task, steps
        self.seconds = seconds     # that the run takes, where they are given in the place of its steps
        self.began, self.limit, self.busy = time.perf_counter(), MOST, Busy()
        self.step_seconds = 0.0    # that a float32 step on a whole batch is expected to take
        self.bytes = sum(parameter.nbytes for parameter in network.parameters())
        self.best: Trial | None = None    # so far
        self.failed: list[Timing] = []    # all others
        plain = replace(wanted.plain(), precision="float32", layout="contiguous", compiled=False)
        half = () if wanted.threads or plain.device != "cpu" or plain.threads == 1 else (plain.threads // 2,)
        self.threads = (plain.threads, *half)
        self.batch = batch.to(plain.device)
        self.checked = _first(self.batch, _checked(*batch.images.shape[-2:]))
        self.timed = self.checked    # the pictures of a timed pass
        copied = plain.place(deepcopy(network))
        # By layout, the network with whose weights all trials in it compute.
        self.networks = {plain.layout: copied}
        self.reference = self._trial(plain)
        began = time.perf_counter()
        loss, gradient = self.reference.gradient(self.checked)
        self.first_pass = time.perf_counter() - began
        self.check = GradientCheck(self.reference, self.checked, loss, gradient)
        self.moving = moving_seconds(copied, gradient, plain, stepper)    # which may change the gradient
        _put_back(copied, network)
        del gradient
        self._size_up(self._look())

    @property
    def spent(self) -> float:
        """Seconds since picking began."""
        return time.perf_counter() - self.began

    @property
    def long(self) -> bool:
        """Whether a pass of the checked pictures takes more than its fraction of the time limit. What only the first
        pass of a candidate prepares is then little beside it."""
        return self.reference.plan.device == "cpu" and self.look_seconds > self.limit / _STEPS

    def run(self) -> Trial:
        """-> the best candidate."""
        threads = self.reference.plan.threads
        plans = [replace(plan, threads=threads) for plan in self.wanted.candidates()]
        rewrites = may_pay(self.reference.network, self.reference.plan.arrange(self.checked.images[:1]))
        # Plain float32 comes first. It is prepared already, and its pass tells what the other precisions are worth.
        self._try(sorted(plans, key=lambda plan: plan != self.reference.plan), formats=True,
                  end=_FORMATS_END_BEFORE_REWRITES if rewrites else _FORMATS_END)
        # All rewrites together come before each alone: where the time is over by then, most of the gain is there.
        ways = [tuple(rewrites)] * (len(rewrites) > 1) + [(name,) for name in rewrites]
        for number, names in enumerate(ways):
            now, remaining = self.spent / self.limit, len(ways) - number
            end = now + max(0.0, _REWRITES_END - now) / remaining
            self._try([replace(plan, rewrites=names) for plan in self._near() if plan.rewrites != names], end=end,
                      second_end=end if remaining > 1 else 1.0)
        # Fewer threads save the time to start them, which is little of a long pass.
        for other in set(self.threads) - {threads} if not self.long else ():
            self._try([replace(self.winner.plan, threads=other)])
        if self.wanted.compiled is None and pays_to_compile(self._expected, self.spent):
            self._try([replace(self.winner.plan, compiled=True)])
        return self.winner

    @property
    def winner(self) -> Trial:
        """The best so far. Raises UserError where the network has run in none of the ways."""
        if self.best is None:
            raise UserError("the network runs in none of the ways that section [plan] leaves open: "
                            f"{self.failed[-1].verdict.removeprefix('refused: ')}")
        return self.best

    def _near(self) -> list[Plan]:
        """The best plan, and those in another precision or layout that may overtake it with a rewrite, the fastest
        first: a rewrite changes which precision and layout is the fastest."""
        best = self.winner
        nearest = {(best.plan.precision, best.plan.layout): (best.best, best.plan)}
        for timing in sorted(self.failed, key=lambda timing: timing.seconds or 0.0):
            if timing.seconds is not None and not timing.verdict.startswith(_CUT):
                nearest.setdefault((timing.plan.precision, timing.plan.layout), (timing.seconds, timing.plan))
        return [plan for seconds, plan in sorted(nearest.values(), key=lambda pair: pair[0])
                if seconds <= (_NEAR if plan.precision == best.plan.precision else _BEHIND) * best.best]

    def _look(self) -> float:
        """Settle the threads of the next stage: where other work keeps a core busy, half of them can be many times
        faster than all. -> seconds of a pass of the checked pictures."""
        seconds = {self.reference.plan.threads: self.first_pass}
        for threads in self.threads:
            quick = self.spent < self.limit / 10
            if quick or (threads not in seconds and (self.busy.others() or 0.0) > _OTHERS):
                self.reference.plan = replace(self.reference.plan, threads=threads)
                seconds[threads] = min(self.reference.step(self.timed, timed=False) for _ in range(1 + quick))
        best = min(seconds, key=lambda threads: seconds[threads])
        self.reference.plan = replace(self.reference.plan, threads=best)
        self.look_seconds = seconds[best]
        return self.look_seconds

    def _size_up(self, seconds: float) -> None:
        """Set how many pictures a timed step takes, and how long timing may take, after a first look of `seconds`."""
        few, whole = len(self.timed), len(self.batch)
        # A step is the gradient, in proportion to the pictures, and moving the weights.
        self._expect(seconds * whole / few)
        size = int(self.limit / _STEPS / seconds * few)
        if size > few:
            self.timed = _first(self.batch, size)
            self.reference.step(self.timed, timed=False)
            self._expect(self.reference.step(self.timed, timed=False) * whole / len(self.timed))
        else:
            self.reference.times.append(seconds)

    def _expect(self, gradient_seconds: float) -> None:
        self.step_seconds = gradient_seconds + self.moving
        self.limit = limit_of(self._expected, look=self.look_seconds)

    @property
    def _expected(self) -> float:
        """Seconds that the run is expected to take."""
        return self.step_seconds * self.steps if self.seconds is None else self.seconds

    def _trial(self, plan: Plan) -> Trial:
        if plan.layout not in self.networks:
            plain = self.reference.plan
            self.networks[plan.layout] = replace(plain, layout=plan.layout).place(
                on_the_same_weights(self.networks[plain.layout]))
        return Trial(plan, self.networks[plan.layout], self.task)

    def _try(self, plans: Iterable[Plan], *, formats: bool = False, end: float = 1.0, second_end: float = 1.0) -> None:
        """Try plans one after the other. Each takes turns with the best so far until it is clear which of them is
        faster, or the fraction `end` of the time limit is over; there are never more than these two. The second and
        later ones are begun only if they can end before `second_end`. `formats`: whether these are the precisions and
        layouts."""
        begun = 0
        for plan in self._in_order(list(plans)):
            reason = self._left_out(plan, formats=formats, end=second_end if begun else 1.0)
            if reason:
                self.failed.append(Timing(plan, None, reason))
            else:
                begun += self._compete(plan, end)

    def _compete(self, plan: Plan, end: float) -> bool:
        """Let a plan take the place of the best if it is faster. Whether it runs, and is not far behind."""
        trial, first_pass = self._qualified(plan)
        if trial is None or self.best is None:
            self.best = self.best or trial
            return trial is not None
        looks = [first_pass / self.first_pass] if self.best is self.reference and self.long else []
        former, self.best = self.best, faster(self.best, trial, self.timed, looks=looks,
                                              goes_on=lambda: self.spent <= end * self.limit)
        slower = trial if self.best is former else former
        self.failed.append(Timing(slower.plan, slower.best, "slower"))
        return True

    def _left_out(self, plan: Plan, *, formats: bool, end: float) -> str:
        """Why a plan gets no look beside the best so far, until the fraction `end` of the time; empty where it gets
        one.

        Each precision gets its look. Its other layouts, and what is tried in later stages, get one if there is time.
        """
        if self.best is None:
            return ""
        needed = self._best_in(plan.precision, none=0.0) if formats else self.best.best
        needed *= _LONG_PASSES if self.long else _PASSES
        if needed and self.spent + needed > end * self.limit:
            return f"{UNTRIED}: the time for timing was over"
        if 3 * self.bytes > free_memory():    # its weights in another layout, their gradient, and what is cast
            return f"{UNTRIED}: the memory for timing was over"
        if formats and self._hopeless(plan.precision, self.best):
            return f"left out: {plan.precision} was far behind"
        times = self._product_ratio(plan) if self.best.plan.precision == "float32" else 1.0
        if times > _FAR:
            return f"{_CUT}: products in {plan.precision} take {times:.3g} times as long as in float32"
        return ""

    def _in_order(self, plans: list[Plan]) -> Iterator[Plan]:
        """First one plan of each precision, then the others, those of the precision that was fastest first."""
        first = {plan.precision: plan for plan in reversed(plans)}
        yield from (plan for plan in plans if plan is first[plan.precision])
        yield from sorted((plan for plan in plans if plan is not first[plan.precision]),
                          key=lambda plan: self._best_in(plan.precision, none=math.inf))

    def _best_in(self, precision: Precision, *, none: float) -> float:
        """The least time of a pass in this precision so far, seconds; `none` where no trial had it."""
        times = [timing.seconds for timing in self.failed if timing.plan.precision == precision
                 and timing.seconds is not None and not timing.verdict.startswith(_CUT)]
        if self.best is not None and self.best.plan.precision == precision:
            times.append(self.best.best)
        return min(times, default=none)

    def _hopeless(self, precision: Precision, best: Trial) -> bool:
        """Whether a candidate of this precision was cut off or is far behind. No other layout makes up for it."""
        cut = any(timing.plan.precision == precision and timing.verdict.startswith(_CUT) for timing in self.failed)
        return cut or self._best_in(precision, none=0.0) > _SLOW * best.best

    def _qualified(self, plan: Plan) -> tuple[Trial | None, float]:
        """(a trial of the plan that has been checked and prepared, None where it is refused or far behind; the seconds
        of its first pass of the checked pictures)."""
        if plan == self.reference.plan:
            if not self.reference.times:
                self.reference.step(self.timed)
            return self.reference, self.first_pass
        try:
            trial = self._trial(plan)
            if plan.compiled:
                trial.gradient(self.checked)    # The first pass compiles, which a run pays once.
            began = time.perf_counter()
            loss, gradient = trial.gradient(self.checked)
            seconds = time.perf_counter() - began
            fault = self.check.fault(plan.precision, loss, gradient)
            if fault:
                self.failed.append(Timing(plan, None, f"refused: {fault}"))
                return None, seconds
            # The first pass also prepares, so that it is allowed three times as long where passes are short.
            near = max(math.inf if self.best is None else self.best.best, self.look_seconds)
            if seconds > (_SLOW if self.long else 3 * _SLOW) * near:
                self.failed.append(Timing(plan, seconds, f"{_CUT}: several times slower than the best"))
                return None, seconds
            del gradient
            if not self.long:
                trial.step(self.timed, timed=False)
            return trial, seconds
        except Exception as error:    # Whatever the network raises in this way of running: the plain way has run.
            self.failed.append(Timing(plan, None, f"refused: {type(error).__name__}: {first_line(error)[:200]}"))
            return None, 0.0

    def _product_ratio(self, plan: Plan) -> float:
        """How many times as long a matrix product takes as in float32. Without instructions for 16 bits PyTorch may
        compute it number by number, so that one look at the network would take longer than all other looks."""
        if plan.device != "cpu" or plan.precision == "float32":
            return 1.0
        plan.settle()
        return product_seconds(plan.dtype) / product_seconds(torch.float32)

    @torch.no_grad()
    def inference(self, best: Trial) -> dict[Rewrite, float]:
        """The rewrites that pay where nothing is learned -> how many times as fast the network is with them."""
        if self.spent > self.limit:
            return {}
        plain, images = best.network.eval(), best.plan.arrange(self.timed.images)
        folded = fold_batch_norm(plain, images, pack=best.plan.packs)
        if folded is None:
            return {}
        times: dict[bool, list[float]] = {False: [], True: []}
        best.plan.settle()
        with best.plan.precise():
            for turn in range(4 if self.long else 2 * _INFERENCE_TURNS + 2):
                network = folded if turn % 2 else plain
                began = time.perf_counter()
                network(images)
                best.wait()
                if turn > 1:    # The first turn of each prepares.
                    times[bool(turn % 2)].append(time.perf_counter() - began)
        gain = min(times[False]) / min(times[True])
        return {"fold_batch_norm": gain} if gain * NEEDED_FRACTION["rewrites"] > 1 else {}

    def account(self, best: Trial, chosen: Plan) -> list[Timing]:
        """Every candidate with what became of it, the best first."""
        slower = sorted(self.failed, key=lambda timing: math.inf if timing.seconds is None else timing.seconds)
        return [Timing(chosen, best.best, "chosen"), *slower]


def _checked(height: int, width: int) -> int:
    """How many pictures of this size the check takes."""
    least = min(_FEWEST_CHECKED, max(2, math.ceil(_LARGE_PIXELS / (height * width))))
    return min(max(least, _CHECKED_PIXELS // (height * width)), _MOST_CHECKED)


@torch.no_grad()
def _put_back(copied: nn.Module, network: nn.Module) -> None:
    """Give a copy the weights and buffers of the network again."""
    for values, former in ((copied.parameters(), network.parameters()), (copied.buffers(), network.buffers())):
        for value, before in zip(values, former, strict=True):
            value.copy_(before)


def _first(batch: Batch, size: int) -> Batch:
    """The first `size` samples of a batch, without the places of their pictures."""
    rows = torch.arange(min(size, len(batch)))
    targets = {name: value.take(rows.to(batch.images.device)) for name, value in batch.targets.items()}
    return replace(batch, images=batch.images[: len(rows)], targets=targets, places=(),
                   indices=batch.indices[: len(rows)], occurrences=None)
