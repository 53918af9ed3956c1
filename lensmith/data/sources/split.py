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
from lensmith.data.sources.split_objects import of_groups, pictures_with_objects, with_objects_in
from lensmith.values import of_kind
from lensmith.values.labels import Label

Divided = TypeVar("Divided", Files, InMemory, Source)
_NAMES = ("train", "valid", "test")    # of the splits, by their numbers


def divide(splits: Mapping[str, Divided], *, valid: float = 0.1, test: float = 0.1, seed: int = 0,
           by_group: bool | None = None, folds: int | None = None, fold: int | None = None, objects: bool = True,
           alike: np.ndarray | None = None) -> dict[str, Divided]:
    """The splits "train" and, where there are any, "valid" and "test"; their rows keep the order of the set.

    Splits that the set brings stay as they are. Each class keeps its fraction to within one sample, and one sample of
    each class stays in train; of several labels this holds for that of `stratifying`. Numbers are stratified by the
    quantiles of the first quantity, pictures with boxes by the rarest class among their objects.

    splits: "train" and what else the set brings, or "all" where it brings none.
    valid: the fraction of "train" or "all" that the best step is chosen by; 0: no such split.
    test: the fraction of "all" that the final score is measured on; 0: no such split.
    seed: what is drawn follows from it and the numbers of the rows.
    by_group: keep the samples of a group together; None: where the set has groups.
    folds: so many folds of equal size, of which one is "valid", whatever the fraction; "test" is taken off before.
    fold: the number of that fold, from 0.
    objects: leave each split and each fold a picture with an object where that can be, also among groups, folds and
        what is alike; without it that holds for splits of single pictures alone.
    alike: int64 [n]: what "train" or "all" has under one number stays in one split where that leaves every split, and
        every class in train; None: nothing is alike. Groups stay together whatever is alike.

    Raises UserError for fractions and folds that cannot be, DataError where the set is too small for them.
    """
    _check(splits, valid, test, folds=folds, fold=fold)
    whole = splits["train"] if "train" in splits else splits["all"]
    if by_group and whole.groups is None:
        raise UserError("the set has no groups to split by: give data.group for class folders (a regular expression "
                        "for the file names) or a column 'group' in a table")
    by_group = whole.groups is not None if by_group is None else by_group
    divided: dict[str, Divided] = {}
    test = test if "all" in splits else 0.0
    if "valid" in splits:
        divided["train"], divided["valid"] = whole, splits["valid"]
    else:
        fractions = (0.0 if folds is not None else valid, test)
        shows = pictures_with_objects(whole) if objects else None
        numbers = _by_group(whole, fractions, seed, shows) if by_group else _by_sample(whole, fractions, seed)
        if folds is not None and fold is not None:
            rest = np.flatnonzero(numbers == 0)
            of_fold = _folds(whole, rest, seed, folds=folds, by_group=by_group, shows=shows)
            numbers[rest[of_fold == fold]] = 1
        if alike is not None and not by_group:
            numbers = _together(numbers, alike, _strata(whole), shows)
        for number, name in enumerate(_NAMES):
            chosen = np.flatnonzero(numbers == number)
            if len(chosen):
                divided[name] = whole if len(chosen) == len(whole) else whole.subset(chosen.tolist())
    if "test" in splits:
        divided["test"] = splits["test"]
    return divided


def _check(splits: Mapping[str, Divided], valid: float, test: float, *, folds: int | None, fold: int | None) -> None:
    assert set(splits) in ({"all"}, {"train"}) or ("train" in splits and set(splits) <= set(_NAMES))
    for name, fraction in (("valid", valid), ("test", test)):
        if not 0 <= fraction < 1:
            raise UserError(f"split.{name}={fraction} is not a fraction: accepted are numbers from 0 up to, not "
                            "including, 1")
    if "all" in splits and valid + test >= 1:
        raise UserError(f"split.valid={valid} and split.test={test} leave nothing to train on: together they must stay "
                        "below 1")
    if (folds is None) != (fold is None):
        raise UserError("split.folds and split.fold go together: give how many folds, and which of them is valid (from "
                        "0)")
    if folds is not None and fold is not None:
        if folds < 2 or not 0 <= fold < folds:
            raise UserError(f"split.fold={fold} of split.folds={folds} is not possible: accepted are 2 or more folds, "
                            f"and fold 0 to {max(folds, 2) - 1}")
        if "valid" in splits:
            raise UserError("the set brings its own valid split, so there are no folds to make: leave split.folds out")


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


def apportion(counts: np.ndarray, fraction: float) -> np.ndarray:
    """int64 [strata]: `fraction` of each count by the method of largest remainders, so that the total is right too."""
    quota = counts * fraction
    chosen = np.floor(quota + 1e-9).astype(np.int64)
    missing = max(0, round(float(counts.sum()) * fraction) - int(chosen.sum()))
    chosen[np.argsort(-(quota - chosen), kind="stable")[:missing]] += 1
    return chosen


