"""Folds: stratified, with like pictures together."""

import numpy as np

from lensmith.study.check.labels.folds import deal


def test_every_fold_has_its_fraction_of_every_class():
    strata = np.repeat([0, 1, 2], [50, 25, 12])
    folds = deal(strata, folds=5, seed=3)
    counts = np.array([np.bincount(strata[folds == fold], minlength=3) for fold in range(5)])
    assert (counts.max(0) - counts.min(0) <= 1).all()
    assert not np.array_equal(folds, deal(strata, folds=5, seed=4))
    assert np.array_equal(folds, deal(strata, folds=5, seed=3))


def test_like_pictures_are_in_one_fold():
    alike = np.arange(100) // 2
    folds = deal(np.arange(100) % 4, alike=alike)
    assert (folds[::2] == folds[1::2]).all()
    assert set(np.bincount(folds, minlength=5)) == {20}
