"""What two trees wrote, compared: tensors to the bit, JSON and tables without their clocks, texts without the folder's
name, everything else byte for byte."""

import csv
import difflib
import io
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import safe_open

CLOCKS = ("time", "waited", "seconds", "started", "finished")    # keys and columns that say when, or how long
ROOT = "ROOT"      # stands in all texts for the folder that a tree worked in
_SHOWN = 5         # differing keys that are named
_LINES = 14        # of a unified diff
# What to change where an epoch waited for its pictures: it depends on what else the machine does.
_ADVICE = re.compile(r"epoch \d+ waited \d+% of its time for pictures")
# Times in texts and pages: seconds, dates, how many times as long, the column of seconds in a comparison.
_MASKED = ((re.compile(r"\b\d[\d.,]* (?:s|ms|min|h)\b"), "N s"),
           (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[+-]\d\d:\d\d| UTC)?"), "WHEN"),
           (re.compile(r"\b[\d.]+ times as long"), "N times as long"),
           (re.compile(r"<td>[\d.]+</td>(?=<td>(?:train|valid|test)</td>)"), "<td>N</td>"),
           (re.compile(rf"<li>{_ADVICE.pattern}[^<]*</li>"), ""),
           (re.compile(r"<h3>On the way</h3><ul></ul>"), ""))
_PICTURES = (".png", ".jpg", ".jpeg")
_WORDS = 4         # a text in a JSON file of so many words or more is a sentence, a shorter one a name


def differences(old: Path, new: Path, *, roots: tuple[Path, Path], sentences: bool = True) -> list[str]:
    """What differs between the files of two folders, a text for each file; empty where nothing does.

    `roots` are the folders that the two trees worked in, whose names are left out of every text. Without `sentences`
    what a person reads is passed over: pages, what a command says on the terminal, and sentences in JSON files.
    Tensors, numbers, names, tables, recipes and the text of --dry-run are compared in any case.
    """
    # What a killed command was writing begins with a dot.
    files = [{str(path.relative_to(folder)): path for path in sorted(folder.rglob("*"))
              if (path.is_symlink() or path.is_file()) and not path.name.startswith(".")} for folder in (old, new)]
    found = [f"{name}: only in {'new' if name in files[1] else 'old'}" for name in sorted(files[0].keys() ^ files[1])]
    for name in sorted(files[0].keys() & files[1]):
        told = _differ(files[0][name], files[1][name], roots, sentences=sentences)
        if told:
            found.append(f"{name}: {told}")
    return found


def _differ(old: Path, new: Path, roots: tuple[Path, Path], *, sentences: bool) -> str:
    if old.is_symlink() or new.is_symlink():
        links = [_plain(str(path.readlink()) if path.is_symlink() else "a file", root)
                 for path, root in zip((old, new), roots, strict=True)]
        return "" if links[0] == links[1] else f"leads to {links[0]} and to {links[1]}"
    contents = [path.read_bytes() for path in (old, new)]
    if contents[0] == contents[1]:
        return ""
    kind = old.suffix.lower()
    if kind == ".safetensors":
        return compare_checkpoints(old, new, roots=roots, sentences=sentences)
    if kind in _PICTURES:
        return _compare_pictures(old, new)
    try:
        texts = [_plain(content.decode(), root) for content, root in zip(contents, roots, strict=True)]
    except UnicodeDecodeError:
        return f"{len(contents[0])} and {len(contents[1])} bytes that are not the same"
    if kind == ".json" or old.name.endswith(".stdout"):
        try:
            return compare_json(*(json.loads(text) for text in texts), sentences=sentences)
        except ValueError:    # stdout is not always JSON
            return compare_texts(*texts) if sentences or _is_recipe(texts[0]) else ""
    if kind in (".html", ".stderr") and not sentences:
        return ""
    return compare_texts(*(_without_clocks(text, kind) for text in texts))


