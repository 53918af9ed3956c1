"""segmentation_models_pytorch's U-Net in a plain loop; what it finds in some pictures goes to a file.

AdamW, one cycle of the rate, half of the pictures mirrored, channels_last, a DataLoader with workers.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

IGNORED = 255


class Pairs(Dataset):
    """Pictures with their masks, both stretched to a square, some of them mirrored."""

    def __init__(self, job: dict[str, Any], part: str, *, flip: bool):
        self.pictures, self.masks = job[part]
        self.size, self.flip = (job["size"], job["size"]), flip
        self.table = torch.full((256,), IGNORED)
        for number, one in job["ids"].items():
            self.table[int(number)] = one
        self.mean, self.deviation = (torch.tensor(job[name]).view(3, 1, 1) for name in ("mean", "deviation"))

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        with Image.open(self.pictures[row]) as file:
            image = torch.from_numpy(np.array(file.convert("RGB").resize(self.size, Image.Resampling.BILINEAR)))
        with Image.open(self.masks[row]) as file:
            ids = torch.from_numpy(np.array(file.resize(self.size, Image.Resampling.NEAREST)))
        image, mask = (image.permute(2, 0, 1) / 255 - self.mean) / self.deviation, self.table[ids.long()]
        if self.flip and torch.rand(()) < 0.5:
            image, mask = image.flip(-1), mask.flip(-1)
        return image, mask


def network(job: dict[str, Any]) -> nn.Module:
    """U-Net with the classes of the job, its encoder begun with the weights of the file where one is given."""
    made: nn.Module = smp.Unet(job["encoder"], encoder_weights=None, classes=job["classes"])
    if job["weights"]:
        weights = {name: tensor.float() for name, tensor in load_file(job["weights"]).items()}
        missing = made.encoder.model.load_state_dict(weights, strict=False).missing_keys
        if missing:
            sys.exit(f"{job['weights']} lacks {', '.join(missing[:3])}")
    return made.to(memory_format=torch.channels_last)


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.manual_seed(job["seed"])
    model = network(job)
    train = DataLoader(Pairs(job, "train", flip=True), job["batch"], shuffle=True, num_workers=job["workers"],
                       drop_last=True, persistent_workers=job["workers"] > 0)
    test = DataLoader(Pairs(job, "test", flip=False), job["batch"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=job["rate"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, job["rate"], total_steps=job["epochs"] * len(train))
    criterion = nn.CrossEntropyLoss(ignore_index=IGNORED)
    epochs = []
    for _ in range(job["epochs"]):
        began = time.perf_counter()
        model.train()
        for images, masks in train:
            optimizer.zero_grad()
            loss = criterion(model(images.contiguous(memory_format=torch.channels_last)), masks)
            loss.backward()
            optimizer.step()
            schedule.step()
        epochs.append(time.perf_counter() - began)
        print(f"epoch {len(epochs)} of {job['epochs']}: loss {loss.item():.4f}, {epochs[-1]:.1f} s", flush=True)
    model.eval()
    with torch.no_grad():
        found = torch.cat([model(images).argmax(1).byte() for images, _ in test])
    np.save(job["answer"], found.numpy())
    parameters = sum(one.numel() for one in model.parameters())
    Path(job["answer"]).with_suffix(".json").write_text(json.dumps({"epochs": epochs, "parameters": parameters}))


if __name__ == "__main__":
    main()
