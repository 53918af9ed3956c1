"""Data sets: one file a format, all in the table `DATASETS`."""

from collections.abc import Callable

from lensmith.data.formats.boxes.coco import coco
from lensmith.data.formats.boxes.labelme import labelme
from lensmith.data.formats.boxes.voc import voc
from lensmith.data.formats.boxes.yolo import yolo
from lensmith.data.formats.cifar import cifar10, cifar100
from lensmith.data.formats.class_folders import class_folders
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.data.formats.idx import fashion_mnist, mnist
from lensmith.data.formats.joined_sets import several
from lensmith.data.formats.masks.semantic_masks import labelled_pixels
from lensmith.data.formats.tables.table import table
from lensmith.data.sources.sample import Parts

DATASETS: dict[str, Callable[..., Parts]] = {
    "fashion-mnist": fashion_mnist,
    "mnist": mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "folder": class_folders,
    "table": table,
    "yolo": yolo,
    "coco": coco,
    "voc": voc,
    "labelme": labelme,
    "masks": labelled_pixels,
    "several": several,
    "shapes": shapes,
}