def _by_sample(source: Source, fractions: tuple[float, float], seed: int) -> np.ndarray:
    """int64 [n]: 0 train, 1 valid, 2 test."""
    strata = _strata(source)
    counts = np.bincount(strata)
    test = np.minimum(apportion(counts, fractions[1]), counts - 1)
    valid = np.minimum(apportion(counts, fractions[0]), counts - 1 - test)
    numbers = np.zeros(len(source), dtype=np.int64)
    order = _shuffled(seed, np.arange(len(source)))
    for stratum in range(len(counts)):
        rows = order[strata[order] == stratum]
        numbers[rows[: test[stratum]]] = 2
        numbers[rows[test[stratum] : test[stratum] + valid[stratum]]] = 1
    for number in (1, 2):
        if fractions[number - 1] > 0 and not (numbers == number).any():
            _fill(numbers, strata, order, number=number)
    shows = pictures_with_objects(source)
    return numbers if shows is None else with_objects_in((1, 2), numbers, shows, order, givers=(0,))


def _fill(numbers: np.ndarray, strata: np.ndarray, order: np.ndarray, *, number: int) -> None:
    """Move one sample of the largest stratum in train to a split that the rounding left empty."""
    train = np.bincount(strata[numbers == 0])
    if train.max() < 2:
        name = _NAMES[number]
        are = "is" if len(numbers) == 1 else "are"
        raise DataError(f"the set's {count(len(numbers), 'sample')} {are} too few to take a {name} split from: add "
                        f"samples, or set split.{name}=0")
    numbers[next(row for row in order if numbers[row] == 0 and strata[row] == train.argmax())] = number


def _together(numbers: np.ndarray, alike: np.ndarray, strata: np.ndarray, shows: np.ndarray | None) -> np.ndarray:
    """The numbers of the splits, int64 [n], with samples that are `alike` in the split of the first of them, or in
    another of theirs where that would take a split's last sample, a stratum's last one from train, or a split's last
    one that `shows` an object."""
    numbers, order = numbers.copy(), np.argsort(alike, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(alike[order])) + 1)
    table = np.zeros((len(_NAMES), int(strata.max(initial=0)) + 1), dtype=np.int64)    # samples by split and stratum
    np.add.at(table, (numbers, strata), 1)
    shows = np.zeros(len(numbers), dtype=bool) if shows is None else shows
    showing = np.bincount(numbers[shows], minlength=len(_NAMES))
    for rows in members:
        for number in dict.fromkeys(numbers[rows].tolist()) if len(rows) > 1 else ():
            moved = table.copy()
            np.add.at(moved, (numbers[rows], strata[rows]), -1)
            np.add.at(moved, (number, strata[rows]), 1)
            of_rows = np.bincount(numbers[rows[shows[rows]]], minlength=len(_NAMES))
            still = showing - of_rows
            still[number] += of_rows.sum()
            if (moved[0] > 0)[table[0] > 0].all() and (moved.any(1) | ~table.any(1)).all() and \
                    (still > 0)[showing > 0].all():
                numbers[rows], table, showing = number, moved, still
                break
    return numbers


def _folds(source: Source, rows: np.ndarray, seed: int, *, folds: int, by_group: bool,
           shows: np.ndarray | None) -> np.ndarray:
    """int64 [rows]: the fold of each, dealt out in turn, stratum by stratum, so that sizes differ by one at most.
    `shows` says which samples of the set show an object, of which each fold gets one where it can."""
    if by_group:
        groups, member = np.unique(_group_names(source)[rows], return_inverse=True)
        if len(groups) < folds:
            raise DataError(f"split.folds={folds} is more than the set's {count(len(groups), 'group')}")
        table = _table(member, _strata(source)[rows])
        of_group = _balance(table, np.full(folds, 1 / folds), seed)
        if shows is not None:
            of_group = with_objects_in(range(folds), of_group, of_groups(shows[rows], member),
                                       _shuffled(seed, np.arange(len(groups))), givers=range(folds),
                                       sizes=table.sum(1), keep_first=True)
        return of_group[member]
    strata = _strata(source)[rows]
    fewest = np.bincount(strata)[strata].min() if _label(source) is not None else len(rows)
    if fewest < folds:
        samples = f"samples of class {_rarest(source, rows)!r} ({fewest})" if _label(source) is not None else \
            f"samples ({fewest})"
        raise DataError(f"split.folds={folds} is more than the {samples}: take fewer folds")
    order = _shuffled(seed, rows)
    order = order[np.argsort(strata[order], kind="stable")]
    fold = np.empty(len(rows), dtype=np.int64)
    fold[order] = np.arange(len(rows)) % folds
    return fold if shows is None else \
        with_objects_in(range(folds), fold, shows[rows], order, givers=range(folds), keep_first=True)


def _rarest(source: Source, rows: np.ndarray) -> str:
    label = _label(source)
    assert label is not None
    classes, counts = np.unique(label[rows], return_counts=True)
    rarest = int(classes[counts.argmin()])
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


