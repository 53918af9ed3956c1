"""Which pictures may be near duplicates: nearest neighbours of small descriptors, without comparing every pair.

Each thumbnail is described by its low frequencies (a cosine transform, as perceptual hashes take it). They are the same
at another brightness or contrast, and almost the same after re-encoding. A crop or a mirrored copy has those that the
original would have had in that window, so that every picture asks with all its views. Descriptors are put into cells
around about sqrt(3 n) centres, and a view is compared with its own cell alone: n^1.5 comparisons in the place of n^2.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_FREQUENCIES = 8       # of each axis, 0 to 7 half waves over the picture
_WINDOW = 0.93         # of the edge: a view of a crop, which lies within 3 % of one of 90 % to 100 %
_CELLS = 3             # that each picture is put into: those whose centres are nearest
_MOST = 6              # candidates of one view, the nearest ones
_LEAST = 0.90          # cosine between two descriptors of candidates, in sets of pictures that are not much alike
_LOOKED_AT = 1_000     # pictures by which it is seen how much they are
_PER_VIEW = 0.1        # candidates of a view on average, at most; of a view of photos there are a hundredth
_PER_PICTURE, _ANYWAY = 1.0, 20_000    # candidates in all, the nearest ones, at most the larger of both
_ROUNDS = 4            # of k-means
_SAMPLE = 40           # pictures a centre that k-means looks at
_BLOCK = 4_096         # views compared at a time


@dataclass(frozen=True)
class Window:
    """Which part of a picture a view shows, as (first, last) in fractions of the edge."""

    across: tuple[float, float]
    down: tuple[float, float]
    mirrored: bool


_SPANS = ((0.0, 1.0), (0.0, _WINDOW), ((1 - _WINDOW) / 2, (1 + _WINDOW) / 2), (1 - _WINDOW, 1.0))
WINDOWS: tuple[Window, ...] = tuple(Window(across, down, mirrored) for across in _SPANS for down in _SPANS
                                    for mirrored in (False, True))


@dataclass(frozen=True)
class Candidates:
    """Pairs that may be near duplicates: a window of picture `first[k]` looks like all of `second[k]`."""

    first: np.ndarray      # int64 [k]
    second: np.ndarray     # int64 [k]
    windows: np.ndarray    # int64 [k]: row of WINDOWS
    cosine: np.ndarray     # float32 [k]


def candidates_among(thumbnails: np.ndarray, *, seed: int = 0) -> Candidates:
    """The candidates among `thumbnails`, uint8 [n, edge, edge], each pair once with its nearest window."""
    number = len(thumbnails)
    if not number:
        return Candidates(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    whole = _directions(_view(thumbnails, _SPANS[0], _SPANS[0]))
    centres = _centres(whole, seed)
    members = _cells(whole, centres)
    least = _least(whole, centres, members)
    best: dict[str, list[np.ndarray]] = {"first": [], "second": [], "windows": [], "cosine": []}
    for number_of, window in enumerate(WINDOWS):
        if not window.mirrored:    # the mirrored one follows
            views = _view(thumbnails, window.across, window.down)
        queries = _directions(_mirrored(views) if window.mirrored else views)
        for first, second, cosine in _near(queries, whole, centres, members, least):
            best["first"].append(first)
            best["second"].append(second)
            best["cosine"].append(cosine)
            best["windows"].append(np.full(len(first), number_of))
    joined = {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in best.items()}
    return _each_pair_once(joined, number)


def _view(thumbnails: np.ndarray, across: tuple[float, float], down: tuple[float, float]) -> np.ndarray:
    """float32 [n, 8, 8]: the lowest frequencies, down and across, of a window."""
    edge = thumbnails.shape[1]
    columns, rows = _transform(edge, across).T, _transform(edge, down)
    parts = [rows @ (some.astype(np.float32) @ columns) for some in
             np.array_split(thumbnails, max(1, len(thumbnails) // _BLOCK))]
    return np.concatenate(parts)


def _transform(edge: int, span: tuple[float, float]) -> np.ndarray:
    """float32 [8, edge]: what takes one axis of a picture to the frequencies of a span of it, by a linear
    interpolation at `edge` places in the span."""
    places = (np.arange(edge) + 0.5) / edge
    positions = ((span[0] + places * (span[1] - span[0])) * edge - 0.5).clip(0, edge - 1)
    low = np.minimum(positions.astype(np.int64), edge - 2)
    sampling = np.zeros((edge, edge))
    sampling[np.arange(edge), low] = 1 - (positions - low)
    sampling[np.arange(edge), low + 1] += positions - low
    waves = np.cos(np.pi * np.arange(_FREQUENCIES)[:, None] * places[None])
    waves[0] *= np.sqrt(0.5)
    return (waves @ sampling).astype(np.float32)


def _mirrored(spectra: np.ndarray) -> np.ndarray:
    """The frequencies of the mirrored pictures: the odd ones across change their sign."""
    return spectra * (1 - 2 * (np.arange(_FREQUENCIES) % 2)).astype(np.float32)


def _directions(spectra: np.ndarray) -> np.ndarray:
    """float32 [n, 63]: unit vectors without the mean. A picture that is flat is 0."""
    weights = np.sqrt(np.add.outer(np.arange(_FREQUENCIES), np.arange(_FREQUENCIES))).ravel()[1:].astype(np.float32)
    vectors = spectra.reshape(len(spectra), -1)[:, 1:] * weights
    lengths = np.sqrt(np.square(vectors).sum(1, keepdims=True))
    return vectors / np.maximum(lengths, 1.0)


def _centres(vectors: np.ndarray, seed: int) -> np.ndarray:
    """float32 [about sqrt(3 n), d]: the centres of the cells, unit vectors, by k-means on a sample."""
    number = max(1, round((_CELLS * len(vectors)) ** 0.5))
    draw = np.random.default_rng(seed)
    sample = vectors[np.sort(draw.permutation(len(vectors))[: number * _SAMPLE])]
    centres = sample[np.sort(draw.permutation(len(sample))[:number])]
    for _ in range(_ROUNDS):
        nearest = (sample @ centres.T).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample)
        lengths = np.sqrt(np.square(sums).sum(1, keepdims=True))
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-9), centres)
    return centres


def _cells(vectors: np.ndarray, centres: np.ndarray) -> list[np.ndarray]:
    """The pictures in each cell, int64: every picture is in the cells of its nearest centres."""
    several = min(_CELLS, len(centres))
    nearest = np.concatenate([np.argpartition(-(some @ centres.T), several - 1, axis=1)[:, :several] for some in
                              np.array_split(vectors, max(1, len(vectors) // _BLOCK))])
    order = np.argsort(nearest.ravel(), kind="stable")
    counts = np.bincount(nearest.ravel(), minlength=len(centres))
    return np.split(order // several, counts.cumsum()[:-1])


def _near(queries: np.ndarray, whole: np.ndarray, centres: np.ndarray,
          members: list[np.ndarray], least: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(first, second, cosine) of the views and the pictures in their cells that are near each other."""
    cell = np.concatenate([(some @ centres.T).argmax(1) for some in
                           np.array_split(queries, max(1, len(queries) // _BLOCK))])
    order = np.argsort(cell, kind="stable")
    ends = np.bincount(cell, minlength=len(centres)).cumsum()
    for number, rows in enumerate(np.split(order, ends[:-1])):
        for some in np.array_split(rows, max(1, len(rows) // _BLOCK)):
            if len(some):
                yield _near_in_cell(queries[some], some, whole[members[number]], members[number], least)


def _least(whole: np.ndarray, centres: np.ndarray, members: list[np.ndarray]) -> float:
    """The cosine from which on pictures are candidates: more than `_LEAST` where so many are near each other, as digits
    are, that the work would grow with the square of their number."""
    rows = np.arange(0, len(whole), max(1, len(whole) // _LOOKED_AT))
    cell = (whole[rows] @ centres.T).argmax(1)
    near = [np.sort((whole[members[number]] @ whole[row])[members[number] != row])[-_MOST:] for row, number in
            zip(rows.tolist(), cell.tolist(), strict=True)]
    cosine = np.sort(np.concatenate(near))[::-1]
    allowed = round(_PER_VIEW * len(rows))
    return _LEAST if len(whole) < _LOOKED_AT or len(cosine) <= allowed else max(_LEAST, float(cosine[allowed]))


def _near_in_cell(queries: np.ndarray, rows: np.ndarray, there: np.ndarray, members: np.ndarray,
                  least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_near`, of views of `rows` and the descriptors `there` of the pictures in their cell, `members`."""
    cosine = queries @ there.T
    asked, found = np.nonzero(cosine > least)
    other = rows[asked] != members[found]
    asked, found = asked[other], found[other]
    values = cosine[asked, found]
    if len(asked):    # of each view the nearest ones
        order = np.lexsort((-values, asked))
        asked, found, values = asked[order], found[order], values[order]
        rank = np.arange(len(asked)) - np.searchsorted(asked, asked)
        asked, found, values = asked[rank < _MOST], found[rank < _MOST], values[rank < _MOST]
    return rows[asked], members[found], values


def _each_pair_once(found: dict[str, np.ndarray], number: int) -> Candidates:
    """Of each pair, whichever asked, and mirrored or not, the window with the largest cosine."""
    first, second = found["first"].astype(np.int64), found["second"].astype(np.int64)
    windows = found["windows"].astype(np.int64)
    mirrored = np.array([window.mirrored for window in WINDOWS], dtype=np.int64)[windows]
    key = (np.minimum(first, second) * number + np.maximum(first, second)) * 2 + mirrored
    order = np.lexsort((-found["cosine"], key))
    kept = order[np.flatnonzero(np.diff(key[order], prepend=-1))]
    most = max(_ANYWAY, round(_PER_PICTURE * number))
    if len(kept) > most:
        kept = kept[np.sort(np.argsort(-found["cosine"][kept], kind="stable")[:most])]
    return Candidates(first[kept], second[kept], windows[kept], found["cosine"][kept].astype(np.float32))
