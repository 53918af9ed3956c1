"""Run folders damaged in every way that a number stands for, and commands that are given them."""

import csv
import json
import os
import random
import shutil
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lensmith.base.folder_lock import LOCK

VALUES: list[Any] = [None, True, -1, 0, 1, 3, 2.5, -0.0, 1e308, -1e-308, float("nan"), float("inf"), 10**9, 10**18,
                     2**63, 10**30, "", "x", "..", "/", "a\x00b", "\x1b[31m\n", "\udce9", "=cmd|'!A1", "x" * 10_000, [],
                     {}, [[]], [1, "x"], {"x": 1}, [0] * 1000, "0-9999999999", "python:Net", "my_net.py:Net", "cuda:9",
                     "9" * 5000]
SHAPES = ["shapes", "data.count=24", "data.size=20"]
# RUN is the damaged run folder, OTHER a whole one on the same data, OUT a new path. Those that take long are rare.
COMMANDS: list[tuple[float, list[str]]] = [
    (12, ["predict", "RUN", "PICTURE"]), (4, ["predict", "RUN", "PICTURE", "--json", "--out", "OUT"]),
    (8, ["val", "RUN", "-q"]), (2, ["val", "RUN", "-q", "--data", "RUN"]), (8, ["inspect", "RUN"]),
    (14, ["compare", "RUN", "OTHER"]), (4, ["compare", "RUN", "OTHER", "--out", "OUT.html"]),
    (2, ["compare", "RUN", "OTHER", "--metric", "macro_f1", "--json"]), (4, ["compare", "OTHER", "RUN", "--json"]),
    (10, ["list", "runs", "--runs", "RUNS"]), (3, ["play", "RUN"]), (8, ["train", "RUN", "--dry-run"]),
    (4, ["train", "--resume", "RUN", "-q"]), (2, ["data", "show", "RUN"]), (10, ["doctor", "RUN"]),
    (2, ["doctor", "RUN", "--json"]), (0.3, ["check", "RUN", "--out", "OUT"]),
    (2, ["check", "RUN", "--out", "OUT", "--budget", "0"]),
    (3, ["convert", "RUN", "OUT", "--convolutional"]), (2, ["convert", "RUN", "OUT.cfg", "OUT.weights"]),
    (2, ["convert", "RUN", "OUT", "--to", "coco"]), (2, ["train", *SHAPES, "--plan", "RUN/plan.json", "--dry-run"]),
    (2, ["train", *SHAPES, "--backbone", "RUN", "--dry-run"]),
    (1, ["train", *SHAPES, "--weights", "RUN", "--epochs", "1", "--plan", "exact", "-q", "--runs", "OUT"]),
    (0.5, ["export", "RUN", "--out", "OUT.onnx"]), (0.3, ["predict", "RUN", "PICTURE", "--runtime", "onnxruntime"]),
    (1, ["predict", "RUN/model.onnx", "PICTURE"]), (0.5, ["val", "RUN/model.onnx", "-q", "--data", "OTHER"]),
    (0.5, ["inspect", "RUN/model.onnx"]), (2, ["explain", "RUN", "PICTURE", "--out", "OUT"]),
    (1, ["explain", "RUN"]), (1, ["explain", "RUN", "--view", "filters", "--out", "OUT"]),
    (1.5, ["lesson", "convolution", "--run", "RUN", "--no-train", "-q", "--out", "OUT"]),
    (1.5, ["lesson", "numpy", "--run", "RUN", "--out", "OUT"]),
    (1.5, ["lesson", "training", "--run", "RUN", "--out", "OUT"]),
    (4, ["predict", "RUN/best.safetensors", "PICTURE"]), (1, ["val", "RUN/best.safetensors", "-q", "--data", "OTHER"]),
    (0.3, ["benchmark", "RUN", "--batch", "1"]), (0.3, ["compress", "RUN", "--macs", "0.5", "--epochs", "1", "-q"])]


def damage(folder: Path, draw: random.Random) -> str:
    """Damage one file of a run folder; -> what was done, in words."""
    read = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".html")
    # Of many pictures one.
    written = [draw.choice(sorted(folder.rglob("*.png"))), folder / "report.html", folder / LOCK,
               *sorted(path for path in (folder / "explained").glob("*") if path.suffix != ".png")]
    file = draw.choice([*read, *read, *written])
    if file.name == LOCK:
        file.write_text("process 1 on elsewhere\n")
    how = draw.choice([_change_bytes, _change_bytes, _change_entry, _change_entry, _change_entry, _change_file])
    return f"{file.name}: {how(file, draw)}"


