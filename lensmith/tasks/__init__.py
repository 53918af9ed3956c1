"""The problems a network can be trained for; a new one is a file, perhaps a head, and a line here."""

from lensmith.tasks.classification import Classification
from lensmith.tasks.detection import Detection
from lensmith.tasks.instances import Instances
from lensmith.tasks.multitask import Multitask
from lensmith.tasks.regression import Regression
from lensmith.tasks.segmentation import Segmentation
from lensmith.tasks.tagging import Tagging
from lensmith.tasks.task import Task
from lensmith.tasks.yolo import Yolo

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "tagging": Tagging,
    "regression": Regression,
    "detection": Detection,
    "yolov3": Yolo,
    "segmentation": Segmentation,
    "instances": Instances,
    "multitask": Multitask,
}
