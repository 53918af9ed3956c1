"""Which pictures a probe learns from and which it is asked about: folds, stratified, with like pictures together."""

import numpy as np

from lensmith.base.hashed_random import hashed

FOLDS = 5
_STREAM = 5    # of the order in which pictures are dealt out


def deal(strata: np.ndarray, *, alike: np.ndarray | None = None, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """int64 [n]: the fold of each picture. Pictures are dealt out in turn, stratum by stratum.

    strata: int64 [n], as the class of each.
    alike: int64 [n]: pictures of the same number, as near duplicates, are in one fold: a probe that has seen one knows
        the label of the other. None: no two are alike.
    folds: how many.
    seed: the order within a stratum follows from it.
    """
    alike = np.arange(len(strata)) if alike is None else alike
    _, first, member = np.unique(alike, return_index=True, return_inverse=True)
    order = np.argsort(hashed(seed, _STREAM, np.arange(len(first))), kind="stable")
    order = order[np.argsort(strata[first][order], kind="stable")]
    of_group = np.empty(len(first), dtype=np.int64)
    of_group[order] = np.arange(len(first)) % folds
    return of_group[member.reshape(-1)]
