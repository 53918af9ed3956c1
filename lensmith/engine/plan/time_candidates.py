"""Pick the plan: time the ways to run for a moment on copies of the network, check them, take the fastest."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor, nn

from lensmith.base.device import Busy, free_memory
from lensmith.base.errors import UserError, first_line
from lensmith.data.sources.sample import Batch
from lensmith.engine.plan.candidates import MOST, UNTRIED, Choice, Timing, Wanted, limit_of, pays_to_compile
from lensmith.engine.plan.plan import Plan, Precision, Rewrite
from lensmith.engine.plan.trial import Steppers, Trial, cosine, product_seconds
from lensmith.models.rewrites.exact import fold_batch_norm, may_pay
from lensmith.tasks.task import Task

_ROUNDS = 6                # timed steps of a candidate at most
_PAIRS = 4                 # turns from which on their medians are compared: less noisy than the least of so many
_PASSES = 3                # that a candidate takes at least: a look, a step that prepares too, one more
_TRIES = 24                # steps of all candidates together, about: the pictures of a timed step follow from it
_FEW = (4, 32)             # pictures of the first look: fewer of large ones, ...
_PIXELS = 1 << 15          # ... of which it takes so many; batch norm needs a few values to be like itself
# Of the time: for precision and layout, without and with rewrites to try; until the last rewrite; the rest is for fewer
# threads.
_FIRST, _BEFORE_REWRITES, _REWRITES = 0.6, 0.4, 0.9
_SLOW = 2.0                # times the best candidate's step: cut off, ...
_BEHIND = 1.5              # ... not timed with a rewrite, nor again where steps are long, ...
_NEAR = 1.3                # ... or, once each has been timed a few times, left where it is: the others take its time
_CLOSE = 1.15              # where copies take long to prepare, another layout is tried with a rewrite only so near
# What a candidate must come down to that changes more than the order of the same arithmetic.
_GAIN = {"precision": 0.97, "threads": 0.95, "compiled": 0.95, "rewrites": 0.98, "layout": 1.0}
# Refused is a candidate whose loss is off by more than 2 % and 0.01 of the float32 one, or whose gradient turns away
# from the float32 gradient: the least cosine. For scale: the gradients of two batches of one data set have cosines of
# 0.1 to 0.9, so that a step in 16 bits is far nearer to the float32 step than to the next batch's.
_COSINE = {"float32": 0.999, "bfloat16": 0.9, "float16": 0.9}
_LOSS = (0.02, 0.01)
_FAR = 10.0                # times as slow as float32's are the products of a precision that is not tried at all
_HEAVY = 1 << 26           # bytes of weights from which on a system takes two steps to hand out the memory for a third
_HANDED_OUT = 4            # steps, about, that those two take longer together
_CUT = "cut off"
_OTHERS = 0.3              # share of the machine in other hands from which fewer threads are worth a look


def pick(wanted: Wanted, network: nn.Module, task: Task, batch: Batch, *, steps: int, stepper: Steppers) -> Choice:
    """The fastest of what `wanted` leaves open, for a run of so many optimizer `steps` on batches like `batch`."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    race = _Race(wanted, network, task, batch, steps, stepper)
    try:
        best = race.run()
        gains = race.inference(best)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)
    chosen = replace(best.plan, rewrites=(*best.plan.rewrites, *gains))
    return Choice(chosen, "timed", race.account(best, chosen), len(race.few), race.spent, race.whole,
                  race.limit, race.busy.others(), {name: round(value, 3) for name, value in gains.items()})


