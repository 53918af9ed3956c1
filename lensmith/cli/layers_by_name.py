"""Any network by its name, its layers, and the checks of an operator by its file."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from lensmith.base.device import check_picture_fits
from lensmith.base.errors import DataError, ModelError, UserError
from lensmith.base.user_code import find_attribute
from lensmith.models.adapters.embedded_weights import IMAGENET
from lensmith.models.adapters.user_code import NotBuilt, constructor
from lensmith.models.adapters.whole_network import adopt, is_backbone
from lensmith.models.backbones import find_backbone
from lensmith.models.darknet.cfg_file import read_cfg
from lensmith.models.darknet.network import Darknet
from lensmith.models.network import Network
from lensmith.models.room import check_room
from lensmith.recipe import schema as recipes
from lensmith.recipe.build_network import build_network
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete_for
from lensmith.recipe.from_source import check_brought, fit_to_weights
from lensmith.recipe.open_data import open_splits, survey_splits
from lensmith.recipe.sections import SECTIONS, arguments_of, resolve
from lensmith.study.inspect.evidence import Fault, times
from lensmith.study.inspect.explain import in_own_words
from lensmith.study.inspect.layers import Inspection, inspect_network
from lensmith.study.inspect.operators import Operator, check_operator, is_operator
from lensmith.study.inspect.own_code import CodeLine, places_of_building
from lensmith.tasks import TASKS
from lensmith.training.trained import Trained, load

_SIDE = 224    # pixels: the picture that a network is shown where none is named, ImageNet's
# What a network that comes whole has -> its task. One for masks of objects refuses boxes by a `detector` of its own.
_TASK_OF_WHOLE = {"instance_detector": "instances", "segmenter": "segmentation", "detector": "detection"}
Size = tuple[int, int]


@dataclass(frozen=True)
class Shown:
    """What a network is shown and asked for. None stands for what is usual for it."""

    size: Size | None = None    # (height, width), pixels
    channels: int | None = None
    vector: int | None = None   # the length of a vector in the place of a picture
    classes: int = 10           # outputs of the last layer
    timed: bool = False         # whether the time of each layer is measured

    def shape(self, *, channels: int, size: Size) -> tuple[int, ...]:
        """That of the picture or the vector, where `channels` and `size` are usual."""
        return (self.vector,) if self.vector is not None else (self.channels or channels, *(self.size or size))


@dataclass(frozen=True)
class NamedNetwork:
    """A network that was named, and what it is shown."""

    network: nn.Module
    shape: tuple[int, ...]                # of a picture [channels, height, width], or of a vector
    trained: Trained | None = None        # where it is that of a run
    built: Mapping[nn.Module, CodeLine] = field(default_factory=dict)    # the lines of the user's own that built it
    note: Fault | None = None             # what is to be known of what it is shown


def size_of(text: str) -> Size:
    """`28` or `240x320`, height first, as (height, width)."""
    match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip())
    if match is None or "0" in (match[1].lstrip("0") or "0", (match[2] or "1").lstrip("0") or "0"):
        raise UserError("--size takes the edge of a square picture, as 224, or height x width, as 240x320; got "
                        f"{text!r}")
    return int(match[1]), int(match[2] or match[1])


def layers(name: str, settings: Sequence[str] = (), *, size: int | None = None, channels: int | None = None,
           classes: int = 10, trusted: bool = True) -> Inspection:
    """The layers of a network of the tables, of `my_net.py:Net`, of a recipe, or of a run folder, whose own size is the
    default."""
    shown = Shown(None if size is None else (size, size), channels, classes=classes)
    inspection = inspected(name, settings, shown, trusted=trusted)
    if isinstance(inspection, Operator):
        raise UserError(f"{name} is an operator, which has no layers: `lensmith inspect {name}` checks it")
    return inspection


def inspected(name: str, settings: Sequence[str], shown: Shown, *, trusted: bool) -> Inspection | Operator:
    """As `layers`, and where `my_op.py:op` names an operator of torch.library, what its checks found."""
    named = network_named(name, settings, shown, trusted=trusted)
    if isinstance(named, Operator):
        return named
    inspection = inspect_network(named.network, named.shape, timed=shown.timed, built=named.built)
    return inspection if named.note is None else replace(inspection, faults=(*inspection.faults, named.note))


def network_named(name: str, settings: Sequence[str], shown: Shown, *, trusted: bool) -> NamedNetwork | Operator:
    """The network of the tables, of `my_net.py:Net`, of a recipe, or of a run folder, or the operator."""
    if shown.vector is not None and (shown.size is not None or shown.channels is not None):
        raise UserError(f"--vector {shown.vector} shows the network a vector in the place of a picture: leave --size "
                        "and --channels out, or --vector")
    if name == IMAGENET or (Path(name) / "recipe.toml").is_file():
        _refuse_settings(settings, f"{name} is a run folder, whose network is as it was trained",
                         "name a network instead")
        return _of_run(name, shown, trusted=trusted)
    if name.lower().endswith(".cfg"):
        _refuse_settings(settings, f"{name} says everything about its network",
                         f"name it as darknet cfg={name} with settings")
        return _of_cfg(name, shown)
    if name.lower().endswith(".toml"):
        return _of_recipe(name, settings, shown, trusted=trusted)
    file, _, _ = name.rpartition(":")
    if file and file not in ("timm", "smp"):
        return _of_own_code(name, file, settings, shown)
    if shown.vector is not None:
        raise UserError(f"{name} takes pictures: --vector is for a network of your own, as my_net.py:Net")
    return _of_table(name, settings, shown)


def _refuse_settings(settings: Sequence[str], why: str, instead: str) -> None:
    if settings:
        raise UserError(f"{why}: leave {settings[0]!r} out, or {instead}")


def _section(settings: Sequence[str], entry: Callable[..., Any], name: str) -> recipes.Section:
    """The settings of a backbone as the command line gives them, checked and complete."""
    items = [f"backbone.{item.removeprefix('backbone.')}" for item in settings]
    arguments = recipes.override({}, items, ("backbone",)).get("backbone", {})
    return recipes.settle(arguments, entry, f"backbone {name!r}", passed=("inputs", "size", "outputs"))


def _of_table(name: str, settings: Sequence[str], shown: Shown) -> NamedNetwork:
    entry = find_backbone(name, trusted=True)
    section = _section(settings, entry, name)
    depth, height, width = shown.shape(channels=3, size=(_SIDE, _SIDE))

    def build() -> Network:
        backbone = recipes.call(section, entry, inputs=depth, size=(height, width), outputs=shown.classes)
        return _with_head(backbone, shown.classes, channels=depth)

    check_picture_fits(depth, height, width)
    check_room(build, f"backbone {name!r} with these settings")
    return NamedNetwork(build(), (depth, height, width))


def _of_own_code(name: str, file: str, settings: Sequence[str], shown: Shown) -> NamedNetwork | Operator:
    """Of a module that does not fit too, since its layers are what one wants to see: nothing is asked of it here."""
    module, attribute = find_attribute(name, trusted=True)
    if is_operator(attribute):
        _refuse_settings(settings, f"{name} is an operator, which has no settings", "name a network")
        return check_operator(attribute, module, file)
    entry = constructor(attribute, name)
    section = _section(settings, entry, name)
    shape = shown.shape(channels=3, size=(_SIDE, _SIDE))
    depth, size = (shape[0], shape[1:]) if shown.vector is None else (shown.vector, (1, 1))
    with places_of_building() as built:
        try:
            network: nn.Module = recipes.call(section, entry, inputs=depth, size=size, outputs=shown.classes)
        except NotBuilt as error:
            raise in_own_words(error, built=built) from error
    if is_backbone(network) and shown.vector is None:
        network = _with_head(adopt(network, inputs=depth, size=(size[0], size[1])), shown.classes, channels=depth)
    return NamedNetwork(network, shape, built=built)


def _of_cfg(name: str, shown: Shown) -> NamedNetwork:
    """Of a Darknet cfg, for pictures of its own size where none is asked for."""
    _refuse_vector(name, shown)
    network = Darknet(read_cfg(Path(name).expanduser()), inputs=shown.channels, size=shown.size)
    return NamedNetwork(network, (network.inputs, *network.size))


def _of_run(folder: str, shown: Shown, *, trusted: bool) -> NamedNetwork:
    _refuse_vector(folder, shown)
    trained = load(folder, device="cpu", trust=trusted)
    form = trained.form
    return NamedNetwork(trained.network, shown.shape(channels=form.channels, size=form.size), trained)


def _refuse_vector(name: str, shown: Shown) -> None:
    if shown.vector is not None:
        raise UserError(f"{name} takes pictures: leave --vector out")


def _of_recipe(name: str, settings: Sequence[str], shown: Shown, *, trusted: bool) -> NamedNetwork:
    """Of the network that a recipe trains: for the form and the classes of its data where these are here."""
    _refuse_vector(name, shown)
    items = [item if "." in item.partition("=")[0] else f"backbone.{item}" for item in settings]
    recipe = fit_to_weights(recipes.override(recipes.read_recipe(Path(name)), items, SECTIONS))
    check_brought(recipe, [])
    settled = resolve(recipe, trusted=trusted)
    try:
        data = survey_splits(open_splits(settled), settled)
    except DataError as error:
        return _of_recipe_alone(name, settled, shown, error)
    full = complete_for(settled, data)
    task = choose_task(full, data.classes)
    depth, height, width = shown.shape(channels=data.form.channels, size=data.form.size)
    form = replace(data.form, channels=depth, height=height, width=width)
    with places_of_building() as built:
        try:
            network = build_network(full, task, form, outputs=len(data.classes[task.needs[0]]), mean=[0.0] * depth,
                                    deviation=[1.0] * depth)
        except ModelError as error:
            raise in_own_words(error, built=built) from error
    return NamedNetwork(network, (depth, height, width), built=built)


def _of_recipe_alone(name: str, settled: recipes.Recipe, shown: Shown, error: DataError) -> NamedNetwork:
    """Of a recipe whose data are not here: its network for the form that it names, or for one that is usual."""
    if "backbone" not in settled:
        raise UserError(f"{name} names no network, and its data, which decide which one is usual, are not here "
                        f"({error}): name one with backbone.name=lenet") from error
    section, pictures = settled["backbone"], settled["pictures"]
    edges = pictures.get("size") or [_SIDE, _SIDE]
    height, width = (edges, edges) if isinstance(edges, int) else edges
    shown = replace(shown, size=shown.size or (height, width), channels=shown.channels or pictures.get("channels"))
    items = [f"{key}={value!r}" if not isinstance(value, str) else f"{key}={value}"
             for key, value in arguments_of(section).items()]
    named = network_named(section["name"], items, shown, trusted=True)
    assert isinstance(named, NamedNetwork)    # a recipe names no operator
    picture = times(shown.shape(channels=3, size=(height, width)))
    note = Fault(f"the data of {name} are not here, so that its network is shown a picture of {picture}: "
                 "--size, --channels and --classes say otherwise", grave=False, name="data elsewhere")
    return replace(named, note=note)


def _with_head(backbone: Any, classes: int, *, channels: int) -> Network:
    """The network for the task that a backbone which comes whole is for; of another one for telling classes apart."""
    task = next((task for attribute, task in _TASK_OF_WHOLE.items()
                 if getattr(backbone, attribute) is not None), None)
    head = backbone.classifier(classes) if task is None else \
        TASKS[task](tuple(f"class {number}" for number in range(classes))).head(backbone)
    return Network(backbone, head, mean=[0.0] * channels, deviation=[1.0] * channels)
