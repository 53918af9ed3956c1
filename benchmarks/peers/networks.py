"""The networks of the throughput benchmark as plain PyTorch and torchvision write them: what the peers train."""

from torch import nn
from torchvision import models


def network(name: str, classes: int, *, small_stem: bool = False) -> nn.Module:
    """A network for standardised pictures -> [batch, classes]; `small_stem` fits ResNet's to small pictures (He et al.
    2016: a 3x3 convolution with stride 1, no max-pool)."""
    if name == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes))
    if name == "cnn3":
        return nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, classes))
    found: nn.Module = models.get_model(name, weights=None, num_classes=classes)
    if small_stem:
        found.conv1, found.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return found
