"""fastai: its DataLoaders, item and batch transforms, optimizer and Learner; the progress bar off."""

import json
import sys
from functools import partial
from typing import Any

from fastai.callback.core import Callback, CancelValidException
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.data.transforms import Normalize
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import SGD
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize
from fastai.vision.data import ImageDataLoaders
from turns import Turn

from peers.networks import network
from peers.plain_pytorch import pictures
from peers.sgd_settings import MOMENTUM, RATE


class Turns(Callback):
    """Waits before each epoch and tells after it; no epoch is validated."""

    def __init__(self) -> None:
        self.turn = Turn()

    def before_train(self) -> None:
        self.turn.begin()

    def after_train(self) -> None:
        self.turn.end(len(self.dls.train_ds))

    def before_validate(self) -> None:
        raise CancelValidException


def loaders(job: dict[str, Any]) -> DataLoaders:
    """The job's pictures as fastai takes them: class folders by its own transforms, Fashion-MNIST by torchvision's."""
    if job["data"] == "fashion":
        made = DataLoader(pictures(job), bs=job["batch"], shuffle=True, num_workers=job["workers"])
        return DataLoaders(made, made)
    standardise = Normalize.from_stats([0.5] * 3, [0.25] * 3, cuda=False)
    return ImageDataLoaders.from_folder(
        job["folder"], train="train", valid="val", item_tfms=Resize(job["size"]), batch_tfms=[standardise],
        bs=job["batch"], num_workers=job["workers"], drop_last=False)


def main() -> None:
    job = json.loads(sys.argv[1])
    set_seed(job["seed"])
    model = network(job["network"], job["classes"], small_stem=job["small_stem"])
    learner = Learner(loaders(job), model, loss_func=CrossEntropyLossFlat(),
                      opt_func=partial(SGD, mom=MOMENTUM), train_bn=True, cbs=[Turns()])
    learner.remove_cbs(ProgressCallback)
    with learner.no_logging():
        learner.fit(job["epochs"], lr=RATE)


if __name__ == "__main__":
    main()
