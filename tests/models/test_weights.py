import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model

from lensmith.base.errors import ModelError
from lensmith.models.adapters.torchvision_classifiers import torchvision_network
from lensmith.models.backbones.lenet import lenet
from lensmith.models.network import Network
from lensmith.models.weights import Fitted, fit_into, load_into, read_weights

ACCEPTED = "Accepted are .safetensors files, and .pth or .pt files that hold only tensors by name"


class Bomb:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def refusal(path):
    with pytest.raises(ModelError) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(one, two):
    return one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)


def test_every_accepted_kind_of_file_gives_its_tensors(tmp_path):
    state = nn.Linear(2, 3).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "b.pth")
    torch.save({"model": state, "optimizer": {"lr": 0.1}}, tmp_path / "c.pt")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name, suffix in (("a.pth", ".th"), ("b.pth", ".pth.tar"), ("old.pth", ".bin"), ("a.safetensors", "")):
        (tmp_path / f"other{suffix}").write_bytes((tmp_path / name).read_bytes())    # by its contents
        assert same(read_weights(tmp_path / f"other{suffix}"), state), suffix
    for name in ("a.safetensors", "a.pth", "b.pth", "c.pt", "old.pth"):
        assert same(read_weights(tmp_path / name), state), name


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path, suffix, write):
    trace = tmp_path / "ran"
    path = tmp_path / f"weights{suffix}"
    write({"a": torch.zeros(1), "b": Bomb(f"touch {trace}")}, path)
    assert refusal(path) == (
        f"{path} is refused: it is a pickle that asks for more than tensors, and reading it could run a stranger's "
        f"code. {ACCEPTED}; ask its author for a .safetensors file. Where it is yours, `import safetensors.torch` "
        'and `safetensors.torch.save_file(net.state_dict(), "weights.safetensors")` save what is safe; `lensmith train '
        "DATA --backbone my_net.py:Net --weights weights.safetensors` begins with it, and `lensmith convert "
        "my_net.py:Net weights.safetensors RUN` makes a run of it")
    assert not trace.exists()
    # The file is truly armed: read the way that Lensmith never reads, it runs.
    if write is not torch.save:
        pickle.loads(path.read_bytes())
        assert trace.exists()


def test_a_whole_module_in_a_pickle_is_refused(tmp_path):
    torch.save(nn.Linear(2, 3), tmp_path / "whole.pth")
    assert "is refused: it is a pickle that asks for more" in refusal(tmp_path / "whole.pth")


def test_a_pickle_under_the_name_of_safetensors_is_not_unpickled(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(pickle.dumps(Bomb(f"touch {tmp_path / 'ran'}")))
    assert "is damaged or not a weights file" in refusal(path)
    assert not (tmp_path / "ran").exists()


def test_what_is_not_a_weights_file_is_named(tmp_path):
    (tmp_path / "weights.pth").mkdir()
    assert refusal(tmp_path / "weights.pth") == \
        f"{tmp_path / 'weights.pth'} is a folder, where a weights file is expected. {ACCEPTED}"
    (tmp_path / "last.pth").write_bytes(b"x")
    assert refusal(tmp_path / "lost.pth") == \
        f"no weights file {tmp_path / 'lost.pth'}. Did you mean 'last.pth'? {ACCEPTED}"
    assert refusal(tmp_path / "absent" / "w.pth") == f"no weights file {tmp_path / 'absent' / 'w.pth'}. {ACCEPTED}"
    (tmp_path / "w.pkl").write_bytes(b"x")
    assert refusal(tmp_path / "w.pkl") == f"{tmp_path / 'w.pkl'} has the suffix '.pkl'. {ACCEPTED}"
    (tmp_path / "w").write_bytes(b"x")
    assert refusal(tmp_path / "w") == f"{tmp_path / 'w'} has the suffix '(none)'. {ACCEPTED}"


@pytest.mark.parametrize(("value", "why"), [
    ({"a": 1}, "'a' is int"), ([torch.zeros(1)], "it holds list"), ({}, "it is empty"), (torch.zeros(2), "it holds"),
    ({"model": {"w": 0.5}}, "'w' is float"), ({3: torch.zeros(1)}, "3 is Tensor"),
])
def test_a_file_that_holds_something_else_is_refused(tmp_path, value, why):
    torch.save(value, tmp_path / "w.pth")
    assert refusal(tmp_path / "w.pth").startswith(f"{tmp_path / 'w.pth'} does not hold tensors by name: {why}")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"hello\n",
                                    lambda data: data[:-1], lambda data: b"\xff" * 64])
