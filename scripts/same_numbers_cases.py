"""What same_numbers.py runs in both trees: cases of a few commands each, small enough for a few seconds."""

from collections.abc import Sequence
from typing import NamedTuple

_RUN = "runs/one"
_PICTURES = "@data/pictures"
_STACK = ('backbone.layers=[{conv = 8, kernel = 3, stride = 2}, {batchnorm = true}, "relu", {dropout = 0.2}, '
          '{separable = 16, kernel = 3}, {batchnorm = true}, "relu", {residual = 16, stride = 2}, '
          '{globalpool = "mean"}, {dropout = 0.1}]')
_WHITENED = ('backbone.layers=[{whitening = 2, directions = 8}, "gelu", {conv = 12, kernel = 3, padding = 1, bias = '
             'false, identity = true}, {maxpool = 2}, {batchnorm = true}, "gelu", {conv = 16, kernel = 3, padding = 1, '
             'bias = false}, {batchnorm = true}, "gelu", {globalpool = "max"}, {scale = 0.12}]')
_SMALL = ("data.count=72", "data.size=20")
_CSP = ("--backbone", "csp", "backbone.width=8", "--batch", "8")


class Step(NamedTuple):
    """One command: its arguments, in which @data, @tree and @given stand for folders, and the exit code it ends with;
    or the file after whose writing, so many times, it is killed."""

    arguments: tuple[str, ...]
    code: int = 0
    kill: str = ""
    saves: int = 1


class Case(NamedTuple):
    """Commands that go together; `needs` is what they read of LENSMITH_DATA."""

    name: str
    steps: tuple[Step, ...]
    needs: str = ""


def _trained(source: str, *arguments: str, name: str = "one", epochs: int = 2) -> Step:
    # By itself a batch would be most of the pictures, and an epoch one step.
    return Step(("train", source, "--batch", "12", *arguments, "--plan", "exact", "--device", "cpu", "--epochs",
                 str(epochs), "--runs", "runs", "--name", name, "-q"))


def _whole(source: str, *arguments: str, shown: Sequence[str] = ()) -> tuple[Step, ...]:
    """A training, and what its network says of pictures."""
    return (_trained(source, *arguments), _predicted(*shown))


def _measured(source: str, *arguments: str, shown: Sequence[str] = ()) -> tuple[Step, ...]:
    """The same, and how the network is measured."""
    return (*_whole(source, *arguments, shown=shown), Step(("val", _RUN, "--split", "train", "--json")))


def _alone(source: str, *arguments: str) -> tuple[Step, ...]:
    return (_trained(source, *arguments),)


def _predicted(*shown: str, run: str = _RUN, of: str = _PICTURES) -> Step:
    return Step(("predict", run, of, "--device", "cpu", "--json", "--out", "found", *shown))


def _dry(source: str, *arguments: str) -> Step:
    return Step(("train", source, *arguments, "--dry-run"))


_ALL = ("--threshold", "0.001", "--top", "20")    # of networks that are sure of nothing yet
_FINE = ("--threshold", "0.02", "--top", "10")


def _tasks() -> list[Case]:
    """A case for each task of `lensmith list tasks`."""
    shapes = ("shapes", *_SMALL)
    boxes = ("shapes", "data.count=48", "data.size=32")
    return [
        Case("classification", _measured(*shapes, "--backbone", "lenet", "--task", "classification",
                                         "task.smoothing=0.1")),
        Case("classification-focal", _whole("@data/photos", "--backbone", "cnn3", "--size", "32", "--task",
                                            "classification", "task.focal=1.5",
                                            'task.class_weights="balanced"', "augment.flip=true",
                                            "augment.rotate=20", "augment.erase=0.5", "augment.hue=0.1",
                                            "augment.saturation=0.3", "augment.contrast=0.3",
                                            "augment.resized_crop=[0.5, 1.0]")),
        Case("tagging", _measured("@data/tables/tags.csv", "--backbone", "simple", "--batch", "8")),
        Case("regression", _measured("@data/tables/numbers.csv", "--backbone", "lenet", "--task", "regression",
                                     'task.loss="huber"', "task.delta=0.5", "--batch", "8")),
        Case("detection", _measured(*boxes, "--task", "detection", *_CSP, shown=_ALL)),
        Case("yolov3", _whole(*boxes, "--task", "yolov3", *_CSP, "task.anchors=6", 'task.box="paper"', shown=_ALL)),
        Case("yolov3-soft", _whole(*boxes, "--task", "yolov3", *_CSP, 'task.suppression="soft"', shown=_ALL)),
        Case("segmentation", _measured(*boxes, "--task", "segmentation", *_CSP, "task.width=4",
                                       'task.loss=["cross_entropy", "dice", "lovasz", "focal"]')),
        Case("segmentation-fcn8", _whole(*boxes, "--task", "segmentation", *_CSP, 'task.network="fcn8"')),
        Case("instances", _measured(*boxes, "data.outlines=true", "--task", "instances", *_CSP, "task.prototypes=8",
                                    shown=_FINE)),
        Case("multitask", _measured(*boxes, "--task", "multitask", *_CSP, 'task.balance="uncertainty"', shown=_FINE)),
        Case("multitask-gradients", (
            _trained(*boxes, "--task", "multitask", *_CSP, 'task.balance="gradients"', "task.weights={boxes = 0.5}"),
            _trained(*boxes, "--task", "multitask", *_CSP, 'task.parts=["label"]', name="label"),
            Step(("compare", _RUN, "runs/label", "--json", "--out", "shared.html")))),
    ]


