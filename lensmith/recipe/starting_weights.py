"""Loads starting weights into a network, with their preprocessing and the rows of the classes that both have."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError, UserError, count
from lensmith.base.pictures import Form
from lensmith.engine.run_folder import BEST_FILE, FIRST_WEIGHTS_FILE, Run
from lensmith.models.adapters.embedded_weights import CLASSES, IMAGENET, embedded_weights, imagenet_classes
from lensmith.models.adapters.published_weights import file_of
from lensmith.models.backbone import Backbone
from lensmith.models.backbones import find_backbone
from lensmith.models.darknet.named import weights_for
from lensmith.models.darknet.network import Darknet
from lensmith.models.network import Network
from lensmith.models.weights import Fitted, fit_into, form_of_weights, matches, read_weights
from lensmith.recipe import schema as recipes
from lensmith.recipe.model_file import classes_in_file, is_model_file
from lensmith.recipe.sections import learned_targets, task_class
from lensmith.tasks import TASKS

# A file that fits badly is compared with these networks, for which weights are published most often.
_KNOWN = ("resnet18", "resnet34", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
          "efficientnet_b0", "squeezenet1_0", "vgg16", "densenet121", "convnext_tiny", "darknet53", "csp", "cnn3",
          "lenet", "efficientnet_lite0", "timm:efficientnet_b0", "timm:mobilenetv3_small_100", "timm:resnet50")
_SURE = 0.95    # with this fraction of common tensors only a last layer is missing, so no other network is compared
_LEAST = 0.5    # a file must hold this fraction of the backbone's weights to be taken as weights of that backbone
# The rows of this layer of Faster R-CNN are boxes by class, not scores, and they have an order of their own.
_BY_CLASS = "bbox_pred"
Classes = Mapping[str, tuple[str, ...]]    # the class names of each target that is learned
Build = Callable[[Classes], Network]       # builds the network for other classes


@dataclass(frozen=True)
class StartingWeights:
    """What became of each tensor when weights were loaded into a network, and the notes for the user."""

    fitted: Fitted
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The content of weights.json."""
        counts = {"taken": self.fitted.taken, "missing": len(self.fitted.missing), "unknown": len(self.fitted.unknown),
                  "of_another_shape": len(self.fitted.reshaped), "of_other_classes": len(self.fitted.other)}
        return {"file": self.fitted.what, "counts": counts, "notes": list(self.notes), "tensors": self.fitted.rows}


def begin_with(network: Network, source: str, form: Form, *, name: str, classes: Classes, build: Build,
               from_zero: Sequence[tuple[nn.Module, int]]) -> StartingWeights:
    """Load the weights that a `source` names into the network, with the preprocessing that they were trained with.

    source: a file, a run folder, published weights or "imagenet", as the setting learner.weights has them.
    name: the name of the network's backbone.
    classes: the classes of each target. The last layer keeps the rows of the classes that a run folder's network was
        trained on too, matched by name.
    build: makes the same network for other classes.
    from_zero: modules with their numbers of outputs. The rows of the last dense layer of each that are not loaded begin
        at zero, so that their noise does not spoil the features of the backbone (Kolesnikov et al. 2020, arXiv
        1912.11370). timm draws those of an EfficientNet for three classes as large as 0.58.

    Raises ModelError for weights of another architecture, naming the known network that they fit best.
    """
    mean_before, deviation_before = network.mean.clone(), network.deviation.clone()
    standardise_as_published(network, form)
    if source == IMAGENET:
        file, (weights, former) = Path(source), _imagenet(network, name, classes)
    else:
        file = file_of(source, name)
        weights, former = _read(network, file)
    _check_architecture(network, weights, file, name=name)
    for module, outputs in from_zero:
        _empty_last(module, outputs)
    other: list[str] = []
    notes: list[str] = []
    for target, names in classes.items():
        # Two runs of one task each are compared even if their targets have other names: tags may have been labels.
        former_names = next(iter(former.values()), ()) if len(former) == len(classes) == 1 else former.get(target, ())
        if not former_names or former_names == names:
            continue
        moved, fresh = _by_name(network, weights, former_names, names, partial(_build_with, build, classes, target))
        weights |= moved
        other += fresh
        kept = [name for name in names if name in former_names] if moved else []
        if moved or fresh:    # the head of another task has no rows in common
            notes.append(f"the last layer{f' of {target}' if len(classes) > 1 else ''} keeps {len(kept)} of "
                         f"{count(len(names), 'class')} by name{': ' * bool(kept)}{', '.join(kept[:10])}"
                         f"{' ...' if len(kept) > 10 else ''}")
    fitted = fit_into(network, weights, what=_called(file), other=other)
    if source == IMAGENET:    # the line on what was understood says it, and weights.json has every tensor
        return StartingWeights(fitted, tuple(notes))
    notes.insert(0, fitted.in_words())
    if not (torch.equal(mean_before, network.mean) and torch.equal(deviation_before, network.deviation)):
        mean, deviation = (", ".join(f"{value:.4g}" for value in buffer.flatten().tolist())
                           for buffer in (network.mean, network.deviation))
        notes.append(f"pictures are standardised as the weights are used to: mean {mean}, deviation {deviation}")
    return StartingWeights(fitted, tuple(notes))


