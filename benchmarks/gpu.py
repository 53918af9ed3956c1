"""Training on an NVIDIA GPU: the pictures a second of five networks in Lensmith and in plain PyTorch, in one table.

    python benchmarks/gpu.py [--seconds 200] [--device cuda:0]

All are given the same batches of uint8 pictures in main memory, page-locked for plain PyTorch, and take whole steps:
copy, standardise, forward, backward, SGD. Each column is measured for some seconds behind steps that are not counted;
compiled ones, which take up to a minute to begin, come last and are left out where --seconds have passed. Lensmith's
columns are left out where its packages are missing; the networks are torchvision's. `picked` is the plan that
`lensmith train` would take for ten thousand steps, with the time that picking it took.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import count

import torch
from torch import nn
from torch.nn import functional as F

# name -> (pixels of an edge, pictures in a batch)
NETWORKS = {"resnet18": (224, 128), "mobilenet_v3_small": (224, 128), "resnet50": (224, 64), "vgg16": (64, 128),
            "efficientnet_b0": (224, 64)}
CLASSES, RATE, MOMENTUM = 10, 0.01, 0.9
WARMING, MEASURED = 3, 2.0    # steps that are not counted, and seconds of those that are
DIFFERENT = 4                 # batches
# column -> (precision, compiled), of both
COLUMNS = {"float32": ("float32", False), "bfloat16": ("bfloat16", False), "float32 compiled": ("float32", True),
           "bfloat16 compiled": ("bfloat16", True)}
Steps = Iterator[int]    # takes a step and gives the number of its pictures


def pictures(size: int, batch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of noise in main memory: uint8 [batch, 3, size, size] and int64 [batch]."""
    draw = torch.Generator().manual_seed(0)
    return [(torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=draw),
             torch.randint(0, CLASSES, (batch,), generator=draw)) for _ in range(DIFFERENT)]


