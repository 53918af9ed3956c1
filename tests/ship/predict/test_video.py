"""Films and cameras: each frame gets its own answer, the film written is whole, and what cannot be read is told."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lensmith.base.errors import DataError, UserError
from lensmith.base.pictures import Form
from lensmith.engine.plan.plan import make_plan
from lensmith.engine.run_folder import Run
from lensmith.models.backbones.lenet import lenet
from lensmith.models.network import Network
from lensmith.ship.predict import video
from lensmith.ship.predict.prediction import Prediction
from lensmith.ship.predict.video import Frame, pictures_and_films, watch
from lensmith.tasks.classification import Classification
from lensmith.training.trained import Trained
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label

cv2: Any = pytest.importorskip("cv2")
video.load_opencv()    # before any film is touched: FFmpeg asks once how much it is to say
NAMES = ("square", "bar")
SIZE = (96, 64)    # width, height
SIDE = 20


def place(number: int) -> tuple[int, int]:
    return 4 + 2 * number, 30


def film(path: Path, *, frames: int = 20, rate: float = 10, size: tuple[int, int] = SIZE, kind: str = "mp4v") -> Path:
    """A light square that goes to the right by two pixels a frame, on dark ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*kind), rate, size)
    for number in range(frames):
        pixels = np.full((size[1], size[0], 3), 30, np.uint8)
        x, y = place(number)
        pixels[y : y + SIDE, x : x + SIDE] = 220
        writer.write(pixels)
    writer.release()
    return path


def read(path: Path) -> tuple[list[np.ndarray], float]:
    """The frames of a film, red green blue, and its rate."""
    capture = cv2.VideoCapture(str(path))
    rate, found = capture.get(cv2.CAP_PROP_FPS), []
    while (frame := capture.read())[0]:
        found.append(frame[1][:, :, ::-1])
    return found, rate


def square(pixels: np.ndarray) -> list[float]:
    """x0 y0 x1 y1 of what is light."""
    rows, columns = (pixels.mean(2) > 125).nonzero()
    return [float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)]


