"""Other data measured with a trained network: targets are numbered as the network's classes are, by name."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lensmith
from lensmith.recipe.from_source import fit_to_weights


def masks(folder: Path, names: tuple[str, ...]) -> Path:
    """Pictures of a bright half, left or upper, with masks whose ids are the places of `names` in the list."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(12):
        picture, mask = np.full((32, 32, 3), 40, np.uint8), np.full((32, 32), names.index("dark"), np.uint8)
        half = (slice(None), slice(0, 16)) if i % 2 else (slice(0, 16), slice(None))
        picture[half], mask[half] = 220, names.index("bright")
        mask[30:, 30:] = 255
        Image.fromarray(picture).save(folder / "images" / f"{i:02d}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i:02d}.png")
    (folder / "classes.txt").write_text("\n".join(names))
    return folder


def test_masks_of_another_set_are_measured_by_the_names_of_their_classes(tmp_path: Path, command):
    settings = {"plan.mode": "exact", "plan.threads": 1, "data.classes": ["dark", "bright"], "data.name": "masks"}
    run = lensmith.train(masks(tmp_path / "own", ("dark", "bright")), backbone="simple2", epochs=12, batch=4, rate=0.01,
                         device="cpu", runs=tmp_path, name="run", settings=settings).folder
    own, other = (json.loads(command("val", run, "--data", folder, "--json").out) for folder in
                  (tmp_path / "own", masks(tmp_path / "other", ("bright", "dark"))))
    assert own["count"] == other["count"] == 12 and own["mIoU"] > 0.6
    assert other["mIoU"] == own["mIoU"]
    named = [{row["class"]: row["IoU"] for row in one["details"]["per_class"]} for one in (own, other)]
    assert named[0] == named[1] and set(named[0]) == {"dark", "bright"}


@pytest.mark.parametrize(("backbone", "used_to"), [
    ("efficientnet_b0", "bicubic"), ("resnet18", "bilinear"), ("fasterrcnn_resnet50_fpn", None), ("cnn3", None),
    ("timm:tf_efficientnet_lite0", "bicubic"), ("timm:resnet18.tv_in1k", "bilinear"),
    ("smp:Unet/tu-tf_efficientnet_lite0", "bicubic"), ("my_net.py:Net", None),
])
def test_the_interpolation_goes_with_the_weights(backbone, used_to):
    if ":" in backbone:
        pytest.importorskip("timm")
    given = {"backbone": {"name": backbone}, "learner": {"weights": "w.pth"}}
    assert fit_to_weights(given).get("pictures", {}).get("interpolation") == used_to
    assert "pictures" not in fit_to_weights({"backbone": {"name": backbone}})    # without weights none is used to any
    own = given | {"pictures": {"interpolation": "bilinear"}}
    assert fit_to_weights(own) == own


def test_a_run_keeps_the_interpolation_and_hands_it_on(tmp_path: Path, photos: Path):
    settings = {"plan.mode": "exact", "plan.threads": 1, "pictures.interpolation": "bicubic", "pictures.size": 14}
    run = lensmith.train(photos, backbone="simple", epochs=1, device="cpu", runs=tmp_path, name="run",
                         settings=settings)
    assert run.form.interpolation == "bicubic"
    assert json.loads((tmp_path / "run" / "data.json").read_text())["form"]["interpolation"] == "bicubic"
    again = fit_to_weights({"learner": {"weights": str(tmp_path / "run")}})
    assert again["pictures"] == {"interpolation": "bicubic"} and again["backbone"]["name"] == "simple"
