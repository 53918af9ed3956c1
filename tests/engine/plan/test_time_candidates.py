import json
import os
import platform
import subprocess
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.data.sources.sample import Batch
from lensmith.engine.optimize import leaves, sgd
from lensmith.engine.plan import candidates as choosing
from lensmith.engine.plan import time_candidates as picking
from lensmith.engine.plan.candidates import Choice, Wanted, choice_of
from lensmith.engine.plan.plan import Plan
from lensmith.engine.plan.time_candidates import pick
from lensmith.engine.plan.trial import Trial
from lensmith.engine.schedule import constant
from lensmith.engine.stepper import Stepper
from lensmith.models.backbones import BACKBONES
from lensmith.models.network import Network
from lensmith.tasks.classification import Classification
from lensmith.values.labels import Label

TASK = Classification(tuple("abc"))


@pytest.fixture(autouse=True)
def _a_machine_with_all_instructions_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picking, "product_seconds", lambda kind: 0.0002)
    monkeypatch.setattr(choosing, "_LEAST", 30.0)    # seconds, so that none is left out where others use the machine


def batch_of(count: int = 24, size: int = 16) -> Batch:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=draw)
    return Batch(images, {"label": Label(torch.arange(count) % 3)})


def network_of(layers: list) -> Network:
    torch.manual_seed(0)
    backbone = BACKBONES["stack"](layers, inputs=3, size=(16, 16))
    return Network(backbone, TASK.head(backbone), mean=[127.0] * 3, deviation=[70.0] * 3)


def stepper(network: nn.Module, plan: Plan) -> Stepper:
    chosen = leaves(network)
    return Stepper(network, chosen, sgd(chosen), schedule=constant())


LAYERS = [{"conv": 8, "kernel": 3, "padding": 1}, {"batchnorm": True}, "relu", {"maxpool": 2}, {"dense": 16}, "relu"]


def run(network: nn.Module, wanted: Wanted | None = None, **settings) -> Choice:
    return pick(wanted or Wanted("cpu"), network, TASK, batch_of(), **{"steps": 1000, "stepper": stepper} | settings)


def test_rewrites_are_tried_where_they_would_change_something():
    pools = [{"conv": 4, "kernel": 3, "padding": 1}, {"avgpool": 16}, "relu"]
    tiny = [*pools, {"conv": 4, "kernel": 3, "padding": 1}, "relu", {"dense": 4}]
    for layers, rewrites in ((LAYERS, {"pool_first"}), (tiny, {"small_maps"}), ([*pools, {"dense": 4}], set())):
        network = network_of(layers)
        tried = {name for one in run(network).timings for name in one.plan.rewrites} - {"fold_batch_norm"}
        assert tried == rewrites and type(network.backbone.get_submodule("layers.conv1")) is nn.Conv2d


