"""The layers of any network by its name: of the tables, of a file, of a run folder."""

import sys
from pathlib import Path

import pytest

from lensmith.base.errors import ModelError, UserError
from lensmith.cli.layers_by_name import layers


def test_settings_of_a_network_may_name_their_section() -> None:
    short, long = (layers("lenet", [setting], size=28, channels=1)
                   for setting in ("activation=tanh", "backbone.activation=tanh"))
    assert short == long and "Tanh" in {row.kind for row in short.rows}
    assert "Tanh" not in {row.kind for row in layers("lenet", size=28, channels=1).rows}
    with pytest.raises(UserError, match="backbone 'lenet' has no setting 'activatoin'. Did you mean 'activation'?"):
        layers("lenet", ["backbone.activatoin=tanh"])
    with pytest.raises(UserError, match="a setting reads section.key=value"):
        layers("lenet", ["activation"])


def test_layers_are_those_of_the_size_channels_and_classes_asked_for() -> None:
    found = layers("lenet", size=28, channels=1, classes=7)
    # Dense layers 256-120-84-7 and convolutions 6@5x5, 16@5x5 with their biases.
    assert found.totals.parameters == 6 * 26 + 16 * 151 + 257 * 120 + 121 * 84 + 85 * 7
    assert layers("resnet18").rows[-1].shape == (10,)


def test_a_run_folder_gives_its_own_network_and_takes_no_settings(command, tmp_path: Path) -> None:
    ended = command("train", "shapes", "data.count=24", "data.size=20", "--backbone", "lenet", "--epochs", 1, "-q",
                    "--name", "one", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    own, same = layers(str(tmp_path / "one")), layers("lenet", size=20, channels=3, classes=3)
    assert [(row.name, row.shape, row.parameters) for row in own.rows] == \
        [(row.name, row.shape, row.parameters) for row in same.rows]
    with pytest.raises(UserError, match="one is a run folder, whose network is as it was trained: leave 'pool=max'"):
        layers(str(tmp_path / "one"), ["pool=max"])


def test_a_network_of_the_users_own_is_shown_even_where_it_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text("from torch import nn\n\n\nclass Net(nn.Sequential):\n"
                                        "    def __init__(self):\n"
                                        "        super().__init__(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(9, 2))\n")
    try:
        found = layers(f"{tmp_path}/my_net.py:Net", size=8)
    finally:
        sys.modules.pop("lensmith_outside_my_net", None)
    assert [row.kind for row in found.rows][:1] == ["Conv2d"] and found.totals.problem
    with pytest.raises(ModelError, match="no file .*my_nat.py. Did you mean 'my_net.py'"):
        layers(f"{tmp_path}/my_nat.py:Net")


@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large", "lraspp_mobilenet_v3_large",
                                  pytest.param("maskrcnn_resnet50_fpn", marks=pytest.mark.slow)])
def test_networks_that_come_whole_show_the_layers_of_their_own_task(name: str) -> None:
    found = layers(name, size=320, classes=4)
    assert any(row.name.startswith("head.model.") for row in found.rows)
    assert found.totals.multiply_adds > 0 and found.totals.problem == ""
