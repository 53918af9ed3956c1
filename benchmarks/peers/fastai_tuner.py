"""fastai's usual ways with a folder of pictures: fine_tune from given weights, or fit_one_cycle from scratch.

As `vision_learner("tf_efficientnet_lite0").fine_tune(2)`, but for the weights, which that would download; or as
`vision_learner(resnet34, pretrained=False).fit_one_cycle(10)`. The job is a file: `network` (of timm with `weights`,
else of torchvision), `weights` (or null), `train` and `test` (each files and their classes), `size`, `batch`, `augment`
(whether with aug_transforms), `epochs` (after one of the head alone, where there are weights), `seed`, `workers` and
`answer`, the file for the classes that it names and the seconds of each epoch.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import fastai.callback.schedule  # gives Learner its fine_tune and fit_one_cycle  # noqa: F401
import torchvision
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.transforms import Normalize
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner
from safetensors.torch import load_file


class Watch(Callback):
    """The seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def before_epoch(self) -> None:
        self.began = time.perf_counter()

    def after_epoch(self) -> None:
        self.seconds.append(time.perf_counter() - self.began)


def learner_of(job: dict[str, Any], loaders: ImageDataLoaders) -> Learner:
    """The learner, which begins with the job's weights where there are any."""
    network = job["network"] if job["weights"] else getattr(torchvision.models, job["network"])
    learner = vision_learner(loaders, network, pretrained=False, n_out=len(loaders.vocab),
                             loss_func=CrossEntropyLossFlat())
    if job["weights"]:
        weights = {name: tensor.float() for name, tensor in load_file(job["weights"]).items()}
        missing = learner.model[0].model.load_state_dict(weights, strict=False).missing_keys
        if missing:
            sys.exit(f"{job['weights']} lacks {', '.join(missing[:3])}")
    learner.remove_cbs(ProgressCallback)
    return learner


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    set_seed(job["seed"])
    pictures, labels = job["train"]
    standardise = Normalize.from_stats([0.5] * 3, [0.5] * 3, cuda=False)    # what the weights are used to
    loaders = ImageDataLoaders.from_lists(
        ".", pictures, labels, valid_pct=0, item_tfms=Resize(job["size"]), bs=job["batch"], num_workers=job["workers"],
        batch_tfms=[*(aug_transforms() if job["augment"] else []), standardise])
    learner, watch = learner_of(job, loaders), Watch()
    began = time.perf_counter()
    with learner.no_logging(), learner.added_cbs([watch]):
        if job["weights"]:
            learner.fine_tune(job["epochs"])
        else:
            learner.fit_one_cycle(job["epochs"])
    trained = time.perf_counter()
    scores, _ = learner.get_preds(dl=learner.dls.test_dl(job["test"][0]))
    found = [loaders.vocab[number] for number in scores.argmax(1).tolist()]
    Path(job["answer"]).write_text(json.dumps(
        {"seconds": trained - began, "epochs": watch.seconds, "testing": time.perf_counter() - trained, "found": found,
         "parameters": sum(one.numel() for one in learner.model.parameters())}))


if __name__ == "__main__":
    main()
