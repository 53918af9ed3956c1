"""Dividing a data set into train, valid and test: stratified, by group or by fold, and the same for the same seed."""

import hashlib
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from lensmith.base.errors import DataError, UserError, count
from lensmith.base.hashed_random import hashed
from lensmith.data.sources.in_memory import InMemory, Numbered, Reshaped
from lensmith.data.sources.kinds import TARGETS
from lensmith.data.sources.kinds.label import stratifying
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.sample import Source
from lensmith.values import of_kind
from lensmith.values.labels import Label

Part = TypeVar("Part", Files, InMemory, Source)


def divide(splits: Mapping[str, Part], *, valid: float = 0.1, test: float = 0.1, seed: int = 0,
           by_group: bool | None = None, folds: int | None = None, fold: int | None = None) -> dict[str, Part]:
    """The parts "train" and, where there are any, "valid" and "test"; their rows keep the order of the set.

    Given parts stay as they are. `valid` is the share of "train" (or of a set without a split, "all") for choosing
    the best step, `test` the share of "all" for the final score; a share of 0 makes no such part. Each class keeps
    its share to within one sample, and one sample of each stays in train, of several labels those of `stratifying`;
    numbers are stratified by the quantiles of the first quantity, pictures with boxes by the rarest class among their
    objects. `by_group` keeps the samples of a group together: None, where the set has groups; False divides it as if it
    had none. With `folds`, the part number `fold` (from 0) of that many equal ones is "valid", whatever the share; what
    "all" gives to "test" is taken off before. Raises UserError for shares and folds that cannot be, DataError where the
    set is too small for them.
    """
    _check(splits, valid, test, folds=folds, fold=fold)
    whole = splits["train"] if "train" in splits else splits["all"]
    if by_group and whole.groups is None:
        raise UserError("the set has no groups to split by: give data.group for class folders (a regular expression "
                        "for the file names) or a column 'group' in a table")
    by_group = whole.groups is not None if by_group is None else by_group
    parts: dict[str, Part] = {}
    test = test if "all" in splits else 0.0
    if "valid" in splits:
        parts["train"], parts["valid"] = whole, splits["valid"]
    else:
        shares = (0.0 if folds is not None else valid, test)
        rows = _grouped_shares(whole, shares, seed) if by_group else _stratified_shares(whole, shares, seed)
        if folds is not None and fold is not None:
            rest = np.flatnonzero(rows == 0)
            rows[rest[_folds(whole, rest, seed, folds=folds, by_group=by_group) == fold]] = 1
        for number, name in enumerate(("train", "valid", "test")):
            chosen = np.flatnonzero(rows == number)
            if len(chosen):
                parts[name] = whole if len(chosen) == len(whole) else whole.subset(chosen.tolist())
    if "test" in splits:
        parts["test"] = splits["test"]
    return parts


def _check(splits: Mapping[str, Part], valid: float, test: float, *, folds: int | None, fold: int | None) -> None:
    assert set(splits) in ({"all"}, {"train"}) or ("train" in splits and set(splits) <= {"train", "valid", "test"})
    for name, share in (("valid", valid), ("test", test)):
        if not 0 <= share < 1:
            raise UserError(f"split.{name}={share} is not a share: accepted are numbers from 0 up to, not including, 1")
    if "all" in splits and valid + test >= 1:
        raise UserError(f"split.valid={valid} and split.test={test} leave nothing to train on: together they must stay "
                        "below 1")
    if (folds is None) != (fold is None):
        raise UserError("split.folds and split.fold go together: give how many parts, and which one is valid (from 0)")
    if folds is not None and fold is not None:
        if folds < 2 or not 0 <= fold < folds:
            raise UserError(f"split.fold={fold} of split.folds={folds} is not possible: accepted are 2 or more folds, "
                            f"and fold 0 to {max(folds, 2) - 1}")
        if "valid" in splits:
            raise UserError("the set brings its own valid part, so there are no folds to make: leave split.folds out")


def _label(source: Source) -> np.ndarray | None:
    """int64 [n]: the classes of the label by which the set is divided; None where it has none."""
    name = stratifying(source)
    if name is None:
        return None
    label = source.targets[name]
    assert isinstance(label, Label)
    return label.index.numpy()


