"""What a network that plays ends with: the values of actions, or a policy with a value; and the network for vectors."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from lensmith.base.errors import ModelError
from lensmith.base.hashed_random import seed_of
from lensmith.models.backbone import Backbone
from lensmith.models.network import Network
from lensmith.models.trial_forward import REFUSALS, in_evaluation_mode
from lensmith.rl.worlds.world import Spaces

Head = Callable[[int, int], nn.Module]    # (features, actions) -> from [batch, features] to the output
_INITIAL_NOISE = 0.5    # sigma_0 of Fortunato et al.


class NoisyLinear(nn.Module):
    """A dense layer whose weights are W + S * noise with learned W and S (Fortunato et al. 2018, arXiv 1706.10295).

    The noise is factorised: that of weight (i, j) is f(a_i) f(b_j) with f(x) = sign(x) sqrt(|x|) and a, b drawn from
    the normal distribution. It stays until `redraw`, and is left out in evaluation mode. It is no part of the state: it
    is a function of the seed that it was drawn with.
    """

    row_noise: Tensor       # float [outputs]
    column_noise: Tensor    # float [inputs]

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), _INITIAL_NOISE * bound))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), _INITIAL_NOISE * bound))
        self.register_buffer("row_noise", torch.zeros(outputs), persistent=False)
        self.register_buffer("column_noise", torch.zeros(inputs), persistent=False)

    def redraw(self, generator: torch.Generator) -> None:
        """Draw other noise."""
        for noise in (self.row_noise, self.column_noise):
            normal = torch.randn(noise.shape, generator=generator)
            noise.copy_(normal.sign() * normal.abs().sqrt())

    def forward(self, features: Tensor) -> Tensor:    # [batch, inputs] -> [batch, outputs]
        if not self.training:
            return nn.functional.linear(features, self.weight, self.bias)
        weight = self.weight + self.weight_sigma * torch.outer(self.row_noise, self.column_noise)
        return nn.functional.linear(features, weight, self.bias + self.bias_sigma * self.row_noise)


def redraw_noise(network: nn.Module, *keys: int) -> None:
    """Draw the noise of all noisy layers of a network, as a function of `keys`."""
    generator = torch.Generator().manual_seed(seed_of(*keys))
    for module in network.modules():
        if isinstance(module, NoisyLinear):
            module.redraw(generator)


class ActionValues(nn.Module):
    """One dense layer from features to Q-values [batch, actions]."""

    def __init__(self, features: int, actions: int, *, noisy: bool = False):
        super().__init__()
        self.values = _dense(features, actions, noisy=noisy)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.values(features))


class DuelingValues(nn.Module):
    """Q(s, a) = V(s) + A(s, a) - mean over a of A(s, a), each one dense layer (Wang et al. 2016, arXiv 1511.06581)."""

    def __init__(self, features: int, actions: int, *, noisy: bool = False):
        super().__init__()
        self.value = _dense(features, 1, noisy=noisy)
        self.advantages = _dense(features, actions, noisy=noisy)

    def forward(self, features: Tensor) -> Tensor:    # -> [batch, actions]
        advantages = self.advantages(features)
        return cast(Tensor, self.value(features) + advantages - advantages.mean(1, keepdim=True))


class PolicyAndValue(nn.Module):
    """[batch, actions + 1]: the logits of the actions, and in the last column the value.

    The policy begins nearly uniform: with larger first logits it is sure of what it has not yet learned (Andrychowicz
    et al. 2021, arXiv 2006.05990, found this to matter most of all about the first weights).
    """

    def __init__(self, features: int, actions: int):
        super().__init__()
        self.policy, self.value = nn.Linear(features, actions), nn.Linear(features, 1)
        for layer, gain in ((self.policy, 0.01), (self.value, 1.0)):
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.policy(features), self.value(features)], 1)


def _dense(inputs: int, outputs: int, *, noisy: bool) -> nn.Module:
    return NoisyLinear(inputs, outputs) if noisy else nn.Linear(inputs, outputs)


class OnLastMap(nn.Module):
    """A head for features on the last map of a backbone: flattened, since where a thing stands is what play is about;
    then one dense layer of `width` features."""

    def __init__(self, entries: int, width: int, head: nn.Module):
        super().__init__()
        self.dense, self.head = nn.Linear(entries, width), head

    def forward(self, maps: list[Tensor], size: tuple[int, int] | None = None) -> Tensor:
        return cast(Tensor, self.head(torch.relu(self.dense(maps[-1].flatten(1)))))


class DenseNetwork(nn.Module):
    """Vectors, float [batch, numbers], through dense layers with ReLU to a head. It standardises nothing."""

    def __init__(self, numbers: int, widths: Sequence[int], head: nn.Module):
        super().__init__()
        self.hidden, self.head = _hidden_layers(numbers, widths), head

    def forward(self, vectors: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.hidden(vectors)))


class ActorAndCritic(nn.Module):
    """Vectors through dense layers to a policy, and through others of the same widths to its value: what is learned of
    the value, whose errors are large where returns are, then does not disturb the policy."""

    def __init__(self, numbers: int, widths: Sequence[int], head: PolicyAndValue):
        super().__init__()
        self.hidden, self.critic, self.head = _hidden_layers(numbers, widths), _hidden_layers(numbers, widths), head

    def forward(self, vectors: Tensor) -> Tensor:    # [batch, actions + 1], as `PolicyAndValue`
        return torch.cat([self.head.policy(self.hidden(vectors)), self.head.value(self.critic(vectors))], 1)


def _hidden_layers(numbers: int, widths: Sequence[int]) -> nn.Sequential:
    """Dense layers with ReLU."""
    layers = nn.Sequential()
    for inputs, outputs in pairwise([numbers, *widths]):
        layer = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(layer.weight, math.sqrt(2))
        nn.init.zeros_(layer.bias)
        layers.append(layer).append(nn.ReLU())
    return layers


def dense_network(spaces: Spaces, widths: Sequence[int], head: Head) -> nn.Module:
    """The network for a world that shows vectors; with layers of its own for a value beside a policy.

    Raises ModelError for a world that shows pictures, or without widths.
    """
    if spaces.pictures:
        raise ModelError(f"the world shows pictures of {_edges(spaces)}, and dense layers are for vectors: take a "
                         "backbone with backbone.name")
    if not widths or any(width < 1 for width in widths):
        raise ModelError(f"dense layers have widths such as 64, 64; got {', '.join(map(str, widths)) or 'none'}")
    ending = head(widths[-1], len(spaces.actions))
    if isinstance(ending, PolicyAndValue):
        return ActorAndCritic(spaces.shape[0], widths, ending)
    return DenseNetwork(spaces.shape[0], widths, ending)


def picture_network(spaces: Spaces, backbone: Backbone, width: int, head: Head) -> Network:
    """The network for a world that shows pictures, which it brings from 0 .. 255 to -1 .. 1.

    Raises ModelError for a world that shows vectors, and for a backbone that leaves nothing of such pictures.
    """
    if not spaces.pictures:
        raise ModelError(f"the world shows vectors of {spaces.shape[0]} numbers, and a backbone is for pictures: leave "
                         "out backbone.name")
    channels, height, width_of_picture = spaces.shape
    try:
        with in_evaluation_mode(backbone), torch.no_grad():
            entries = backbone(torch.zeros(1, channels, height, width_of_picture))[-1].numel()
    except REFUSALS as error:
        raise ModelError(f"the backbone cannot take pictures of {_edges(spaces)} ({str(error).splitlines()[0]}): take "
                         "one with fewer strides, such as `stack`") from error
    on_map = OnLastMap(entries, width, head(width, len(spaces.actions)))
    return Network(backbone, on_map, mean=[127.5] * channels, deviation=[127.5] * channels)


def _edges(spaces: Spaces) -> str:
    return f"{spaces.shape[1]} x {spaces.shape[2]} pixels"
