"""Views by the verb `explain`: the page, the pictures, the JSON, and what is refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lensmith
from lensmith.base.errors import UserError
from lensmith.study.explain.views import VIEWS
from lensmith.study.explain.views.embedding import Embedding
from lensmith.study.explain.views.filters import Filters

QUICK = ("--set", "steps=8", "--set", "draws=2", "--set", "pictures=40")


def test_every_view_of_a_run(trained: Path, photos: Path, tmp_path: Path, command):
    pictures = sorted(photos.rglob("*.png"))[:3]
    out = tmp_path / "seen"
    views = [word for name in VIEWS for word in ("--view", name)]
    ended = command("explain", trained, *pictures, *views, *QUICK, "--out", out, "--json")
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert said["page"] == str(out / "views.html") and list(said["views"]) == list(VIEWS)
    assert json.loads((out / "views.json").read_text()) == said["views"]
    page = (out / "views.html").read_text()
    assert all(f"<h2>{name}</h2>" in page and VIEWS[name].words[1:] in page for name in VIEWS)
    assert "Goodfellow" in page and "http" not in page.replace("http-equiv", "")
    for name in VIEWS:
        assert list(out.glob(f"{name}-*.png" if name != "embedding" else "embedding.png")), name
    # The neighbours are searched among the run's own pictures, the map is of those that were named.
    assert said["views"]["neighbours"]["searched"].startswith("40 of the ")
    assert "training pictures, spread evenly" in said["views"]["neighbours"]["searched"]
    assert said["views"]["embedding"]["searched"] == "3 pictures that were named"


def test_the_changed_picture_is_predicted_as_the_view_says(trained: Path, photos: Path, tmp_path: Path, command):
    out = tmp_path / "seen"
    picture = next(photos.rglob("*.png"))
    assert command("explain", trained, picture, "--view", "smallest_change", "--out", out).code == 0
    (facts,) = json.loads((out / "views.json").read_text())["smallest_change"]["pictures"]
    network = lensmith.load(trained)
    with Image.open(picture) as opened:
        before = np.asarray(opened.convert("RGB"), dtype=np.int64)
    (answer,) = network.predict(picture)
    assert answer.as_json()["label"] == facts["answer"]
    turned = [change for change in facts["changes"] if change["saved_epsilon"] is not None]
    assert turned
    for change in turned:
        file = out / f"smallest_change-000-{change['way']}-changed.png"
        with Image.open(file) as opened:
            after = np.asarray(opened.convert("RGB"), dtype=np.int64)
        assert abs(after - before).max() <= change["saved_epsilon"]
        (said,) = network.predict(file)
        assert said.as_json()["label"] == change["saved_to"] != facts["answer"]


def test_from_python_as_the_class_of_its_result(trained: Path, photos: Path):
    network = lensmith.load(trained)
    filters = network.view(Filters).layers[0]
    assert torch.equal(filters.weights, network.network.get_parameter(f"{filters.layer}.weight"))
    of_run, of_split, of_files = (network.view(Embedding, **asked) for asked in (
        {"pictures": 9}, {"pictures": 9, "split": "test"}, {"sources": sorted(photos.rglob("*.png"))[:5]}))
    assert of_run.searched.startswith("9 of the") and of_run.coordinates.shape == (9, 2) and of_run.in_data
    assert "of the split test" in of_split.searched and of_files.searched == "5 pictures that were named"
    assert not of_files.in_data    # named pictures have no class but what the network says
    with pytest.raises(UserError, match="the data has no split 'tset'. Did you mean 'test'"):
        network.view("embedding", split="tset")


def test_lines_without_json_and_its_own_page_again(trained: Path, tmp_path: Path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        ended = command("explain", trained, "--view", "filters")
        assert ended.code == 0 and ended.out.splitlines()[0].startswith("filters: backbone.")
        assert ended.out.splitlines()[1] == "the page with the pictures: explained/one/views.html"


@pytest.mark.parametrize(("options", "expected"), [
    (["--view", "filter"], "unknown view 'filter'. Did you mean 'filters'? Known: channel_pictures, class_image,"),
    (["--view", "filters", "{}"], "filters looks at no picture: leave the pictures out, or take feature_maps,"),
    (["--view", "feature_maps"], "feature_maps looks at pictures that are named: name some, as lensmith explain RUN "
                                 "photos/*.jpg --view feature_maps"),
    (["--view", "neighbours"], "neighbours looks at pictures that are named: name some"),
    (["--view", "filters", "--layer", "nowhere"], "the network has no layer 'nowhere'."),
    (["--view", "smallest_change", "{}", "--layer", "backbone"], "smallest_change is of no layer: leave --layer out"),
    (["--view", "embedding", "--layer", "a", "--layer", "b"], "embedding is of one layer, and 2 are named: name one"),
    (["--view", "filters", "--class", "circle"], "filters is of no class: leave --class out, or take class_image"),
    (["--view", "class_image", "--class", "sqare"], "unknown class 'sqare'."),
    (["--view", "channel_pictures", "--set", "channel=99"], "channel=99 cannot be: the backbone's last map has the"),
    (["--view", "embedding", "--set", "top=3"], "embedding has no setting 'top'. Settings are those of embedding"),
    (["--view", "embedding", "--set", "pictures=2"], "pictures=2 of embedding cannot be: accepted are whole numbers"),
    (["--view", "embedding", "--set", "pictures=-1"], "--set pictures=-1: accepted are numbers from 0 on"),
    (["--view", "embedding", "--split", "tset"], "the data has no split 'tset'. Did you mean 'test'?"),
    (["--view", "filters", "--method", "rise"], "--view shows what is in the network, and --method is of expl"),
    (["--view", "filters", "--check"], "--view shows what is in the network, and --check is of explanations"),
    (["--split", "test"], "--split is of the pictures that views look at: name one with --view")])
def test_what_cannot_be_is_refused_in_one_line(options: list[str], expected: str, trained: Path, photos: Path,
                                               tmp_path: Path, command):
    picture = str(next(photos.rglob("*.png")))
    ended = command("explain", trained, *(word.format(picture) for word in options), "--out", tmp_path / "seen")
    assert ended.code == 2 and expected in ended.err and len(ended.err.splitlines()) == 1
    assert not (tmp_path / "seen").exists()


def test_a_network_without_data_of_its_own_takes_the_pictures_that_are_named(photos: Path, tmp_path: Path, command):
    pictures = sorted(photos.rglob("*.png"))[:4]
    out = tmp_path / "seen"
    ended = command("explain", "imagenet", *pictures, "--view", "neighbours", "--set", "nearest=2", "--out", out,
                    "--json")
    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)["views"]["neighbours"]
    assert facts["searched"] == "4 pictures that were named"
    assert [one["neighbours"][0]["file"] for one in facts["pictures"]] == [str(path) for path in pictures]
    refused = command("explain", "imagenet", "--view", "embedding", "--out", tmp_path / "other")
    assert refused.code == 2 and ("embedding looks at a set of pictures, and this network came without its own: name "
                                  "some, as lensmith explain RUN photos/*.jpg --view embedding") in refused.err


def test_a_picture_that_cannot_be_read_is_named(trained: Path, photos: Path, tmp_path: Path, command):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    ended = command("explain", trained, broken, next(photos.rglob("*.png")), "--view", "feature_maps", "--out",
                    tmp_path / "seen")
    assert ended.code == 3 and str(broken) in ended.err and len(ended.err.splitlines()) == 1
    assert "feature_maps: " in ended.out and (tmp_path / "seen" / "views.html").exists()
