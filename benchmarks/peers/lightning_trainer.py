"""Lightning: a LightningModule and its Trainer, logging, checkpoints and progress bar off."""

import json
import sys
import warnings
from typing import Any

import lightning
import torch
from torch.nn import functional as F
from turns import Turn

from peers.networks import network
from peers.plain_pytorch import loader
from peers.sgd_settings import MOMENTUM, RATE


class Classifier(lightning.LightningModule):
    """A network and how it learns."""

    def __init__(self, job: dict[str, Any]):
        super().__init__()
        self.network = network(job["network"], job["classes"], small_stem=job["small_stem"])

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=RATE, momentum=MOMENTUM)


class Turns(lightning.Callback):
    """Waits before each epoch and tells after it."""

    def __init__(self) -> None:
        self.turn = Turn()

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.turn.begin()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.turn.end(len(trainer.train_dataloader.dataset))


def main() -> None:
    warnings.simplefilter("ignore")    # advice on the number of workers
    job, turns = json.loads(sys.argv[1]), Turns()
    lightning.seed_everything(job["seed"], verbose=False)
    trainer = lightning.Trainer(
        max_epochs=job["epochs"], accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[turns])
    trainer.fit(Classifier(job), loader(job))


if __name__ == "__main__":
    main()
