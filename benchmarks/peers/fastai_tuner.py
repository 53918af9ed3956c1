"""fastai's fine_tune of a timm network that begins with given weights; the classes that it finds go to a file.

As `vision_learner("tf_efficientnet_lite0").fine_tune(2)`, but for the weights, which that would download.
"""

import json
import sys
import time
from pathlib import Path

import fastai.callback.schedule  # gives Learner its fine_tune  # noqa: F401
from fastai.callback.progress import ProgressCallback
from fastai.data.transforms import Normalize
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner
from safetensors.torch import load_file


def main() -> None:
    job = json.loads(sys.argv[1])
    set_seed(job["seed"])
    pictures, labels = job["train"]
    standardise = Normalize.from_stats([0.5] * 3, [0.5] * 3, cuda=False)    # what these weights are used to
    loaders = ImageDataLoaders.from_lists(".", pictures, labels, valid_pct=0, item_tfms=Resize(job["size"]),
                                          batch_tfms=[standardise], bs=job["batch"], num_workers=job["workers"])
    learner = vision_learner(loaders, job["network"], pretrained=False, n_out=len(loaders.vocab),
                             loss_func=CrossEntropyLossFlat())
    learner.remove_cbs(ProgressCallback)
    weights = {name: tensor.float() for name, tensor in load_file(job["weights"]).items()}
    missing = learner.model[0].model.load_state_dict(weights, strict=False).missing_keys
    if missing:
        sys.exit(f"{job['weights']} lacks {', '.join(missing[:3])}")
    began = time.perf_counter()
    with learner.no_logging():
        learner.fine_tune(job["epochs"])
    seconds = time.perf_counter() - began
    scores, _ = learner.get_preds(dl=learner.dls.test_dl(job["test"][0]))
    found = [loaders.vocab[number] for number in scores.argmax(1).tolist()]
    parameters = sum(one.numel() for one in learner.model.parameters())
    Path(job["answer"]).write_text(json.dumps({"seconds": seconds, "found": found, "parameters": parameters}))


if __name__ == "__main__":
    main()
