"""A plain PyTorch loop, as the best-known tutorials write it: float32, DataLoader, per-picture transforms."""

import json
import sys
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms
from turns import Turn

from peers.networks import network
from peers.sgd_settings import MOMENTUM, RATE


def pictures(job: dict[str, Any]) -> Dataset:
    """The job's pictures with the tutorials' transforms."""
    standardise = transforms.Normalize([0.5] * job["channels"], [0.25] * job["channels"])
    if job["data"] == "fashion":
        change = transforms.Compose([transforms.ToTensor(), standardise])
        return Subset(datasets.FashionMNIST(job["folder"], train=True, transform=change), range(job["pictures"]))
    size = job["size"]
    resized = [transforms.Resize(size), transforms.CenterCrop(size)] if size != 32 else []
    return datasets.ImageFolder(f"{job['folder']}/train",
                                transforms.Compose([*resized, transforms.ToTensor(), standardise]))


def loader(job: dict[str, Any]) -> DataLoader:
    """Batches of the job's pictures, shuffled."""
    return DataLoader(pictures(job), batch_size=job["batch"], shuffle=True, num_workers=job["workers"])


def main() -> None:
    job, turn = json.loads(sys.argv[1]), Turn()
    torch.manual_seed(job["seed"])
    batches = loader(job)
    model = network(job["network"], job["classes"], small_stem=job["small_stem"])
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    model.train()
    while True:
        turn.begin()
        seen = 0
        for images, labels in batches:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            turn.stepped()
            seen += len(labels)
        turn.end(seen)


if __name__ == "__main__":
    main()
