"""A published network with its own weights does what its authors say, by way of our backbone, head and decoding."""

import os
from pathlib import Path

import pytest
import torch
from torchvision.models import SqueezeNet1_0_Weights

from lensmith.base.pictures import Form, decode
from lensmith.models.adapters.torchvision_classifiers import IMAGENET
from lensmith.models.backbones import find_backbone
from lensmith.models.network import Network
from lensmith.models.weights import fit_into, read_weights


def test_squeezenet_of_another_program_classifies_real_photos():
    folder = Path(os.environ.get("LENSMITH_DATA", "")) / "photos"
    weights = folder.parent / "weights" / "squeezenet1_0_deepcompression_fp32.pth"
    if not (folder.is_dir() and weights.is_file()):
        pytest.skip("needs photos and weights/squeezenet1_0_deepcompression_fp32.pth in LENSMITH_DATA")
    backbone = find_backbone("squeezenet1_0", trusted=False)(inputs=3, size=(224, 224))
    mean, deviation = ([255 * one for one in numbers] for numbers in IMAGENET)
    network = Network(backbone, backbone.classifier(1000), mean=mean, deviation=deviation).eval()
    fitted = fit_into(network, read_weights(weights), what=weights.name)
    assert fitted.in_words() == "squeezenet1_0_deepcompression_fp32.pth: 52 tensors taken"    # strictly: nothing else
    names = [name.replace(" ", "_") for name in SqueezeNet1_0_Weights.DEFAULT.meta["categories"]]
    files, form = sorted(folder.glob("*.JPEG")), Form(3, 224, 224, "crop")
    right = 0
    with torch.inference_mode():
        for start in range(0, len(files), 25):
            some = files[start : start + 25]
            said = network(torch.stack([decode(file, form)[0] for file in some])).argmax(1).tolist()
            right += sum(names[number] == file.stem.partition("_")[2] for number, file in zip(said, some, strict=True))
    assert len(files) == 125 and right / len(files) >= 0.60    # 0.664 of the middle at 224; 0.632 of the middle of 256
