"""Data sets: one file a format, all in the table `DATASETS`."""

from collections.abc import Callable

from lensmith.data.cifar import cifar10, cifar100
from lensmith.data.coco_json import coco
from lensmith.data.folders import class_folders
from lensmith.data.idx import fashion_mnist, mnist
from lensmith.data.labelme_json import labelme
from lensmith.data.masks import labelled_pixels
from lensmith.data.sample import Parts
from lensmith.data.several import several
from lensmith.data.shapes import shapes
from lensmith.data.table import table
from lensmith.data.voc_xml import voc
from lensmith.data.yolo_text import yolo

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
