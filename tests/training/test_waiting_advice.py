"""What is said of an epoch that waited for its pictures."""

import pytest

from lensmith.engine.learner import Report
from lensmith.training.waiting_advice import advice


def after(epoch: int, waited: float | None) -> Report:
    return Report(10, 100, epoch, 0.5, {"epoch": epoch}, 0.5, waited)


@pytest.mark.parametrize(("epoch", "kept", "augment", "told"), [
    (2, "not", {}, "which are decoded anew each epoch: let them be kept (loading.memory, loading.disk)"),
    (1, "memory", {}, "which were decoded meanwhile"),
    (2, "memory", {"hue": 0.1, "rotate": 0.0, "mixup": 0.2, "shrink": [0.5]},
     "perhaps for their augmentation: see what it takes without augment.hue, augment.mixup"),
    (2, "memory", {"hue": 0.1, "mosaic": 1.0, "zoom": [0.5, 1.5]},
     "see what it takes without augment.mosaic, augment.zoom, augment.hue"),
    (2, "file", {"hue": 0.1}, "which come from the disk"),
    (2, "memory", {}, "try a larger loading.batch"),
])
def test_what_to_change_where_it_waited(epoch: int, kept: str, augment: dict, told: str):
    found = advice(after(epoch, 0.34), kept, augment)
    assert found.startswith(f"epoch {epoch} waited 34% of its time for pictures") and told in found


@pytest.mark.parametrize("waited", [None, 0.0, 0.1])
def test_a_run_that_hardly_waited_is_told_nothing(waited: float | None):
    assert advice(after(2, waited), "memory", {}) == ""