def _learning() -> list[Case]:
    """A case for each way of learning."""
    shapes = ("shapes", *_SMALL)
    base = _trained(*shapes, "--backbone", "cnn3", name="base", epochs=1)
    return [
        Case("average", _alone(*shapes, "--backbone", "stack", _STACK, "--batch", "10", "learner.average=0.9")),
        Case("mosaic", _alone("@data/yolo", "--task", "detection", *_CSP, "--size", "32", "augment.mosaic=0.8",
                              "augment.zoom=[0.5, 1.5]", "augment.mixup=0.3", "augment.mixed=0.5", "augment.flip=true",
                              "augment.hue=0.02", "learner.average=0.9", 'task.suppression="diou"')),
        Case("close-mosaic", (_trained("@data/yolo", *_CSP, "augment.mosaic=1.0", "augment.close_mosaic=1"),)),
        Case("mixup", _alone(*shapes, "--backbone", "lenet", "augment.mixup=0.4", "augment.mixed=0.7")),
        Case("cutmix", _alone(*shapes, "--backbone", "lenet", "augment.cutmix=1.0", 'augment.flip="alternate"',
                              "augment.crop_padding=2")),
        Case("probe", (base, _trained("@data/photos", "--size", "20", "--weights", "runs/base", "--probe"),
                       _predicted())),
        Case("accumulate", _alone(*shapes, "--backbone", "lenet", "--batch", "9", "learner.accumulate=3",
                                  "learner.clip=0.5", "--optimizer", "sgd", "optimizer.decay=0.01")),
        Case("freeze", (base, _trained(*shapes, "--weights", "runs/base", "--freeze", "1", "--seed", "3"),
                        _trained(*shapes, "--weights", "runs/base", "--freeze", "backbone", name="head"))),
        Case("unfreeze", (base, _trained(*shapes, "--weights", "runs/base", "learner.unfreeze=[1, 2]", epochs=3))),
        Case("depth-decay", (base, _trained("@data/photos", "--size", "20", "--weights", "runs/base",
                                            "learner.depth_decay=0.7", "learner.freeze=*bias"))),
        Case("groups", (_trained(*shapes, "--backbone", "stack", _STACK, 'learner.groups=[{match = "backbone.*", '
                                 "rate = 0.1, decay = 0.0}]", "learner.patience=1", epochs=4),)),
        Case("backbone-of-run", (base, _trained("@data/yolo", "--size", "32", "--task", "detection",
                                                      "--backbone", "runs/base", "--seed", "2", epochs=1))),
        Case("balance", _alone("@data/photos", "--backbone", "lenet", "--size", "24", "loading.balance=true",
                               "loading.fraction=0.8", "--batch", "8")),
        Case("folds", _alone("@data/photos", "--backbone", "lenet", "--size", "24", "split.folds=3", "split.fold=1",
                             "--batch", "8")),
        Case("shrink", _alone(*shapes, "--backbone", "stack", _STACK, "augment.shrink=[0.5]")),
        Case("whitening-muon", _alone(*shapes, "--backbone", "stack", _WHITENED, "--optimizer", "muon",
                                      "optimizer.normalise=true", "optimizer.rate=0.2", "optimizer.momentum=0.6",
                                      "optimizer.decay=0.0", "schedule.name=linear", "schedule.warmup=0.2")),
        Case("muon", _alone(*shapes, "--backbone", "lenet", "--optimizer", "muon", "schedule.name=one_cycle")),
        Case("adam", _alone(*shapes, "--backbone", "lenet", "backbone.activation=sigmoid", "--optimizer", "adam",
                            "optimizer.decay=0.01", "schedule.name=constant")),
        Case("processes", (_trained(*shapes, "--backbone", "stack", _STACK, "--processes", "2"), _predicted())),
        Case("killed", (
            Step((*_trained("shapes", "data.count=600", "data.size=20", "--backbone", "stack", _STACK, "--batch", "10",
                            "run.save_every=0.02", "learner.average=0.98", "augment.mixup=0.3",
                            "augment.crop_padding=3", epochs=3).arguments,), kill=f"{_RUN}/last.safetensors", saves=4),
            Step(("train", "--resume", _RUN, "-q")), _predicted())),
    ]


