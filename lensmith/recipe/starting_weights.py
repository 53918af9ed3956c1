"""What a network begins with from elsewhere: weights, the preprocessing they are used to, the classes that stay."""

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
from lensmith.engine.run_folder import Run
from lensmith.models.backbone import Backbone
from lensmith.models.backbones import find_backbone
from lensmith.models.darknet.named import weights_for
from lensmith.models.darknet.network import Darknet
from lensmith.models.network import Network
from lensmith.models.weights import Fitted, fit_into, matches, read_weights
from lensmith.recipe import schema as recipes
from lensmith.recipe.sections import learned, task_class
from lensmith.tasks import TASKS

# Networks whose tensors a file is compared with where it fits badly: those that published weights are of most often.
_KNOWN = ("resnet18", "resnet34", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
          "efficientnet_b0", "squeezenet1_0", "vgg16", "densenet121", "convnext_tiny", "darknet53", "csp", "cnn3",
          "lenet", "timm:tf_efficientnet_lite0", "timm:efficientnet_b0", "timm:mobilenetv3_small_100", "timm:resnet50")
_SURE = 0.95    # share of common tensors from which no other network is looked at: only a last layer is missing
_LEAST = 0.5    # share of the backbone's weights that a file must have to be taken as its own
# Rows of these are boxes of each class, not scores; Faster R-CNN orders them in a way of its own.
_BY_CLASS = "bbox_pred"
Classes = Mapping[str, tuple[str, ...]]    # of each target that is learned
Build = Callable[[Classes], Network]       # a network for these classes


@dataclass(frozen=True)
class Begun:
    """What a network was begun with: what became of each tensor, and what is worth a line."""

    fitted: Fitted
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """What weights.json keeps."""
        counts = {"taken": self.fitted.taken, "missing": len(self.fitted.missing), "unknown": len(self.fitted.unknown),
                  "of_another_shape": len(self.fitted.reshaped), "of_other_classes": len(self.fitted.other)}
        return {"file": self.fitted.what, "counts": counts, "notes": list(self.notes), "tensors": self.fitted.rows}


def begin_with(network: Network, file: Path, form: Form, *, name: str, classes: Classes, build: Build,
               from_zero: Sequence[tuple[nn.Module, int]]) -> Begun:
    """Put the weights of a file, or of a run folder, into the network of the backbone `name`, with the preprocessing
    that they are used to. Of a run folder the last layer keeps the rows of those of `classes` that it was trained on,
    by name; `build` makes the same network for other classes. `from_zero`: modules with their number of outputs; what
    stays fresh of the last dense layer of each begins at zero, so that its noise does not spoil what the backbone knows
    (Kolesnikov et al. 2020, arXiv 1912.11370; timm draws that of an EfficientNet for three classes as large as 0.58).

    Raises ModelError for weights of another architecture, with the known network that they fit best.
    """
    before = network.mean.clone(), network.deviation.clone()
    standardise_as_published(network, form)
    is_run = (file / "recipe.toml").is_file()
    if file.suffix == ".weights" and isinstance(network.backbone, Darknet):
        weights = {f"backbone.{key}": tensor for key, tensor in weights_for(network.backbone, file).items()}
    elif is_run:
        weights = {key.removeprefix("network."): tensor
                   for key, tensor in read_weights(file / "best.safetensors").items()}
    else:
        weights = read_weights(file)
    _check_architecture(network, weights, file, name=name)
    for module, outputs in from_zero:
        _empty_last(module, outputs)
    other: list[str] = []
    notes: list[str] = []
    former = _classes_of(file) if is_run else {}
    for target, own in classes.items():
        # What a run of one task learned is compared whatever it was called: tags may have been labels.
        known = next(iter(former.values()), ()) if len(former) == len(classes) == 1 else former.get(target, ())
        if not known or known == own:
            continue
        moved, fresh = _by_name(network, weights, known, own, partial(_build_with, build, classes, target))
        weights |= moved
        other += fresh
        kept = [one for one in own if one in known] if moved else []
        if moved or fresh:    # the head of another task has no rows in common
            notes.append(f"the last layer{f' of {target}' if len(classes) > 1 else ''} keeps {len(kept)} of "
                         f"{count(len(own), 'class')} by name{': ' * bool(kept)}{', '.join(kept[:10])}"
                         f"{' ...' if len(kept) > 10 else ''}")
    fitted = fit_into(network, weights, what=str(file), other=other)
    notes.insert(0, fitted.in_words())
    if not (torch.equal(before[0], network.mean) and torch.equal(before[1], network.deviation)):
        mean, deviation = (", ".join(f"{one:.4g}" for one in buffer.flatten().tolist())
                           for buffer in (network.mean, network.deviation))
        notes.append(f"pictures are standardised as the weights are used to: mean {mean}, deviation {deviation}")
    return Begun(fitted, tuple(notes))


def standardise_as_published(network: Network, form: Form) -> None:
    """Set the preprocessing to that of the backbone's published weights, where it is known."""
    standard = cast(Backbone, network.backbone).standard
    if standard is not None:
        most = 255 if form.bits == 8 else 65535
        network.mean.copy_(torch.tensor(standard[0]).view(1, -1, 1, 1) * most)
        network.deviation.copy_(torch.tensor(standard[1]).view(1, -1, 1, 1) * most)


def _empty_last(network: nn.Module, outputs: int) -> None:
    layers = [one for one in network.modules() if isinstance(one, nn.Linear)]
    if layers and layers[-1].out_features == outputs:    # no convolution: SqueezeNet's has a ReLU behind it
        with torch.no_grad():
            for parameter in layers[-1].parameters():
                parameter.zero_()


