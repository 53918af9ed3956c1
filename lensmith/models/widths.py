"""Networks with fewer channels than their constructor gives: how many each layer has, and a network cut to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn

from lensmith.base.errors import ModelError, nearest

OUTPUTS, INPUTS = "outputs", "inputs"
Axis = tuple[str, int]    # the name of a tensor of the network, and one of its dimensions


@dataclass(frozen=True)
class Widths:
    """The channels of those layers that have fewer than the network's constructor gives, by the layer's name. A
    parameter that belongs to no layer, as the scale of a ConvNeXt block, stands under its own name in `outputs`."""

    outputs: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)

    def below(self, front: str) -> "Widths":
        """Those whose names begin so, without their beginning."""
        return Widths(*({name.removeprefix(front): number for name, number in side.items() if name.startswith(front)}
                        for side in (self.outputs, self.inputs)))

    def of_layers(self, network: nn.Module) -> "Widths":
        """Those whose layers or parameters a network has."""
        known = {name for name, _ in (*network.named_modules(), *network.named_parameters(remove_duplicate=False))}
        return Widths(*({name: number for name, number in side.items() if name in known}
                        for side in (self.outputs, self.inputs)))


@dataclass(frozen=True)
class LayerKind:
    """Which dimensions of a layer's tensors are its channels, and what to set where these have changed."""

    outputs: Callable[[Any], tuple[tuple[str, int], ...]]    # layer -> (tensor, dimension) of each of its outputs
    inputs: Callable[[Any], tuple[tuple[str, int], ...]]
    fit: Callable[[Any], None]    # sets the layer's own numbers by the shapes of its tensors


def _groups_left(groups: int, channels: int, left: int) -> int:
    """How many groups of the same size the `left` of the channels make; a single one stays. Raises ModelError."""
    if groups == 1:
        return 1
    if left * groups % channels:
        raise ModelError(f"its {groups} groups of {channels // groups} channels cannot have {left} channels")
    return groups * left // channels


def _fit_convolution(layer: nn.Conv2d) -> None:
    """Of grouped convolutions whole groups are left out, so that the inputs of a group stay."""
    outputs = layer.weight.shape[0]
    layer.groups = _groups_left(layer.groups, layer.out_channels, outputs)
    layer.in_channels, layer.out_channels = layer.weight.shape[1] * layer.groups, outputs


def _fit_transposed(layer: nn.ConvTranspose2d) -> None:
    layer.in_channels, layer.out_channels = layer.weight.shape[:2]


def _fit_dense(layer: nn.Linear) -> None:
    layer.out_features, layer.in_features = layer.weight.shape


def _fit_batch_norm(layer: nn.BatchNorm2d) -> None:
    layer.num_features = cast(Tensor, layer.weight if layer.weight is not None else layer.running_mean).shape[0]


def _fit_group_norm(layer: nn.GroupNorm) -> None:
    channels = layer.weight.shape[0]
    layer.num_groups = _groups_left(layer.num_groups, layer.num_channels, channels)
    layer.num_channels = channels


def _fit_layer_norm(layer: nn.LayerNorm) -> None:
    layer.normalized_shape = (layer.weight.shape[0],)


def _outputs_first(layer: nn.Conv2d | nn.Linear) -> tuple[tuple[str, int], ...]:
    return (("weight", 0), ("bias", 0)) if layer.bias is not None else (("weight", 0),)


def _of_vectors(layer: nn.Module) -> tuple[tuple[str, int], ...]:
    tensors = {**layer._parameters, **layer._buffers}
    return tuple((name, 0) for name, tensor in tensors.items() if tensor is not None and tensor.ndim == 1)


def _none(layer: nn.Module) -> tuple[tuple[str, int], ...]:
    return ()


# The kinds of layers whose channels can be left out; the first that fits counts.
KINDS: tuple[tuple[type[nn.Module], LayerKind], ...] = (
    (nn.Conv2d, LayerKind(_outputs_first, lambda layer: (("weight", 1),) if layer.groups == 1 else (),
                          _fit_convolution)),
    (nn.ConvTranspose2d, LayerKind(
        lambda layer: () if layer.groups > 1 else (("weight", 1), ("bias", 0))[: 1 + (layer.bias is not None)],
        lambda layer: (("weight", 0),) if layer.groups == 1 else (), _fit_transposed)),
    (nn.Linear, LayerKind(_outputs_first, lambda layer: (("weight", 1),), _fit_dense)),
    (nn.modules.batchnorm._BatchNorm, LayerKind(_of_vectors, _none, _fit_batch_norm)),
    (nn.GroupNorm, LayerKind(_of_vectors, _none, _fit_group_norm)),
    (nn.LayerNorm, LayerKind(lambda layer: _of_vectors(layer) if len(layer.normalized_shape) == 1 else (), _none,
                             _fit_layer_norm)),
)


