import sys

import pytest
import torch
from torch.nn import functional as F

import lensmith
from lensmith.base.errors import ModelError
from lensmith.base.pictures import to_pil
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.models.backbones import find_backbone
from lensmith.models.network import Network
from lensmith.models.weights import fit_into
from lensmith.tasks.segmentation import Segmentation

smp = pytest.importorskip("segmentation_models_pytorch")
NAMES = ("Unet/resnet18", "FPN/mobilenet_v2", "DeepLabV3Plus/tu-test_resnet", "UnetPlusPlus/resnet18",
         "Linknet/tu-mobilenetv3_small_050")
CLASSES = ("ground", "disc", "square")


def made(name, size):
    backbone = find_backbone(f"smp:{name}", trusted=False)(inputs=3, size=size)
    return backbone, Segmentation(CLASSES).head(backbone)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_weights_give_the_same_scores_as_in_the_package(name):
    torch.manual_seed(0)
    backbone, head = made(name, (64, 96))
    network = Network(backbone, head, mean=[0.0] * 3, deviation=[1.0] * 3).eval()
    architecture, encoder = name.split("/")
    own = getattr(smp, architecture)(encoder, encoder_weights=None, classes=3).eval()
    own.load_state_dict(head.model.state_dict())
    pictures = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(network(pictures), own(pictures))
        odd = network(pictures[:, :, :50, :70])
        filled = own(F.pad(pictures[:, :, :50, :70], (0, 96 - 70, 0, 64 - 50)))
    assert odd.shape == (2, 3, 50, 70)
    assert torch.equal(odd, filled[:, :, :50, :70])


def test_its_preprocessing_is_that_of_its_encoder():
    assert find_backbone("smp:Unet/tu-tf_efficientnet_lite0", trusted=False)(inputs=3, size=(64, 64)).standard == \
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert made("Unet/resnet18", (64, 64))[0].standard == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_weights_of_the_encoder_alone_fit():
    timm = pytest.importorskip("timm")
    _, head = made("Unet/tu-mobilenetv3_small_050", (64, 64))
    weights = timm.create_model("mobilenetv3_small_050", pretrained=False).state_dict()
    fitted = fit_into(head, dict(weights), what="w")
    encoder = {name for name in head.state_dict() if name.startswith("model.encoder.")}
    assert {row["tensor"] for row in fitted.rows if row["became"] == "taken"} == encoder
    assert torch.equal(head.model.encoder.model.conv_stem.weight, weights["conv_stem.weight"])


def test_a_training_goes_through_to_a_prediction_at_the_files_size(tmp_path):
    trained = lensmith.train("shapes", backbone="smp:Unet/tu-test_resnet", task="segmentation", epochs=1, batch=10,
                             device="cpu", runs=tmp_path,
                             settings={"data.count": 30, "data.size": 40, "plan.mode": "exact", "plan.threads": 1})
    picture = to_pil(shapes(count=12, size=40).splits["train"][0].image).resize((90, 70))
    assert trained.folder.name == "shapes-tu-test_resnet-1"
    assert trained.predict(picture)[0].mask.classes.shape == (70, 90)


@pytest.mark.parametrize(("name", "told"), [
    ("Unett/resnet18", "segmentation_models_pytorch has no network 'Unett'. Did you mean 'Unet'? Known: "),
    ("Unet", "smp:Unet names no encoder: write smp:Unet/resnet18, or smp:Unet/tu-NAME with a network of timm"),
    ("Unet/resnet17", "segmentation_models_pytorch has no encoder 'resnet17'. Did you mean 'resnet1"),
    ("Unet/mit_b0", "its encoder is a transformer whose code is licensed for research alone"),
    ("Unet/tu-resnet1", "timm has no network 'resnet1'. Did you mean 'resnet"),
    ("Unet/tu-hf_hub:a/b", "timm has no network 'hf_hub:a/b'"),
])
def test_names_that_are_not_known_get_the_nearest(name, told):
    with pytest.raises(ModelError) as caught:
        find_backbone(f"smp:{name}", trusted=False)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_pictures_too_small_and_other_tasks_are_refused():
    with pytest.raises(ModelError, match=r"smp:PAN/resnet18 cannot take pictures of 64 x 64 pixels \(RuntimeError: "):
        made("PAN/resnet18", (64, 64))
    backbone = find_backbone("smp:Unet/resnet18", trusted=False)(inputs=3, size=(64, 64))
    for ask in (backbone.classifier, backbone.detector):
        with pytest.raises(ModelError, match="Unet/resnet18 makes masks and has no .*: train it with task.name=segm"):
            ask(3)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(ModelError) as caught:
        find_backbone("smp:Unet/resnet18", trusted=False)
    assert str(caught.value) == \
        'networks of segmentation_models_pytorch need that package: pip install "lensmith[smp]"'
