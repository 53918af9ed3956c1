"""Pictures that are in a set twice, exactly or nearly: within a split, across splits (a leak), with two labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lensmith.base.errors import count
from lensmith.study.check.contradictions import UNMOVED, differing
from lensmith.study.check.finding import Finding, PictureAt, Pictured
from lensmith.study.check.known_set import KnownSet
from lensmith.study.check.near_candidates import candidates_among
from lensmith.study.check.near_pairs import fitted_details, similarity

_NAMES = ("train", "valid", "test")
_ORDER = {name: number for number, name in enumerate(_NAMES)}    # of a pair in two splits the earlier one is left out


_NEAR = (0.95, 0.97, 0.98, 0.985, 0.99, 0.995)    # thresholds of the similarity, the first of them where it will do
_JOINED, _FEW = 0.02, 5    # of the pictures, and pictures: so many hang together where a set has copies


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures that are the same or nearly, by their rows, the first below the second."""

    first: np.ndarray       # int64 [k]
    second: np.ndarray      # int64 [k]
    score: np.ndarray       # float32 [k]: 1 for the same contents, else how alike their details are

    def chosen(self, kept: np.ndarray) -> "Pairs":
        return Pairs(self.first[kept], self.second[kept], self.score[kept])


def duplicates(known: KnownSet) -> Iterator[Finding]:
    """The same and nearly the same pictures: within splits, across splits, and with labels that contradict."""
    same, near = same_pairs(known), near_pairs(known)
    yield from _told(known, same, "the contents of another", "duplicate")
    yield from _told(known, near, "nearly the contents of another (cropped, mirrored, re-encoded, brighter or darker)",
                     "near-duplicate")
    kinds = tuple(dict.fromkeys(value.kind for value in known.first.targets.values()))
    yield from _contradictions(known, same, known.targets_of(*kinds), "of the same contents")
    yield from _contradictions(known, near, known.targets_of(*UNMOVED), "that are nearly the same")


def same_pairs(known: KnownSet) -> Pairs:
    """Pictures with the same contents: of several the one of `_one_of_each` with each other one."""
    rows, numbers, chosen = _one_of_each(known)
    others = rows[chosen[numbers] != rows]
    return Pairs(chosen[numbers[chosen[numbers] != rows]], others, np.ones(len(others), np.float32))


def near_pairs(known: KnownSet) -> Pairs:
    """Pictures of other contents that are nearly the same, the most alike first."""
    rows = np.sort(_one_of_each(known)[2])
    light, colours = known.pictures.light[rows], known.pictures.colours[rows]
    candidates = candidates_among(light)
    alike = similarity(light, colours, candidates)
    score = fitted_details(alike)
    near = score >= near_threshold(candidates.first, candidates.second, score, len(rows))
    score = score[near]
    order = np.argsort(-score, kind="stable")
    ends = np.sort(np.stack((rows[candidates.first[near]], rows[candidates.second[near]])), axis=0)[:, order]
    once = np.sort(np.unique(ends, axis=1, return_index=True)[1])    # a pair may be near mirrored and as it is
    return Pairs(ends[0, once], ends[1, once], score[order][once])


def near_threshold(first: np.ndarray, second: np.ndarray, score: np.ndarray, number: int) -> float:
    """The similarity from which on pairs of `number` pictures are taken for near duplicates.

    Simple pictures, as digits or drawn shapes, fit each other almost as well as copies do, so that most of a class hang
    together by such pairs. The threshold then rises until they do not, and by another step.
    """
    for step, least in enumerate(_NEAR):
        near = score >= least
        roots = list(_forest(Pairs(first[near], second[near], score[near]))[1].values())
        if not roots or np.bincount(roots).max() <= max(_FEW, _JOINED * number):
            return least if step == 0 else _NEAR[min(step + 1, len(_NEAR) - 1)]
    return _NEAR[-1]


