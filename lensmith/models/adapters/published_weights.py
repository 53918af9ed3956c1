"""Weights that torchvision and timm publish for their networks: by name, in their caches, fetched only on request."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard, cast
from urllib.parse import urlparse

import torch

from lensmith.base.errors import ModelError, first_line, nearest
from lensmith.models.adapters.embedded_weights import EMBEDDED, IMAGENET, NONE
from lensmith.models.adapters.timm_backbones import find_timm
from lensmith.models.adapters.torchvision_classifiers import TORCHVISION
from lensmith.models.adapters.torchvision_detectors import WHOLE
from lensmith.models.adapters.torchvision_instances import WHOLE_INSTANCES
from lensmith.models.adapters.torchvision_segmenters import SEGMENTERS

DOWNLOAD = "download:"    # stands before a name, in the place of a file of weights
_DEFAULTS = ("", "default", "DEFAULT")


@dataclass(frozen=True)
class Published:
    """Weights that are published for a network: where they come from, and how to get their file."""

    backbone: str
    name: str                      # among those of the network
    source: str                    # an address, for people
    fetch: Callable[[], Path]      # downloads them where the cache lacks them, and checks the hash
    cached: Callable[[], Path]     # raises OSError where the cache lacks them


def is_download(weights: Any) -> TypeGuard[str]:
    """Whether it names published weights, as `download:IMAGENET1K_V1`."""
    return isinstance(weights, str) and weights.startswith(DOWNLOAD)


def is_word(weights: Any) -> bool:
    """Whether it says what to begin with by a word of its own, and names no file or folder."""
    return weights in (IMAGENET, NONE) or is_download(weights)


def backbone_named(weights: str) -> str | None:
    """The network that `download:NAME` names, where NAME is the name of a network and not of weights."""
    name = weights.removeprefix(DOWNLOAD)
    return name if _is_torchvision(name) or name.startswith("timm:") else None


def published(weights: str, backbone: str) -> Published:
    """The weights of `backbone` that `download:NAME` names; without a NAME, or with that of the network, those that its
    authors take by default. Nothing is fetched. Raises ModelError for names that are not known."""
    name = weights.removeprefix(DOWNLOAD)
    if backbone_named(weights) not in (None, backbone):
        raise ModelError(f"learner.weights={weights!r} names another network than backbone.name={backbone!r}: leave "
                         "one of the two out")
    chosen = "" if name in _DEFAULTS or name == backbone else name
    if _is_torchvision(backbone):
        return _of_torchvision(backbone, chosen)
    if backbone.startswith("timm:"):
        return _of_timm(backbone, chosen)
    raise ModelError(f"learner.weights={weights!r}: there are no published weights of backbone {backbone!r} to "
                     "download; there are for torchvision's and timm's networks, as backbone.name=resnet18 or "
                     "timm:resnet18")


def fetch(weights: str, backbone: str) -> Path:
    """The file of published weights, downloaded where it is not there yet. Raises ModelError where that fails."""
    entry = published(weights, backbone)
    try:
        return entry.fetch()
    except Exception as error:    # offline, refused, of another hash: each package raises errors of its own
        raise ModelError(f"the weights {entry.name} of {backbone} could not be downloaded from {entry.source} "
                         f"({type(error).__name__}: {first_line(error)}): try again, or give a file of them with "
                         "learner.weights=FILE") from error


def cached(weights: str, backbone: str) -> Path:
    """The file of published weights that was downloaded before. Raises ModelError where it is not there."""
    entry = published(weights, backbone)
    try:
        return entry.cached()
    except OSError as error:
        raise ModelError(f"the weights {entry.name} of {backbone} are not on this machine, and only a command that "
                         f"says so downloads, as `lensmith train DATA --weights {DOWNLOAD}{entry.name}`") from error


def file_of(weights: str, backbone: str) -> Path:
    """The file or run folder that a setting `weights` names; of published weights as `cached`."""
    return cached(weights, backbone) if is_download(weights) else Path(weights)


def interpolation_of(backbone: str) -> Literal["bilinear", "bicubic"] | None:
    """How the pictures were resized that the published weights of a network learned from; None where that is not
    known."""
    name = backbone.rpartition("/tu-")[2] if backbone.startswith("smp:") else backbone.removeprefix("timm:")
    if backbone in EMBEDDED:
        return "bicubic"
    if _is_torchvision(backbone):
        from torchvision.models import get_model_weights

        transforms = cast(Any, get_model_weights(backbone)).DEFAULT.transforms()
        interpolation = getattr(getattr(transforms, "interpolation", None), "value", None)
    elif name != backbone:
        try:
            import timm
        except ImportError:    # the error is raised where the network is built
            return None
        interpolation = getattr(timm.get_pretrained_cfg(name), "interpolation", None)
    else:
        return None
    return interpolation if interpolation in ("bilinear", "bicubic") else None


def _is_torchvision(name: str) -> bool:
    return any(name in table for table in (TORCHVISION, WHOLE, WHOLE_INSTANCES, SEGMENTERS))


def _of_torchvision(backbone: str, name: str) -> Published:
    from torchvision.models import get_model_weights

    known: Any = get_model_weights(backbone)
    names = list(known.__members__)
    if name and name not in names:
        raise _unknown(backbone, name, [known_name for known_name in names if known_name != "DEFAULT"])
    entry = known[name] if name else known.DEFAULT
    file = Path(urlparse(entry.url).path).name

    def path_in_cache() -> Path:
        return Path(torch.hub.get_dir()) / "checkpoints" / file

    def download() -> Path:
        entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
        return path_in_cache()

    return Published(backbone, entry.name, entry.url, download, lambda: _existing(path_in_cache()))


def _of_timm(backbone: str, name: str) -> Published:
    architecture, _, tag = backbone.removeprefix("timm:").partition(".")
    find_timm(architecture)    # raises where timm is not installed or does not know the network
    import timm

    tags = [model.partition(".")[2] for model in timm.list_pretrained(f"{architecture}*")
            if model.partition(".")[0] == architecture]
    if name and name not in tags:
        raise _unknown(backbone, name, tags)
    entry: Any = timm.get_pretrained_cfg(".".join(filter(None, (architecture, name or tag))), allow_unregistered=False)
    if entry is None or not (entry.hf_hub_id or entry.url):
        raise ModelError(f"timm publishes no weights of {architecture!r}; it has them for others, which "
                         "`timm.list_pretrained()` lists")
    if not entry.hf_hub_id:
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(entry.url).path).name

        def download() -> Path:
            torch.hub.load_state_dict_from_url(entry.url, progress=False, check_hash=True, weights_only=True)
            return file

        return Published(backbone, entry.tag, entry.url, download, lambda: _existing(file))

    def from_hub(*, local: bool) -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.utils import logging

        logging.set_verbosity_error()    # it would print each of its tries; a failure is one line of ours
        return Path(hf_hub_download(entry.hf_hub_id, entry.hf_hub_filename or "model.safetensors",
                                    local_files_only=local))

    return Published(backbone, entry.tag, f"https://huggingface.co/{entry.hf_hub_id}", lambda: from_hub(local=False),
                     lambda: from_hub(local=True))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(path)
    return path


def _unknown(backbone: str, name: str, known: list[str]) -> ModelError:
    return ModelError(f"there are no weights {name!r} of {backbone}.{nearest(name, known)} Known: "
                      f"{', '.join(known) or 'none'}.")