def _strata(source: Source) -> np.ndarray:
    """int64 [n]: the stratum of each picture by the first kind of target that has strata; 0 for all where none has."""
    for kind, entry in TARGETS.items():
        targets = of_kind(source.targets, kind)
        if targets and entry.strata is not None:
            return entry.strata(source, targets)
    return np.zeros(len(source), dtype=np.int64)


def _shuffled(seed: int, rows: np.ndarray) -> np.ndarray:
    """The positions of `rows` in an order that depends on the seed and each row's number alone."""
    return np.argsort(hashed(seed, rows), kind="stable")


def apportion(counts: np.ndarray, share: float) -> np.ndarray:
    """int64 [strata]: `share` of each count by the method of largest remainders, so that the total is right too."""
    quota = counts * share
    given = np.floor(quota + 1e-9).astype(np.int64)
    missing = max(0, round(float(counts.sum()) * share) - int(given.sum()))
    given[np.argsort(-(quota - given), kind="stable")[:missing]] += 1
    return given


def _stratified_shares(source: Source, shares: tuple[float, float], seed: int) -> np.ndarray:
    """int64 [n]: 0 train, 1 valid, 2 test."""
    strata = _strata(source)
    counts = np.bincount(strata)
    test = np.minimum(apportion(counts, shares[1]), counts - 1)
    valid = np.minimum(apportion(counts, shares[0]), counts - 1 - test)
    part = np.zeros(len(source), dtype=np.int64)
    order = _shuffled(seed, np.arange(len(source)))
    for stratum in range(len(counts)):
        own = order[strata[order] == stratum]
        part[own[: test[stratum]]] = 2
        part[own[test[stratum] : test[stratum] + valid[stratum]]] = 1
    for number, name in ((1, "valid"), (2, "test")):
        if shares[number - 1] > 0 and not (part == number).any():
            _give_one(part, strata, order, number=number, name=name)
    return part


def _give_one(part: np.ndarray, strata: np.ndarray, order: np.ndarray, *, number: int, name: str) -> None:
    """Move one sample of the largest stratum in train to a part that the rounding left empty."""
    train = np.bincount(strata[part == 0])
    if train.max() < 2:
        raise DataError(f"the set's {count(len(part), 'sample')} are too few to take a {name} part from: add samples, "
                        f"or set split.{name}=0")
    part[next(row for row in order if part[row] == 0 and strata[row] == train.argmax())] = number


def _folds(source: Source, rows: np.ndarray, seed: int, *, folds: int, by_group: bool) -> np.ndarray:
    """int64 [rows]: the fold of each. Dealt out in turn, stratum by stratum, so sizes differ by one at most."""
    if by_group:
        groups, member = np.unique(_group_names(source)[rows], return_inverse=True)
        if len(groups) < folds:
            raise DataError(f"split.folds={folds} is more than the set's {count(len(groups), 'group')}")
        strata = _strata(source)[rows]
        return _balance(_table(member, strata), np.full(folds, 1 / folds), seed)[member]
    strata = _strata(source)[rows]
    fewest = np.bincount(strata)[strata].min() if _label(source) is not None else len(rows)
    if fewest < folds:
        of = f"samples of class {_rarest(source, rows)!r} ({fewest})" if _label(source) is not None else \
            f"samples ({fewest})"
        raise DataError(f"split.folds={folds} is more than the {of}: take fewer folds")
    order = _shuffled(seed, rows)
    order = order[np.argsort(strata[order], kind="stable")]
    fold = np.empty(len(rows), dtype=np.int64)
    fold[order] = np.arange(len(rows)) % folds
    return fold


def _rarest(source: Source, rows: np.ndarray) -> str:
    label = _label(source)
    assert label is not None
    kinds, counts = np.unique(label[rows], return_counts=True)
    rarest = int(kinds[counts.argmin()])
    name = stratifying(source)
    assert name is not None
    return source.classes[name][rarest] if rarest >= 0 else "(unlabelled)"


def _group_names(source: Source) -> np.ndarray:
    assert source.groups is not None
    return source.groups


