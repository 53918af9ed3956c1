"""Loading: the same batches, to the bit, kept or streamed, for any number of workers, from any position."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lensmith.base.errors import DataError, UserError
from lensmith.base.pictures import Form
from lensmith.data.augment import Augment
from lensmith.data.folders import class_folders
from lensmith.data.loading import Loader, balancing_weights, limited
from lensmith.data.memory import InMemory
from lensmith.data.sample import Batch
from lensmith.data.store import decode_all

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
    kept, bad = decode_all(files, FORM, keep=True)
    streamed, _ = decode_all(files, FORM, keep=False)
    assert isinstance(kept, InMemory) and not isinstance(streamed, InMemory) and not bad
    make = [Loader(dataset, 8, seed=7, shuffle=True, augment=augment(len(kept), **settings), workers=workers)
            for dataset, workers in ((kept, 0), (streamed, 0), (streamed, 1), (streamed, 3))]
    found = [list(loader.at(2, 0)) for loader in make]
    assert all(same(found[0], other) for other in found[1:])
    assert not same(found[0], list(make[0].at(3, 0)))


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
    files, _ = decode_all(class_folders(str(photos)).splits["all"], FORM, keep=False)
    lost = files.paths[4]
    lost.write_bytes(lost.read_bytes()[:200])
    for settings in ({}, {"mixup": 1.0}):
        loader = Loader(files, 8, workers=1, augment=augment(len(files), **settings))
        batches = list(loader)
        assert sum(len(batch) for batch in batches) == len(files) - 1
        assert 4 not in torch.cat([batch.indices for batch in batches]).tolist()
        assert list(loader.dropped) == [files.place(4).file] and "truncated" in loader.dropped[files.place(4).file]


def test_a_batch_of_nothing_but_lost_pictures_ends_the_run(photos: Path):
    files, _ = decode_all(class_folders(str(photos)).splits["all"], FORM, keep=False)
    for path in files.paths:
        path.unlink()
    with pytest.raises(DataError, match="every picture of a batch became unreadable, .* does not exist"):
        list(Loader(files, 8))


def test_bad_pictures_are_found_when_decoding_whether_kept_or_not(photos: Path):
    files = class_folders(str(photos)).splits["all"]
    files.paths[2].write_bytes(files.paths[2].read_bytes()[:60] + b'?' * 40)
    for keep in (True, False):
        _, bad = decode_all(files, FORM, keep=keep)
        assert [one.file for one in bad] == [files.place(2).file]
        assert "truncated" in bad[0].reason or "decoded" in bad[0].reason


def test_limited_takes_a_seeded_share(drawn: dict[str, InMemory]):
    train = drawn["train"]
    few = limited(train, 0.25, 3)
    assert len(few) == round(len(train) / 4) and torch.equal(few.images, limited(train, 0.25, 3).images)
    assert limited(train, 1.0, 3) is train
    with pytest.raises(UserError, match=r"loading.fraction must lie above 0 and at most 1; got 0"):
        limited(train, 0, 3)


@pytest.mark.parametrize(("settings", "text"), [({"batch": 0}, "loading.batch must be at least 1; got 0"),
                                                ({"batch": 4, "workers": -1}, "loading.workers must be 0 or more")])
def test_wrong_settings_are_refused(drawn: dict[str, InMemory], settings, text):
    with pytest.raises(UserError, match=text):
        Loader(drawn["train"], **settings)


def test_balancing_needs_labels(drawn: dict[str, InMemory]):
    from copy import copy

    unlabelled = copy(drawn["train"])
    unlabelled.targets = {"mask": unlabelled.targets["mask"]}
    with pytest.raises(UserError, match="loading.balance needs a label per picture; the data set gives mask"):
        balancing_weights(unlabelled)
