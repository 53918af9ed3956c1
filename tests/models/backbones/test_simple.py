import pytest
import torch
from torch import nn

from lensmith.base.errors import ModelError
from lensmith.models.backbones.simple import cnn3, simple, simple2


def block(inputs, outputs):
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]


TEXTBOOK = {
    simple: lambda: [*block(3, 32), nn.Flatten(), nn.Linear(32 * 16 * 16, 10)],
    simple2: lambda: [*block(3, 16), *block(16, 32), nn.Flatten(), nn.Linear(32 * 8 * 8, 10)],
    cnn3: lambda: [*block(3, 32), *block(32, 64), *block(64, 64), nn.Flatten(), nn.Linear(64 * 4 * 4, 512), nn.ReLU(),
                   nn.Linear(512, 10)],
}


@pytest.mark.parametrize("build", TEXTBOOK)
def test_it_computes_what_the_layers_written_out_compute(build):
    torch.manual_seed(0)
    backbone = build(inputs=3, size=(32, 32))
    head = backbone.classifier(10)
    plain = nn.Sequential(*TEXTBOOK[build]())
    for mine, theirs in zip([*backbone.parameters(), *head.parameters()], plain.parameters(), strict=True):
        theirs.data.copy_(mine.data)
    pictures = torch.randn(2, 3, 32, 32)
    assert torch.equal(head(backbone(pictures)), plain(pictures))


def test_cnn3_gives_64x4x4_on_32x32():
    maps = cnn3(inputs=3, size=(32, 32))(torch.zeros(1, 3, 32, 32))
    assert tuple(maps[-1].shape) == (1, 64, 4, 4)


@pytest.mark.parametrize(("build", "least"), [(simple, 2), (simple2, 4), (cnn3, 8)])
def test_a_picture_too_small_is_refused_with_the_size_that_works(build, least):
    with pytest.raises(ModelError, match=rf"{build.__name__} cannot take .* pictures.size={least} or more"):
        build(inputs=1, size=(least - 1, least))
    assert build(inputs=1, size=(least, least)).classifier(2) is not None