def _networks() -> list[Case]:
    """A case for each kind of network that is not the house's own."""
    darknet = ("@data/yolo", "--task", "yolov3", "--backbone", "darknet", "backbone.cfg=@data/small.cfg", "--batch",
               "8")
    shapes = ("shapes", *_SMALL)
    fastest = ("@given/darknet/yolo-fastest-1.1.cfg", "@given/darknet/yolo-fastest-1.1.weights")
    return [
        Case("darknet", (
            *_whole(*darknet, shown=_ALL), Step(("convert", _RUN, "back.cfg", "back.weights")),
            Step(("convert", "back.cfg", "back.weights", "runs/two", "--names", "@data/small.names")),
            Step(("predict", _PICTURES, "--cfg", "back.cfg", "--weights", "back.weights", "--json", *_ALL)),
            Step(("val", "runs/two", "--data", "@data/yolo", "--json")))),
        Case("yolo-fastest", (
            Step(("predict", "@given/darknet/dog.jpg", "--cfg", fastest[0], "--weights", fastest[1], "--names",
                  "@given/darknet/coco.names", "--json", "--out", "found", "--top", "50")),
            Step(("convert", *fastest, "runs/fastest")),
            Step(("predict", "runs/fastest", "@given/darknet/person.jpg", "--tiles", "0.5", "--json")),
            Step(("convert", "runs/fastest", "back.cfg", "back.weights"))), needs="darknet"),
        Case("own-network", _whole(*shapes, "--backbone", "@data/net.py:Net", "backbone.width=6",
                                   shown=("--trust",))),
        Case("timm", _whole(*shapes, "--backbone", "timm:test_resnet", "--size", "32")),
        Case("torchvision", _whole(*shapes, "--backbone", "squeezenet1_1", "backbone.small_stem=true")),
        Case("smp", (_trained("@data/masks", "data.void=255", "--size", "32", "--backbone", "smp:Unet/tu-test_resnet",
                              epochs=1),)),
        Case("convolutional", (
            _trained(*shapes, "--backbone", "cnn3"), Step(("convert", _RUN, "runs/wide", "--convolutional")),
            _predicted(run="runs/wide", of="@data/large.png"))),
        Case("published-weights", (_dry("@data/photos", "--backbone", "squeezenet1_0", "--weights",
                                        "@given/weights/squeezenet1_0_deepcompression_fp32.pth", "--probe"),
                                   _trained("@data/photos", "--backbone", "squeezenet1_0", "--weights",
                                            "@given/weights/squeezenet1_0_deepcompression_fp32.pth", "--probe",
                                            "--size", "64")), needs="weights"),
    ]


def _data() -> list[Case]:
    """A case for each format of data and each way of loading them."""
    streamed = ("loading.memory=0", "loading.disk=0")
    table = ('data.target=["kind", "looks", "edge", "head"]', "data.pictures=images/{name}.png",
             'data.masks={outline = "masks/{name}.png"}')
    named = {"folder": "@data/photos", "yolo": "@data/yolo", "outlines": "@data/outlines", "voc": "@data/voc",
             "masks": "@data/masks", "tags": "@data/tables/tags.csv", "numbers": "@data/tables/numbers.csv",
             "gray16": "@data/gray16", "several": "@data/several.toml", "shapes": "shapes"}
    formats = ("coco", "voc", "csv", "labelme", "yolo")
    return [
        Case("streamed", _alone("@data/photos", "--backbone", "lenet", "--size", "24", *streamed, "loading.workers=2",
                                "augment.crop_padding=2", "--batch", "8")),
        Case("cache-file", _alone("@data/photos", "--backbone", "lenet", "--size", "24", "loading.memory=0")),
        Case("streamed-boxes", _alone("@data/yolo", *_CSP, "--size", "32", *streamed, "loading.workers=0",
                                      "loading.background=0.05", "loading.rectangular=false")),
        Case("gray16", _whole("@data/gray16", "--backbone", "lenet", "--size", "24")),
        Case("forms", (_trained("@data/photos", "--backbone", "lenet", "--size", "24", "pictures.channels=4",
                                "pictures.fit=squash", "pictures.interpolation=bicubic"), _predicted())),
        Case("table-of-several", _whole("@data/tables/several.csv", *table, *_CSP, "--size", "32", shown=_FINE)),
        Case("sets-joined", (_trained("@data/several.toml", *_CSP),)),
        Case("outlines", _whole("@data/outlines", "--task", "instances", *_CSP, "--size", "32", shown=_FINE)),
        Case("masks", (*_whole("@data/masks", "data.void=255", *_CSP, "--size", "32"),
                       _predicted("--tiles", "1", of="@data/large.png"))),
        Case("tiles", (_trained("@data/yolo", *_CSP, "--size", "32"),
                       _predicted("--tiles", "1", *_ALL, of="@data/large.png"))),
        Case("converted", tuple(step for form in formats for step in (
            Step(("convert", "@data/yolo", f"as-{form}", "--to", form, "--images", "copy", "--json")),
            Step(("data", "show", f"as-{form}", "--json")), _dry(f"as-{form}")))),
        *(Case(f"show-{name}", (Step(("data", "show", place, "--json")), _dry(place)))
          for name, place in named.items()),
    ]


