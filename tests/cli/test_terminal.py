"""What the command line shows of a data set."""

from pathlib import Path

import numpy as np
from PIL import Image


def test_boxes_are_counted_in_words(tmp_path: Path, command):
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for i in range(10):
        Image.fromarray(np.full((200, 200, 3), 20 * i, np.uint8)).save(folder / "images" / f"{i}.png")
        (folder / "labels" / f"{i}.txt").write_text("0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.2 0.9\n" * (i > 0))
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: images\nnames: [cat, dog]\n")
    ended = command("data", "show", folder, "split.valid=0", "split.test=0")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert "boxes: cat, dog" in lines
    assert [line.split() for line in lines[lines.index("class  boxes"):][:3]] == [["class", "boxes"], ["cat", "9"],
                                                                                ["dog", "9"]]
    assert "train: 18 boxes in 10 pictures (1 without any), 0 crowds; 9 small, 9 medium, 0 large (below 32 and from " \
        "96 pixels squared, as COCO divides them)" in lines