def test_a_damaged_file_is_called_so(tmp_path, suffix, damage):
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(nn.Linear(20, 30).state_dict(), path)
    else:
        save_file(nn.Linear(20, 30).state_dict(), path)
    path.write_bytes(damage(path.read_bytes()))
    assert refusal(path).startswith(f"{path} is damaged or not a weights file (")


def test_a_permission_error_of_the_reader_is_told(tmp_path, monkeypatch):
    def denied(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "w.pth"
    path.write_bytes(b"x")
    monkeypatch.setattr(torch, "load", denied)
    assert refusal(path) == f"{path} may not be read (permission denied)"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    state = {"w": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}
    torch.save(state, folder / "w.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "w.safetensors")
    return folder, {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["w.pth", "old.pth", "w.safetensors"]),
       st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4), st.floats(0.2, 1))
def test_any_damage_gives_tensors_or_a_model_error(seeds, name, changes, kept):
    folder, whole = seeds
    data = bytearray(whole[name])
    for place, value in changes:
        data[int(place * len(data))] = value
    path = folder / f"fuzzed-{name}"
    path.write_bytes(data[: int(kept * len(data))] if kept < 0.9 else data)
    found, refused = {}, ""
    try:
        found = read_weights(path)
    except ModelError as error:
        refused = str(error)
    assert bool(found) != bool(refused) and "\n" not in refused
    assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())


def test_a_hidden_global_inside_a_torch_archive_is_refused(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "good.pth")
    evil = io.BytesIO()
    with zipfile.ZipFile(tmp_path / "good.pth") as source, zipfile.ZipFile(evil, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            if item.filename.endswith("data.pkl"):
                content = pickle.dumps(Bomb(f"touch {tmp_path / 'ran'}"), protocol=2)
            target.writestr(item, content)
    (tmp_path / "evil.pth").write_bytes(evil.getvalue())
    assert "is refused: it is a pickle that asks for more" in refusal(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_weights_of_the_same_network_go_in():
    source, target = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2))
    load_into(target, source.state_dict(), what="a.pth")
    assert same(source.state_dict(), target.state_dict())


def test_weights_of_another_network_are_refused_and_nothing_is_changed():
    target = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 5))
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    weights = nn.Sequential(nn.Linear(2, 3)).state_dict() | {"0.weight": torch.zeros(7, 2), "extra": torch.zeros(())}
    with pytest.raises(ModelError) as caught:
        load_into(target, weights, what="best.safetensors")
    assert str(caught.value) == (
        "best.safetensors is a checkpoint of another network: 4 names missing (1.weight, 1.bias, 2.weight ...); "
        "1 name unknown here (extra); 1 tensor of another shape (0.weight is 7 x 2 in the file and 3 x 2 here). "
        "Use the backbone, its settings, the picture size and the classes that it was trained with")
    assert same(before, target.state_dict())


def drawn_like(module, seed=0):
    """Weights of the module's names and shapes, none of them its own."""
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.rand(tensor.shape, generator=draw) + 2 for name, tensor in module.state_dict().items()}


def small_network(outputs=3):
    backbone = lenet(inputs=1, size=(28, 28))
    return Network(backbone, backbone.classifier(outputs), mean=[10.0], deviation=[2.0])


