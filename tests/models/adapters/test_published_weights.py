"""Published weights: which there are, that they are fetched on request alone, and what comes of a failure."""

import hashlib
import io
import json
import tomllib
from pathlib import Path

import pytest
import torch
from torchvision.models import get_model, get_model_weights

import lensmith
from lensmith.base.errors import ModelError
from lensmith.models.adapters.published_weights import cached, fetch, published

NAME = "shufflenet_v2_x0_5"
SHAPES = ["train", "shapes", "data.count=30", "--size", 32, "--epochs", 1, "--plan", "exact", "--device", "cpu"]


@pytest.fixture(autouse=True)
def nothing_fetched(monkeypatch, tmp_path: Path):
    """An empty cache, and no way out of this machine."""
    def refuse(*_, **__):
        raise OSError("the tests have no network")

    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.create_connection", refuse)


@pytest.fixture
def server(monkeypatch, tmp_path: Path) -> dict[str, torch.Tensor]:
    """The published weights of a small network, those of another seed, at an address that can be reached."""
    torch.manual_seed(3)
    weights = get_model(NAME, weights=None).state_dict()
    stream = io.BytesIO()
    torch.save(weights, stream)
    file = tmp_path / "server" / f"{NAME}-{hashlib.sha256(stream.getvalue()).hexdigest()[:10]}.pth"
    file.parent.mkdir()
    file.write_bytes(stream.getvalue())
    monkeypatch.setattr(get_model_weights(NAME).DEFAULT.value, "url", file.as_uri())
    return weights


def refused(weights, backbone):
    with pytest.raises(ModelError) as caught:
        published(weights, backbone)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_of_weights_are_those_of_the_network_and_the_default_is_its_authors():
    for name in ("", "default", "resnet50", "IMAGENET1K_V2"):
        found = published(f"download:{name}", "resnet50")
        assert found.name == "IMAGENET1K_V2" and found.source.endswith("resnet50-11ad3fa6.pth")
    assert published("download:IMAGENET1K_V1", "resnet50").source.endswith("resnet50-0676ba61.pth")
    assert published("download:", "fasterrcnn_resnet50_fpn").name == "COCO_V1"
    assert refused("download:IMAGENET1K_V3", "resnet50") == (
        "there are no weights 'IMAGENET1K_V3' of resnet50. Did you mean 'IMAGENET1K_V2'? Known: IMAGENET1K_V1, "
        "IMAGENET1K_V2.")
    assert "there are no published weights of backbone 'cnn3' to download" in refused("download:", "cnn3")
    assert "names another network than backbone.name='resnet50'" in refused("download:resnet18", "resnet50")


def test_those_of_timm_are_found_by_their_tags():
    pytest.importorskip("timm")
    found = published("download:", "timm:resnet18")
    assert found.name == "a1_in1k" and found.source == "https://huggingface.co/timm/resnet18.a1_in1k"
    assert published("download:tv_in1k", "timm:resnet18").name == "tv_in1k"
    assert published("download:timm:tf_efficientnet_lite0", "timm:tf_efficientnet_lite0").name == "in1k"
    assert refused("download:tv_in1", "timm:resnet18").startswith("there are no weights 'tv_in1' of timm:resnet18. Did "
                                                                 "you mean 'tv_in1k'? Known: a1_in1k, ")


def test_a_file_of_the_hub_is_asked_for_by_its_name(monkeypatch, tmp_path):
    pytest.importorskip("timm")
    asked = []

    def stand_in(repository, file, *, local_files_only):
        asked.append((repository, file, local_files_only))
        return str(tmp_path / "model.safetensors")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", stand_in)
    assert fetch("download:", "timm:resnet18") == cached("download:", "timm:resnet18") == tmp_path / "model.safetensors"
    assert asked == [("timm/resnet18.a1_in1k", "model.safetensors", local) for local in (False, True)]


def test_weights_are_fetched_once_and_then_found(server):
    with pytest.raises(ModelError) as caught:
        cached("download:", NAME)
    assert str(caught.value) == (f"the weights IMAGENET1K_V1 of {NAME} are not on this machine, and only a command "
                                 "that says so downloads, as `lensmith train DATA --weights download:IMAGENET1K_V1`")
    file = fetch("download:", NAME)
    assert cached("download:", NAME) == file
    read = torch.load(file, weights_only=True)
    assert all(torch.equal(tensor, read[name]) for name, tensor in server.items())


def test_a_file_of_another_hash_and_no_network_are_told_in_one_line(server, monkeypatch):
    entry = get_model_weights(NAME).DEFAULT
    other = Path(entry.url.removeprefix("file://"))
    other.write_bytes(other.read_bytes() + b"x")
    with pytest.raises(ModelError, match=r"could not be downloaded from file:.* \(RuntimeError: invalid hash value"):
        fetch("download:", NAME)
    with pytest.raises(ModelError, match="are not on this machine"):
        cached("download:", NAME)
    with pytest.raises(ModelError) as caught:
        fetch("download:", "resnet18")
    assert "the weights IMAGENET1K_V1 of resnet18 could not be downloaded from https://download.pytorch.org/models/" \
        "resnet18-f37072fd.pth (URLError: " in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).endswith("try again, or give a file of them with learner.weights=FILE")


def test_a_training_takes_them_with_their_network_and_their_preprocessing(server, tmp_path, command):
    ended = command(*SHAPES, "--weights", f"download:{NAME}", "--name", "one", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    recipe = tomllib.loads((tmp_path / "one" / "recipe.toml").read_text())
    assert recipe["backbone"]["name"] == NAME and recipe["learner"]["weights"] == "download:IMAGENET1K_V1"
    counts = json.loads((tmp_path / "one" / "weights.json").read_text())["counts"]
    assert counts["taken"] == len(server) - 2 and counts["of_another_shape"] == 2    # all but the last layer
    mean = lensmith.load(tmp_path / "one").network.mean.flatten().tolist()
    assert mean == pytest.approx([255 * 0.485, 255 * 0.456, 255 * 0.406])


def test_without_the_flag_nothing_is_fetched(server, tmp_path, command):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'data = {{name = "shapes", count = 30}}\nbackbone = {{name = "{NAME}"}}\n'
                      'learner = {weights = "download:default", epochs = 1}\npictures = {size = 32}\n'
                      'plan = {mode = "exact", device = "cpu"}\n')
    ended = command("train", recipe, "--runs", tmp_path)
    assert ended.code == 4
    assert "a command that says so downloads, as `lensmith train DATA --weights download:IMAGENET1K_V1`" in ended.err
    assert not list((tmp_path / "cache").rglob("*.pth"))
    assert command("train", recipe, "--weights", "download:", "--dry-run").code == 0
    assert not list((tmp_path / "cache").rglob("*.pth"))
    ended = command("train", recipe, "--weights", "download:", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    ended = command(*SHAPES, "--weights", "download:", "--runs", tmp_path)
    assert ended.code == 2
    assert "does not say of which network the weights are: name it too, as backbone.name=resnet18 (--backbone)" \
        in ended.err
