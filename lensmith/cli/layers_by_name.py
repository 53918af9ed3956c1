"""The layers of any network by its name, and the checks of an operator by its file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensmith.base.device import check_picture_fits
from lensmith.base.errors import UserError
from lensmith.base.user_code import find_attribute
from lensmith.models.adapters.embedded_weights import IMAGENET
from lensmith.models.adapters.user_code import constructor
from lensmith.models.backbones import find_backbone
from lensmith.models.darknet.cfg_file import read_cfg
from lensmith.models.darknet.network import Darknet
from lensmith.models.network import Network
from lensmith.models.room import check_room
from lensmith.recipe import schema as recipes
from lensmith.study.inspect.layers import Row, Summary, inspect_layers, summary
from lensmith.study.inspect.operators import Operator, check_operator, is_operator
from lensmith.tasks import TASKS
from lensmith.training.trained import load

_SIDE = 224    # pixels: the picture that a network is shown where none is named, ImageNet's
# What a network that comes whole has -> its task. One for masks of objects refuses boxes by a `detector` of its own.
_TASK_OF_WHOLE = {"instance_detector": "instances", "segmenter": "segmentation", "detector": "detection"}


@dataclass(frozen=True)
class Layers:
    """The layer table of one network for one size of picture."""

    rows: list[Row]
    totals: Summary


def layers(name: str, settings: Sequence[str] = (), *, size: int | None = None, channels: int | None = None,
           classes: int = 10, trusted: bool = True) -> Layers:
    """The layers of a network of the tables, of `my_net.py:Net`, or of a run folder, whose own size is the default."""
    inspection = inspected(name, settings, size=size, channels=channels, classes=classes, trusted=trusted)
    if isinstance(inspection, Operator):
        raise UserError(f"{name} is an operator, which has no layers: `lensmith inspect {name}` checks it")
    return inspection


def inspected(name: str, settings: Sequence[str] = (), *, size: int | None = None, channels: int | None = None,
              classes: int = 10, trusted: bool = True) -> Layers | Operator:
    """As `layers`, and where `my_op.py:op` names an operator of torch.library, what its checks found."""
    if name == IMAGENET or (Path(name) / "recipe.toml").is_file():
        if settings:
            raise UserError(f"{name} is a run folder, whose network is as it was trained: leave {settings[0]!r} out, "
                            "or name a network instead")
        return _layers_of_run(name, size=size, channels=channels, trusted=trusted)
    if name.lower().endswith(".cfg"):
        return _layers_of_cfg(name, settings, size=size, channels=channels)
    file, _, _ = name.rpartition(":")
    outside = bool(file) and file not in ("timm", "smp")
    entry: Any
    if outside:
        module, attribute = find_attribute(name, trusted=True)
        if is_operator(attribute):
            if settings:
                raise UserError(f"{name} is an operator, which has no settings: leave {settings[0]!r} out")
            return check_operator(attribute, module, file)
        # A module that does not fit is what one wants to see layer by layer, so nothing is asked of it here.
        entry = constructor(attribute, name)
    else:
        entry = find_backbone(name, trusted=True)
    items = [f"backbone.{item.removeprefix('backbone.')}" for item in settings]
    arguments = recipes.override({}, items, ("backbone",)).get("backbone", {})
    section = recipes.settle(arguments, entry, f"backbone {name!r}", passed=("inputs", "size", "outputs"))
    edge, depth = size or _SIDE, channels or 3

    def build() -> Any:
        backbone = recipes.call(section, entry, inputs=depth, size=(edge, edge), outputs=classes)
        return backbone if outside else \
            Network(backbone, _head(backbone, classes), mean=[0.0] * depth, deviation=[1.0] * depth)

    check_picture_fits(depth, edge, edge)
    if not outside:
        check_room(build, f"backbone {name!r} with these settings")
    network = build()
    rows = inspect_layers(network, depth, height=edge, width=edge)
    return Layers(rows, summary(rows))


def _layers_of_cfg(name: str, settings: Sequence[str], *, size: int | None, channels: int | None) -> Layers:
    """The layers of a Darknet cfg, for pictures of its own size where none is asked for."""
    if settings:
        raise UserError(f"{name} says everything about its network: leave {settings[0]!r} out, or name it as darknet "
                        f"cfg={name} with settings")
    config = read_cfg(Path(name).expanduser())
    network = Darknet(config, inputs=channels, size=None if size is None else (size, size))
    rows = inspect_layers(network, network.inputs, height=network.size[0], width=network.size[1])
    return Layers(rows, summary(rows))


def _layers_of_run(folder: str, *, size: int | None, channels: int | None, trusted: bool) -> Layers:
    trained = load(folder, device="cpu", trust=trusted)
    form = trained.form
    rows = inspect_layers(trained.network, channels or form.channels, height=size or form.height,
                          width=size or form.width)
    return Layers(rows, summary(rows))


def _head(backbone: Any, classes: int) -> Any:
    """The head of the task that a network which comes whole is for; of a backbone the one that tells classes apart."""
    task = next((task for attribute, task in _TASK_OF_WHOLE.items()
                 if getattr(backbone, attribute) is not None), None)
    if task is None:
        return backbone.classifier(classes)
    return TASKS[task](tuple(f"class {number}" for number in range(classes))).head(backbone)