def test_weights_of_squeezenet_go_into_ours_and_give_torchvisions_scores():
    path = Path(os.environ.get("LENSMITH_DATA", "")) / "weights" / "squeezenet1_0_deepcompression_fp32.pth"
    if not path.is_file():
        pytest.skip("weights/squeezenet1_0_deepcompression_fp32.pth is not in LENSMITH_DATA")
    weights = read_weights(path)
    theirs = get_model("squeezenet1_0", weights=None)
    theirs.load_state_dict(weights)
    backbone = torchvision_network("squeezenet1_0", inputs=3, size=(96, 96))
    ours = Network(backbone, backbone.classifier(1000), mean=[120.0, 115, 100], deviation=[58.0, 57, 57])
    found = fit_into(ours, weights, what="squeezenet.pth")
    assert found == Fitted("squeezenet.pth", len(weights), [], [], [])
    assert found.in_words() == "squeezenet.pth: 52 tensors taken"
    pictures = torch.randint(0, 256, (4, 3, 96, 96), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.inference_mode():
        wanted = theirs.eval()((pictures - ours.mean) / ours.deviation)
        torch.testing.assert_close(ours.eval()(pictures), wanted)
    assert wanted.std() > 0.1    # they say something


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_small"])
def test_weights_of_torchvision_with_other_classes_leave_only_the_last_layer_fresh(name):
    weights = drawn_like(get_model(name, weights=None, num_classes=1000))
    backbone = torchvision_network(name, inputs=3, size=(64, 64))
    ours = Network(backbone, backbone.classifier(10), mean=[0.0] * 3, deviation=[1.0] * 3)
    found = fit_into(ours, weights, what="w.pth")
    assert (found.taken, found.missing, found.unknown) == (len(weights) - 2, [], [])
    assert len(found.reshaped) == 2 and all(one.startswith("head.") for one in found.reshaped)
    assert found.in_words().startswith(f"w.pth: {len(weights) - 2} tensors taken; 2 tensors of another shape left "
                                       f"fresh (head.layers.")


@pytest.mark.parametrize("front", ["", "network.", "module.", "_orig_mod.", "module.model."])
def test_weights_of_the_same_network_fit_whatever_stands_before_their_names(front):
    ours = small_network()
    wanted = drawn_like(ours)
    found = fit_into(ours, {front + name: tensor for name, tensor in wanted.items()}, what="w.pth")
    assert found == Fitted("w.pth", len(wanted), [], [], [])
    assert same(ours.state_dict(), wanted)    # the mean and deviation that the weights are used to, too


def test_a_backbone_alone_goes_in_from_names_without_a_front():
    ours, wanted = small_network(), drawn_like(small_network().backbone)
    fresh = {name: tensor.clone() for name, tensor in ours.head.state_dict().items()}
    found = fit_into(ours, {name.removeprefix("layers."): tensor for name, tensor in wanted.items()}, what="w.pth")
    assert found.taken == len(wanted) and found.missing == [f"head.{name}" for name in fresh] and not found.unknown
    assert same(ours.backbone.state_dict(), wanted) and same(ours.head.state_dict(), fresh)


def test_what_does_not_fit_is_counted_and_left_as_it_was():
    ours = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 5))
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    weights = {"0.weight": torch.ones(3, 2, dtype=torch.float16), "0.bias": torch.ones(3), "1.weight": torch.ones(7, 3),
               "extra": torch.zeros(())}
    found = fit_into(ours, weights, what="w.pth")
    assert found == Fitted("w.pth", 2, ["1.bias", "2.weight", "2.bias"], ["extra"], ["1.weight"])
    assert found.in_words() == (
        "w.pth: 2 tensors taken; 1 tensor of another shape left fresh (1.weight); 3 tensors that the file lacks left "
        "fresh (1.bias, 2.weight, 2.bias); 1 tensor of the file not used (extra)")
    assert ours[0].weight.dtype == torch.float32 and (ours[0].weight == 1).all() and (ours[0].bias == 1).all()
    assert all(ours.state_dict()[name].equal(before[name]) for name in before if not name.startswith("0."))


def test_a_file_of_which_nothing_fits_is_refused_with_names_of_both():
    ours = small_network()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(ModelError) as caught:    # the statistics fit, and are not weights
        fit_into(ours, {"a.w": torch.ones(2), "b.w": torch.ones(2), "mean": torch.ones(1, 1, 1, 1)}, what="w.pth")
    assert str(caught.value) == (
        "nothing in w.pth fits this network: the file has a.w, b.w, mean, the network mean, "
        "backbone.layers.conv1.weight, backbone.layers.conv1.bias ...; use the backbone that the weights were trained "
        "with, or leave them out")
    with pytest.raises(ModelError, match=r"of another shape is backbone\.layers\.conv1\.weight; use the backbone"):
        fit_into(ours, {"conv1.weight": torch.ones(1, 1, 1, 1)}, what="w.pth")
    assert same(before, ours.state_dict())


def test_an_archive_that_unpacks_to_much_more_than_it_has_is_refused_before(tmp_path):
    """A hundred megabytes of zeros in a hundred kilobytes; torch would read them all."""
    plain = io.BytesIO()
    torch.save({"a": torch.zeros(4)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in source.namelist():
            content = bytes(100 << 20) if name.endswith("/data/0") else source.read(name)
            bomb.writestr(name, content)
    assert (tmp_path / "bomb.pth").stat().st_size < 1 << 20
    text = refusal(tmp_path / "bomb.pth")
    assert "bomb.pth is refused: it has 0.1 MB and says that it unpacks to 105 MB, as no weights do: save it" in text


def test_an_archive_that_is_compressed_as_weights_can_be_is_read(tmp_path):
    state = {"a": torch.randn(1000)}
    plain = io.BytesIO()
    torch.save(state, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    assert same(read_weights(tmp_path / "a.pth"), state)