class _Race:
    """The candidates of one picking: first precision and layout, then what may make the best of them faster."""

    def __init__(self, wanted: Wanted, network: nn.Module, task: Task, batch: Batch, steps: int, stepper: Steppers):
        self.wanted, self.network, self.task, self.steps, self.stepper = wanted, network, task, steps, stepper
        self.began, self.limit, self.busy = time.perf_counter(), MOST, Busy()
        self.whole = 0.0    # seconds of a float32 step on a whole batch
        self.bytes = sum(one.nbytes for one in network.parameters())
        self.noise: tuple[float, float] | None = None
        self.failed: list[Timing] = []    # all but the best
        plain = replace(wanted.plain(), precision="float32", layout="contiguous", compiled=False)
        half = () if wanted.threads or plain.device != "cpu" or plain.threads == 1 else (plain.threads // 2,)
        self.threads = (plain.threads, *half)
        self.reference = self._trial(plain)
        self.batch = batch.to(plain.device)
        height, width = batch.images.shape[-2:]
        # The pictures of the check, and those of the timed steps.
        self.checked = self.few = _first(self.batch, min(max(_FEW[0], _PIXELS // (height * width)), _FEW[1]))
        self.truth = self.reference.gradient(self.checked)
        self._size_up(self._look())

    @property
    def spent(self) -> float:
        return time.perf_counter() - self.began

    @property
    def long(self) -> bool:
        """Whether a step on the few pictures takes more than its share of the time; what only the first steps of a
        copy pay is little of it then."""
        return self.reference.plan.device == "cpu" and self.looked > self.limit / _TRIES

    @property
    def heavy(self) -> bool:
        """Whether the memory of a copy takes longer than its steps."""
        return self.bytes > _HEAVY

    def run(self) -> Trial:
        """-> the best candidate."""
        settled = self.reference.plan.threads
        plans = [replace(one, threads=settled) for one in self.wanted.candidates()]
        rewrites = may_pay(self.reference.network, self.reference.plan.arrange(self.checked.images[:1]))
        # The plain one is prepared already: its step tells soonest what the other precisions are worth.
        best = self._heat(sorted(plans, key=lambda one: one != self.reference.plan),
                          share=_BEFORE_REWRITES if rewrites else _FIRST)
        # All at once before each alone: where the time is over by then, most of what they bring is there.
        ways = [tuple(rewrites)] * (len(rewrites) > 1) + [(name,) for name in rewrites]
        for number, names in enumerate(ways):
            tried = [replace(one, rewrites=names) for one in self._near(best) if one.rewrites != names]
            over, left = self.spent / self.limit, len(ways) - number
            share = over + max(0.0, _REWRITES - over) / left
            best = self._heat(tried, against=best, share=share, second=share if left > 1 else 1.0)
        for threads in set(self.threads) - {settled}:
            best = self._heat([replace(best.plan, threads=threads)], against=best)
        if self.wanted.compiled is None and pays_to_compile(self.whole * self.steps, self.spent):
            best = self._heat([replace(best.plan, compiled=True)], against=best)
        return best

    def _near(self, best: Trial) -> list[Plan]:
        """The best plan, and those in another precision or layout which a rewrite may bring before it, the fastest
        first: what is left of small maps' work is not faster where it was."""
        found = {(best.plan.precision, best.plan.layout): (best.best, best.plan)}
        for one in sorted(self.failed, key=lambda one: one.seconds or 0.0):
            if one.seconds is not None and not one.verdict.startswith(_CUT):
                found.setdefault((one.plan.precision, one.plan.layout), (one.seconds, one.plan))
        close = _CLOSE if self.heavy else _NEAR
        return [plan for seconds, plan in sorted(found.values(), key=lambda one: one[0])
                if seconds <= (close if plan.precision == best.plan.precision else _BEHIND) * best.best]

    def _look(self) -> float:
        """Settle the threads of the first heat: where other work keeps a core busy, half of them can be many times
        faster than all. -> seconds of a step on the few pictures."""
        seconds = {self.reference.plan.threads: self.reference.step(self.few, timed=False)}
        for threads in self.threads:
            if self.spent < self.limit / 10 or (self.busy.others() or 0.0) > _OTHERS:
                self.reference.plan = replace(self.reference.plan, threads=threads)
                seconds[threads] = min(self.reference.step(self.few, timed=False) for _ in range(2))
        best = min(seconds, key=lambda threads: seconds[threads])
        self.reference.plan = replace(self.reference.plan, threads=best)
        self.looked = seconds[best]
        return self.looked

    def _size_up(self, seconds: float) -> None:
        """How many pictures a timed step takes, and how long timing may, after a first look of so many seconds."""
        few, whole = len(self.few), len(self.batch)
        moved = min(self.reference.moved, seconds)    # as long for few pictures as for many
        self._allow(moved + (seconds - moved) * whole / few)
        size = int(self.limit / _TRIES / seconds * few)
        if size > few:
            self.few = _first(self.batch, size)
            self.reference.step(self.few, timed=False)
            self._allow(self.reference.step(self.few, timed=False) * whole / len(self.few))

    def _allow(self, step: float) -> None:
        self.whole, self.limit = step, limit_of(step * self.steps)

    def _trial(self, chosen: Plan) -> Trial:
        return Trial(chosen, self.network, self.task, self.stepper)

    def _heat(self, plans: Iterable[Plan], *, against: Trial | None = None, share: float = 1.0,
              second: float = 1.0) -> Trial:
        """Time the plans, in turn so that a busy moment of the machine hits all alike; -> the best. What a first look
        has told is told once more, and then ever more surely as long as no more than this share of the time for timing
        is over. After the first of them none is begun against the best that would need more than the share `second`."""
        runners = [] if against is None else [against]
        for chosen in self._in_order(list(plans), runners):
            why = self._left_out(chosen, runners, against, second if len(runners) > 1 else 1.0)
            if why:
                self.failed.append(Timing(chosen, None, why))
                continue
            trial = self._qualified(chosen, min((other.best for other in runners), default=math.inf))
            if trial is not None:
                runners.append(trial)
        if not runners:
            raise UserError("the network runs in none of the ways that section [plan] leaves open: "
                            f"{self.failed[-1].verdict.removeprefix('refused: ')}")
        starts = [len(one.times) for one in runners]
        for turn in range(_ROUNDS if len(runners) > 1 else 0):
            if self.spent > (share if turn else 1.0) * self.limit:
                break
            fastest = min(one.best for one in runners)
            for one in runners:
                if one.best <= (_NEAR if turn else _BEHIND if self.long else _SLOW) * fastest:
                    one.step(self.few)
        turned = [one.times[start:] for one, start in zip(runners, starts, strict=True)]
        best, own = runners[0], turned[0]
        for one, its in zip(runners[1:], turned[1:], strict=True):
            if _faster(one, its, best, own):
                best, own = one, its
        self.failed += [Timing(one.plan, one.best, "slower") for one in runners if one is not best]
        return best

    def _left_out(self, chosen: Plan, runners: list[Trial], against: Trial | None, share: float) -> str:
        """Why a plan gets no look beside these runners, within this share of the time; empty where it gets one."""
        # Each precision gets its look; its layouts, and what is tried against the best, only where there is time.
        ahead = _best_of(chosen.precision, runners, none=0.0) if against is None else against.best
        ahead *= _PASSES + _HANDED_OUT * self.heavy
        if runners and self.spent + ahead > share * self.limit:
            return f"{UNTRIED}: the time for timing was over"
        if runners and 8 * self.bytes > free_memory():    # a copy with its gradient and moments, twice
            return f"{UNTRIED}: the memory for timing was over"
        if against is None and self._hopeless(chosen.precision, runners):
            return f"left out: {chosen.precision} was far behind"
        times = self._products(chosen) if any(one.plan.precision == "float32" for one in runners) else 1.0
        if times > _FAR:
            return f"{_CUT}: products in {chosen.precision} take {times:.0f} times as long as in float32"
        return ""

    def _in_order(self, plans: list[Plan], runners: list[Trial]) -> Iterator[Plan]:
        """First a plan of each precision, then the others, those of the precision that was fastest first."""
        first = {one.precision: one for one in reversed(plans)}
        yield from (one for one in plans if one is first[one.precision])
        yield from sorted((one for one in plans if one is not first[one.precision]),
                          key=lambda one: _best_of(one.precision, runners, none=math.inf))

    def _hopeless(self, precision: Precision, runners: list[Trial]) -> bool:
        """Whether a candidate of this precision was cut off or is far behind: another layout does not make up for
        that."""
        cut = any(one.plan.precision == precision and one.verdict.startswith(_CUT) for one in self.failed)
        fastest = min((one.best for one in runners), default=math.inf)
        return cut or _best_of(precision, runners, none=0.0) > _SLOW * fastest

    def _qualified(self, chosen: Plan, fastest: float) -> Trial | None:
        """A trial of the plan that has been checked and timed once; None where it is refused or far behind."""
        if chosen == self.reference.plan:
            self.reference.step(self.few)
            return self.reference
        try:
            trial = self._trial(chosen)
            if chosen.compiled:
                trial.gradient(self.checked)    # compiles: that is paid once
            began = time.perf_counter()
            loss, gradient = trial.gradient(self.checked)
            looked = time.perf_counter() - began
            wrong = self._wrong(chosen, loss, gradient)
            if wrong:
                self.failed.append(Timing(chosen, None, f"refused: {wrong}"))
                return None
            if looked > 3 * _SLOW * max(fastest, self.looked):    # the first also prepares: it is judged mildly
                self.failed.append(Timing(chosen, looked, f"{_CUT}: several times slower than the best"))
                return None
            trial.step(self.few, timed=chosen.device == "cpu")
            # Where steps are long, the next is left to the turns, in which only those take part that are near.
            for _ in range(2 if self.heavy else 0 if self.long else 1):
                trial.step(self.few)
        except Exception as error:    # whatever the network raises in this way of running; in the plain one it ran
            self.failed.append(Timing(chosen, None, f"refused: {type(error).__name__}: {first_line(error)[:200]}"))
            return None
        return trial

    def _products(self, chosen: Plan) -> float:
        """How many times as long a matrix product takes as in float32. Without instructions for 16 bits PyTorch may
        compute them number by number: a single look at the network would take longer than all the rest."""
        if chosen.device != "cpu" or chosen.precision == "float32":
            return 1.0
        chosen.settle()
        return product_seconds(chosen.kind) / product_seconds(torch.float32)

    def _wrong(self, chosen: Plan, loss: float, gradient: list[Tensor]) -> str:
        """How a candidate's loss or gradient leaves the float32 result; empty where it does not."""
        true, (relative, absolute) = self.truth[0], _LOSS
        if not math.isfinite(loss):
            return f"its loss is {loss:g}"
        found, least = cosine(self.truth[1], gradient), _COSINE[chosen.precision]
        if abs(loss - true) <= absolute + relative * abs(true) and found >= least:
            return ""
        off, noise = self._noise()
        if abs(loss - true) > absolute + relative * abs(true) + 2 * off:
            return f"its loss is {loss:.4g}, that of float32 {true:.4g}"
        return "" if found >= least - 2 * noise else \
            f"the cosine between its gradient and that of float32 is {found:.3f}, less than {least}"

    def _noise(self) -> tuple[float, float]:
        """By how much the loss and the cosine of two float32 gradients are off where the network draws numbers of its
        own, in a way that `Trial.gradient` cannot switch off: no candidate can be nearer."""
        if self.noise is None:
            again = self._trial(self.reference.plan)
            (first, one), (second, other) = again.gradient(self.checked, seed=0), again.gradient(self.checked, seed=1)
            found = cosine(one, other)
            self.noise = abs(first - second), 0.0 if math.isnan(found) else 1 - found
        return self.noise

    @torch.no_grad()
    def inference(self, best: Trial) -> dict[Rewrite, float]:
        """The rewrites that pay where nothing is learned -> how many times as fast the network is with them."""
        if self.spent > self.limit:
            return {}
        plain, images = best.network.eval(), best.plan.arrange(self.few.images)
        folded = fold_batch_norm(plain, images, pack=best.plan.packs)
        if folded is None:
            return {}
        times: dict[bool, list[float]] = {False: [], True: []}
        best.plan.settle()
        with best.plan.precise():
            for turn in range(2 * _ROUNDS + 2):
                one = folded if turn % 2 else plain
                began = time.perf_counter()
                one(images)
                best.wait()
                if turn > 1:
                    times[bool(turn % 2)].append(time.perf_counter() - began)
        gain = min(times[False]) / min(times[True])
        return {"fold_batch_norm": gain} if gain * _GAIN["rewrites"] > 1 else {}

    def account(self, best: Trial, chosen: Plan) -> list[Timing]:
        """Every candidate with what became of it, the best first."""
        slower = sorted(self.failed, key=lambda one: math.inf if one.seconds is None else one.seconds)
        return [Timing(chosen, best.best, "chosen"), *slower]


def _needed(plan: Plan, other: Plan) -> float:
    """The share of `plan`'s time that `other` must come down to in order to be preferred."""
    return min((share for name, share in _GAIN.items() if getattr(plan, name) != getattr(other, name)), default=1.0)


def _faster(one: Trial, its: list[float], best: Trial, own: list[float]) -> bool:
    """Whether `one` is to be preferred to `best`, told from the steps that each took in turn where there are a few: of
    all steps, which may be many more over a longer time, the least can be that of a lucky moment."""
    turns, needed = min(len(its), len(own)), _needed(best.plan, one.plan)
    if turns < 2:
        return one.best < needed * best.best
    typical = median if turns >= _PAIRS else min
    return typical(its) < needed * typical(own)


def _best_of(precision: Precision, runners: list[Trial], *, none: float) -> float:
    """The least time of a step in this precision; `none` where no runner has it."""
    return min((one.best for one in runners if one.plan.precision == precision), default=none)


def _first(batch: Batch, size: int) -> Batch:
    rows = torch.arange(min(size, len(batch)))
    targets = {name: value.take(rows.to(batch.images.device)) for name, value in batch.targets.items()}
    return replace(batch, images=batch.images[: len(rows)], targets=targets, places=(),
                   indices=batch.indices[: len(rows)], occurrences=None)