def test_the_network_and_the_generator_are_left_as_they_were():
    network = network_of(LAYERS)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    choice = run(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads
    assert network.backbone.layers[3].__class__ is nn.MaxPool2d    # the rewrite was tried on a copy
    verdicts = [one.verdict for one in choice.timings]
    assert verdicts[0] == "chosen" and choice.timings[0].plan == choice.plan
    assert {one.plan.precision for one in choice.timings} == {"float32", "bfloat16"}
    timed = [one.seconds for one in choice.timings if one.verdict == "slower"]
    assert timed and all(seconds > 0 for seconds in timed)


def test_what_is_named_is_taken_as_it_stands():
    choice = run(network_of(LAYERS), Wanted("cpu", "bfloat16", "contiguous", 1, False))
    assert (choice.plan.precision, choice.plan.layout, choice.plan.threads) == ("bfloat16", "contiguous", 1)
    assert not Wanted("cpu", "bfloat16", "contiguous", 1, False).open and Wanted("cpu", "bfloat16").open


class Rounding(nn.Module):
    """Its gradient in 16 bits points elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = F.linear(images.float().mean((2, 3)) / 255 - 0.5, self.weight)
        return features if features.dtype == torch.float32 else -features


def test_a_candidate_that_leaves_the_float32_result_is_refused():
    choice = run(Rounding())
    assert choice.plan.precision == "float32"
    refused = [one for one in choice.timings if one.plan.precision == "bfloat16"]
    assert len(refused) == 2
    for one in refused:
        assert one.seconds is None and one.verdict.startswith("refused: ")
        assert "the cosine between its gradient and that of float32 is -" in one.verdict or "its loss is" in one.verdict


class Slow(nn.Module):
    """As on a machine without 16-bit instructions: many times slower in them."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 3)
        self.steps = {torch.float32: 0, torch.bfloat16: 0}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.dense(images.float().mean((2, 3)) / 255)
        COUNTED.append(found.dtype)
        weights = torch.randn(400, 400, dtype=torch.float64)    # which autocast leaves as they are
        for _ in range(1 if found.dtype == torch.float32 else 60):
            weights = weights @ torch.eye(400, dtype=torch.float64)
        return found


COUNTED: list[torch.dtype] = []


def test_a_slow_candidate_is_cut_off_after_one_look():
    COUNTED.clear()
    choice = run(Slow())
    verdicts = {(one.plan.precision, one.plan.layout): one.verdict for one in choice.timings}
    assert choice.plan.precision == "float32"
    assert verdicts["bfloat16", "channels_last"].startswith("cut off")
    assert verdicts["bfloat16", "contiguous"] == "left out: bfloat16 was far behind"
    assert COUNTED.count(torch.bfloat16) == 1


def test_a_precision_whose_products_are_far_slower_gets_no_look(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(picking, "product_seconds", lambda kind: 0.036 if kind == torch.bfloat16 else 0.0002)
    COUNTED.clear()
    choice = run(Slow())
    verdicts = {(one.plan.precision, one.plan.layout): one.verdict for one in choice.timings}
    assert choice.plan.precision == "float32" and torch.bfloat16 not in COUNTED
    assert verdicts["bfloat16", "channels_last"] == \
        "cut off: products in bfloat16 take 180 times as long as in float32"
    assert verdicts["bfloat16", "contiguous"] == "left out: bfloat16 was far behind"
    asked = run(network_of(LAYERS), wanted=Wanted("cpu", "bfloat16"))
    assert asked.plan.precision == "bfloat16"    # what is asked for is done, however slow, and timed in all its ways
    assert not any(one.verdict.startswith(("cut off: products", "left out")) for one in asked.timings)


PLANS = [(precision, rewrites) for precision in ("float32", "bfloat16") for rewrites in ((), ("pool_first",))]


def let_steps_take(monkeypatch: pytest.MonkeyPatch,
                   seconds: dict[tuple[str, tuple[str, ...]], float] | Callable[[Plan], float]) -> list[Plan]:
    """Let a step take these seconds, by its precision and rewrites; -> the plans of the timed steps to come."""
    steps = []

    def step(self: Trial, batch: Batch, *, timed: bool = True) -> float:
        plan = self.plan
        took = seconds(plan) if callable(seconds) else seconds[plan.precision, plan.rewrites]
        if timed:
            self.times.append(took)
            steps.append(plan)
        return took

    monkeypatch.setattr(Trial, "step", step)
    monkeypatch.setattr(picking._Search, "spent", 0.0)    # the steps do not take that long
    return steps


def test_a_rewrite_is_tried_in_each_precision_that_is_near(monkeypatch: pytest.MonkeyPatch):
    pool = ("pool_first",)
    rewritten = {("float32", pool): 0.095, ("bfloat16", pool): 0.06}
    let_steps_take(monkeypatch, rewritten | {("float32", ()): 0.1, ("bfloat16", ()): 0.11})
    assert (run(network_of(LAYERS)).plan.precision, run(network_of(LAYERS)).plan.rewrites[:1]) == ("bfloat16", pool)
    let_steps_take(monkeypatch, rewritten | {("float32", ()): 0.1, ("bfloat16", ()): 0.16})
    assert run(network_of(LAYERS)).plan.precision == "float32"    # not near: the time is better spent elsewhere


def test_a_rewrite_is_tried_in_each_layout_that_is_near(monkeypatch: pytest.MonkeyPatch):
    def seconds(plan: Plan) -> float:
        if "pool_first" not in plan.rewrites:
            return 0.1 if plan.layout == "contiguous" else 0.105
        return 0.09 if plan.layout == "contiguous" else 0.06

    let_steps_take(monkeypatch, seconds)
    choice = run(network_of(LAYERS))
    assert (choice.plan.layout, choice.plan.rewrites[:1]) == ("channels_last", ("pool_first",))


def test_a_lucky_step_of_an_earlier_stage_decides_nothing(monkeypatch: pytest.MonkeyPatch):
    taken: Counter[Plan] = Counter()

    def seconds(plan: Plan) -> float:
        taken[plan] += 1
        if plan.rewrites:
            return 0.09
        return 0.08 if taken[plan] == 3 and plan.layout == "channels_last" else 0.1

    let_steps_take(monkeypatch, seconds)
    choice = run(network_of(LAYERS), wanted=Wanted("cpu", "float32"))
    assert min(one.seconds for one in choice.timings if one.seconds is not None) == 0.08
    assert choice.plan.rewrites[:1] == ("pool_first",)


def test_however_little_time_there_is_each_candidate_that_is_begun_takes_a_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(picking, "_FORMATS_END_BEFORE_REWRITES", 0.0)
    steps = let_steps_take(monkeypatch, lambda plan: 0.3 if plan.precision == "float32" else 0.28)
    choice = run(network_of(LAYERS), steps=1)
    begun = {one.plan for one in choice.timings if not one.plan.rewrites and one.seconds is not None}
    assert begun and all(steps.count(plan) >= 1 for plan in begun)


def test_there_are_never_more_than_two_candidates_at_a_time(monkeypatch: pytest.MonkeyPatch):
    alive: weakref.WeakSet[Trial] = weakref.WeakSet()
    most, begin = list[int](), Trial.__init__

    def counted(self: Trial, plan: Plan, network: nn.Module, task: Classification) -> None:
        begin(self, plan, network, task)
        alive.add(self)
        most.append(len(alive))

    let_steps_take(monkeypatch, lambda plan: 0.1 - 0.02 * len(plan.rewrites) - 0.01 * (plan.layout == "channels_last"))
    monkeypatch.setattr(Trial, "__init__", counted)
    choice = run(network_of(LAYERS))
    assert choice.plan.rewrites[:1] == ("pool_first",) and choice.plan.layout == "channels_last"
    assert max(most) == 3    # with plain float32, whose weights all candidates have


def test_all_candidates_compute_with_the_weights_of_one_copy(monkeypatch: pytest.MonkeyPatch):
    network, seen, begin = network_of(LAYERS), list[Trial](), Trial.__init__

    def noted(self: Trial, plan: Plan, network: nn.Module, task: Classification) -> None:
        begin(self, plan, network, task)
        seen.append(self)

    monkeypatch.setattr(Trial, "__init__", noted)
    run(network, steps=20_000)
    own = {parameter.data_ptr() for parameter in network.parameters()}
    by_name: dict[str, set[int]] = {}
    for trial in seen:
        for name, parameter in trial.network.named_parameters():
            by_name.setdefault(name, set()).add(parameter.data_ptr())
    # A convolution has its weights once in each layout.
    assert {name: len(places) for name, places in by_name.items()} == {
        name: 1 + (parameter.ndim == 4) for name, parameter in network.named_parameters()}
    assert not own & {place for places in by_name.values() for place in places}


@pytest.mark.parametrize(("size", "pictures"), [(16, 32), (64, 8), (224, 4), (256, 4), (320, 2), (640, 2)])
def test_how_many_pictures_a_candidate_is_checked_on(size: int, pictures: int):
    assert picking._checked(size, size) == pictures


def test_another_layout_of_a_precision_that_is_far_behind_gets_no_look(monkeypatch: pytest.MonkeyPatch):
    steps = let_steps_take(monkeypatch, dict.fromkeys(PLANS, 0.1) | dict.fromkeys(PLANS[2:], 0.04))
    choice = run(network_of(LAYERS))
    assert choice.plan.precision == "bfloat16"
    assert [(one.plan.layout, one.verdict) for one in choice.timings if one.plan.precision == "float32"] == \
        [("contiguous", "slower"), ("channels_last", "left out: float32 was far behind")]
    seen = list(dict.fromkeys((one.precision, one.layout) for one in steps if not one.rewrites))
    assert set(seen) == {("float32", "contiguous"), ("bfloat16", "channels_last"), ("bfloat16", "contiguous")}
    steps = let_steps_take(monkeypatch, dict.fromkeys(PLANS, 0.1) | dict.fromkeys(PLANS[2:], 0.06))
    run(network_of(LAYERS))
    assert {one.layout for one in steps if one.precision == "float32"} == {"channels_last", "contiguous"}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="hides vectors that x86 alone has")
def test_without_avx512_products_in_bfloat16_are_far_slower():
    code = ("import torch; from lensmith.engine.plan.trial import product_seconds as seconds; "
            "print(seconds(torch.bfloat16) / seconds(torch.float32))")
    hidden = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **hidden}, capture_output=True, text=True,
                          check=True)
    assert float(done.stdout) > picking._FAR    # 180 here


