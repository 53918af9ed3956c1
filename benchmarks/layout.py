"""Training in both memory layouts, float32: python benchmarks/layout.py; prints pictures a second and their ratio."""

import statistics
import time

import torch
from torch.nn import functional as F

from lensmith.engine.optimize import leaves, sgd
from lensmith.engine.plan import plan
from lensmith.models import BACKBONES
from lensmith.models.network import Network

JOBS = (("lenet", 28, 1, 64), ("cnn3", 32, 3, 64), ("simple2", 28, 1, 64), ("resnet18", 32, 3, 64),
        ("mobilenet_v3_small", 96, 3, 32), ("vgg11", 32, 3, 32), ("shufflenet_v2_x0_5", 64, 3, 32))
print("network              size  contiguous  channels_last  ratio")
for name, size, channels, batch in JOBS:
    images = torch.randint(0, 255, (batch, channels, size, size), dtype=torch.uint8)
    labels = torch.randint(0, 10, (batch,))
    pairs, seconds = [], [[], []]
    for layout in ("contiguous", "channels_last"):
        torch.manual_seed(0)
        backbone = BACKBONES[name](inputs=channels, size=(size, size))
        network = Network(backbone, backbone.classifier(10), mean=[110.0] * channels, deviation=[60.0] * channels)
        how = plan(device="cpu", layout=layout)
        how.place(network)
        pairs.append((how, network, sgd(leaves(network))[0]))
    for _ in range(18):    # in turn, so that a busy moment of the machine hits both
        for (how, network, optimizer), taken in zip(pairs, seconds, strict=True):
            started = time.perf_counter()
            F.cross_entropy(network(how.arrange(images)), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            taken.append(time.perf_counter() - started)
    rates = [batch / statistics.median(taken[3:]) for taken in seconds]
    print(f"{name:<20} {size:>4}  {rates[0]:10.0f}  {rates[1]:13.0f}  {rates[1] / rates[0]:5.2f}", flush=True)