def _check_architecture(network: Network, weights: Mapping[str, Tensor], file: Path, *, name: str) -> None:
    """Raises ModelError where most of the backbone's weights are not in the file: a few fit by chance, as the first
    convolution of one ResNet does in another."""
    own = {key: one for key, one in network.named_parameters() if key.startswith("backbone.")} or \
        dict(network.named_parameters())    # a whole detector lies in the head
    found = matches(own, weights)
    if found >= _LEAST * len(own):
        return
    told = f"{file} is of another network than {name!r}: {found:,} of {count(len(own), 'weight tensor')} fit by name " \
           "and shape"
    if (file / "recipe.toml").is_file():
        its = recipes.read_recipe(file / "recipe.toml").get("backbone", {}).get("name", "none")
        raise ModelError(f"{told}. It is a run of backbone {its!r}: leave backbone.name out to take it with its "
                         "settings, or leave the weights out")
    best = _nearest(weights)
    shown = ", ".join(list(weights)[:3]) + (" ..." if len(weights) > 3 else "")
    near = f"Nearest of the known networks is {best.name!r}, of which {best.fitting:,} of " \
           f"{count(best.all, 'tensor')} fit: take it with backbone.name={best.name}" if best.share >= _LEAST else \
        f"None of the networks that were compared fits; the file has {shown}: name the network that it is of with " \
        "backbone.name"
    raise ModelError(f"{told}. {near}, or leave the weights out")


@dataclass(frozen=True)
class _Near:
    """How well a file fits the backbone of a known network."""

    name: str = ""
    fitting: int = 0      # of its tensors that the file has, by name and shape
    all: int = 1          # its tensors
    share: float = 0.0    # of the tensors of either that are in both


def _nearest(weights: Mapping[str, Tensor]) -> _Near:
    """The known network that a file fits best; none takes memory for its weights."""
    best = _Near()
    for name in _KNOWN:
        with suppress(ModelError):    # timm is not installed
            with torch.device("meta"):
                own = find_backbone(name, trusted=False)(inputs=3, size=(224, 224)).state_dict()
            fitting = matches(own, weights)
            found = _Near(name, fitting, len(own), fitting / (len(own) + len(weights) - fitting))
            best = found if found.share > best.share else best
        if best.share > _SURE:
            break
    return best


def _build_with(build: Build, classes: Classes, target: str, names: tuple[str, ...]) -> Network:
    return build({**classes, target: names})


def _classes_of(folder: Path) -> dict[str, tuple[str, ...]]:
    """The classes that a run folder's network tells apart, by target; none where its files do not say."""
    try:
        classes = Run(folder).read_json("data.json")["classes"]
        return {name: tuple(classes[name]) for name in learned(recipes.read_recipe(folder / "recipe.toml"), classes)}
    except (ModelError, KeyError, TypeError):
        return {}


def _by_name(network: Network, weights: dict[str, Tensor], former: Sequence[str], classes: tuple[str, ...],
             build: Callable[[tuple[str, ...]], Network]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors about classes with their rows put where those classes are now, the other rows as the network has
    them; and the names of those of which nothing can be kept. Which rows are whose is seen on a network for a class
    more."""
    own, more = network.state_dict(), build((*classes, "one more")).state_dict()
    moved: dict[str, Tensor] = {}
    other: list[str] = []
    pairs = [(classes.index(one), former.index(one)) for one in classes if one in former]
    for name, tensor in own.items():
        each = more[name].shape[0] - tensor.shape[0] if tensor.ndim and name in more else 0
        if each <= 0 or name not in weights:
            continue
        # So many blocks, as of each anchor, of what comes before the classes, a box for example, and the classes.
        front = tensor.shape[0] // each - len(classes)
        there = weights[name]
        rows = (each * (front + len(former)), *tensor.shape[1:])
        if _BY_CLASS in name or not pairs or front < 0 or tuple(there.shape) != rows:
            other.append(name)
            continue
        new = tensor.detach().clone().unflatten(0, (each, front + len(classes)))
        old = there.to(new).unflatten(0, (each, front + len(former)))
        new[:, :front] = old[:, :front]
        new[:, [front + here for here, _ in pairs]] = old[:, [front + back for _, back in pairs]]
        moved[name] = new.flatten(0, 1)
    return moved, other


def check_probe(recipe: recipes.Recipe, needs: Sequence[str], *, begun: bool, processes: int) -> None:
    """Raises UserError where a linear probe makes no sense, or where other settings say something else."""
    settings, task = recipe["learner"], recipe["task"]["name"]
    if not begun:
        raise UserError("learner.probe trains the head alone, and this backbone has learned nothing yet: give "
                        "learner.weights=FILE, or backbone.name=RUN with a run folder")
    if not task_class(recipe["task"]).on_last_map:
        *others, last = (name for name, entry in TASKS.items() if entry.on_last_map)
        raise UserError(f"learner.probe is for tasks whose head takes the last map alone: {', '.join(others)} and "
                        f"{last}; task {task!r} learns {', '.join(needs)}: use learner.freeze=backbone")
    if settings.get("freeze", "backbone") != "backbone" or "unfreeze" in settings:
        named = "unfreeze" if "unfreeze" in settings else "freeze"
        raise UserError(f"learner.probe freezes the whole backbone; got learner.{named}={settings[named]!r} beside it: "
                        "leave one of the two out")
    changes = [name for name, value in recipe["augment"].items() if value and name not in ("mixed", "close_mosaic")]
    if changes:
        raise UserError(f"learner.probe looks at each picture once, as it is; got augment.{changes[0]}="
                        f"{recipe['augment'][changes[0]]} beside it: leave [augment] out, or use "
                        "learner.freeze=backbone")
    if processes > 1:
        raise UserError(f"learner.probe is trained by one process, and {processes} were asked for: leave "
                        "plan.processes out")
