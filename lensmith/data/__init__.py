"""Data sets: one file a format, all in the table `DATASETS`."""

from collections.abc import Callable

from lensmith.data.cifar import cifar10, cifar100
from lensmith.data.folders import class_folders
from lensmith.data.idx import fashion_mnist, mnist
from lensmith.data.sample import Parts
from lensmith.data.shapes import shapes
from lensmith.data.table import table

DATASETS: dict[str, Callable[..., Parts]] = {
    "fashion-mnist": fashion_mnist,
    "mnist": mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "folder": class_folders,
    "table": table,
    "shapes": shapes,
}