def _is_recipe(text: str) -> bool:
    """Whether a text is TOML, as --dry-run prints it."""
    try:
        return bool(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return False


def _plain(text: str, root: Path) -> str:
    return text.replace(str(root), ROOT)


def _without_clocks(text: str, kind: str) -> str:
    if kind == ".csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        return "\n".join(str({name: value for name, value in row.items() if name not in CLOCKS}) for row in rows)
    for pattern, word in _MASKED:
        text = pattern.sub(word, text)
    return text


def compare_texts(old: str, new: str) -> str:
    """A unified diff of at most `_LINES` lines; empty where the texts are the same."""
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), "old", "new", lineterm="", n=1))
    more = [f"... {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
    return "\n".join(["", *(line[:200] for line in lines[:_LINES]), *more]) if lines else ""


def compare_json(old: Any, new: Any, *, sentences: bool = True) -> str:
    """The keys that differ, those with the largest difference first; empty where none does."""
    values = [_flat(old), _flat(new)]
    if not sentences:
        values = [{name: None if isinstance(value, str) and not name.endswith(".keys") and len(value.split()) >= _WORDS
                   else value for name, value in tree.items()} for tree in values]
    return _told({name: _gap(*(value.get(name, "absent") for value in values))
                  for name in values[0].keys() | values[1].keys()
                  if not _same(*(value.get(name, "absent") for value in values))}, "values")


def compare_checkpoints(old: Path, new: Path, *, roots: tuple[Path, Path], sentences: bool = True) -> str:
    """What differs between two safetensors files: names, kinds, shapes and bits of tensors, and the metadata."""
    told = []
    with safe_open(old, framework="numpy") as first, safe_open(new, framework="numpy") as second:
        names, others = set(first.keys()), set(second.keys())
        for side, only in (("old", names - others), ("new", others - names)):
            if only:
                told.append(f"tensors only in {side}: {', '.join(sorted(only)[:_SHOWN])}")
        gaps = {name: compare_tensors(first.get_tensor(name), second.get_tensor(name)) for name in names & others}
        metadata = [{key: _parsed(_plain(value, root)) for key, value in sorted((file.metadata() or {}).items())}
                    for file, root in ((first, roots[0]), (second, roots[1]))]
    told.append(_told({name: gap for name, gap in gaps.items() if gap is not None}, f"of {len(gaps)} tensors"))
    told.append(compare_json(*metadata, sentences=sentences))
    return "; ".join(one for one in told if one)


def compare_tensors(old: np.ndarray, new: np.ndarray) -> float | str | None:
    """None where kind, shape and every bit are the same, else the largest difference, or the two kinds and shapes."""
    if old.dtype != new.dtype or old.shape != new.shape:
        return f"{old.dtype} {list(old.shape)} and {new.dtype} {list(new.shape)}"
    if old.tobytes() == new.tobytes():
        return None
    return float(np.nanmax(np.abs(old.astype(np.float64) - new.astype(np.float64)), initial=0.0))


def _compare_pictures(old: Path, new: Path) -> str:
    pixels = [np.asarray(Image.open(path)) for path in (old, new)]
    gap = compare_tensors(*pixels)
    return "" if gap is None else f"pixels differ by up to {gap}"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _flat(node: Any, name: str = "") -> dict[str, Any]:
    """{"a.0.b": value} of nested dicts and lists, without clocks, and without notes of how long was waited."""
    if isinstance(node, Mapping):
        items = [(str(key), value) for key, value in node.items() if key not in CLOCKS]
        # The order of keys is part of what is written.
        found: dict[str, Any] = {f"{name}.keys": ", ".join(key for key, _ in items)}
    elif isinstance(node, list):
        items = [(str(number), value) for number, value in
                 enumerate(one for one in node if not (isinstance(one, str) and _ADVICE.search(one)))]
        found = {f"{name}.length": len(items)}
    else:
        return {name: _without_clocks(node, "") if isinstance(node, str) else node}
    for key, value in items:
        found |= _flat(value, f"{name}.{key}" if name else key)
    return found


def _same(old: Any, new: Any) -> bool:
    return type(old) is type(new) and (old == new or (old != old and new != new))    # NaN is not equal to itself


def _gap(old: Any, new: Any) -> float | str:
    numbers = [value for value in (old, new) if isinstance(value, int | float) and not isinstance(value, bool)]
    return float(abs(numbers[0] - numbers[1])) if len(numbers) == 2 else f"{old!r} and {new!r}"[:200]


def _told(gaps: Mapping[str, float | str], what: str) -> str:
    """The first of what differs: words, then the largest numbers."""
    ranked = sorted(gaps.items(), key=lambda item: -np.inf if isinstance(item[1], str) else -item[1])
    shown = [f"{name}: {gap}" if isinstance(gap, str) else f"{name} by {gap:.3g}" for name, gap in ranked[:_SHOWN]]
    return f"{len(gaps)} {what} differ: {'; '.join(shown)}" if gaps else ""
