import copy

import pytest
import torch
from torch import nn

from lensmith.models.backbones import BACKBONES
from lensmith.models.network import Network
from lensmith.models.rewrites.exact import fold_batch_norm, pool_first


def network_of(name: str, size: int = 32) -> Network:
    torch.manual_seed(3)
    backbone = BACKBONES[name](inputs=3, size=(size, size))
    return Network(backbone, backbone.classifier(7), mean=[110.0] * 3, deviation=[60.0] * 3)


def pictures(count: int = 4, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["lenet", "cnn3", "vgg11"])
def test_pooling_first_keeps_every_number(name: str):
    network = network_of(name)
    network.eval()    # vgg has dropout
    other = copy.deepcopy(network)
    assert pool_first(other) > 0 and pool_first(other) == 0
    images = pictures()
    outputs = network(images), other(images)
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for (name, one), two in zip(network.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize(("layer", "moved"), [
    (nn.ReLU(), 1), (nn.Sigmoid(), 1), (nn.Tanh(), 1), (nn.LeakyReLU(0.1), 1), (nn.ELU(), 1), (nn.LeakyReLU(-0.1), 0),
    (nn.GELU(), 0), (nn.SiLU(), 0), (nn.Identity(), 0), (nn.Softmax(1), 0)])
def test_only_what_never_falls_changes_places(layer: nn.Module, moved: int):
    network = nn.Sequential(layer, nn.MaxPool2d(2))
    before = copy.deepcopy(network)
    assert pool_first(network) == moved
    values = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(values), before(values), rtol=0, atol=0)


def test_average_pooling_stays():
    assert pool_first(nn.Sequential(nn.ReLU(), nn.AvgPool2d(2))) == 0


@pytest.mark.parametrize("name", ["cnn3", "resnet18", "mobilenet_v3_small", "densenet121", "shufflenet_v2_x0_5",
                                  "efficientnet_lite0"])
def test_folded_batch_norm_gives_the_same_answers(name: str):
    network = network_of(name, 64)
    for _ in range(3):
        network(pictures(8, 64))    # running means that are not those of the start
    network.eval()
    folded = fold_batch_norm(network, pictures(2, 64))
    if name == "cnn3":
        assert folded is None    # it has none
        return
    assert folded is not None
    normed = [sum(isinstance(layer, nn.BatchNorm2d) for layer in one.modules()) for one in (network, folded)]
    assert normed[1] < normed[0]
    with torch.no_grad():
        torch.testing.assert_close(folded(pictures(6, 64)), network(pictures(6, 64)), rtol=1e-3, atol=1e-4)
    assert not network.training and network.state_dict().keys() != folded.state_dict().keys()


def test_timms_batch_norm_keeps_its_activation():
    timm = pytest.importorskip("timm")
    network = timm.create_model("tf_efficientnet_lite0", num_classes=5).eval()
    values = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    folded = fold_batch_norm(network, values)
    assert folded is not None
    with torch.no_grad():
        torch.testing.assert_close(folded(values), network(values), rtol=1e-3, atol=1e-4)


class Branching(nn.Module):
    """Its convolution is used beside its batch norm too: folding would change that."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        made = self.conv(values)
        return self.norm(made) + 3 * made


def test_a_convolution_that_is_used_twice_is_left_alone():
    network = Branching()
    network.norm.running_mean += 2
    network.norm.running_var *= 5
    assert fold_batch_norm(network.eval(), torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))) is None