def _table(member: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """int64 [groups, strata]: how many samples each group has of each stratum."""
    table = np.zeros((int(member.max()) + 1, int(strata.max()) + 1), dtype=np.int64)
    np.add.at(table, (member, strata), 1)
    return table


def _grouped_shares(source: Source, shares: tuple[float, float], seed: int) -> np.ndarray:
    """int64 [n]: 0 train, 1 valid, 2 test; a group is in one part."""
    groups, member = np.unique(_group_names(source), return_inverse=True)
    wanted = [number for number in (1, 2) if shares[number - 1] > 0]
    if len(groups) <= len(wanted):
        raise DataError(f"the set has {count(len(groups), 'group')}: to be divided by group it needs one more than the "
                        f"{count(len(wanted), 'part')} to take off; split.by_group=false divides it without them")
    table = _table(member, _strata(source))
    share = np.array([1 - sum(shares), *shares])
    if _label(source) is None:
        table = table.sum(1, keepdims=True)    # nothing to keep in train but some samples
    holds, sizes = table > 0, table.sum(1)
    part = _balance(table, share, seed, pinned=(holds & (holds.sum(0) == 1)).any(1))
    for stratum in np.flatnonzero(~holds[part == 0].any(0)):
        holders = np.flatnonzero(holds[:, stratum])
        part[holders[sizes[holders].argmin()]] = 0
    for number in wanted:
        if not (part == number).any():
            # A group may leave train where each of its classes stays there with another.
            spare = np.flatnonzero((part == 0) & ~(holds & (holds[part == 0].sum(0) == 1)).any(1))
            if not len(spare):
                name = ("train", "valid", "test")[number]
                raise DataError(f"the set's groups cannot give a {name} part without taking a whole class from "
                                f"train: set split.{name}=0, or split.by_group=false to divide it without them")
            part[spare[sizes[spare].argmin()]] = number
    return part[member]


def _balance(table: np.ndarray, share: np.ndarray, seed: int, *, pinned: np.ndarray | None = None) -> np.ndarray:
    """int64 [groups]: a part for each group, the largest first, each where it best meets the strata's shares.

    `pinned` groups, such as the only one of a class, go to part 0.

    What a group costs in a part is what it adds to the chi-square distance between the part's counts and those wanted.
    """
    table = table[:, table.any(0)]
    wanted = share[:, None] * table.sum(0)[None, :]
    have = np.zeros_like(wanted)
    part = np.zeros(len(table), dtype=np.int64)
    order = _shuffled(seed, np.arange(len(table)))
    order = order[np.argsort(-table.sum(1)[order], kind="stable")]
    open_parts = np.flatnonzero(share > 0)
    for group in order:
        row = table[group]
        if pinned is None or not pinned[group]:
            missing = (have - wanted)[open_parts]
            cost = (row * (row + 2 * missing) / wanted[open_parts]).sum(1)
            part[group] = open_parts[int(cost.argmin())]
        have[part[group]] += row
    return part


def listing(splits: Mapping[str, Source]) -> dict[str, list[str] | dict[str, str]]:
    """What each part holds, for data.json: the names of its files, or a file and the row numbers in it."""
    return {split: _listed(source) for split, source in splits.items()}


def _listed(source: Source) -> list[str] | dict[str, str]:
    lying = source.source if isinstance(source, Reshaped) else source
    if isinstance(lying, InMemory) and isinstance(lying.places, Numbered):
        return {"file": lying.places.file, "rows": _ranges(lying.places.rows)}
    return [source.place(i).file for i in range(len(source))]


def _ranges(rows: np.ndarray) -> str:
    """`0-7 9 11-12` for ascending runs; the order of the rows is kept."""
    starts = np.flatnonzero(np.diff(rows, prepend=rows[:1] - 2) != 1)
    runs = np.split(rows, starts[1:])
    return " ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs if len(run))


def fingerprint(splits: Mapping[str, Source], digests: Mapping[str, str]) -> str:
    """A hash (BLAKE2b, 32 hex digits) of the parts: what they are called, their samples' names and targets, the names
    of the classes, and `digests`, that of each part's contents, which decoding it gives."""
    whole = hashlib.blake2b(digest_size=16)
    for split in sorted(splits):
        source = splits[split]
        names = _listed(source)
        whole.update(f"{split}\0{len(source)}\0{digests[split]}\0".encode())
        shown = names if isinstance(names, list) else names.values()
        whole.update("\0".join(shown).encode("utf-8", "surrogateescape"))
        for name in sorted(source.targets):
            whole.update(f"\0{name}\0{source.classes[name]}".encode("utf-8", "surrogateescape"))
            for field, tensor in vars(source.targets[name]).items():
                if tensor is not None:
                    whole.update(f"\0{field}\0{tuple(tensor.shape)}".encode())
                    whole.update(np.ascontiguousarray(tensor.numpy()).data)
    return whole.hexdigest()
