"""Pick the plan: time each way to run for a moment on a copy of the network, check it, and take the fastest."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import nn

from lensmith.base.device import Busy, free_memory
from lensmith.base.errors import UserError, first_line
from lensmith.data.sources.sample import Batch
from lensmith.engine.plan.candidates import MOST, UNTRIED, Choice, Timing, Wanted, limit_of, pays_to_compile
from lensmith.engine.plan.check_gradient import GradientCheck
from lensmith.engine.plan.compare_trials import NEEDED_FRACTION, best_in, is_faster
from lensmith.engine.plan.plan import Plan, Precision, Rewrite
from lensmith.engine.plan.trial import Steppers, Trial, product_seconds
from lensmith.models.rewrites.exact import fold_batch_norm, may_pay
from lensmith.tasks.task import Task

# The stages in their order. No turn of a stage begins once that fraction of the time limit is over.
#
#   stage                   candidates                                                              fraction
#   first look              plain float32 on all threads, and on half of them where cores are busy
#   precision and layout    every precision that the device has, in every layout                    0.6
#                           ... the same where the network has rewrites to try                      0.4
#   rewrites                all rewrites together, then each alone, in every near plan              0.9
#   threads                 the best plan with the other number of threads                          1
#   compilation             the best plan compiled, where the run is long enough to pay for it      1
#   inference               the best network with batch norm folded, for what is not learned from   1
_FORMATS_END = 0.6
_FORMATS_END_BEFORE_REWRITES = 0.4
_REWRITES_END = 0.9

# In each comparison a candidate takes at most this many timed steps, one a turn.
_TURNS = 6
# A candidate takes at least this many passes: the check, a step that also prepares, and a timed step. It is begun only
# where the time is enough for so many steps of the best.
_PASSES = 3
# The timed steps of all candidates together number about this many. How many pictures a timed step takes follows from
# it and from the time limit.
_STEPS = 24
# The check takes as many pictures as have 32,768 pixels together, but at least 4 and at most 32: with fewer, the
# statistics of batch norm would be unlike those of a whole batch.
_CHECKED_PIXELS = 1 << 15
_CHECKED_PICTURES = (4, 32)
# A candidate whose step takes more than this many times the best's takes no turns, and another layout in its precision
# gets no look.
_SLOW = 2.0
# A plan in another precision that takes more than this many times the best's time is not timed with rewrites. Where
# steps are long, it takes no turns either.
_BEHIND = 1.5
# After the first turn only candidates within this many times the best's time go on, so that the others' time is theirs.
# A plan in another layout is timed with rewrites only where it is so near.
_NEAR = 1.3
# The same for plans in another layout where a copy of the network takes long to prepare.
_CLOSE = 1.15
# A precision in which a matrix product takes more than this many times as long as in float32 gets no look at all. On a
# processor whose 16-bit instructions are hidden it took 180 times as long.
_FAR = 10.0
# With more bytes of weights than this (64 MiB), the first two steps of a copy also wait for the system to hand out the
# memory of its gradients and moments; only the third is like all later ones.
_HEAVY = 1 << 26
# Those two steps together take about as much longer as this many steps take.
_HANDED_OUT = 4
# Where other programs take more than this fraction of the machine, half of the threads are tried in the first look.
_OTHERS = 0.3
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
        self.wanted, self.network, self.task, self.steps, self.stepper = wanted, network, task, steps, stepper
        self.seconds = seconds     # that the run takes, where they are given in the place of its steps
        self.began, self.limit, self.busy = time.perf_counter(), MOST, Busy()
        self.step_seconds = 0.0    # that a float32 step on a whole batch is expected to take
        self.bytes = sum(parameter.nbytes for parameter in network.parameters())
        self.failed: list[Timing] = []    # all but the best
        plain = replace(wanted.plain(), precision="float32", layout="contiguous", compiled=False)
        half = () if wanted.threads or plain.device != "cpu" or plain.threads == 1 else (plain.threads // 2,)
        self.threads = (plain.threads, *half)
        self.reference = self._trial(plain)
        self.batch = batch.to(plain.device)
        height, width = batch.images.shape[-2:]
        least, most = _CHECKED_PICTURES
        self.checked = _first(self.batch, min(max(least, _CHECKED_PIXELS // (height * width)), most))
        self.timed = self.checked    # the pictures of a timed step
        self.check = GradientCheck(self.reference, self.checked, again=lambda: self._trial(self.reference.plan))
        self._size_up(self._look())

    @property
    def spent(self) -> float:
        """Seconds since picking began."""
        return time.perf_counter() - self.began

    @property
    def long(self) -> bool:
        """Whether a step on the checked pictures takes more than its fraction of the time limit. What only the first
        steps of a copy pay is then little beside it."""
        return self.reference.plan.device == "cpu" and self.look_seconds > self.limit / _STEPS

    @property
    def heavy(self) -> bool:
        """Whether the memory of a copy takes longer to be handed out than its steps take."""
        return self.bytes > _HEAVY

    def run(self) -> Trial:
        """-> the best candidate."""
        threads = self.reference.plan.threads
        plans = [replace(plan, threads=threads) for plan in self.wanted.candidates()]
        rewrites = may_pay(self.reference.network, self.reference.plan.arrange(self.checked.images[:1]))
        # Plain float32 comes first. It is prepared already, and its step tells what the other precisions are worth.
        best = self._fastest(sorted(plans, key=lambda plan: plan != self.reference.plan),
                             end=_FORMATS_END_BEFORE_REWRITES if rewrites else _FORMATS_END)
        # All rewrites together come before each alone: where the time is over by then, most of the gain is there.
        ways = [tuple(rewrites)] * (len(rewrites) > 1) + [(name,) for name in rewrites]
        for number, names in enumerate(ways):
            rewritten = [replace(plan, rewrites=names) for plan in self._near(best) if plan.rewrites != names]
            now, remaining = self.spent / self.limit, len(ways) - number
            end = now + max(0.0, _REWRITES_END - now) / remaining
            best = self._fastest(rewritten, against=best, end=end, second_end=end if remaining > 1 else 1.0)
        for other in set(self.threads) - {threads}:
            best = self._fastest([replace(best.plan, threads=other)], against=best)
        if self.wanted.compiled is None and pays_to_compile(self._expected, self.spent):
            best = self._fastest([replace(best.plan, compiled=True)], against=best)
        return best

    def _near(self, best: Trial) -> list[Plan]:
        """The best plan, and those in another precision or layout that may overtake it with a rewrite, the fastest
        first: a rewrite changes which precision and layout is the fastest."""
        nearest = {(best.plan.precision, best.plan.layout): (best.best, best.plan)}
        for timing in sorted(self.failed, key=lambda timing: timing.seconds or 0.0):
            if timing.seconds is not None and not timing.verdict.startswith(_CUT):
                nearest.setdefault((timing.plan.precision, timing.plan.layout), (timing.seconds, timing.plan))
        close = _CLOSE if self.heavy else _NEAR
        return [plan for seconds, plan in sorted(nearest.values(), key=lambda pair: pair[0])
                if seconds <= (close if plan.precision == best.plan.precision else _BEHIND) * best.best]

    def _look(self) -> float:
        """Settle the threads of the next stage: where other work keeps a core busy, half of them can be many times
        faster than all. -> seconds of a step on the checked pictures."""
        seconds = {self.reference.plan.threads: self.reference.step(self.timed, timed=False)}
        for threads in self.threads:
            if self.spent < self.limit / 10 or (self.busy.others() or 0.0) > _OTHERS:
                self.reference.plan = replace(self.reference.plan, threads=threads)
                seconds[threads] = min(self.reference.step(self.timed, timed=False) for _ in range(2))
        best = min(seconds, key=lambda threads: seconds[threads])
        self.reference.plan = replace(self.reference.plan, threads=best)
        self.look_seconds = seconds[best]
        return self.look_seconds

    def _size_up(self, seconds: float) -> None:
        """Set how many pictures a timed step takes, and how long timing may take, after a first look of `seconds`."""
        few, whole = len(self.timed), len(self.batch)
        # A step is the gradient, in proportion to the pictures, and moving the weights, which is the same for all.
        moving = min(self.reference.moved, seconds)
        self._expect(moving + (seconds - moving) * whole / few)
        size = int(self.limit / _STEPS / seconds * few)
        if size > few:
            self.timed = _first(self.batch, size)
            self.reference.step(self.timed, timed=False)
            self._expect(self.reference.step(self.timed, timed=False) * whole / len(self.timed))

    def _expect(self, step_seconds: float) -> None:
        self.step_seconds = step_seconds
        self.limit = limit_of(self._expected)

    @property
    def _expected(self) -> float:
        """Seconds that the run is expected to take."""
        return self.step_seconds * self.steps if self.seconds is None else self.seconds

    def _trial(self, plan: Plan) -> Trial:
        return Trial(plan, self.network, self.task, self.stepper)

    def _fastest(self, plans: Iterable[Plan], *, against: Trial | None = None, end: float = 1.0,
                 second_end: float = 1.0) -> Trial:
        """The best of the plans and of the trial `against`, timed in turn, so that a busy moment of the machine hits
        all alike. The first turn is always taken, the others until the fraction `end` of the time limit is over.
        Beside `against`, the second and later plans are begun only if they can end before the fraction `second_end`."""
        trials = [] if against is None else [against]
        for plan in self._in_order(list(plans), trials):
            reason = self._left_out(plan, trials, against, second_end if len(trials) > 1 else 1.0)
            if reason:
                self.failed.append(Timing(plan, None, reason))
                continue
            trial = self._qualified(plan, min((other.best for other in trials), default=math.inf))
            if trial is not None:
                trials.append(trial)
        if not trials:
            raise UserError("the network runs in none of the ways that section [plan] leaves open: "
                            f"{self.failed[-1].verdict.removeprefix('refused: ')}")
        before = [len(trial.times) for trial in trials]
        self._take_turns(trials, end)
        turns = [trial.times[start:] for trial, start in zip(trials, before, strict=True)]
        best, best_turns = trials[0], turns[0]
        for trial, trial_turns in zip(trials[1:], turns[1:], strict=True):
            if is_faster(trial, trial_turns, best, best_turns):
                best, best_turns = trial, trial_turns
        self.failed += [Timing(trial.plan, trial.best, "slower") for trial in trials if trial is not best]
        return best

    def _take_turns(self, trials: list[Trial], end: float) -> None:
        """Let the trials that are not too slow take timed steps, one each a turn."""
        for turn in range(_TURNS if len(trials) > 1 else 0):
            if self.spent > (end if turn else 1.0) * self.limit:
                break
            fastest = min(trial.best for trial in trials)
            for trial in trials:
                if trial.best <= (_NEAR if turn else _BEHIND if self.long else _SLOW) * fastest:
                    trial.step(self.timed)

    def _left_out(self, plan: Plan, trials: list[Trial], against: Trial | None, end: float) -> str:
        """Why a plan gets no look beside these trials, until the fraction `end` of the time; empty where it gets one.

        Each precision gets its look. Its other layouts, and what is tried against the best, get one if there is time.
        """
        needed = best_in(plan.precision, trials, none=0.0) if against is None else against.best
        needed *= _PASSES + _HANDED_OUT * self.heavy
        if trials and self.spent + needed > end * self.limit:
            return f"{UNTRIED}: the time for timing was over"
        if trials and 8 * self.bytes > free_memory():    # a copy with its gradients and two moments, twice over
            return f"{UNTRIED}: the memory for timing was over"
        if against is None and self._hopeless(plan.precision, trials):
            return f"left out: {plan.precision} was far behind"
        times = self._product_ratio(plan) if any(trial.plan.precision == "float32" for trial in trials) else 1.0
        if times > _FAR:
            return f"{_CUT}: products in {plan.precision} take {times:.0f} times as long as in float32"
        return ""

    def _in_order(self, plans: list[Plan], trials: list[Trial]) -> Iterator[Plan]:
        """First one plan of each precision, then the others, those of the precision that was fastest first."""
        first = {plan.precision: plan for plan in reversed(plans)}
        yield from (plan for plan in plans if plan is first[plan.precision])
        yield from sorted((plan for plan in plans if plan is not first[plan.precision]),
                          key=lambda plan: best_in(plan.precision, trials, none=math.inf))

    def _hopeless(self, precision: Precision, trials: list[Trial]) -> bool:
        """Whether a candidate of this precision was cut off or is far behind. No other layout makes up for it."""
        cut = any(timing.plan.precision == precision and timing.verdict.startswith(_CUT) for timing in self.failed)
        fastest = min((trial.best for trial in trials), default=math.inf)
        return cut or best_in(precision, trials, none=0.0) > _SLOW * fastest

    def _qualified(self, plan: Plan, fastest: float) -> Trial | None:
        """A trial of the plan that has been checked and timed once; None where it is refused or far behind."""
        if plan == self.reference.plan:
            self.reference.step(self.timed)
            return self.reference
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
                return None
            # The first pass also prepares, so that it is allowed three times as long.
            if seconds > 3 * _SLOW * max(fastest, self.look_seconds):
                self.failed.append(Timing(plan, seconds, f"{_CUT}: several times slower than the best"))
                return None
            trial.step(self.timed, timed=plan.device == "cpu")
            # Where steps are long, the next step is left to the turns, in which only near candidates take part.
            for _ in range(2 if self.heavy else 0 if self.long else 1):
                trial.step(self.timed)
        except Exception as error:    # Whatever the network raises in this way of running: the plain way has run.
            self.failed.append(Timing(plan, None, f"refused: {type(error).__name__}: {first_line(error)[:200]}"))
            return None
        return trial

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
            for turn in range(2 * _TURNS + 2):
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


def _first(batch: Batch, size: int) -> Batch:
    """The first `size` samples of a batch, without the places of their pictures."""
    rows = torch.arange(min(size, len(batch)))
    targets = {name: value.take(rows.to(batch.images.device)) for name, value in batch.targets.items()}
    return replace(batch, images=batch.images[: len(rows)], targets=targets, places=(),
                   indices=batch.indices[: len(rows)], occurrences=None)
