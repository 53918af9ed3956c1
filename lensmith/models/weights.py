"""Weights files: read without running anything in them, and put into the network that they belong to."""

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lensmith.base.errors import ModelError, count, nearest
from lensmith.models.network import Network

SUFFIXES = (".safetensors", ".pth", ".pt")
INSIDE = ("state_dict", "model")    # where other programs keep the weights among the rest of a checkpoint
# What stands before a layer's name where a network lies in another one: here, in other programs, in torch's wrappers.
WRAPPERS = ("backbone", "encoder", "head", "layers", "model", "module", "network", "parts", "_orig_mod")
# A file that unpacks to more bytes than this is refused where it is more than so many times its size.
_ALLOWED, _TIMES = 64 << 20, 20
ACCEPTED = "Accepted are .safetensors files, and .pth or .pt files that hold only tensors by name"


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pth or .pt file by name, on the CPU.

    Nothing in a file is run: a pickle is read with torch's weights_only alone. Raises ModelError for a file that is
    absent, damaged, of another kind, or that would need code.
    """
    if path.is_dir():
        raise ModelError(f"{path} is a folder, where a weights file is expected. {ACCEPTED}")
    if not path.is_file():
        beside = [file.name for file in path.parent.glob("*") if file.suffix in SUFFIXES] if path.parent.is_dir() \
            else []
        raise ModelError(f"no weights file {path}.{nearest(path.name, beside)} {ACCEPTED}")
    form = form_of_weights(path)
    if not form:
        raise ModelError(f"{path} has the suffix {path.suffix or '(none)'!r}. {ACCEPTED}")
    _refuse_bomb(path)
    try:
        with warnings.catch_warnings():    # torch warns of forms that are then read or refused all the same
            warnings.simplefilter("ignore")
            content = load_file(path) if form == "safetensors" else \
                torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise ModelError(f"{path} may not be read (permission denied)") from error
    except Exception as error:    # on a damaged file torch's reader raises almost anything
        if isinstance(error, pickle.UnpicklingError) and (" GLOBAL " in str(error) or _is_bare_pickle(path)):
            raise ModelError(f"{path} is refused: it is a pickle that asks for more than tensors, and reading it could "
                             f"run a stranger's code. {ACCEPTED}; ask its author for a .safetensors file. "
                             f"Where it is yours, {_saving(path)}") from error
        raise ModelError(f"{path} is damaged or not a weights file ({_first_line(error)}). {ACCEPTED}") from error
    return _tensors(content, path)


def _saving(path: Path) -> str:
    """The two lines that save a network's tensors alone, and how the file is loaded here."""
    file = f"{path.stem}.safetensors"
    return (f'`import safetensors.torch` and `safetensors.torch.save_file(net.state_dict(), "{file}")` save what is '
            f"safe; `lensmith train DATA --backbone my_net.py:Net --weights {file}` begins with it, and "
            f"`lensmith convert my_net.py:Net {file} RUN` makes a run of it")


def form_of_weights(path: Path) -> str:
    """Whether a file's contents are "safetensors" or of "torch", whatever its suffix is, as in .th and .pth.tar; by the
    suffix where the contents are neither, and "" where it says nothing either."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(9)
    except OSError:
        beginning = b""
    if beginning[:4] == b"PK\3\4" or beginning[:2] in (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5"):
        return "torch"
    if beginning[8:] == b"{":
        return "safetensors"
    return {".safetensors": "safetensors", ".pth": "torch", ".pt": "torch"}.get(path.suffix, "")


def _refuse_bomb(path: Path) -> None:
    """Raises ModelError where a ZIP archive, as torch's files are, unpacks to much more than it has. Torch itself
    compresses nothing, and reads whatever the archive says."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):    # whoever reads it says it
        return
    packed = path.stat().st_size
    if unpacked > max(_ALLOWED, _TIMES * packed):
        raise ModelError(f"{path} is refused: it has {packed / 1e6:,.1f} MB and says that it unpacks to "
                         f"{unpacked / 1e6:,.0f} MB, as no weights do: save it again with torch.save, or as "
                         ".safetensors")