class Finder:
    """Finds the light square, as a network would; keeps how many frames it was given at a time."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, pictures: Sequence[Image.Image]) -> list[Prediction]:
        self.batches.append(len(pictures))
        return [Prediction(f"picture {i}", {"boxes": Boxes(torch.tensor([square(np.asarray(one))]), torch.tensor([0]),
                                                           torch.tensor([0.9]))}, {"boxes": NAMES},
                           from_memory=True, size=(one.height, one.width)) for i, one in enumerate(pictures)]


def label(pictures: Sequence[Image.Image]) -> list[Prediction]:
    said = Label(torch.tensor(1), torch.tensor([0.25, 0.75]))
    return [Prediction("picture", {"label": said}, {"label": NAMES}, from_memory=True) for _ in pictures]


def corners(frame: Frame) -> list[float]:
    assert frame.said.boxes is not None
    found: list[float] = frame.said.boxes.corners[0].tolist()
    return found


def test_each_frame_gets_its_own_answer_with_its_time(tmp_path: Path) -> None:
    path, find = film(tmp_path / "a.mp4"), Finder()
    found = list(watch([str(path)], find))
    assert [frame.number for frame in found] == list(range(20))
    assert [frame.seconds for frame in found] == pytest.approx([i / 10 for i in range(20)])
    for frame in found:
        x, y = place(frame.number)
        assert corners(frame) == pytest.approx([x, y, x + SIDE, y + SIDE], abs=1.5)
        assert frame.picture is not None and frame.picture.size == SIZE
    assert [frame.number for frame in found if frame.begins] == [0, 10]
    assert found[13].text() == f"{path} 0:01: square 90.0 %"
    assert found[13].as_json() | {"boxes": []} == {"file": str(path), "frame": 13, "seconds": 1.3, "boxes": []}
    assert find.batches == [16, 4]


def test_the_film_written_has_the_size_rate_and_boxes_of_its_source(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    path = film(tmp_path / "a b.avi", kind="MJPG", rate=12.5)
    found = list(watch([str(path)], Finder(), out=out))
    assert sorted(one.name for one in out.glob("[!.]*")) == ["00000-a b.mp4", "frames.jsonl"]
    lines = [json.loads(line) for line in (out / "frames.jsonl").read_text().splitlines()]
    assert lines == [frame.as_json(3) for frame in found] and len(lines) == 20
    frames, rate = read(out / "00000-a b.mp4")
    assert len(frames) == 20 and rate == 12.5 and frames[0].shape == (64, 96, 3)
    for number in (0, 7, 19):
        x0, y0, x1, y1 = (round(edge) for edge in corners(found[number]))
        frame, inner = frames[number].astype(int), frames[number][y0 + 5 : y1 - 5, x0 + 5 : x1 - 5]
        assert inner.min() > 180
        edge = frame[y0 + 4 : y1 - 4, x0]    # orange, softened by the film's coding
        assert (edge[:, 0] - edge[:, 2] > 40).mean() > 0.8


def test_frames_that_are_passed_over_keep_what_was_found_last(tmp_path: Path) -> None:
    path, out = film(tmp_path / "a.mp4", frames=40), tmp_path / "out"
    find = Finder()
    found = list(watch([str(path)], find, every=15, out=out))
    assert [frame.number for frame in found] == [0, 15, 30]
    assert sum(find.batches) == 3
    assert [json.loads(line)["frame"] for line in (out / "frames.jsonl").read_text().splitlines()] == [0, 15, 30]
    frames, _ = read(out / "00000-a.mp4")
    assert len(frames) == 40
    x, y = place(0)
    for number, there in ((14, True), (15, False)):
        edge = frames[number][y + 4 : y + SIDE - 4, x].astype(int)
        assert ((edge[:, 0] - edge[:, 2] > 40).mean() > 0.8) == there
    assert [(frame.number, corners(frame)) for frame in watch([str(path)], Finder(), every=15)] == \
        [(frame.number, corners(frame)) for frame in found]    # without a film to write they are not decoded


def test_few_frames_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_HELD", 3 * 3 * SIZE[0] * SIZE[1])
    find = Finder()
    watching = watch([str(film(tmp_path / "a.mp4"))], find)
    next(watching)
    assert find.batches == [3]
    watching.close()
    assert find.batches == [3]


def test_labels_are_written_into_the_picture(tmp_path: Path) -> None:
    found = list(watch([str(film(tmp_path / "a.mp4", size=(320, 240), frames=3))], label, out=tmp_path / "out"))
    assert found[0].text() == f"{tmp_path}/a.mp4 0:00: bar 75.0 %, square 25.0 %"
    frames, _ = read(tmp_path / "out" / "00000-a.mp4")
    assert frames[0].shape == (240, 320, 3) and frames[0][:12, :90].max() > 150
    with pytest.raises(UserError, match=r"holds what lensmith did not write \(a.mp4, out\).* watch.out, a new or"):
        list(watch([str(tmp_path / "a.mp4")], label, out=tmp_path))


def test_several_films_share_one_file_of_lines(tmp_path: Path) -> None:
    paths = [str(film(tmp_path / place / "a.mp4", frames=number)) for place, number in (("one", 3), ("two", 2))]
    list(watch(paths, Finder(), out=tmp_path / "out"))
    lines = [json.loads(line) for line in (tmp_path / "out" / "frames.jsonl").read_text().splitlines()]
    assert [(line["file"], line["frame"]) for line in lines] == \
        [(paths[0], 0), (paths[0], 1), (paths[0], 2), (paths[1], 0), (paths[1], 1)]
    assert [len(read(tmp_path / "out" / f"0000{i}-a.mp4")[0]) for i in (0, 1)] == [3, 2]


@pytest.mark.parametrize(("kind", "text"), [
    ("text", "cannot be opened: it is damaged, or no film that OpenCV reads"),
    ("empty", "is empty (0 bytes)"), ("cut", "cannot be opened: it is damaged, or no film that OpenCV reads"),
    ("without frames", "cannot be opened: it is damaged, or no film that OpenCV reads"),
    ("link", "does not exist"), ("folder", "is not a file"), ("pipe", "is not a file")])
def test_what_is_no_film_is_told_and_the_next_one_read(tmp_path: Path, kind: str, text: str) -> None:
    path = tmp_path / "bad.mp4"
    if kind == "text":
        path.write_text("no film " * 100)
    elif kind == "empty":
        path.touch()
    elif kind == "cut":
        whole = film(path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "without frames":
        film(path, frames=0)
    elif kind == "link":
        path.symlink_to(tmp_path / "nowhere.mp4")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    bad, *rest = watch([str(path), str(film(tmp_path / "good.mp4", frames=2))], Finder())
    assert bad.said.error == text and bad.picture is None
    assert [frame.number for frame in rest] == [0, 1]


def test_a_film_that_ends_early_is_told_after_what_it_gives(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = film(tmp_path / "cut.avi", kind="MJPG", frames=40)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    *found, last = watch([str(path)], Finder(), out=tmp_path / "out")
    assert 0 < len(found) < 30 and last.number == len(found)
    assert last.said.error == f"is damaged: it ends after {len(found)} of the 40 frames that it declares"
    assert len(read(tmp_path / "out" / "00000-cut.mp4")[0]) == len(found)
    assert json.loads((tmp_path / "out" / "frames.jsonl").read_text().splitlines()[-1])["error"] == last.said.error
    assert capfd.readouterr().err == ""    # FFmpeg says nothing of its own


class Camera:
    """Stands in for OpenCV's capture: `frames` frames, a third of a second apart; then Ctrl-C, or no more."""

    clock = 0.0

    def __init__(self, frames: int, *, pulled: bool = False) -> None:
        self.frames, self.pulled, self.given, self.released = frames, pulled, 0, False

    def isOpened(self) -> bool:    # noqa: N802
        return self.frames > 0

    def get(self, what: int) -> float:
        return 9.0 if what == cv2.CAP_PROP_FPS else -1.0

    def grab(self) -> bool:
        Camera.clock += 1 / 3
        if self.given == self.frames and not self.pulled:
            raise KeyboardInterrupt
        self.given += 1
        return self.given <= self.frames

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((64, 96, 3), 200, np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> dict[int, Camera]:
    """The cameras there are, by number."""
    cameras: dict[int, Camera] = {}
    real = cv2.VideoCapture

    def capture(source: Any = None, *more: Any) -> Any:
        if isinstance(source, int):
            return cameras.get(source, Camera(0))
        return real() if source is None else real(source, *more)

    monkeypatch.setattr(cv2, "VideoCapture", capture)
    monkeypatch.setattr(video.time, "monotonic", lambda: Camera.clock)
    return cameras


@pytest.mark.parametrize("pulled", [False, True])
def test_a_camera_goes_on_until_it_is_stopped_and_its_film_keeps_the_time(
        tmp_path: Path, plugged: dict[int, Camera], pulled: bool) -> None:
    plugged[0] = Camera(4, pulled=pulled)
    find = Finder()
    found = list(watch(["camera:0"], find, out=tmp_path))
    assert [frame.number for frame in found] == [0, 1, 2, 3] and plugged[0].released
    assert [frame.seconds for frame in found] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [frame.begins for frame in found] == [True, False, False, True]
    assert find.batches == [1] * 4    # none waits for the next
    assert found[3].text() == "camera:0 0:01: square 90.0 %"
    frames, rate = read(tmp_path / "00000-camera-0.mp4")
    assert rate == 9 and len(frames) == 10
    assert len((tmp_path / "frames.jsonl").read_text().splitlines()) == 4
    assert len(list(tmp_path.glob("[!.]*"))) == 2


def test_a_film_that_is_interrupted_is_left_whole(tmp_path: Path) -> None:
    path, out = film(tmp_path / "a.mp4", frames=40), tmp_path / "out"
    find = Finder()

    def interrupted(pictures: Sequence[Image.Image]) -> list[Prediction]:
        if find.batches:
            raise KeyboardInterrupt
        return find(pictures)

    with pytest.raises(KeyboardInterrupt):
        list(watch([str(path)], interrupted, out=out))
    assert len(read(out / "00000-a.mp4")[0]) == len((out / "frames.jsonl").read_text().splitlines()) == 16
    assert len(list(out.glob("[!.]*"))) == 2


def test_a_camera_that_is_not_there_is_told(plugged: dict[int, Camera]) -> None:
    (only,) = watch(["camera:3"], Finder())
    assert only.said.file == "camera:3"
    assert only.said.error == "cannot be opened: is it there, and does no other program use it?"
    plugged[1] = Camera(1, pulled=True)
    plugged[1].given = 1
    (only,) = watch(["camera:1"], Finder())
    assert only.said.error == "gives no picture"


@pytest.mark.parametrize("name", ["camera:", "camera:front", "camera:-1", "camera:0.5"])
def test_a_camera_has_a_number(name: str) -> None:
    with pytest.raises(DataError, match=f"'{name}' is no camera: accepted are camera:0, camera:1, ..."):
        pictures_and_films([name])


def test_sources_are_divided_into_pictures_films_and_cameras(tmp_path: Path) -> None:
    for name in ("a.png", "b.MP4", "in/c.jpg", "in/d.mp4", "notes.txt", "only/e.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    pictures, films = pictures_and_films(["camera:1", tmp_path / "in", f"{tmp_path}/*.[pMt]*"])
    assert [one.name for one in pictures] == ["c.jpg", "a.png", "notes.txt"]    # a film in a folder is passed over
    assert [Path(one).name for one in films] == ["b.MP4", "camera:1"]
    with pytest.raises(DataError, match="the folder .*only holds no picture"):
        pictures_and_films([tmp_path / "only"])
    with pytest.raises(DataError, match="there is no file or folder '.*b.mp4'. Did you mean 'b.MP4'?"):
        pictures_and_films([tmp_path / "b.mp4"])


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match="taken is a file, and results go into a folder: choose another .* watch.out"):
        list(watch([str(film(tmp_path / "a.mp4", frames=2))], Finder(), out=tmp_path / "taken"))
    with pytest.raises(UserError, match=r"watch.every=0 is not possible: accepted are 1 \(each frame\)"):
        list(watch([], Finder(), every=0))


def test_a_film_that_was_not_written_whole_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, path = cv2.VideoWriter, film(tmp_path / "a.mp4", frames=4)

    class Full:    # OpenCV says nothing where the disk is full
        def __init__(self, *given: Any) -> None:
            self.writer, self.left = real(*given), 2
            self.isOpened, self.release = self.writer.isOpened, self.writer.release

        def write(self, pixels: np.ndarray) -> None:
            self.left -= 1
            if self.left >= 0:
                self.writer.write(pixels)

    monkeypatch.setattr(cv2, "VideoWriter", Full)
    with pytest.raises(UserError, match=r"the film 00000-a.mp4 could not be written whole; is the disk full\?"):
        list(watch([str(path)], Finder(), out=tmp_path / "out"))
    assert [one.name for one in (tmp_path / "out").glob("[!.]*")] == ["frames.jsonl"]


def test_without_opencv_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DataError, match=r'which is not here: pip install "lensmith\[video\]"'):
        list(watch(["camera:0"], Finder()))


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """A network on labels, which every run folder gives."""
    torch.manual_seed(0)
    form = Form(3, 32, 32)
    backbone = lenet(inputs=3, size=form.size)
    network: nn.Module = Network(backbone, backbone.classifier(2), mean=[120.0] * 3, deviation=[60.0] * 3).eval()
    own = Trained(Run(tmp_path / "run"), {}, network, Classification(NAMES), {"label": NAMES}, form,
                  plan=make_plan(device="cpu", threads=1))
    monkeypatch.setattr("lensmith.training.from_file.load", lambda *_, **__: own)
    return own


def test_the_command_tells_a_line_a_second_and_writes_all(trained: Trained, tmp_path: Path, command: Any) -> None:
    path, out = film(tmp_path / "a.mp4", frames=25), tmp_path / "out"
    (tmp_path / "text.mp4").write_text("no film")
    Image.new("RGB", SIZE).save(tmp_path / "b.png")
    ended = command("predict", "run", path, tmp_path / "b.png", "--out", out)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert [line[: line.rindex(":")] for line in lines] == [f"{tmp_path}/b.png", *(f"{path} 0:0{i}" for i in range(3))]
    assert {"00000-a.mp4", "00000-b.png", "frames.jsonl", "predictions.json"} <= {one.name for one in out.iterdir()}
    assert len((out / "frames.jsonl").read_text().splitlines()) == 25
    ended = command("predict", "run", path, tmp_path / "text.mp4", "--every", 5, "--json")
    assert ended.code == 3
    assert ended.err == f"lensmith: {tmp_path}/text.mp4 cannot be opened: it is damaged, or no film that OpenCV reads\n"
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["frame"] for row in rows] == [0, 5, 10, 15, 20]
    ended = command("predict", "run", tmp_path / "b.png", "--every", 5)
    assert ended.code == 2 and ended.err == "lensmith: --every=5 is for films and cameras, and none is named\n"
    alone = trained.predict([Image.fromarray(np.ascontiguousarray(read(path)[0][5]))])[0].as_json(3)
    assert rows[1]["label"] == alone["label"] and rows[1]["scores"] == pytest.approx(alone["scores"], abs=1e-5)


def test_python_users_watch_films_alone(trained: Trained, tmp_path: Path) -> None:
    found = list(trained.watch(film(tmp_path / "a.mp4", frames=3), every=2))
    assert [frame.number for frame in found] == [0, 2] and found[0].said.label in NAMES
    Image.new("RGB", SIZE).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b.png is no film: accepted are .mp4, .*camera:0; pictures go to predict"):
        trained.watch([tmp_path / "b.png"])
    with pytest.raises(UserError, match="predict.threshold=0.5 is for networks that find objects; .* gives label"):
        trained.watch(tmp_path / "a.mp4", threshold=0.5)