def _by_group(source: Source, fractions: tuple[float, float], seed: int, shows: np.ndarray | None) -> np.ndarray:
    """int64 [n]: 0 train, 1 valid, 2 test; all samples of a group are in one split. `shows` says which samples show an
    object, of which each split gets one where it can."""
    groups, member = np.unique(_group_names(source), return_inverse=True)
    wanted = [number for number in (1, 2) if fractions[number - 1] > 0]
    if len(groups) <= len(wanted):
        raise DataError(f"the set has {count(len(groups), 'group')}: to be divided by group it needs one more than the "
                        f"{count(len(wanted), 'split')} to take off; split.by_group=false divides it without them")
    table = _table(member, _strata(source))
    if _label(source) is None:
        table = table.sum(1, keepdims=True)    # nothing to keep in train but some samples
    holds, sizes = table > 0, table.sum(1)
    numbers = _balance(table, np.array([1 - sum(fractions), *fractions]), seed,
                       pinned=(holds & (holds.sum(0) == 1)).any(1))
    for stratum in np.flatnonzero(~holds[numbers == 0].any(0)):
        holders = np.flatnonzero(holds[:, stratum])
        numbers[holders[sizes[holders].argmin()]] = 0
    for number in wanted:
        if not (numbers == number).any():
            # A group may leave train where each of its classes stays there with another.
            spare = np.flatnonzero((numbers == 0) & ~(holds & (holds[numbers == 0].sum(0) == 1)).any(1))
            if not len(spare):
                name = _NAMES[number]
                raise DataError(f"the set's groups cannot give a {name} split without taking a whole class from "
                                f"train: set split.{name}=0, or split.by_group=false to divide it without them")
            numbers[spare[sizes[spare].argmin()]] = number
    if shows is not None:
        def may_leave(now: np.ndarray) -> np.ndarray:
            return np.asarray((now != 0) | ~(holds & (holds[now == 0].sum(0) == 1)).any(1))

        order = _shuffled(seed, np.arange(len(groups)))
        numbers = with_objects_in((0, *wanted), numbers, of_groups(shows, member), order, givers=(0, *wanted),
                                  sizes=sizes, may_leave=may_leave)
    return numbers[member]


def _balance(table: np.ndarray, fractions: np.ndarray, seed: int, *, pinned: np.ndarray | None = None) -> np.ndarray:
    """int64 [groups]: the number of a split for each group, by the fractions of the splits.

    The largest group comes first, and each goes where it best meets the fractions of the strata: where it adds the
    least to the chi-square distance, sum((counts - wanted)^2 / wanted), between the counts of the split and those
    wanted. `pinned` groups, such as the only one of a class, go to split 0.
    """
    table = table[:, table.any(0)]
    wanted = fractions[:, None] * table.sum(0)[None, :]
    counts = np.zeros_like(wanted)
    numbers = np.zeros(len(table), dtype=np.int64)
    order = _shuffled(seed, np.arange(len(table)))
    order = order[np.argsort(-table.sum(1)[order], kind="stable")]
    open_splits = np.flatnonzero(fractions > 0)
    for group in order:
        row = table[group]
        if pinned is None or not pinned[group]:
            missing = (counts - wanted)[open_splits]
            cost = (row * (row + 2 * missing) / wanted[open_splits]).sum(1)
            numbers[group] = open_splits[int(cost.argmin())]
        counts[numbers[group]] += row
    return numbers


def listing(splits: Mapping[str, Source]) -> dict[str, list[str] | dict[str, str]]:
    """What each split holds, for data.json: the names of its files, or a file and the row numbers in it."""
    return {split: _listed(source) for split, source in splits.items()}


def _listed(source: Source) -> list[str] | dict[str, str]:
    stored = source.source if isinstance(source, Reshaped) else source
    if isinstance(stored, InMemory) and isinstance(stored.places, Numbered):
        return {"file": stored.places.file, "rows": _ranges(stored.places.rows)}
    return [source.place(i).file for i in range(len(source))]


def _ranges(rows: np.ndarray) -> str:
    """`0-7 9 11-12` for ascending runs; the order of the rows is kept."""
    starts = np.flatnonzero(np.diff(rows, prepend=rows[:1] - 2) != 1)
    runs = np.split(rows, starts[1:])
    return " ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs if len(run))


def fingerprint(splits: Mapping[str, Source], digests: Mapping[str, str]) -> str:
    """A hash (BLAKE2b, 32 hex digits) of the splits: what they are called, their samples' names and targets, the names
    of the classes, and `digests`, that of each split's contents, which decoding it gives."""
    whole = hashlib.blake2b(digest_size=16)
    for split in sorted(splits):
        source = splits[split]
        files = _listed(source)
        whole.update(f"{split}\0{len(source)}\0{digests[split]}\0".encode())
        names = files if isinstance(files, list) else files.values()
        whole.update("\0".join(names).encode("utf-8", "surrogateescape"))
        for name in sorted(source.targets):
            whole.update(f"\0{name}\0{source.classes[name]}".encode("utf-8", "surrogateescape"))
            for field, tensor in vars(source.targets[name]).items():
                if tensor is not None:
                    whole.update(f"\0{field}\0{tuple(tensor.shape)}".encode())
                    whole.update(np.ascontiguousarray(tensor.numpy()).data)
    return whole.hexdigest()