def load_into(module: nn.Module, weights: Mapping[str, Any], *, what: str) -> None:
    """Put `weights` into `module`: the same names and shapes, or a ModelError that says how they differ."""
    tensors = module.state_dict()
    missing = [name for name in tensors if name not in weights]
    unknown = [name for name in weights if name not in tensors]
    reshaped = [f"{name} is {_shape(weights[name])} in the file and {_shape(tensors[name])} here"
                for name in tensors if name in weights and getattr(weights[name], "shape", None) != tensors[name].shape]
    differences = [_some(missing, "name", "missing"), _some(unknown, "name", "unknown here"),
                   _some(reshaped, "tensor", "of another shape")]
    if any(differences):
        raise ModelError(f"{what} is a checkpoint of another network: {'; '.join(filter(None, differences))}. Use the "
                         "backbone, its settings, the picture size and the classes that it was trained with")
    module.load_state_dict(weights)


@dataclass(frozen=True)
class Fitted:
    """What `fit_into` did with the tensors of a file."""

    what: str              # the file
    taken: int             # tensors of the network that came from the file
    missing: list[str]     # of the network: not in the file, so as fresh as they were
    unknown: list[str]     # of the file: the network has no such name
    reshaped: list[str]    # of the network: of another shape in the file, so as fresh as they were
    other: list[str] = field(default_factory=list)    # of the network: about other classes in the file, so fresh too
    # A row for each tensor: its name and shape, its name and shape in the file, and what became of it.
    rows: list[dict[str, str]] = field(default_factory=list, compare=False, repr=False)

    def in_words(self) -> str:
        """`resnet.pth: 120 tensors taken; 2 tensors of another shape left fresh (head.layers.fc.weight, ...)`"""
        parts = (f"{count(self.taken, 'tensor')} taken", _some(self.reshaped, "tensor", "of another shape left fresh"),
                 _some(self.other, "tensor", "of other classes left fresh"),
                 _some(self.missing, "tensor", "that the file lacks left fresh"),
                 _some(self.unknown, "tensor", "of the file not used"))
        return f"{self.what}: {'; '.join(part for part in parts if part)}"


def fit_into(module: nn.Module, weights: dict[str, Tensor], *, what: str, other: Collection[str] = ()) -> Fitted:
    """Put those of `weights` that fit by name and shape into `module`, and leave the rest of it as it is.

    So are those of its tensors left that `other` names, which are about other classes in the file. Names fit where they
    are equal behind a prefix of WRAPPERS, such as `backbone.`: the exchange of prefixes that fits most tensors goes
    first, then the one that fits most of the remaining ones, as those of a head. A file of a Network brings the mean
    and standard deviation that its weights are used to. Raises ModelError where no parameter fits.
    """
    tensors = {name: tensor for name, tensor in module.state_dict().items() if isinstance(tensor, Tensor)}
    pairs = _pairs(tensors, weights)
    used = set(pairs.values())
    for name in ("mean", "deviation") if isinstance(module, Network) else ():
        if name not in pairs or tensors[name].shape != weights[pairs[name]].shape:    # then of another program's file
            tensors.pop(name)
            pairs.pop(name, None)
    fitting = {name: in_file for name, in_file in pairs.items()
               if tensors[name].shape == weights[in_file].shape and name not in other}
    reshaped = [name for name in tensors if name in pairs and name not in fitting and name not in other]
    if not any(name in fitting for name, _ in module.named_parameters(remove_duplicate=False)):
        raise ModelError(f"nothing in {what} fits this network: the file has {_first(weights)}, the network "
                         f"{_first(tensors)}{f'; of another shape is {reshaped[0]}' if reshaped else ''}; use the "
                         "backbone that the weights were trained with, or leave them out")
    with torch.no_grad():
        for name, in_file in fitting.items():
            tensors[name].copy_(weights[in_file])
    missing, unknown = [name for name in tensors if name not in pairs], [name for name in weights if name not in used]
    became = {**dict.fromkeys(tensors, "taken"), **dict.fromkeys(missing, "fresh: the file lacks it"),
              **dict.fromkeys(reshaped, "fresh: of another shape"),
              **{name: "fresh: of other classes" for name in pairs if name in other}}
    rows = [{"tensor": name, "shape": _shape(tensors[name]), "in_file": pairs.get(name, ""),
             "shape_in_file": _shape(weights[pairs[name]]) if name in pairs else "", "became": what_became}
            for name, what_became in became.items()]
    rows += [{"tensor": "", "shape": "", "in_file": name, "shape_in_file": _shape(weights[name]), "became": "not used"}
             for name in unknown]
    return Fitted(what, len(fitting), missing, unknown, reshaped,
                  [name for name in tensors if name in pairs and name in other], rows)