def plain(name: str, precision: str, compiled: bool, device: str) -> Steps:
    """A loop as PyTorch's own pages advise it: channels_last, autocast, page-locked memory, copies that overlap."""
    import torchvision

    size, batch = NETWORKS[name]
    locked = [(images.pin_memory(), labels.pin_memory()) if device != "cpu" else (images, labels)
              for images, labels in pictures(size, batch)]
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(num_classes=CLASSES)
    network = network.to(device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)
    forward: Callable[[torch.Tensor], torch.Tensor] = torch.compile(network) if compiled else network
    for number in count():
        images, labels = (tensor.to(device, non_blocking=True) for tensor in locked[number % DIFFERENT])
        values = ((images.float() / 255 - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = F.cross_entropy(forward(values), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield batch


def of_lensmith(name: str, how: str, device: str, plans: dict[str, str]) -> Steps:
    """Lensmith's learner, by the plan of a column, or by the one that it picks, which is put into `plans` in words."""
    from lensmith.data.sources.sample import Batch
    from lensmith.engine.optimize import leaves, sgd
    from lensmith.engine.plan.candidates import Wanted
    from lensmith.engine.plan.plan import Plan, make_plan
    from lensmith.engine.plan.time_candidates import pick
    from lensmith.engine.schedule import constant
    from lensmith.engine.stepper import Stepper
    from lensmith.engine.supervised import LearningSettings, Supervised
    from lensmith.models.backbones import find_backbone
    from lensmith.models.network import Network
    from lensmith.tasks.classification import Classification
    from lensmith.values.labels import Label

    size, batch = NETWORKS[name]
    torch.manual_seed(0)
    task = Classification(tuple(map(str, range(CLASSES))))
    backbone = find_backbone(name, trusted=False)(inputs=3, size=(size, size))
    network = Network(backbone, task.head(backbone), mean=[127.5] * 3, deviation=[63.75] * 3)
    batches = [Batch(images, {"label": Label(labels)}) for images, labels in pictures(size, batch)]

    def stepper(placed: nn.Module, plan: Plan) -> Stepper:
        chosen = leaves(placed)
        return Stepper(placed, chosen, sgd(chosen, rate=RATE, momentum=MOMENTUM), schedule=constant(),
                       scaled=plan.precision == "float16")

    if how == "picked":
        network.to(device)
        choice = pick(Wanted(device=device, compiled=False), network, task, batches[0].to(device), steps=10_000,
                      stepper=stepper)
        plan, plans[name] = choice.plan, f"{choice.plan.in_words()}, picked in {choice.seconds:.1f} s"
    else:
        precision, compiled = COLUMNS[how]
        plan = make_plan(device=device, precision=precision, layout="channels_last",    # type: ignore[arg-type]
                         compiled=compiled)
    plan.place(network)
    learner = Supervised(network, task, batches, valid=None, stepper=stepper(network, plan), plan=plan,
                         settings=LearningSettings(1_000_000))
    plan.settle()
    for report in learner:
        if report.row is None:
            yield batch


def rate(steps: Steps, device: str) -> float:
    """Pictures a second."""
    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize(device)

    for _ in range(WARMING):
        next(steps)
    wait()
    began, seen = time.perf_counter(), 0
    while time.perf_counter() - began < MEASURED:
        seen += next(steps)
    wait()
    return seen / (time.perf_counter() - began)


def cell(make: Callable[[], Steps], device: str) -> str:
    """Pictures a second, or the class of the error that kept it from being measured."""
    torch.compiler.reset()    # or the graphs of earlier columns count against what may be compiled
    try:
        return f"{rate(make(), device):,.0f}"
    except Exception as error:
        print(f"  {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}", file=sys.stderr)
        return type(error).__name__


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--seconds", type=float, default=200.0, help="after which no other column is begun")
    reader.add_argument("--device", default="cuda:0")
    reader.add_argument("--networks", default=",".join(NETWORKS))
    asked = reader.parse_args()
    if asked.device != "cpu" and not torch.cuda.is_available():
        print("skipped: PyTorch finds no CUDA device here")
        return
    missing = [package for package in ("torchvision", "safetensors", "pydantic") if find_spec(package) is None]
    if "torchvision" in missing:
        sys.exit("missing: torchvision, whose networks are measured: pip install torchvision")
    until, names = time.monotonic() + asked.seconds, asked.networks.split(",")
    table: dict[str, dict[str, str]] = {name: {} for name in names}
    plans: dict[str, str] = {}
    for program, how in columns(with_lensmith=not missing):
        for name in names:
            if time.monotonic() > until:
                table[name][f"{program} {how}"] = "no time"
                continue
            make = partial(plain, name, *COLUMNS[how], asked.device) if program == "plain" else \
                partial(of_lensmith, name, how, asked.device, plans)
            table[name][f"{program} {how}"] = cell(make, asked.device)
            print(f"{name}, {program} {how}: {table[name][f'{program} {how}']}", flush=True)
    show(table, plans, asked.device)


def columns(*, with_lensmith: bool) -> list[tuple[str, str]]:
    """(program, how) of each column in the order of measuring: those that are compiled are the last."""
    hows = sorted(COLUMNS, key=lambda how: COLUMNS[how][1])
    both = [(program, how) for how in hows for program in ("plain", "Lensmith")]
    both.insert(2 * sum(not COLUMNS[how][1] for how in hows), ("Lensmith", "picked"))
    return [pair for pair in both if with_lensmith or pair[0] == "plain"]


def show(table: dict[str, dict[str, str]], plans: dict[str, str], device: str) -> None:
    where = torch.cuda.get_device_name(device) if device != "cpu" else "the CPU"
    print(f"\nPictures a second of training on {where}, PyTorch {torch.__version__}\n")
    heads = list(next(iter(table.values())))
    print("| network | " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * len(heads))
    for name, cells in table.items():
        size, batch = NETWORKS[name]
        print(f"| {name}, {size} x {size}, batch {batch} | " + " | ".join(cells.values()) + " |")
    for name, plan in plans.items():
        print(f"{name}: {plan}")


if __name__ == "__main__":
    main()
