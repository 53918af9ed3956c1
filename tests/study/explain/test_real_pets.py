"""A network that learned breeds alone looks at the pets: the mass of Grad-CAM lies inside their outlines."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lensmith

PET, BORDER = 1, 3    # of Oxford-IIIT Pet's trimaps; the border is the pet's or not


def shared() -> Path:
    path = Path(os.environ.get("LENSMITH_DATA", "absent")).absolute() / "pets3"
    if not path.exists():
        pytest.skip("needs pets3 in LENSMITH_DATA")
    return path


def concentration(folder: Path, data: Path) -> list[float]:
    """Of each test picture how many times the share of the outline's area the mass of the map inside it is."""
    trained = lensmith.load(folder)
    test = trained.own_data(None, lambda text: None).splits["test"]
    names = [Path(test.place(row).file).stem for row in range(len(test))]
    found = trained.explain([data / "images" / f"{name}.jpg" for name in names])
    assert len(found) == len(names) >= 40
    ratios = []
    for name, picture in zip(names, found, strict=True):
        with Image.open(data / "trimaps" / f"{name}.png") as opened:
            outline = torch.from_numpy(np.array(opened))
        (explanation,) = picture.explanations
        assert explanation.map.shape == outline.shape
        seen = explanation.map.isfinite() & (outline != BORDER)    # the network sees the middle of a picture
        inside, mass = outline[seen] == PET, explanation.map[seen].clamp(min=0)
        if float(mass.sum()) > 0 and bool(inside.any()):
            ratios.append(float(mass[inside].sum() / mass.sum()) / float(inside.float().mean()))
    return ratios


@pytest.mark.slow
def test_grad_cam_lies_on_the_pets(tmp_path: Path):
    data = shared()
    done = subprocess.run([sys.executable, "-m", "lensmith", "train", str(data / "labels.csv"), "data.target=breed",
                           "data.split=false", "data.pictures=images/{name}.jpg", "--epochs", "1", "--name", "breeds",
                           "--runs", str(tmp_path), "--quiet"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ratios = concentration(tmp_path / "breeds", data)
    assert len(ratios) >= 40 and sum(ratios) / len(ratios) >= 1.5
