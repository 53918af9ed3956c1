"""Data sets: one file a format, whose record stands here under the name that recipes use."""

from lensmith.data.formats.boxes.coco import COCO
from lensmith.data.formats.boxes.cvat import CVAT
from lensmith.data.formats.boxes.label_studio import LABEL_STUDIO
from lensmith.data.formats.boxes.labelme import LABELME
from lensmith.data.formats.boxes.via import VIA
from lensmith.data.formats.boxes.voc import VOC
from lensmith.data.formats.boxes.yolo import YOLO
from lensmith.data.formats.cifar import CIFAR10, CIFAR100
from lensmith.data.formats.class_folders import CLASS_FOLDERS
from lensmith.data.formats.drawn_shapes import SHAPES
from lensmith.data.formats.format import Format
from lensmith.data.formats.idx import FASHION_MNIST, MNIST
from lensmith.data.formats.joined_sets import JOINED_SETS
from lensmith.data.formats.masks.object_masks import OBJECT_MASKS
from lensmith.data.formats.masks.semantic_masks import MASKS
from lensmith.data.formats.tables.table import TABLE

FORMATS: dict[str, Format] = {
    "fashion-mnist": FASHION_MNIST,
    "mnist": MNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "folder": CLASS_FOLDERS,
    "table": TABLE,
    "yolo": YOLO,
    "coco": COCO,
    "voc": VOC,
    "labelme": LABELME,
    "via": VIA,
    "cvat": CVAT,
    "label-studio": LABEL_STUDIO,
    "masks": MASKS,
    "object-masks": OBJECT_MASKS,
    "several": JOINED_SETS,
    "shapes": SHAPES,
}
