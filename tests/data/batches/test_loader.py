"""Loading: the same batches, to the bit, kept or streamed, for any number of workers, from any position."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from lensmith.base.errors import DataError, UserError
from lensmith.base.picture_headers import read_header
from lensmith.base.pictures import Form
from lensmith.data.batches import prefetch
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.loader import Loader
from lensmith.data.batches.prefetch import Prefetch
from lensmith.data.formats.class_folders import class_folders
from lensmith.data.sources.fitting import fit_source
from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.sample import Batch
from lensmith.data.sources.subsets import (
    balancing_weights,
    by_rarest_object,
    limited,
    narrowed,
    without_background,
)
from lensmith.data.store.at_once import decode_all
from lensmith.data.store.file_hashes import contents_of
from lensmith.data.store.keep import keep_filling
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label

FORM = Form(3, 20, 20)


def augment(length: int, **settings) -> Augment:
    return Augment(crop_padding=2, flip=True, hue=0.1, seed=3, classes={"label": ("a", "b", "c")}, length=length,
                   **settings)


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.images, b.images) and torch.equal(a.indices, b.indices)
        and torch.equal(a.targets["label"].index, b.targets["label"].index)
        and [p.file for p in a.places] == [p.file for p in b.places] for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("settings", [{}, {"mixup": 0.4, "cutmix": 1.0}])
def test_kept_and_streamed_give_the_same_batches_for_any_number_of_workers(photos: Path, settings):
    files = class_folders(str(photos)).splits["all"]
    kept, streamed = (decode_all(files, FORM, keep=keep).source for keep in (True, False))
    assert isinstance(kept, InMemory) and isinstance(streamed, Files)
    make = [Loader(dataset, 8, seed=7, shuffle=True, augment=augment(len(kept), **settings), workers=workers)
            for dataset, workers in ((kept, 0), (streamed, 0), (streamed, 1), (streamed, 3))]
    found = [list(loader.at(2, 0)) for loader in make]
    assert all(same(found[0], other) for other in found[1:])
    assert not same(found[0], list(make[0].at(3, 0)))


def test_mosaics_are_the_same_kept_filled_or_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    paths, image, draw = [], [], np.random.default_rng(0)
    for number in range(14):
        height, width = draw.integers(20, 70, 2)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(paths[-1])
        image += [number] * (number % 3)    # some show no object
    begin = torch.from_numpy(draw.uniform(0, 10, (len(image), 2))).float()
    boxes = Boxes(torch.cat((begin, begin + 9), 1), torch.tensor(image) % 2, image=torch.tensor(image),
                  crowd=torch.tensor(image) % 5 == 0, area=begin.sum(1))
    form = Form(3, 32, 32, "pad")
    files = fit_source(Files(paths, {"boxes": boxes}, {"boxes": ("a", "b")}, root=tmp_path),
                   [read_header(path) for path in paths], form)
    paths[5].write_bytes(paths[5].read_bytes()[:200])    # its header can still be read
    streamed = files.shaped(form)
    filled = [keep_filling({"train": files}, {"train": contents_of(paths, root=tmp_path)}, form, memory=memory, disk=1)
              for memory in (1.0, 0.0, 0.0)]    # in memory, into the cache, out of the cache
    sources = [(streamed, 0), (streamed, 2), *((one.sources["train"], 0) for one in filled if one is not None)]
    found = []
    for source, workers in sources:
        augment = Augment(mosaic=0.7, mixup=0.5, mixed=0.6, zoom=[0.5, 1.5], flip=True, saturation=0.5, hue=0.1, seed=5,
                          classes=source.classes, length=14, epochs=3, close_mosaic=1)
        loader = Loader(source, 5, seed=2, shuffle=True, augment=augment, workers=workers)
        found.append([*loader.at(1, 0), *loader.at(1, 2), *loader.at(2, 0)])
    assert len(found) == 5 and sum(len(batch) for batch in found[0]) == 2 * 13 + len(found[0][3])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a.images, b.images) and torch.equal(a.indices, b.indices)
            for name, tensor in vars(a.targets["boxes"]).items():
                assert tensor is None or torch.equal(tensor, getattr(b.targets["boxes"], name)), name
    assert torch.equal(found[0][2].images, found[0][3].images)    # begun in the middle


def test_beginning_in_the_middle_gives_the_rest(drawn: dict[str, InMemory]):
    loader = Loader(drawn["train"], 16, seed=1, shuffle=True, augment=augment(len(drawn["train"])))
    whole = list(loader.at(5, 0))
    for position in (0, 1, 7, len(loader)):
        assert same(whole[position:], list(loader.at(5, position)))


def test_each_epoch_shows_each_sample_once_in_another_order(drawn: dict[str, InMemory]):
    loader = Loader(drawn["train"], 10, seed=1, shuffle=True)
    first = torch.cat([batch.indices for batch in loader.at(0, 0)])
    second = torch.cat([batch.indices for batch in loader.at(1, 0)])
    assert first.sort().values.tolist() == list(range(len(drawn["train"]))) == second.sort().values.tolist()
    assert not torch.equal(first, second)
    assert len(list(loader)) == len(loader)


def test_a_training_batch_of_one_is_left_out_but_a_measured_one_is_not(drawn: dict[str, InMemory]):
    part = drawn["train"].subset(range(21))
    training, measuring = Loader(part, 10, shuffle=True), Loader(part, 10)
    assert [len(batch) for batch in training] == [10, 10] and len(training) == 2
    assert [len(batch) for batch in measuring] == [10, 10, 1] and len(measuring) == 3
    assert [len(batch) for batch in Loader(part.subset([0]), 10, shuffle=True)] == [1]


def test_balanced_sampling_draws_every_class_as_often(drawn: dict[str, InMemory]):
    index: Tensor = drawn["train"].targets["label"].index
    first = (index == 0).nonzero()[:, 0][:5].tolist()
    rest = (index != 0).nonzero()[:, 0].tolist()
    uneven = drawn["train"].subset(first + rest)
    loader = Loader(uneven, 10, seed=2, shuffle=True, weights=balancing_weights(uneven))
    counts = torch.zeros(3)
    for epoch in range(20):
        for batch in loader.at(epoch, 0):
            counts += torch.bincount(batch.targets["label"].index, minlength=3)
    assert ((counts / counts.sum() - 1 / 3).abs() < 0.05).all()


def test_a_picture_lost_while_training_is_left_out_and_named(photos: Path):
    files = class_folders(str(photos)).splits["all"].shaped(FORM)
    lost = files.paths[4]
    lost.write_bytes(lost.read_bytes()[:200])
    for settings in ({}, {"mixup": 1.0}):
        loader = Loader(files, 8, workers=1, augment=augment(len(files), **settings))
        batches = list(loader)
        assert sum(len(batch) for batch in batches) == len(files) - 1
        assert 4 not in torch.cat([batch.indices for batch in batches]).tolist()
        assert list(loader.dropped) == [files.place(4).file] and "truncated" in loader.dropped[files.place(4).file]


def test_a_batch_of_nothing_but_lost_pictures_ends_the_run(photos: Path):
    files = class_folders(str(photos)).splits["all"].shaped(FORM)
    for path in files.paths:
        path.unlink()
    with pytest.raises(DataError, match="every picture of a batch became unreadable, .* does not exist"):
        list(Loader(files, 8))


def test_bad_pictures_are_found_when_decoding_whether_kept_or_not(photos: Path):
    files = class_folders(str(photos)).splits["all"]
    files.paths[2].write_bytes(files.paths[2].read_bytes()[:60] + b'?' * 40)
    for keep in (True, False):
        bad = decode_all(files, FORM, keep=keep).bad
        assert [one.file for one in bad] == [files.place(2).file]
        assert "truncated" in bad[0].reason or "decoded" in bad[0].reason


def test_limited_takes_a_seeded_share(drawn: dict[str, InMemory]):
    train = drawn["train"]
    few = limited(train, 0.25, 3)
    assert len(few) == round(len(train) / 4) and torch.equal(few.images, limited(train, 0.25, 3).images)
    assert limited(train, 1.0, 3) is train
    with pytest.raises(UserError, match=r"loading.fraction must lie above 0 and at most 1; got 0"):
        limited(train, 0, 3)


def test_limited_takes_of_every_class_its_share_and_at_least_one():
    few = limited(labelled([0] * 100 + [1] * 40 + [2]), 0.1, 0)
    assert torch.bincount(few.targets["label"].index).tolist() == [10, 4, 1]
    assert torch.bincount(limited(labelled([0] * 100 + [1]), 0.001, 0).targets["label"].index).tolist() == [1, 1]


def test_pictures_without_an_object_are_at_most_a_share():
    boxes = Boxes(torch.ones(5, 4), torch.zeros(5).long(), image=torch.tensor([1, 1, 4, 8, 19]))
    whole = InMemory(torch.zeros(20, 1, 2, 2, dtype=torch.uint8), {"boxes": boxes}, {"boxes": ("a",)},
                     places=Numbered("x", (2, 2), np.arange(20)))
    assert without_background(whole, 1.0, 0) is whole and without_background(whole, 0.8, 0) is whole
    for most, count in ((0.0, 4), (0.1, 4), (0.2, 5), (0.5, 8), (0.75, 16)):
        left = without_background(whole, most, 0)
        assert len(left) == count
        rows = left.places.rows.tolist()
        assert rows == sorted(set(rows)) and {1, 4, 8, 19} <= set(rows)
        assert [rows[row] for row in left.targets["boxes"].image.tolist()] == [1, 1, 4, 8, 19]
    chosen = [without_background(whole, 0.5, seed).places.rows.tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    with pytest.raises(UserError, match=r"loading.background must lie between 0 and 1; got 1.5"):
        without_background(whole, 1.5, 0)


def test_limited_leaves_at_least_two_pictures():
    unlabelled = labelled([0] * 30)
    unlabelled.targets = {}
    assert len(limited(unlabelled, 0.067, 0)) == 2
    with pytest.raises(UserError, match=r"loading\.fraction=0\.01 leaves 1 of 30 training pictures: to learn takes at "
                                        r"least two, a fraction of 0\.067$"):
        limited(unlabelled, 0.01, 0)


def labelled(labels: list[int]) -> InMemory:
    """A set whose picture i is all of value i % 256 but for some noise."""
    images = torch.arange(len(labels)).remainder(256).view(-1, 1, 1, 1).repeat(1, 1, 12, 12).to(torch.uint8)
    images[:, :, ::3, 1::2] ^= 0x55
    return InMemory(images, {"label": Label(torch.tensor(labels))}, {"label": ("a", "b", "c")},
                    places=Numbered("set", (12, 12), np.arange(len(labels))))


def balanced(data: Any, *, workers: int = 0, **settings) -> Loader:
    return Loader(data, 8, seed=5, shuffle=True, weights=balancing_weights(data), workers=workers,
                  augment=augment(len(data), **settings))


@pytest.mark.parametrize("settings", [{}, {"mixup": 0.4, "cutmix": 1.0}])
def test_balanced_sampling_gives_the_same_batches_kept_or_streamed_and_resumed(photos: Path, settings):
    files = class_folders(str(photos)).splits["all"]
    index = files.targets["label"].index
    rare = files.subset([*(index == 0).nonzero()[:2, 0].tolist(), *(index != 0).nonzero()[:, 0].tolist()])
    kept, streamed = (decode_all(rare, FORM, keep=keep).source for keep in (True, False))
    whole = list(balanced(kept, **settings).at(1, 0))
    assert len(torch.cat([batch.indices for batch in whole]).unique()) < len(rare)
    for data, workers in ((streamed, 0), (streamed, 2)):
        assert same(whole, list(balanced(data, workers=workers, **settings).at(1, 0)))
    for data in (kept, streamed):
        for position in (1, 3):
            assert same(whole[position:], list(balanced(data, **settings).at(1, position)))


def test_a_sample_drawn_again_in_an_epoch_is_augmented_anew_and_the_first_time_as_ever():
    data = labelled([0] * 3 + [1] * 60)
    batches = list(balanced(data).at(0, 0))
    rows = torch.cat([batch.indices for batch in batches]).tolist()
    images = torch.cat([batch.images for batch in batches])
    for row in range(3):
        drawn = [images[at] for at, one in enumerate(rows) if one == row]
        assert len(drawn) > 3 and len({image.numpy().tobytes() for image in drawn}) > len(drawn) / 2
        once = augment(len(data))(data.gather(torch.tensor([row])), 0).images[0]
        assert torch.equal(drawn[0], once)
    counted = torch.cat([batch.occurrences for batch in batches]).tolist()
    assert counted == [rows[:at].count(row) for at, row in enumerate(rows)]
    plain = Loader(data, 8, seed=5, shuffle=True)
    assert all(batch.occurrences is None for batch in plain)


def test_a_sample_drawn_again_in_an_epoch_has_another_partner_and_share():
    data = labelled([0] * 3 + [1] * 60)
    mixing = Augment(mixup=1.0, seed=3, classes={"label": ("a", "b", "c")}, length=len(data))
    rows = torch.zeros(20, dtype=torch.int64)
    again = mixing.partners(4, rows, torch.arange(20))
    assert torch.equal(again[0], mixing.partners(4, rows[:1])[0]) and len(again.unique()) > 10
    alone = Batch(data.images[rows], {"label": data.targets["label"].take(rows)}, (), rows, torch.arange(20))
    partner = Batch(data.images[rows + 9], {"label": data.targets["label"].take(rows + 9)}, (), rows + 9,
                    torch.arange(20))
    mixed = mixing(alone, 4, partner)
    assert len(mixed.targets["label"].scores[:, 0].unique()) > 10


@pytest.mark.parametrize("settings", [{}, {"mixup": 1.0}])
def test_a_lost_picture_takes_no_draw_of_another_with_it(photos: Path, settings):
    files = class_folders(str(photos)).splits["all"].shaped(FORM)
    files.paths[4].unlink()
    weights = torch.ones(len(files))
    weights[:6] = 20.0    # so that most are drawn many times
    loader = Loader(files, 8, seed=5, shuffle=True, weights=weights, augment=augment(len(files), **settings))
    wanted = [row for row in loader.order(0).tolist() if row != 4]
    batches = list(loader)
    assert torch.cat([batch.indices for batch in batches]).tolist() == wanted
    assert len(wanted) < len(files) and any(len(set(batch.indices.tolist())) < len(batch) for batch in batches)
    assert list(loader.dropped) == [files.name(4)]
    counted = torch.cat([batch.occurrences for batch in batches]).tolist()
    assert counted == [wanted[:at].count(row) for at, row in enumerate(wanted)]


@pytest.mark.parametrize("workers", [0, 1, 5])
@pytest.mark.parametrize(("count", "batch", "shuffle", "lengths"), [
    (3, 64, True, [3]), (3, 2, True, [2]), (3, 2, False, [2, 1]), (3, 1, True, [1, 1, 1]), (1, 8, True, [1])])
def test_tiny_sets_are_streamed_whole(photos: Path, workers: int, count: int, batch: int, shuffle: bool, lengths):
    files = class_folders(str(photos)).splits["all"].shaped(FORM).subset(range(count))
    loader = Loader(files, batch, shuffle=shuffle, workers=workers, augment=augment(count, mixup=0.5))
    found = list(loader)
    assert [len(one) for one in found] == lengths and len(loader) == len(lengths)
    assert len(set(torch.cat([one.indices for one in found]).tolist())) == sum(lengths)
    assert list(loader.at(0, len(lengths))) == []


def joined(parts: list[Batch]) -> Batch:
    """The parts of one batch, in the order of their ranks."""
    label: Any = [part.targets["label"] for part in parts]
    scores = None if label[0].scores is None else torch.cat([one.scores for one in label])
    return Batch(torch.cat([part.images for part in parts]), {"label": Label(torch.cat([one.index for one in label]),
                                                                             scores)},
                 [place for part in parts for place in part.places], torch.cat([part.indices for part in parts]))


@pytest.mark.parametrize("settings", [{}, {"mixup": 0.4, "cutmix": 1.0}])
@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize(("length", "parts", "batch"), [(60, 2, 8), (61, 2, 8), (50, 3, 4), (7, 2, 8), (24, 4, 3),
                                                         (66, 2, 8)])
def test_parts_joined_are_the_batches_of_one_process(settings, balance: bool, length: int, parts: int, batch: int):
    data = labelled([row % 5 // 2 for row in range(length)])
    kind = {"seed": 5, "shuffle": True, "weights": balancing_weights(data) if balance else None,
            "augment": augment(length, **settings)}
    one = Loader(data, batch * parts, **kind)
    loaders = [Loader(data, batch, **kind).for_process(rank, parts) for rank in range(parts)]
    for epoch in (0, 3):
        found = [list(loader.at(epoch, 0)) for loader in loaders]
        together = [joined(list(batches)) for batches in zip(*found, strict=True)]
        whole = list(one.at(epoch, 0))[: len(together)]
        assert same(together, whole)
        assert all(torch.equal(a.targets["label"].scores, b.targets["label"].scores)
                   for a, b in zip(together, whole, strict=True) if settings)
        assert {len(loader) for loader in loaders} == {len(together)} and length - sum(map(len, together)) < 2 * parts
        assert all(len(batch) >= 2 for batches in found for batch in batches)
        assert same(found[-1][1:], list(loaders[-1].at(epoch, 1)))


@pytest.mark.parametrize(("length", "batch", "lengths"), [
    (20, 5, [[5, 5], [5, 5]]), (21, 5, [[5, 5, 1], [5, 5]]), (1, 5, [[1], []]), (13, 5, [[5, 2], [5, 1]])])
def test_what_is_measured_is_shared_out_without_loss(length: int, batch: int, lengths: list[list[int]]):
    data = labelled([0] * length)
    loaders = [Loader(data, batch).for_process(rank, 2) for rank in range(2)]
    found = [list(loader) for loader in loaders]
    assert [[len(one) for one in batches] for batches in found] == lengths
    assert [len(loader) for loader in loaders] == [len(one) for one in lengths]
    assert sorted(torch.cat([one.indices for batches in found for one in batches]).tolist()) == list(range(length))


def test_fewer_pictures_than_processes_cannot_be_learned_from():
    with pytest.raises(UserError, match="3 training pictures cannot be shared out to 4 processes: take fewer"):
        Loader(labelled([0, 1, 2]), 8, shuffle=True).for_process(0, 4)
    loaders = [Loader(labelled([0, 1, 2]), 8).for_process(rank, 4) for rank in range(4)]
    assert [len(list(loader)) for loader in loaders] == [1, 1, 1, 0]


class KilledOnce:
    """Pictures whose reading kills the worker that does it; this process reads them."""

    def __init__(self, files: Files):
        self.files, self.targets, self.parent = files, files.targets, os.getpid()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Any:
        if row == 3 and os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.files[row]


def test_a_killed_worker_costs_no_bit_and_is_named(photos: Path):
    files = class_folders(str(photos)).splits["all"].shaped(FORM)
    make = {"seed": 5, "shuffle": True, "augment": augment(len(files), mixup=0.4)}
    loader = Loader(KilledOnce(files), 8, workers=2, **make)
    whole = Loader(files, 8, **make)
    with Prefetch(loader.at(0, 0)) as batches:
        assert same(list(batches), list(whole.at(0, 0)))
    assert len(loader.notes) == 1 and "was killed by SIGKILL" in loader.notes[0]
    assert same(list(loader.at(1, 0)), list(whole.at(1, 0)))
    assert len(loader.notes) == 1 and loader.workers == 0


def test_batches_come_to_the_device_and_are_augmented_there():
    data = labelled([0, 1] * 10)
    kind = {"shuffle": True, "augment": augment(20, mixup=0.4)}
    elsewhere = Loader(data, 8, **kind)
    elsewhere.device = "meta"
    for away, here in zip(elsewhere, Loader(data, 8, **kind), strict=True):
        label: Any = away.targets["label"]
        assert away.images.device.type == label.scores.device.type == label.index.device.type == "meta"
        assert away.images.shape == here.images.shape and torch.equal(away.indices, here.indices)


def test_prefetched_batches_are_the_batches(photos: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prefetch, "_LEAST", 0.0)    # a thread from the fourth batch on, however quick they are made
    monkeypatch.setattr(prefetch, "_FRACTION", 0.0)
    files = class_folders(str(photos)).splits["all"].shaped(FORM)
    for workers in (0, 2):
        loader = Loader(files, 4, seed=5, shuffle=True, workers=workers, augment=augment(len(files), mixup=0.4))
        with Prefetch(loader.at(0, 0)) as batches:
            found = [next(batches) for _ in range(6)]
            assert any(thread.name == "prefetch" for thread in threading.enumerate())
            found += list(batches)
        assert same(found, list(loader.at(0, 0)))


@pytest.mark.parametrize(("settings", "text"), [({"batch": 0}, "loading.batch must be at least 1; got 0"),
                                                ({"batch": 4, "workers": -1}, "loading.workers must be 0 or more")])
def test_wrong_settings_are_refused(drawn: dict[str, InMemory], settings, text):
    with pytest.raises(UserError, match=text):
        Loader(drawn["train"], **settings)


def test_balancing_needs_labels(drawn: dict[str, InMemory]):
    from copy import copy

    unlabelled = copy(drawn["train"])
    unlabelled.targets = {"mask": unlabelled.targets["mask"]}
    with pytest.raises(UserError, match="needs a label per picture, or objects; the data set gives mask"):
        balancing_weights(unlabelled)


def test_pictures_of_objects_are_drawn_by_their_rarest_one():
    # Pictures: 0-5 show class 0, 6 shows 0 and 1, 7 shows 2 and a crowd of 1, 8 and 9 nothing.
    image, classes = torch.tensor([0, 1, 2, 3, 4, 5, 6, 6, 7, 7]), torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 2, 1])
    crowd = torch.tensor([False] * 9 + [True])
    boxes = Boxes(torch.zeros(10, 4), classes, image=image, crowd=crowd)
    weights = by_rarest_object(boxes, 10)
    assert weights.tolist() == pytest.approx([8 / 3 / 6] * 6 + [8 / 3] * 2 + [1, 1])
    assert by_rarest_object(Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64),
                                  image=torch.zeros(0, dtype=torch.int64)), 3).tolist() == [1, 1, 1]


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=30))
def test_each_class_that_is_rarest_somewhere_is_drawn_equally_often(pictures):
    image = torch.tensor([row for row, objects in enumerate(pictures) for _ in objects], dtype=torch.int64)
    classes = torch.tensor([each for objects in pictures for each in objects], dtype=torch.int64)
    weights = by_rarest_object(Boxes(torch.zeros(len(classes), 4), classes, image=image), len(pictures)).tolist()
    shown = {each: sum(each in objects for objects in pictures) for each in range(5)}
    sums: dict[int | None, float] = {}
    for objects, weight in zip(pictures, weights, strict=True):
        rarest = min(sorted(set(objects)), key=lambda each: shown[each]) if objects else None
        sums[rarest] = sums.get(rarest, 0.0) + weight
    empty = sums.pop(None, 0.0)
    assert empty == sum(not objects for objects in pictures)
    assert max(sums.values(), default=1) == pytest.approx(min(sums.values(), default=1), rel=1e-4)
    assert sum(sums.values()) == pytest.approx(len(pictures) - empty, rel=1e-4)


def test_of_several_labels_one_is_balanced_and_limited_by_and_boxes_are_told_by_their_kind():
    breed, species = torch.tensor([0, 0, 0, 1, 2, -1]), torch.tensor([0, 0, 0, 0, 1, 1])
    boxes = Boxes(torch.tensor([[1.0, 1, 2, 2]]), torch.tensor([0]), image=torch.tensor([4]))
    source = labelled([0] * 6)
    source.targets = {"species": Label(species), "breed": Label(breed), "head": boxes}
    source.classes = {"species": ("cat", "dog"), "breed": ("a", "b", "c"), "head": ("head",)}
    assert balancing_weights(source).tolist() == pytest.approx([1 / 3] * 3 + [1, 1, 1])
    assert balancing_weights(source, ("head", "species")).tolist() == [1 / 4] * 4 + [1 / 2] * 2
    assert balancing_weights(source, ("head",)).tolist() == [1.0] * 6    # the rarest object of one picture, and none
    assert limited(source, 0.5, 0).targets["breed"].index.tolist().count(2) == 1
    assert without_background(source, 0.0, 0).targets["species"].index.tolist() == [1]
    narrow = narrowed(source, ("head", "breed"))
    assert set(narrow.targets) == {"head", "breed"} and set(source.targets) == {"species", "breed", "head"}
