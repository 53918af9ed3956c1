"""Networks as people write them, each with one fault, and one without; a test copies this file and trains them."""

import torch
from torch import Tensor, nn


class Whole(nn.Module):
    """Two convolutions with batch norm and two dense layers, which learn."""

    momentum = 0.1

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(inputs, 16, 5, 2, 2), nn.BatchNorm2d(16, momentum=self.momentum)
        self.second, self.second_norm = nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32, momentum=self.momentum)
        self.pool, self.hidden, self.last = nn.AdaptiveAvgPool2d(4), nn.Linear(512, 64), nn.Linear(64, outputs)

    def maps(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.first_norm(self.first(images)))
        return self.pool(torch.relu(self.second_norm(self.second(maps))))

    def forward(self, images: Tensor) -> Tensor:
        return self.last(torch.relu(self.hidden(self.maps(images).flatten(1))))


class SoftmaxTwice(Whole):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).softmax(1)


class EvaluationMode(Whole):
    def forward(self, images: Tensor) -> Tensor:
        self.first_norm.eval()
        self.second_norm.eval()
        return super().forward(images)


class Frozen(Whole):
    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        for part in (self.first, self.second, self.hidden):
            part.requires_grad_(False)


class Detached(Whole):
    def maps(self, images: Tensor) -> Tensor:
        return super().maps(images).detach()


class DecayedNorm(Whole):
    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.gain = nn.Parameter(torch.ones(1, 32, 1, 1))

    def maps(self, images: Tensor) -> Tensor:
        return self.gain * super().maps(images)


class SlowNorm(Whole):
    momentum = 0.0005


class Rescaled(Whole):
    """Divides by 255 once more, as if it were given bytes."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images / 255)


class DeadUnits(Whole):
    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        nn.init.constant_(self.hidden.bias, -30.0)


class Sigmoids(nn.Module):
    """The classic LeNet with PyTorch's own first weights."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first, self.second = nn.Conv2d(inputs, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.pool, self.reduce = nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(5)
        self.third, self.fourth, self.last = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, outputs)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.pool(torch.sigmoid(self.first(images)))
        maps = self.reduce(self.pool(torch.sigmoid(self.second(maps))))
        return self.last(torch.sigmoid(self.fourth(torch.sigmoid(self.third(maps.flatten(1))))))


class Deep(nn.Module):
    """Sixteen plain convolutions, whose first weights are `gain` times those that keep the size of a signal."""

    gain = 0.2

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(inputs if number == 0 else 16, 16, 3, padding=1) for number in range(16))
        self.pool, self.last = nn.AdaptiveAvgPool2d(4), nn.Linear(256, outputs)
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight)
            with torch.no_grad():
                layer.weight *= self.gain

    def forward(self, images: Tensor) -> Tensor:
        images = nn.functional.adaptive_avg_pool2d(images, 12)
        for layer in self.layers:
            images = torch.relu(layer(images))
        return self.last(self.pool(images).flatten(1))


class Exploding(Deep):
    gain = 3.0