def _words() -> list[Case]:
    """Cases without a training: what is listed, inspected and refused."""
    lists = ("backbones", "tasks", "data", "optimizers", "schedules")
    return [
        Case("lists", (*(Step(("list", what)) for what in lists), Step(("list", "backbones", "--json")),
                       Step(("--help",)), Step(("train", "--help")))),
        Case("inspect", tuple(Step(("inspect", *arguments)) for arguments in (
            ("lenet", "--size", "28"), ("cnn3", "--size", "32", "--json"), ("csp", "--size", "64"),
            ("stack", _STACK, "--size", "32"), ("@data/net.py:Net", "--size", "24"), ("timm:test_resnet",)))),
        Case("runs", (_trained("shapes", *_SMALL, "--backbone", "lenet", epochs=1), Step(("inspect", _RUN)),
                      Step(("val", _RUN)), Step(("predict", _RUN, f"{_PICTURES}/0.png")),
                      Step(("train", _RUN, "--dry-run", "--seed", "5")))),
        Case("refused", (
            Step(("train", "fashion-mnits"), 3), Step(("train", "shapes", "--backbone", "lenett"), 4),
            Step(("train", "shapes", "learner.epoch=3"), 2), Step(("train", "shapes", "--task", "tagging"), 2),
            Step(("predict", "runs/none", "a.png"), 4), Step(("list", "network"), 2), Step(("train",), 2),
            Step(("train", "@data/photos", "--on-bad", "refuse"), 3), Step(("train", "shapes", "--epochs", "x"), 2))),
    ]


_EFFICIENT = "learner.weights=@given/weights/tf_efficientnet_lite0_fp16.safetensors"
# Recipe -> what it needs of LENSMITH_DATA, and where that is.
_RECIPES = {
    "cifar-fast": ("cifar10-jpeg.tar", ("data.path=@data/cifar10",)),
    "cifar10-folders": ("cifar10-jpeg.tar", ("data.path=@data/cifar10",)),
    "coco128-masks": ("coco128", ("data.path=@given/coco128/semantic_segmentation/config.yaml", _EFFICIENT)),
    "mnist-lenet": ("mnist", ()),
    "pets3-breeds": ("pets3", ("data.path=@given/pets3/labels.csv", _EFFICIENT)),
    "pets3-fcn8": ("pets3", ("data.path=@given/pets3",)),
    "pets3-heads": ("pets3", ("data.path=@given/pets3", _EFFICIENT)),
    "pets3-outline": ("pets3", ("data.path=@given/pets3", _EFFICIENT)),
    "pets3-probe": ("pets3", ("data.path=@given/pets3/labels.csv", _EFFICIENT)),
    "pets3-tasks": ("pets3", ("data.path=@given/pets3/labels.csv", _EFFICIENT)),
    "shapes-lenet": ("", ()),
}


def _recipe(name: str) -> Case:
    """The resolved text of a recipe; of one that is not known here it has to need no data."""
    needs, settings = _RECIPES.get(name, ("fashion-mnist", ()) if name.startswith("fashion") else ("", ()))
    return Case(f"recipe-{name}", (_dry(f"@tree/recipes/{name}.toml", *settings),), needs)


def cases(recipes: Sequence[str]) -> list[Case]:
    """All cases, with one for each of the recipes that are named."""
    return [*_tasks(), *_learning(), *_networks(), *_data(), *_words(), *(_recipe(name) for name in recipes)]