def _called(file: Path) -> str:
    """What a file is called. That of a pruned network lies in the run's own folder, wherever it was written before."""
    return file.name if file.name == FIRST_WEIGHTS_FILE else str(file)


def _read(network: Network, file: Path) -> tuple[dict[str, Tensor], Classes]:
    """The tensors of a file or a run folder, and the classes of a run folder's network."""
    if isinstance(network.backbone, Darknet) and file.is_file() and not form_of_weights(file):
        return {f"backbone.{key}": tensor for key, tensor in weights_for(network.backbone, file).items()}, {}
    is_run = (file / "recipe.toml").is_file()
    former = _classes_of(file) if is_run else classes_in_file(file) if is_model_file(file) else {}
    if not former and not is_run:
        return read_weights(file), {}
    weights = read_weights(file / BEST_FILE if is_run else file)
    return {key.removeprefix("network."): tensor for key, tensor in weights.items()}, former


def _imagenet(network: Network, name: str, classes: Classes) -> tuple[dict[str, Tensor], Classes]:
    """The ImageNet weights of the backbone `name`, with the last layer where there are as many `classes`.

    Of few classes some would be called as one of ImageNet's by chance: a crane is a bird and a machine.
    """
    weights = embedded_weights(name, network.backbone)
    if any(len(names) == CLASSES for names in classes.values()):
        return weights, {"label": imagenet_classes()}
    return {key: tensor for key, tensor in weights.items() if key.startswith("backbone.")}, {}


def standardise_as_published(network: Network, form: Form) -> None:
    """Set mean and standard deviation to those of the backbone's published weights, if they are known."""
    standard = cast(Backbone, network.backbone).standard
    if standard is not None:
        black, white = form.shades
        network.mean.copy_(torch.tensor(standard[0]).view(1, -1, 1, 1) * (white - black) + black)
        network.deviation.copy_(torch.tensor(standard[1]).view(1, -1, 1, 1) * (white - black))


def _empty_last(network: nn.Module, outputs: int) -> None:
    """Set the last dense layer to zero, if it has as many outputs."""
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    # A last convolution stays as it is: SqueezeNet's has a ReLU behind it, which passes no gradient at zero.
    if layers and layers[-1].out_features == outputs:
        with torch.no_grad():
            for parameter in layers[-1].parameters():
                parameter.zero_()


def _check_architecture(network: Network, weights: Mapping[str, Tensor], file: Path, *, name: str) -> None:
    """Raises ModelError if most of the backbone's weights are not in the file.

    A few tensors fit by chance, as the first convolution of one ResNet fits another.
    """
    parameters = {key: parameter for key, parameter in network.named_parameters() if key.startswith("backbone.")} or \
        dict(network.named_parameters())    # the head holds all parameters of a whole detector
    fitting = matches(parameters, weights)
    if fitting >= _LEAST * len(parameters):
        return
    problem = f"{file} is of another network than {name!r}: {fitting:,} of " \
              f"{count(len(parameters), 'weight tensor')} fit by name and shape"
    if (file / "recipe.toml").is_file():
        backbone = recipes.read_recipe(file / "recipe.toml").get("backbone", {}).get("name", "none")
        raise ModelError(f"{problem}. It is a run of backbone {backbone!r}: leave backbone.name out to take it with "
                         "its settings, or leave the weights out")
    best = _nearest(weights)
    if best.fraction >= _LEAST:
        advice = f"Nearest of the known networks is {best.name!r}, of which {best.fitting:,} of " \
                 f"{count(best.all, 'tensor')} fit: take it with backbone.name={best.name}"
    else:
        keys = ", ".join(list(weights)[:3]) + (" ..." if len(weights) > 3 else "")
        advice = f"None of the networks that were compared fits; the file has {keys}: name the network that it is of " \
                 "with backbone.name"
    raise ModelError(f"{problem}. {advice}, or leave the weights out")