def _one_of_each(known: KnownSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the rows of pictures that can be read, int64 [n]; for each the number of its contents; for each number one row
    with these contents, the first that training uses)."""
    rows = np.flatnonzero(known.pictures.readable)
    contents, numbers = np.unique(known.pictures.contents[rows], axis=0, return_inverse=True)
    numbers = numbers.ravel()
    order = np.lexsort((rows, known.split_of[rows] == "", numbers))
    first = order[np.searchsorted(numbers[order], np.arange(len(contents)))]
    return rows, numbers, rows[first]


def _told(known: KnownSet, pairs: Pairs, words: str, kind: str) -> Iterator[Finding]:
    """The findings of pairs within each split, and of those across two."""
    splits = known.split_of
    first, second = splits[pairs.first], splits[pairs.second]
    used = (first != "") & (second != "")
    if (used & (first != second)).any():
        yield _across(known, pairs.chosen(used), words)
    if (within := used & (first == second)).any():
        linked, lowest = _forest(pairs.chosen(within))
        again = np.array(sorted(row for row, first_row in lowest.items() if row != first_row))
        yield Finding("duplicates", kind, "note", f"{count(len(again), 'picture')} with {words} in the same split",
                      _groups(known, linked), numbers={"pairs": int(within.sum())}, leave_out=_at(known, again))
    if kind == "duplicate" and (kept_out := ~used).any():
        chosen = pairs.chosen(kept_out)
        yield Finding("duplicates", "leak", "warning", f"{count(len(chosen.first), 'picture')} with {words} in another "
                      "split of the set: training keeps each in the later of train, valid and test alone",
                      _groups(known, chosen))


def _across(known: KnownSet, pairs: Pairs, words: str) -> Finding:
    """The finding of pairs across two splits: of each picture that is measured its nearest one of an earlier split. To
    be left out are all pictures of earlier splits that hang together with it."""
    rank = np.array([_ORDER.get(name, 0) for name in known.split_of.tolist()])
    apart = pairs.chosen(rank[pairs.first] != rank[pairs.second])
    swapped = rank[apart.first] > rank[apart.second]
    earlier, later = np.where(swapped, apart.second, apart.first), np.where(swapped, apart.first, apart.second)
    nearest = np.sort(np.unique(later, return_index=True)[1])    # pairs are sorted, the most alike first
    members = _forest(pairs)[1]
    lasting = dict[int, int]()    # component -> the last split that it is in
    for row, component in members.items():
        lasting[component] = max(lasting.get(component, 0), int(rank[row]))
    leaked = [row for row, component in members.items() if rank[row] < lasting[component]]
    where = sorted({(int(rank[a]), int(rank[b])) for a, b in zip(earlier, later, strict=True)})
    places = ", ".join(f"{_NAMES[a]} and {_NAMES[b]}" for a, b in where)
    return Finding("duplicates", "leak", "error", f"{count(len(nearest), 'picture')} with {words} in an earlier split "
                   f"({places}): what is measured on them was learned",
                   _groups(known, Pairs(earlier[nearest], later[nearest], apart.score[nearest])),
                   numbers={"pairs": len(apart.first)}, leave_out=_at(known, np.array(sorted(leaked))))


def _forest(pairs: Pairs) -> tuple[Pairs, dict[int, int]]:
    """(as few of the pairs, the most alike ones, as make the same pictures hang together, by Kruskal 1956; the lowest
    row that each picture hangs together with)."""
    lowest, kept = dict[int, int](), list[int]()

    def root(row: int) -> int:
        while lowest.setdefault(row, row) != row:
            lowest[row] = lowest[lowest[row]]
            row = lowest[row]
        return row

    for number, (a, b) in enumerate(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)):
        low, high = sorted((root(a), root(b)))
        if low != high:
            lowest[high] = low
            kept.append(number)
    return pairs.chosen(np.array(kept, dtype=np.int64)), {row: root(row) for row in list(lowest)}


def _contradictions(known: KnownSet, pairs: Pairs, targets: Sequence[str], words: str) -> Iterator[Finding]:
    for target in targets:
        chosen = pairs.chosen(differing(known, target, pairs.first, pairs.second))
        if len(chosen.first):
            what = "two labels" if target in known.targets_of("label") else f"different {target}"
            yield Finding("duplicates", "contradiction", "error", f"{count(len(chosen.first), 'pair')} of pictures "
                          f"{words} with {what}: one of each is wrong", _groups(known, chosen),
                          leave_out=_at(known, np.unique(np.concatenate((chosen.first, chosen.second)))))


def _groups(known: KnownSet, pairs: Pairs) -> tuple[Pictured, ...]:
    labels = {target: known.label(target) for target in known.targets_of("label")}
    names = known.classes

    def caption(row: int) -> str:
        return ", ".join(names[target][label[row]] for target, label in labels.items() if label[row] >= 0)

    return tuple(Pictured((known.at(a), known.at(b)), (caption(a), caption(b)), float(score)) for a, b, score in
                 zip(pairs.first.tolist(), pairs.second.tolist(), pairs.score.tolist(), strict=True))


def _at(known: KnownSet, rows: np.ndarray) -> tuple[PictureAt, ...]:
    return tuple(known.at(int(row)) for row in rows)