def command_for(folder: Path, other: Path, picture: Path, out: Path, draw: random.Random) -> list[str]:
    """A command with the damaged folder in it."""
    words = draw.choices([words for _, words in COMMANDS], [weight for weight, _ in COMMANDS])[0]
    places = {"RUNS": folder.parent, "RUN": folder, "OTHER": other, "PICTURE": picture}
    return [str(places[word]) if word in places else
            word.replace("RUN/", f"{folder}/").replace("OUT", str(out)) for word in words]


def _change_bytes(file: Path, draw: random.Random) -> str:
    content = bytearray(file.read_bytes())
    for _ in range(draw.randint(1, 5)):
        # Of a long file the beginning, where the header is, is of more interest.
        place = draw.randrange(min(len(content), draw.choice([64, 4096, 1 << 30])) + 1)
        kind = draw.randrange(5)
        if kind == 0:
            del content[place:]
        elif kind == 1:
            del content[place : place + draw.randint(1, 9)]
        elif kind == 2:
            content[place:place] = draw.choice([b"0", b"9", b"-", b"}", b"[", b'"', b"\n", b"\xff", b"\0", b"e", b"."])
        elif place < len(content):
            content[place] = draw.randrange(256)
    file.write_bytes(content)
    return "bytes"


def _change_file(file: Path, draw: random.Random) -> str:
    kind = draw.choice(["absent", "empty", "folder", "loop", "elsewhere", "zeros", "pipe", "sparse", "other"])
    other = draw.choice(sorted(path for path in file.parent.iterdir() if path.is_file()))
    content = other.read_bytes()
    file.unlink()
    if kind == "empty":
        file.touch()
    elif kind == "folder":
        file.mkdir()
    elif kind in ("loop", "elsewhere", "zeros"):
        file.symlink_to({"loop": file.name, "elsewhere": "../nowhere", "zeros": "/dev/zero"}[kind])
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "sparse":
        with open(file, "wb") as opened:
            opened.truncate(1 << 40)
    elif kind == "other":
        file.write_bytes(content)
    return kind


def _change_entry(file: Path, draw: random.Random) -> str:
    """Another value at a place of the file, which is otherwise whole."""
    readers: dict[str, Callable[[Path, random.Random], str]] = {
        ".json": _change_json, ".toml": _change_toml, ".csv": _change_csv, ".safetensors": _change_state}
    return readers.get(file.suffix, _change_bytes)(file, draw)


def _replaced(node: Any, draw: random.Random) -> str:
    """Put another value into a list or dict, or take one out or double it; -> where."""
    keys: Sequence[Any] = list(node) if isinstance(node, dict) else range(len(node))
    if not keys:
        return "nothing"
    key = draw.choice(keys)
    if isinstance(node[key], dict | list) and node[key] and draw.random() < 0.8:
        return f"{key}.{_replaced(node[key], draw)}"
    if draw.random() < 0.15:
        del node[key]
        return f"{key} taken out"
    node[key] = draw.choice(VALUES)
    return f"{key}={str(node[key])[:30]!r}"


def _change_json(file: Path, draw: random.Random) -> str:
    content = json.loads(file.read_text())
    done = _replaced(content, draw)
    file.write_text(json.dumps(content))
    return done


def _change_toml(file: Path, draw: random.Random) -> str:
    content = tomllib.loads(file.read_text())
    done = _replaced(content, draw)
    try:
        file.write_text(tomli_w.dumps(content))
    except (TypeError, ValueError, AttributeError):    # what TOML cannot hold
        return "nothing"
    return done


def _change_csv(file: Path, draw: random.Random) -> str:
    with open(file, newline="") as opened:
        rows = list(csv.reader(opened))
    done = _replaced(rows, draw)
    with open(file, "w", newline="", errors="replace") as opened:
        csv.writer(opened).writerows([row if isinstance(row, list) else [row] for row in rows])
    return done


def _change_state(file: Path, draw: random.Random) -> str:
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    tree = json.loads(metadata["tree"])
    kind, name = draw.randrange(5), draw.choice(sorted(tensors))
    done = name
    if kind == 0:
        tensors[name] = torch.full_like(tensors[name], draw.choice([0, 1, -1, 120]))
    elif kind == 1 and tensors[name].is_floating_point():
        tensors[name] = torch.full_like(tensors[name], draw.choice([float("nan"), float("inf"), 1e30]))
    elif kind == 2:
        tensors[name] = torch.zeros(draw.choice([(), (0,), (3, 5), (1, 1, 1, 1)]))
    elif kind == 3:
        tensors[name] = tensors[name].to(draw.choice([torch.int64, torch.float64, torch.float16, torch.bool]))
    else:
        done = _replaced(tree, draw)
    save_file(tensors, file, metadata={**metadata, "tree": json.dumps(tree)})
    return f"{done} ({kind})"


def fresh_copy(run: Path, place: Path) -> Path:
    """A copy of a run in a folder of its own."""
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(run, place / run.name))
