"""The verb `lesson convolution`: what it prints and writes, and the one line for what it cannot use."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

TINY = ("--size", 24, "--no-train")


def test_the_numbers_are_printed_and_written(command, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command("lesson", "convolution", "--channels", 3, "--filters", 2, "--padding", 1, "--stride", 2, *TINY)
    assert ended.code == 0 and ended.err == "", ended.err
    assert "(24 + 2 * 1 - 3) // 2 + 1 = 12" in ended.out
    assert "3 channels and 2 filters give 2 maps of 12 x 12, by a weight of 2 x 3 x 3 x 3 = 54 numbers" in ended.out
    assert "output (0, 0): window * kernel = products" in ended.out and "3,000,000 numbers" in ended.out
    folder = tmp_path / "lessons" / "convolution"
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == ["convolution.gif", "lesson.html",
                                                                                      "lesson.json"]
    facts = json.loads((folder / "lesson.json").read_text())
    pixels, weights = torch.tensor(facts["patch"]["pixels"]).float(), [kernel["rows"] for kernel in facts["kernels"]]
    weight = torch.tensor(weights)[:, None].expand(facts["weight_shape"])
    maps = F.conv2d(pixels[None], weight, None, facts["stride"], facts["padding"], facts["dilation"])[0]
    torch.testing.assert_close(torch.tensor(facts["patch"]["maps"]), maps)
    torch.testing.assert_close(torch.tensor(facts["patch"]["pooled"]["max"]), F.max_pool2d(maps[:1], 2)[0])
    torch.testing.assert_close(torch.tensor(facts["patch"]["pooled"]["mean"]), F.avg_pool2d(maps[:1], 2)[0])
    with Image.open(folder / "convolution.gif") as gif:
        assert gif.n_frames == maps[0].numel()
    assert command("lesson", "convolution", *TINY).code == 0    # its own folder is written again


def test_a_picture_and_a_run_of_ones_own(command, trained: Path, tmp_path: Path):
    Image.linear_gradient("L").resize((50, 30)).save(tmp_path / "mine.png")
    ended = command("lesson", "convolution", tmp_path / "mine.png", "--kernel", "0 1 0; 1 -4 1; 0 1 0",
                    "--padding", "same", "--run", trained, "--out", tmp_path / "out", "--json", *TINY)
    assert ended.code == 0, ended.err
    facts = json.loads(ended.out)
    assert facts["picture"] == {"name": "mine.png", "own_size": [30, 50], "size": [14, 24]}
    assert facts["output_shape"] == [1, 14, 24] and facts["run"]["weight_shape"] == [6, 3, 5, 5]
    assert facts["run"]["by_hand"] == pytest.approx(facts["run"]["by_network"], abs=1e-5)
    page = Path(facts["page"]).read_text()
    assert "The first convolution of one" in page and page.count("<b>filter ") == 6
    assert "{conv = 1, weights = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]}" in page


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["--kernel", "sobbel"], 2, "--kernel 'sobbel' is no kernel that has a name. Did you mean 'sobel'?"),
    (["--kernel", "1 2; 3"], 2, "--kernel '1 2; 3' is not rectangular: its rows have 2 and 1 values"),
    (["--kernel", "1 x; 3 4"], 2, "'x' is no number"),
    (["--kernel", "1 1; 1 1", "--padding", "same"], 2, "--padding same needs a kernel with a middle"),
    (["--kernel", "sobel", "--dilation", "8", "--size", "16"], 2,
     "a drawn picture has 16 x 16 pixels, and the kernel spans 17 x 17: take a larger picture"),
    (["small.png"], 2, "small.png has 2 x 5 pixels, and the kernel spans 3 x 3"),
    (["text.png"], 3, "text.png is not a picture in a format that Pillow reads: name another picture"),
    (["none.png"], 3, "none.png does not exist: name another picture"),
    (["--size", "1000"], 2, "--size 1000: accepted are numbers from 16 to 160 pixels"),
    (["--run", "none"], 4, "there is no run folder none"),
    (["--out", "."], 2, "holds what lensmith did not write"),
])
def test_what_cannot_be_used_is_one_line(command, tmp_path: Path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (5, 2)).save("small.png")
    Path("text.png").write_text("no picture at all")
    before = sorted(tmp_path.iterdir())
    ended = command("lesson", "convolution", *arguments, "--no-train")
    assert ended.code == code and message in ended.err, ended.err
    assert ended.err.startswith("lensmith: ") and ended.err.count("\n") == 1 and ended.out == ""
    assert sorted(tmp_path.iterdir()) == before    # nothing was begun