def matches(tensors: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> int:
    """How many tensors of a network a file has by name, as `fit_into` compares names, and shape."""
    return sum(tensors[name].shape == weights[in_file].shape for name, in_file in _pairs(tensors, weights).items())


def _pairs(tensors: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Name in the network -> name in the file, each used once; those of one shape first."""
    pairs: dict[str, str] = {}
    unpaired, unused = dict(tensors), dict(weights)
    for same_shape in (True, False):
        while True:
            best: dict[str, str] = {}
            for prefix, file_prefix in product(_prefixes(unpaired), _prefixes(unused)):
                renamed = {name: file_prefix + name.removeprefix(prefix) for name in unpaired
                           if name.startswith(prefix)}
                fitting = {name: in_file for name, in_file in renamed.items() if in_file in unused
                           and (not same_shape or unused[in_file].shape == unpaired[name].shape)}
                if len(fitting) > len(best):
                    best = fitting
            if not best:
                break
            pairs |= best
            unpaired = {name: tensor for name, tensor in unpaired.items() if name not in best}
            unused = {name: tensor for name, tensor in unused.items() if name not in set(best.values())}
    return pairs


def _prefixes(names: Iterable[str]) -> list[str]:
    """Every prefix made of WRAPPERS that one of the names has, the empty one first: `backbone.`, `backbone.parts.`"""
    prefixes = {""}
    for name in names:
        steps = name.split(".")[:-1]
        prefixes |= {"".join(f"{step}." for step in steps[: i + 1]) for i in range(len(steps))
                     if all(step in WRAPPERS for step in steps[: i + 1])}
    return sorted(prefixes, key=lambda prefix: (len(prefix), prefix))


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, dict):
        inside = next((content[key] for key in INSIDE if isinstance(content.get(key), dict)), content)
        if inside and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in inside.items()):
            return dict(inside)
        odd = next((f"{name!r} is {type(value).__name__}" for name, value in inside.items()
                    if not isinstance(name, str) or not isinstance(value, Tensor)), "it is empty")
    else:
        odd = f"it holds {type(content).__name__}"
    raise ModelError(f"{path} does not hold tensors by name: {odd}. {ACCEPTED}")


def _some(names: list[str], noun: str, state: str) -> str:
    """`12 names missing (a, b, c ...)`, or nothing."""
    if not names:
        return ""
    return f"{count(len(names), noun)} {state} ({', '.join(names[:3])}{' ...' if len(names) > 3 else ''})"


def _first(names: Mapping[str, Tensor]) -> str:
    return ", ".join(list(names)[:3]) + (" ..." if len(names) > 3 else "")


def _shape(tensor: Any) -> str:
    if not isinstance(tensor, Tensor):
        return "no tensor"
    return " x ".join(str(edge) for edge in tensor.shape) or "a scalar"


def _is_bare_pickle(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(1) == b"\x80"    # the first byte since pickle's protocol 2; torch's own files are ZIP archives


def _first_line(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):    # torch's first line is advice to switch the protection off
        return "torch cannot read its pickle"
    return f"{type(error).__name__}: {str(error).splitlines()[0][:120]}" if str(error) else type(error).__name__


def weights_fingerprint(network: nn.Module) -> str:
    """A hash of all weights and buffers, 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        numbers = tensor.detach().cpu()    # NumPy has no bfloat16
        digest.update((numbers.float() if numbers.dtype == torch.bfloat16 else numbers).numpy().tobytes())
    return digest.hexdigest()
