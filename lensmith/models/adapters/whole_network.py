"""A network that comes whole, with a classifier of its own, taken as backbone and head."""

from typing import cast

import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError, described
from lensmith.models.backbone import Backbone, Size
from lensmith.models.trial_forward import in_evaluation_mode


class CannotTake(ModelError):
    """A network of the user's own that cannot take the pictures it is to learn from, or gives something else than a row
    for each. It holds what is needed to find out why."""

    def __init__(self, problem: str, network: nn.Module, shape: tuple[int, int, int], *, command: str):
        """`shape` is that of a picture, `command` shows the layers of this network; empty where there is none."""
        super().__init__(problem + (f". `{command}` shows the layers up to the one that fails" if command else ""))
        self.network, self.shape, self.command = network, shape, command


class Whole(Backbone):
    """A user's network from pictures to [batch, k] in the place of a backbone: its output is the one map.

    `classifier(k)` adds nothing; for another number of outputs it replaces the network's last dense layer or
    convolution and says so in `note`. Raises ModelError for a network that gives anything else.
    """

    scores = True

    def __init__(self, network: nn.Module, *, inputs: int, size: tuple[int, int], what: str, command: str = ""):
        """`what` is what errors call it, `command` what shows its layers, where a command can."""
        super().__init__()
        self.network, self.inputs, self.size, self.what, self.command = network, inputs, size, what, command
        self.note = ""
        self.channels = (self._outputs(),)
        self.strides = (max(size),)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return [self.network(pictures)]

    def classifier(self, outputs: int) -> nn.Module:
        """A head that hands the output on; the network itself is changed where its last layer does not fit."""
        if self.channels != (outputs,):
            self._replace_last(outputs)
            self.channels = (self._outputs(),)
            if self.channels != (outputs,):
                raise ModelError(f"{self.what} gives {self.channels[0]} values a picture after its last layer was set "
                                 f"to {outputs}: let it take `outputs` in its constructor, or give it {outputs} itself")
        return Only()

    def _outputs(self) -> int:
        for pictures in (2, 3):    # two batches, since a network that fixes its own may fit one of them
            shape, _ = self._trial(pictures)
            if len(shape) != 2 or shape[0] != pictures:
                raise self._refusal(f"{self.what} gives {list(shape)} for {pictures} pictures, where [{pictures}, "
                                    "outputs] is expected. A backbone for other heads has `channels`, `strides` and "
                                    "`classifier(outputs)`, and its forward gives a list of maps")
        return shape[1]

    def _refusal(self, problem: str) -> CannotTake:
        return CannotTake(problem, self.network, (self.inputs, *self.size), command=self.command)

    def _replace_last(self, outputs: int) -> None:
        _, used = self._trial(2)
        names = {module: name for name, module in self.network.named_modules()}
        last = next((module for module in reversed(used) if isinstance(module, nn.Linear | nn.Conv2d)), None)
        if last is None or not names[last]:
            raise ModelError(f"{self.what} gives {self.channels[0]} values a picture where {outputs} are needed, and "
                             "it has no dense layer or convolution that could be replaced: let it take `outputs` in "
                             "its constructor")
        layer: nn.Module
        if isinstance(last, nn.Linear):
            old, layer = last.out_features, nn.Linear(last.in_features, outputs, last.bias is not None)
        else:
            old, layer = last.out_channels, nn.Conv2d(
                last.in_channels, outputs, last.kernel_size, last.stride, last.padding,    # type: ignore[arg-type]
                last.dilation, bias=last.bias is not None)                                 # type: ignore[arg-type]
        owner, _, key = names[last].rpartition(".")
        setattr(self.network.get_submodule(owner), key, layer.to(last.weight))
        self.note = f"{self.what}: its last layer, {names[last]}, was replaced: {outputs} outputs instead of {old}"

    def _trial(self, pictures: int) -> tuple[tuple[int, ...], list[nn.Module]]:
        """The shape of the output for so many black pictures, and the modules that were called for it, in order."""
        used: list[nn.Module] = []
        hooks = [module.register_forward_hook(lambda module, *_: used.append(module))
                 for module in self.network.modules()]
        tensor = next(iter(self.network.parameters()), torch.empty(0))
        height, width = self.size
        try:
            with in_evaluation_mode(self.network), torch.random.fork_rng(devices=[]):
                output = self.network(torch.zeros(pictures, self.inputs, height, width, device=tensor.device))
        except Exception as error:    # whatever a stranger's forward may raise
            raise self._refusal(f"{self.what} cannot take pictures of {self.inputs} x {height} x {width} values: "
                                f"{described(error)}") from error
        finally:
            for hook in hooks:
                hook.remove()
        if not isinstance(output, Tensor):
            raise ModelError(f"{self.what} gives {type(output).__name__}, where a tensor [batch, outputs] is expected")
        return tuple(output.shape), used


class Only(nn.Module):
    """The head of a network that came whole. -> [batch, outputs]"""

    def forward(self, maps: list[Tensor], size: Size | None = None) -> Tensor:
        return maps[-1]


def adopt(network: nn.Module, *, inputs: int, size: tuple[int, int], what: str = "the network",
          command: str = "") -> Backbone:
    """A user's module as a backbone: itself where it has `channels`, `strides` and `classifier`, else as a Whole. One
    that is no Backbone gets what a Backbone declares beside these and it does not say."""
    if isinstance(network, Backbone):
        return network
    if not is_backbone(network):
        return Whole(network, inputs=inputs, size=size, what=what, command=command)
    for name in ("name", "standard", "detector", "instance_detector", "segmenter", "outputs", "scores"):
        if not hasattr(network, name):
            setattr(network, name, getattr(Backbone, name))
    return cast(Backbone, network)


def is_backbone(network: nn.Module) -> bool:
    """Whether a module has what a head is made with, and is no network that comes whole."""
    return all(hasattr(network, name) for name in ("channels", "strides", "classifier"))
