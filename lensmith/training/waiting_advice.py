"""What to change where an epoch waited for its pictures."""

from collections.abc import Mapping
from typing import Any

from lensmith.engine.learner import Report

WAITING = 0.1    # fraction of an epoch's time above which waiting for pictures is worth a word


def advice(report: Report, kept: str, augment: Mapping[str, Any]) -> str:
    """What to change where an epoch waited too long for its pictures; empty where it did not.

    `kept` says where decoded pictures are: in "memory", in a "file" of the cache, or "not" at all. `augment` is the
    recipe's section.
    """
    if report.waited is None or report.waited <= WAITING:
        return ""
    wait = f"epoch {report.epoch} waited {report.waited:.0%} of its time for pictures"
    if kept == "not":
        return (f"{wait}, which are decoded anew each epoch: let them be kept (loading.memory, loading.disk), take "
                "more loading.workers, or smaller pictures with pictures.size")
    if report.epoch == 1:
        return f"{wait}, which were decoded meanwhile; they are kept, and the next epochs take them as they are"
    if kept == "file":
        return f"{wait}, which come from the disk: a larger fraction of the memory (loading.memory) may hold them"
    costly = [name for name in ("mosaic", "zoom", "resized_crop", "rotate", "hue", "saturation", "contrast",
                                "brightness", "erase", "mixup", "cutmix", "crop_padding") if augment.get(name)]
    if costly:
        return f"{wait}, perhaps for their augmentation: see what it takes without augment.{', augment.'.join(costly)}"
    return f"{wait}: other work on this machine, or a network so small that no batch comes faster; try a larger "\
        "loading.batch"