def test_what_was_left_out_for_want_of_time_is_tried_when_there_is_more(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(choosing, "_LEAST", 0.0)
    short = run(network_of(LAYERS), steps=1)
    assert not short.hurried(1) and short.hurried(10_000)


def test_compiling_is_not_counted_as_a_step(monkeypatch: pytest.MonkeyPatch):
    def compile_slowly(self: nn.Module, **settings) -> None:
        waits, forward = [0.5], self.forward
        self.forward = lambda images: (waits and time.sleep(waits.pop()), forward(images))[1]

    monkeypatch.setattr(nn.Module, "compile", compile_slowly)
    let_steps_take(monkeypatch, dict.fromkeys(PLANS, 0.05))
    choice = run(network_of(LAYERS), steps=100_000_000)
    assert next(one.verdict for one in choice.timings if one.plan.compiled) in ("chosen", "slower")


class Viewing(nn.Module):
    """Runs in PyTorch's own layout alone, and not in 16 bits, as many a tutorial's network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 16 * 16, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv(images.float() / 255)
        maps.detach().numpy()    # TypeError for bfloat16
        return self.dense(maps.view(-1, 4 * 16 * 16))


def test_a_network_that_runs_in_one_way_alone_is_run_in_it():
    choice = run(Viewing())
    assert (choice.plan.precision, choice.plan.layout) == ("float32", "contiguous")
    assert len([one for one in choice.timings if one.verdict.startswith("refused: ")]) == 3
    with pytest.raises(UserError, match="runs in none of the ways that section .plan. leaves open: RuntimeError: view"):
        run(Viewing(), Wanted("cpu", "float32", "channels_last"))


def test_a_gradient_that_is_no_number_is_refused_beside_dropout():
    class Breaking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense, self.dropout = nn.Linear(3, 3), nn.Dropout(0.5)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found = self.dense(self.dropout(images.float().mean((2, 3)) / 255))
            return found if found.dtype == torch.float32 else found * float("nan")

    refused = [one for one in run(Breaking()).timings if one.plan.precision == "bfloat16"]
    assert refused and all(one.verdict == "refused: its loss is nan" for one in refused)


def test_a_network_that_draws_numbers_is_not_refused_for_that():
    choice = run(network_of([*LAYERS, {"dropout": 0.9}]))
    assert not [one for one in choice.timings if one.verdict.startswith("refused")]


class Magnifying(nn.Module):
    """Its gradient turns by what only the number of threads changes, as the order of additions does behind many batch
    norms."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        turned = 0.1 * (torch.get_num_threads() - 1) + 0.1 * images.is_contiguous(memory_format=torch.channels_last)
        features = F.linear(images.float().mean((2, 3)) / 255 - 0.5, self.weight)
        return features + turned * features.flip(1)


def test_a_network_that_magnifies_the_order_of_additions_is_not_refused_for_that():
    choice = run(Magnifying(), Wanted("cpu", "float32", threads=1))
    assert {one.plan.layout for one in choice.timings} == {"contiguous", "channels_last"}
    assert not [one for one in choice.timings if one.verdict.startswith("refused")]


def test_a_network_that_does_not_run_says_why():
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run(Broken())


def test_timing_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(choosing, "_LEAST", 0.0)
    choice = run(network_of(LAYERS), steps=1)
    assert "not tried: the time for timing was over" in [one.verdict for one in choice.timings]


def test_another_layout_is_not_begun_where_it_would_take_more_than_is_left(monkeypatch: pytest.MonkeyPatch):
    layouts = {("float32", "contiguous"), ("bfloat16", "channels_last"), ("bfloat16", "contiguous")}
    monkeypatch.setattr(picking, "_FORMATS_END_BEFORE_REWRITES", 0.9)
    monkeypatch.setattr(choosing, "_LEAST", 0.5)
    steps = let_steps_take(monkeypatch, lambda plan: 0.8 if plan.precision == "float32" else 0.4)
    run(network_of(LAYERS), steps=500)    # 6.4 seconds for all, of which none has passed
    assert {(one.precision, one.layout) for one in steps} >= layouts
    monkeypatch.setattr(picking, "_LONG_PASSES", 20)
    steps = let_steps_take(monkeypatch, lambda plan: 0.8 if plan.precision == "float32" else 0.4)
    choice = run(network_of(LAYERS), steps=500)
    assert {(one.precision, one.layout) for one in steps} == layouts - {("bfloat16", "contiguous")}
    late = {(one.plan.precision, one.plan.layout) for one in choice.timings if one.verdict.startswith("not tried")}
    assert ("bfloat16", "contiguous") in late


def test_compilation_is_tried_only_where_the_run_pays_for_it(monkeypatch: pytest.MonkeyPatch):
    assert not [one for one in run(network_of(LAYERS)).timings if one.plan.compiled]
    tried = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **settings: tried.append(self))
    choice = run(network_of(LAYERS), steps=100_000_000)
    assert len(tried) == 1 and [one for one in choice.timings if one.plan.compiled]
    short = run(network_of(LAYERS))
    assert short.hurried(100_000_000) and not choice.hurried(100_000_000)


def test_a_choice_comes_back_from_its_file():
    choice = run(network_of(LAYERS))
    again = choice_of(json.loads(json.dumps(choice.as_json())), "the cache")
    assert again.plan == choice.plan and again.source == "the cache" and again.pictures == choice.pictures
    assert [one.verdict for one in again.timings] == [one.verdict for one in choice.timings]
