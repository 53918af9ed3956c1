"""What a run is written as for other programs: the table of targets, one file a target."""

from lensmith.ship.export.ncnn import NCNN_FILE
from lensmith.ship.export.onnx import ONNX
from lensmith.ship.export.openvino import OPENVINO_FILE
from lensmith.ship.export.target import Target

TARGETS: dict[str, Target] = {"onnx": ONNX, "openvino": OPENVINO_FILE, "ncnn": NCNN_FILE}