def layer_kind(layer: nn.Module) -> LayerKind | None:
    """The entry of KINDS for a layer; None of any other module."""
    return next((kind for type_, kind in KINDS if isinstance(layer, type_)), None)


def free_axis(tensor: Tensor) -> int | None:
    """The only dimension of a tensor that is longer than one; None where there is none or several."""
    longer = [dimension for dimension, length in enumerate(tensor.shape) if length > 1]
    return longer[0] if len(longer) == 1 else None


def widths_in(network: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> Widths:
    """The layers of which a file with tensors of these `shapes`, by name, has fewer channels than the network."""
    widths = Widths({}, {})
    for name, layer in network.named_modules():
        kind = layer_kind(layer)
        if kind is not None:
            for side, axes in ((widths.outputs, kind.outputs(layer)), (widths.inputs, kind.inputs(layer))):
                for tensor, dimension in axes[:1]:
                    full, of_file = getattr(layer, tensor).shape, shapes.get(f"{name}.{tensor}", ())
                    if len(of_file) == len(full) and of_file[dimension] < full[dimension]:
                        side[name] = of_file[dimension]
            continue
        for key, parameter in layer.named_parameters(recurse=False):
            path = f"{name}.{key}" if name else key
            axis, of_file = free_axis(parameter), shapes.get(path, ())
            if axis is not None and len(of_file) == parameter.ndim and of_file[axis] < parameter.shape[axis]:
                widths.outputs[path] = of_file[axis]
    return widths


def narrow(network: nn.Module, widths: Widths, *, front: str = "") -> None:
    """Cut the layers of a network that was just built to these widths; of each the first channels stay. Errors have
    `front` before the names.

    Raises ModelError for a layer that the network does not have and for a number of channels that it cannot have.
    """
    tensors: dict[str, Tensor] = {}
    for side, numbers in ((OUTPUTS, widths.outputs), (INPUTS, widths.inputs)):
        for name, number in numbers.items():
            for path, dimension in _axes(network, name, side, front):
                tensor = tensors.get(path, tensor_named(network, path))
                if not 1 <= number <= tensor.shape[dimension]:
                    raise ModelError(f"pruned.{side}: {front}{name} has {tensor.shape[dimension]} {side} and cannot be "
                                     f"cut to {number}")
                tensors[path] = tensor.detach().narrow(dimension, 0, number)
    put_tensors(network, {path: tensor.clone() for path, tensor in tensors.items()})


def _axes(network: nn.Module, name: str, side: str, front: str) -> list[Axis]:
    """The tensors with their dimensions that are the outputs or the inputs of a layer, or a parameter's own."""
    modules = dict(network.named_modules())
    kind = layer_kind(modules[name]) if name in modules else None
    if kind is not None:
        axes = [(f"{name}.{tensor}", dimension) for tensor, dimension in getattr(kind, side)(modules[name])]
    else:
        parameter = dict(network.named_parameters(remove_duplicate=False)).get(name)
        axis = None if parameter is None or side == INPUTS else free_axis(parameter)
        axes = [] if axis is None else [(name, axis)]
    if not axes:
        layers = [layer for layer, module in modules.items() if layer_kind(module) is not None]
        raise ModelError(f"pruned.{side} names {front + name!r}, which the network has no layer for."
                         f"{nearest(name, layers)} They belong to another backbone: leave section [pruned] out")
    return axes


def tensor_named(network: nn.Module, path: str) -> Tensor:
    """The parameter or buffer with this name."""
    owner, _, key = path.rpartition(".")
    return cast(Tensor, getattr(network.get_submodule(owner), key))


def put_tensors(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors of other shapes in the places of parameters and buffers, wherever each is used, and set the numbers
    of the layers that they belong to. Raises ModelError where a layer cannot have such shapes."""
    formers = {path: tensor_named(network, path) for path in tensors}    # held, so that no new tensor takes an id
    replaced = {id(formers[path]): tensor for path, tensor in tensors.items()}
    for name, module in network.named_modules():
        changed = False
        for key, parameter in module._parameters.items():
            if parameter is not None and id(parameter) in replaced:
                module._parameters[key] = _parameter(replaced, parameter)
                changed = True
        for key, buffer in module._buffers.items():
            if buffer is not None and id(buffer) in replaced:
                module._buffers[key] = replaced[id(buffer)]
                changed = True
        kind = layer_kind(module)
        if changed and kind is not None:
            try:
                kind.fit(module)
            except ModelError as error:
                raise ModelError(f"pruned.outputs: {name}: {error}") from error


def _parameter(replaced: dict[int, Tensor], former: nn.Parameter) -> nn.Parameter:
    """The new parameter, made once for all places that share it."""
    tensor = replaced[id(former)]
    if not isinstance(tensor, nn.Parameter):
        tensor = replaced[id(former)] = nn.Parameter(tensor, requires_grad=former.requires_grad)
    return tensor
