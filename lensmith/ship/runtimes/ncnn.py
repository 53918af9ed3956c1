"""The runtime `ncnn`, for phones and small boards."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import ModelError
from lensmith.ship.runtimes.packages import import_quietly
from lensmith.ship.runtimes.runtime import OpenFile, Runtime


def open_with_ncnn(file: Path, threads: int, precision: str = "float32") -> OpenFile:
    """The file with the weights and the names of the outputs beside it, ready to be run on the CPU in float32, picture
    by picture. Raises ModelError where ncnn refuses it."""
    ncnn = import_quietly("ncnn")
    network = ncnn.Net()
    network.opt.num_threads = threads
    for option in ("use_vulkan_compute", "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic",
                   "use_bf16_storage"):
        setattr(network.opt, option, False)
    if network.load_param(str(file)) or network.load_model(str(file.with_suffix(".bin"))):
        raise ModelError(f"ncnn cannot open {file}: export the run again")
    outputs = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))["outputs"]
    names = [name for several in outputs.values() for name in several]

    def answers(picture: Tensor) -> list[Tensor]:
        extractor = network.create_extractor()
        pixels = picture.float().contiguous().numpy()    # a Mat does not keep the memory that it looks at
        extractor.input("in0", ncnn.Mat(pixels).clone())
        found = [extractor.extract(f"out{number}") for number in range(len(names))]
        if any(code for code, _ in found):
            raise ModelError(f"ncnn cannot run {file} on pictures of {'x'.join(map(str, picture.shape))}")
        return [torch.from_numpy(np.array(matrix)) for _, matrix in found]

    def run(pictures: Tensor) -> dict[str, Tensor]:
        several = [answers(picture) for picture in pictures]
        return {name: torch.stack([one[number] for one in several]) for number, name in enumerate(names)}

    return run


NCNN = Runtime("ncnn", (".param",), ("float32",), open_with_ncnn)