@dataclass(frozen=True)
class _Match:
    """How well a file fits the backbone of a known network."""

    name: str = ""
    fitting: int = 0         # tensors of the network that the file has, by name and shape
    all: int = 1             # tensors of the network
    fraction: float = 0.0    # intersection over union of the tensors of network and file


def _nearest(weights: Mapping[str, Tensor]) -> _Match:
    """The known network that a file fits best. The networks are built on the meta device and take no memory."""
    best = _Match()
    for name in _KNOWN:
        with suppress(ModelError):    # timm is not installed
            with torch.device("meta"):
                tensors = find_backbone(name, trusted=False)(inputs=3, size=(224, 224)).state_dict()
            fitting = matches(tensors, weights)
            match = _Match(name, fitting, len(tensors), fitting / (len(tensors) + len(weights) - fitting))
            best = match if match.fraction > best.fraction else best
        if best.fraction > _SURE:
            break
    return best


def _build_with(build: Build, classes: Classes, target: str, names: tuple[str, ...]) -> Network:
    return build({**classes, target: names})


def _classes_of(folder: Path) -> dict[str, tuple[str, ...]]:
    """The classes of a run folder's network, by target, or {} if its files do not tell them."""
    try:
        classes = Run(folder).read_json("data.json")["classes"]
        recipe = recipes.read_recipe(folder / "recipe.toml")
        return {target: tuple(classes[target]) for target in learned_targets(recipe, classes)}
    except (ModelError, KeyError, TypeError):
        return {}


def _by_name(network: Network, weights: dict[str, Tensor], former: Sequence[str], classes: tuple[str, ...],
             build: Callable[[tuple[str, ...]], Network]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors with rows by class, and the names of the tensors of which no row can be kept.

    The rows of classes that the `former` network had are moved to where those classes are now, and the other rows are
    those of `network`. A tensor has rows by class if it is larger in a network with one class more.
    """
    larger = build((*classes, "one more")).state_dict()
    moved: dict[str, Tensor] = {}
    other: list[str] = []
    shared = [name for name in classes if name in former]
    new_rows, old_rows = [classes.index(name) for name in shared], [former.index(name) for name in shared]
    for name, tensor in network.state_dict().items():
        blocks = larger[name].shape[0] - tensor.shape[0] if tensor.ndim and name in larger else 0
        if blocks <= 0 or name not in weights:
            continue
        # The rows are so many blocks, one for each anchor for example. A block has first the `front` rows that belong
        # to no class, the four of a box for example, then one row for each class.
        front = tensor.shape[0] // blocks - len(classes)
        former_shape = (blocks * (front + len(former)), *tensor.shape[1:])
        if _BY_CLASS in name or not new_rows or front < 0 or tuple(weights[name].shape) != former_shape:
            other.append(name)
            continue
        new = tensor.detach().clone().unflatten(0, (blocks, front + len(classes)))
        old = weights[name].to(new).unflatten(0, (blocks, front + len(former)))
        new[:, :front] = old[:, :front]
        new[:, [front + row for row in new_rows]] = old[:, [front + row for row in old_rows]]
        moved[name] = new.flatten(0, 1)
    return moved, other


def check_probe(recipe: recipes.Recipe, needs: Sequence[str], *, pretrained: bool, processes: int) -> None:
    """Raises UserError where a linear probe makes no sense, or where other settings contradict it."""
    settings, task = recipe["learner"], recipe["task"]["name"]
    if not pretrained:
        raise UserError("learner.probe trains the head alone, and this backbone has learned nothing yet: give "
                        "learner.weights=FILE, or backbone.name=RUN with a run folder")
    if not task_class(recipe["task"]).on_last_map:
        *others, last = (name for name, entry in TASKS.items() if entry.on_last_map)
        raise UserError(f"learner.probe is for tasks whose head takes the last map alone: {', '.join(others)} and "
                        f"{last}; task {task!r} learns {', '.join(needs)}: use learner.freeze=backbone")
    if settings.get("freeze", "backbone") != "backbone" or "unfreeze" in settings:
        key = "unfreeze" if "unfreeze" in settings else "freeze"
        raise UserError(f"learner.probe freezes the whole backbone; got learner.{key}={settings[key]!r} beside it: "
                        "leave one of the two out")
    changes = [name for name, value in recipe["augment"].items() if value and name not in ("mixed", "close_mosaic")]
    if changes:
        raise UserError(f"learner.probe looks at each picture once, as it is; got augment.{changes[0]}="
                        f"{recipe['augment'][changes[0]]} beside it: leave [augment] out, or use "
                        "learner.freeze=backbone")
    if processes > 1:
        raise UserError(f"learner.probe is trained by one process, and {processes} were asked for: leave "
                        "plan.processes out")
