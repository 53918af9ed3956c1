"""A first convolution that is not learned: it takes the pictures apart into directions that do not go together."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Added to each direction's variance, so that a direction that is nearly constant, which is noise, is not blown up.
_LEAST = 5e-4
_AT_ONCE = 64    # pictures whose patches are summed together


class Whitening(nn.Conv2d):
    """Patches of kernel x kernel pixels -> their projections on the patches' principal directions, each of variance 1
    and each once more with the opposite sign, so that an activation that cuts off half of the values loses nothing.

    Convolutions behind it learn faster, because neighbouring pixels no longer say nearly the same (LeCun et al. 1998,
    "Efficient BackProp"; as a fixed first layer in Page 2019, "How to train your ResNet"). `fit` sets the weights from
    training pictures; until then they are random. They have no gradient.
    """

    def __init__(self, inputs: int, kernel: int, *, directions: int):
        super().__init__(inputs, 2 * directions, kernel, bias=False)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def fit(self, pictures: Tensor) -> None:
        """Take the directions of greatest variance from `pictures`, standardised float [n, inputs, height, width].

        The same pictures give the same weights: sums in double precision, and the largest value of each direction
        positive, since eigenvectors have no sign of their own.
        """
        kernel, length = self.kernel_size[0], self.weight[0].numel()
        moments, count = torch.zeros(length, length, dtype=torch.float64), 0
        for chunk in pictures.split(_AT_ONCE):
            patches = F.unfold(chunk, kernel).transpose(1, 2).reshape(-1, length).double()
            moments += patches.T @ patches
            count += len(patches)
        variances, directions = torch.linalg.eigh(moments / count)    # ascending
        chosen = (directions / (variances.clamp(min=0) + _LEAST).sqrt()).T.flip(0)[: len(self.weight) // 2]
        largest = chosen.gather(1, chosen.abs().argmax(1, keepdim=True))
        chosen = (chosen * largest.sign()).view(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat((chosen, -chosen)))


def whitenings(network: nn.Module) -> list[Whitening]:
    """The layers of a network that have to be fitted to the training pictures before they are of use."""
    return [module for module in network.modules() if isinstance(module, Whitening)]
