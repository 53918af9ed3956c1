"""What explanations cost: each method beside its bare passes, and beside captum and pytorch-grad-cam at equal forwards.

    python benchmarks/explain.py [--masks 1000] [--steps 50] [--patches 8] [--rounds 3] [--no-write]

ResNet-18 at 224 with its first weights, for ten classes, on one thread, one drawn picture; CPU time, in turn in one
run, the median of the rounds. A bare pass is what the method has to ask of the network at least, by the network as it
is: forwards of as many pictures, and for gradients their backwards. captum and pytorch-grad-cam run the same network on
the same pictures, and their maps are compared with ours. What a whole explanation takes stands in the notes: answer,
map, and the test by random weights, which is made once a network.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from results import machine, this_command, write
from torch import Tensor, nn

from lensmith.base.pictures import Place
from lensmith.engine.plan.plan import make_plan
from lensmith.models.backbones import find_backbone
from lensmith.models.network import Network
from lensmith.study.explain.explained_picture import Explainer, ToExplain
from lensmith.study.explain.kept_likeness import KeptLikeness
from lensmith.study.explain.map_layers import map_layers
from lensmith.study.explain.methods import METHODS
from lensmith.study.explain.quick_forward import quick_forward
from lensmith.study.explain.subject import Subject
from lensmith.tasks.classification import Classification

EDGE, CLASSES, CLASS = 224, 10, 3
GRAD_CAM = {"grad_cam": "GradCAM", "grad_cam_plus_plus": "GradCAMPlusPlus", "layer_cam": "LayerCAM",
            "score_cam": "ScoreCAM", "eigen_cam": "EigenCAM"}
Program = Callable[[], object]


def made() -> Network:
    """ResNet-18 with its first weights, as a network for photos, its running statistics those of a picture."""
    torch.manual_seed(0)
    backbone = find_backbone("resnet18", trusted=False)(inputs=3, size=(EDGE, EDGE))
    network = Network(backbone, backbone.classifier(CLASSES), mean=[120.0] * 3, deviation=[60.0] * 3)
    with torch.no_grad():
        for _ in range(3):
            network.train()(drawn_picture()[None].repeat(2, 1, 1, 1))
    return network.eval()


def drawn_picture() -> Tensor:
    """float [3, 224, 224]: blobs of colour, as no two patches of a picture are alike."""
    coarse = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(4)) * 255
    return nn.functional.interpolate(coarse, (EDGE, EDGE), mode="bicubic")[0].clamp(0, 255)


def bare(subject: Subject, picture: Tensor, forwards: int, *, backward: Callable[[], Sequence[Tensor]] | None) -> None:
    """As many forwards of the network as it is, one after another, with their backwards where there are any."""
    for _ in range(forwards):
        if backward is None:
            with torch.no_grad():
                subject.network(picture[None])
        else:
            backward()


def slopes_by_picture(subject: Subject, picture: Tensor) -> Sequence[Tensor]:
    given = picture[None].clone().requires_grad_()
    return torch.autograd.grad(subject.network(given)[:, CLASS].sum(), given)


def slopes_by_maps(subject: Subject, picture: Tensor) -> Sequence[Tensor]:
    score, maps = subject.maps(picture[None].clone().requires_grad_())
    return torch.autograd.grad(score.sum(), maps)


def own_programs(subject: Subject, picture: Tensor, asked: argparse.Namespace) -> Iterator[tuple[str, int, Program,
                                                                                                  Program]]:
    """(method, forwards, ours, the bare passes)"""
    whole = partial(slopes_by_picture, subject, picture)
    patches = len(range(0, EDGE - EDGE // asked.patches + 1, EDGE // asked.patches // 2)) ** 2
    channels = subject.maps(picture[None])[1][0].shape[1]
    passes: dict[str, tuple[int, Any]] = {
        **dict.fromkeys(("grad_cam", "grad_cam_plus_plus", "layer_cam"),
                        (1, partial(slopes_by_maps, subject, picture))),
        "score_cam": (channels + 2, None), "eigen_cam": (1, None), "saliency": (1, whole), "smooth_grad": (25, whole),
        "integrated_gradients": (asked.steps, whole), "guided_backpropagation": (1, whole),
        "occlusion": (patches + 1, None), "rise": (asked.masks, None)}
    settings: dict[str, dict[str, int]] = {"rise": {"masks": asked.masks}, "occlusion": {"patches": asked.patches},
                                           "integrated_gradients": {"steps": asked.steps}}
    for name, method in METHODS.items():
        forwards, backward = passes[name]
        yield (name, forwards, partial(method.explain, subject, picture, **settings.get(name, {})),
               partial(bare, subject, picture, forwards, backward=backward))


def others(subject: Subject, picture: Tensor, asked: argparse.Namespace) -> dict[str, Callable[[], Tensor]]:
    """The same maps by captum and pytorch-grad-cam, each as its documentation has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from captum import attr
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, edge = subject.network, EDGE // asked.patches
    layer = network.get_submodule(subject.layers[0])
    blank = subject.blank.expand_as(picture)[None]

    def by_grad_cam(kind: str) -> Tensor:
        # Its pictures are multiplied by masks, so that black is blank: it sees standardised ones.
        with getattr(pytorch_grad_cam, kind)(nn.Sequential(Standardised(network)), [layer]) as cam:
            found = cam(network.standardise(picture[None].clone()), [ClassifierOutputTarget(CLASS)])
        return torch.from_numpy(found[0])

    programs: dict[str, Callable[[], Tensor]] = {name: partial(by_grad_cam, kind) for name, kind in GRAD_CAM.items()}
    return programs | {
        "occlusion": lambda: attr.Occlusion(network).attribute(
            picture[None], sliding_window_shapes=(3, edge, edge), strides=(3, edge // 2, edge // 2), target=CLASS,
            baselines=blank)[0, 0],
        "saliency": lambda: attr.Saliency(network).attribute(picture[None].clone(), target=CLASS)[0].amax(0),
        "integrated_gradients": lambda: attr.IntegratedGradients(network).attribute(
            picture[None], baselines=blank, target=CLASS, n_steps=asked.steps, method="gausslegendre",
            internal_batch_size=1)[0].sum(0)}


class Standardised(nn.Module):
    """The network behind its own standardising."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.network.backbone(pictures)
        found: Tensor = self.network.head(maps, (EDGE, EDGE)) if self.network.takes_size else self.network.head(maps)
        return found


def in_turn(programs: dict[str, Program], rounds: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """CPU seconds of each program in each round, and what each gave in the last."""
    taken: dict[str, list[float]] = {name: [] for name in programs}
    given: dict[str, Any] = {}
    for _ in range(rounds):
        for name, program in programs.items():
            began = time.process_time()
            given[name] = program()
            taken[name].append(time.process_time() - began)
    return taken, given


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    return round(statistics.median(one / other for one, other in zip(numerators, denominators, strict=True)), 3)


def difference(own: Tensor, other: Tensor) -> float:
    """The largest, of the largest value; pytorch-grad-cam brings its maps to 0 .. 1, and so are ours here."""
    if other.min() == 0 and abs(float(other.max()) - 1) < 1e-3:
        own = (own - own.min()) / (own.max() - own.min())
    return float((own - other).abs().max() / other.abs().max())


def whole_explanation(network: Network, picture: Tensor, folder: Path) -> list[float]:
    """CPU seconds of a first Grad-CAM and of a second one, from the decoded picture to the map of the file."""
    task = Classification(tuple(f"class {number}" for number in range(CLASSES)))
    explainer = Explainer(network, task, {"label": task.classes}, ToExplain(), quick_forward(network, plan()),
                          KeptLikeness(folder / "kept.json", {}))
    image, seconds = picture.round().to(torch.uint8), []
    for _ in range(2):
        began = time.process_time()
        explainer.explain(image, Place("drawn", (EDGE, EDGE)), Image.new("RGB", (EDGE, EDGE)), {})
        seconds.append(time.process_time() - began)
    return seconds


def plan() -> Any:
    return make_plan(device="cpu", layout="contiguous", threads=1)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--masks", type=int, default=1000)
    arguments.add_argument("--steps", type=int, default=50)
    arguments.add_argument("--patches", type=int, default=8)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--methods", default=",".join(METHODS))
    arguments.add_argument("--no-write", action="store_true")
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    network, picture = made(), drawn_picture()
    about = machine(512, 0.2)
    subject = Subject(network, lambda output: output[:, CLASS], map_layers(network, picture, several=False), 0,
                      quick_forward(network, plan()))
    subject.scores([picture])    # the quicker form is made once a network
    rivals, rows = others(subject, picture, asked), []
    for name, forwards, own, passes in own_programs(subject, picture, asked):
        if name not in asked.methods.split(","):
            continue
        programs = {"own": own, "bare": passes, **({"other": rivals[name]} if name in rivals else {})}
        taken, given = in_turn(programs, asked.rounds)
        other = given.get("other")
        rows.append({
            "method": name, "forwards": forwards, "CPU s": round(statistics.median(taken["own"]), 3),
            "bare passes CPU s": round(statistics.median(taken["bare"]), 3),
            "of bare": ratio(taken["own"], taken["bare"]),
            "beside": None if other is None else "pytorch-grad-cam" if name in GRAD_CAM else "captum",
            "times as fast": None if other is None else ratio(taken["other"], taken["own"]),
            "largest difference": None if other is None else f"{difference(given['own'], other):.0e}"})
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    with TemporaryDirectory() as folder:
        first, second = whole_explanation(network, picture, Path(folder))
    notes = [f"a whole Grad-CAM from the decoded picture takes {second:.2f} s of CPU time, and the first of a network, "
             f"which is tested by random weights, {first:.2f} s"]
    print(notes[0])
    if not asked.no_write:
        write("explain", this_command(), rows, notes, about=about)


if __name__ == "__main__":
    main()
