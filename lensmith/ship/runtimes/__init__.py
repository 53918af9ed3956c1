"""The runtimes that answers are computed with, by the names users know."""

from lensmith.ship.runtimes.ncnn import NCNN
from lensmith.ship.runtimes.onnxruntime import ONNXRUNTIME
from lensmith.ship.runtimes.openvino import OPENVINO
from lensmith.ship.runtimes.runtime import Runtime
from lensmith.ship.runtimes.torch import TORCH

RUNTIMES: dict[str, Runtime] = {"torch": TORCH, "onnxruntime": ONNXRUNTIME, "openvino": OPENVINO, "ncnn": NCNN}
