"""The settings of the sections that belong to no function; of each a line with its name, type, default and meaning.

To add a setting write its line here, one in docs/recipe.md, and read it where it is used, as
`recipe["learner"]["clip"]`. `sections.resolve` checks it, fills in its default and writes it into the run folder's
recipe. None as a default says that the setting is left out where nobody names it: what is done then is in the comment.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from lensmith.base.picture_headers import MOST_PIXELS
from lensmith.base.pictures import Fit, Interpolation
from lensmith.engine.plan.plan import Layout, Precision


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """[run]"""

    name: str | None = None    # of the run folder; None: the next free number
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0    # of the first weights, the order and the augmentation
    save_every: float = 60.0   # seconds after which the state is saved within an epoch
    vitals: bool = True        # whether the network is looked at between steps, for `lensmith doctor`
    language: Literal["en", "zh"] = "en"    # of the report: English or Chinese


@dataclass(frozen=True, kw_only=True)
class SetSettings:
    """[data], beside the settings of the format that it names."""

    leave_out: str | None = None    # a file that lists pictures to be used for nothing, as `lensmith check` writes it


@dataclass(frozen=True, kw_only=True)
class PictureSettings:
    """[pictures]: the form that every picture is brought to."""

    size: int | list[int] | None = None           # edge in pixels, or [height, width]; None: by the pictures
    channels: Literal[1, 3, 4] | None = None      # 1 gray, 3 RGB, 4 RGBA; None: by the pictures
    bits: Literal[8, 16] | None = None            # of a channel; None: by the pictures
    values: list[int] | Literal["clipped"] | None = None    # the black and white of files of more than 8 bits, as
                                                  # [0, 4095]; "clipped": 0 to 65535, colours cut to 8 bits, as before
                                                  # there was this; None: by the pictures
    most_pixels: int = MOST_PIXELS                # that a file may declare; more is an attack on the memory
    fit: Fit | None = None                        # how another aspect ratio is met; None: pad for boxes and masks,
                                                  # else crop
    interpolation: Interpolation | None = None    # how another size is met; None: as the weights that the network
                                                  # begins with are used to, else bilinear
    on_bad: Literal["skip", "refuse"] = "skip"    # what happens to files that cannot be read


@dataclass(frozen=True, kw_only=True)
class LoadingSettings:
    """[loading]: how the pictures become batches."""

    batch: int | None = None           # pictures a step; None: 16 for boxes and masks, else 64
    workers: int | None = None         # processes that decode a streamed set; 0: this one does; None: by the machine
    memory: float = 0.4                # fraction of the free memory that decoded pictures may take
    disk: float = 0.2                  # fraction of cache and free disk together that decoded pictures may take
    balance: bool = False              # draw every class equally often, pictures of objects by their rarest one
    fraction: float = 1.0              # of the training pictures, to be used
    background: float = 1.0            # the largest fraction of the training pictures that may show no object
    rectangular: bool | None = None    # measure pictures of like shape together, without the padding around them;
                                       # None: where boxes are learned from letterboxed pictures


@dataclass(frozen=True, kw_only=True)
class LearnerSettings:
    """[learner]: how the weights are learned."""

    epochs: int | None = None       # passes over the training pictures; None: 50 for boxes, 20 for a probe, else 10
    minutes: Annotated[float, Field(gt=0)] | None = None    # of the whole process, in the place of epochs; None: none
    accumulate: int = 1             # batches whose gradients make one step
    clip: float = 0.0               # the largest norm of the gradient; 0: any
    average: float | None = None    # decay of the EMA that is measured and kept; 0: none; None: 0.98 for boxes, else 0
    norm_floor: Annotated[float, Field(ge=0, le=1)] | None = None    # the least momentum of batch norm; 0: its own;
                                    # None: by the batches of an epoch, in a run begun before there was this 0
    patience: int = 0               # epochs without a better score after which the run stops; 0: never
    weights: str | None = None      # file or run folder of the weights to begin with, download:NAME, `imagenet`, or
                                    # `none` for drawn ones; None: drawn ones, but `imagenet` where it is usual and no
                                    # backbone is named
    first_weights: Literal["fitted"] | None = None    # fitted: drawn for the activation behind each layer; None: as the
                                                      # network draws them itself
    groups: list[dict[str, str | float]] | None = None    # factors on rate and decay by the parameters' names
    freeze: str | int | None = None          # `backbone`, the number of its first blocks, or a pattern of names
    unfreeze: list[int] | None = None        # epochs after which a part of the backbone is unfrozen, its end first
    depth_decay: Annotated[float, Field(gt=0, le=1)] | None = None    # factor on the rate from block to block, from the
                                                                      # head on; None: as is usual where the head learns
                                                                      # first, else 1
    head_first: Annotated[int, Field(ge=0)] | None = None    # epochs in which the head alone learns, from maps that the
                                                             # backbone computes once, before all do; None: as is
                                                             # usual with weights that have learned, else 0
    teacher: str | None = None      # a run folder whose answers are learned beside the truth; None: the truth alone
    teacher_weight: Annotated[float, Field(gt=0, le=1)] | None = None    # of the teacher's answers in the loss, the
                                                                         # truth has the rest; None: 0.9, with a teacher
    temperature: Annotated[float, Field(gt=0, le=100)] | None = None     # that the answers of both are softened by;
                                                                         # None: 4, with a teacher
    probe: bool = False             # the head alone learns, from maps that the backbone computes once


@dataclass(frozen=True, kw_only=True)
class PrunedSettings:
    """[pruned], of a network that `lensmith compress` has cut: the channels of its layers, by their names, that are
    fewer than the backbone and the head have by themselves."""

    outputs: dict[str, Annotated[int, Field(ge=1)]] | None = None    # channels that come out of a layer
    inputs: dict[str, Annotated[int, Field(ge=1)]] | None = None     # channels that go into it


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """[plan]: how to run."""

    mode: str = "auto"      # `auto` times what is not named here, `exact` is deterministic float32; or a plan.json
    device: str = "auto"    # `cpu`, `cuda`, `cuda:N`, `mps`; `auto`: CUDA, else MPS, else the CPU
    precision: Precision | None = None                # None: timed
    layout: Layout | None = None                      # of the maps in memory; None: timed
    threads: Annotated[int, Field(ge=0)] = 0          # of the CPU; 0: timed
    compiled: bool | None = None                      # by torch.compile; None: timed
    processes: Annotated[int, Field(ge=1)] = 1        # that train one network together
    timeout: Annotated[float, Field(gt=0)] = 60.0     # seconds after which a silent process is given up
    synchronise: bool = False                         # batch norm looks at the pictures of all processes
    stages: list[str] | None = None                   # the devices that one network is split over; None: one device
