"""Slips of beginners, each made on purpose: what `inspect` says of it, with the line, the numbers and the mend."""

import pytest
import torch
from torch import nn

from lensmith.study.inspect.layers import inspect_network
from tests.study.inspect.conftest import HEAD, marked, told, written

CONV = "self.conv = nn.Conv2d(1, 8, 3, padding=1)\nself.fc = nn.Linear(8, 5)"
POOLED = "x = self.conv(x).mean((2, 3))"


def test_a_network_without_forward_and_one_with_a_misspelt_one(inspect):
    text = written(CONV, f"{POOLED}\nreturn self.fc(x)")
    assert inspect(text.replace("def forward", "def foward"), 1, 9, 9).totals.problem == (
        "Net has no forward. It has foward: call that forward.")
    assert inspect(text[:text.index("\n    def forward")], 1, 9, 9).totals.problem == (
        "Net has no forward. Write def forward(self, x), which takes the pictures and returns the scores.")


def test_a_layer_that_init_does_not_set(inspect):
    forgotten = "self.conv = nn.Conv2d(1, 8, 3)\nfc = nn.Linear(8, 5)"
    assert told(inspect, forgotten, f"{POOLED}\nreturn self.head(x)    # here", 1, 9, 9) == (
        "Net has no head, since __init__ does not set it. Write self.head = ... there.")
    assert told(inspect, CONV, f"{POOLED}\nreturn self.fc1(x)    # here", 1, 9, 9) == (
        "Net has no fc1, since __init__ does not set it. Write self.fc1 = ... there, or write self.fc, which there is.")


def test_a_layer_that_is_taken_for_what_it_gives(inspect):
    assert told(inspect, CONV, "x = nn.ReLU(self.conv(x))\nreturn self.fc(x.mean((2, 3)))    # here", 1, 9, 9) == (
        "mean is asked of ReLU, which is a layer and not what it gives. Make it in __init__, as self.layer = "
        "nn.ReLU(...), and call it in forward, as self.layer(x).")


@pytest.mark.parametrize(("made", "kind", "mend"), [
    ("[nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)]", "list", "nn.ModuleList(...)"),
    ("(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3))", "tuple", "nn.ModuleList(...)"),
    ("{'a': nn.Conv2d(1, 8, 3), 'b': nn.Conv2d(8, 8, 3)}", "dict", "nn.ModuleDict(...)")])
def test_layers_in_a_list_are_hidden_from_the_network(inspect, made, kind, mend):
    values = "self.convs.values()" if kind == "dict" else "self.convs"
    forward = f"for conv in {values}:\n    x = torch.relu(conv(x))\nreturn self.fc(x.mean((2, 3)))"
    words = told(inspect, f"self.convs = {made}    # here\nself.fc = nn.Linear(8, 5)", forward, 1, 9, 9)
    assert words == (f"Net.convs is a {kind}, which hides its 2 layers (664 parameters) from the network: they do not "
                     f"learn, are not saved and stay on the CPU. Write self.convs = {mend}.")
    fine = written(f"self.convs = {mend.replace('...', made)}\nself.fc = nn.Linear(8, 5)", forward)
    assert inspect(fine, 1, 9, 9).faults == ()


def test_a_list_beside_the_module_list_hides_nothing(inspect):
    layers = "self.convs = nn.ModuleList([nn.Conv2d(1, 8, 3)])\nself.order = [self.convs[0]]\nself.fc = nn.Linear(8, 5)"
    text = written(layers, "x = self.order[0](x)\nreturn self.fc(x.mean((2, 3)))")
    assert inspect(text, 1, 9, 9).faults == ()


def test_a_forward_that_returns_nothing_or_more_than_the_scores(inspect):
    assert told(inspect, CONV, f"{POOLED}\nx = self.fc(x)    # here", 1, 9, 9) == (
        "forward returns nothing. End it with return and the scores, as return x.")
    found = inspect(written(CONV, f"{POOLED}\nreturn self.fc(x), x    # here"), 1, 9, 9)
    assert found.totals.problem == "" and [(fault.grave, fault.sentence()) for fault in found.faults] == [(False, (
        "my_net.py:14: forward returns a tuple of [1, 5] and [1, 8]. lensmith train takes one tensor, the scores: "
        "return them alone."))]


def test_a_relu_after_the_last_layer_is_a_note(inspect):
    for layers, end, name in (("", "F.relu(self.fc(x))", "relu"), ("", "self.fc(x).relu()", "relu"),
                              ("\nself.act = nn.ReLU()", "self.act(self.fc(x))", "act")):
        found = inspect(written(f"{CONV}{layers}", f"{POOLED}\nreturn {end}"), 1, 9, 9)
        assert [(fault.grave, fault.sentence()) for fault in found.faults] == [(False, (
            f"my_net.py:{14 + layers.count(chr(10))}: {name} ends the network with a relu: scores of fc below 0 become "
            "0, and get no gradient. Where they score classes or tags, return them as they are."))]
    assert inspect(written(CONV, "return torch.relu(self.conv(x))"), 1, 9, 9).faults[0].name != found.faults[0].name


def test_a_softmax_along_the_batch(inspect):
    for end in ("F.log_softmax(self.fc(x), dim=0)", "self.fc(x).softmax(0)"):
        words = told(inspect, CONV, f"{POOLED}\nreturn {end}    # here", 1, 9, 9)
        assert words.endswith("works along the batch: what it says of one picture depends on the others. Return the "
                              "scores before it, of which cross entropy takes a softmax for each picture.")
    text = written(CONV, f"{POOLED}\nreturn F.log_softmax(self.fc(x), dim=1)")    # a softmax of it gives it again
    assert inspect(text, 1, 9, 9).faults == ()


def test_a_batch_that_is_fixed_in_a_view(inspect):
    layers = "self.conv = nn.Conv2d(1, 4, 3, padding=1)\nself.fc = nn.Linear(784, 10)"
    assert told(inspect, layers, "x = self.conv(x).view(64, -1)    # here\nreturn self.fc(x)", 1, 28, 28) == (
        "view(64, -1) makes 64 rows of one picture, since a picture has 3136 = 4 x 28 x 28: 28 is halved nowhere. "
        "Write x.flatten(1), and set in_features=3136 of fc, or pool once.")


def test_a_mean_over_the_channels(inspect):
    words = told(inspect, CONV, "x = self.conv(x).mean(dim=(1, 2))\nreturn self.fc(x)    # here", 1, 9, 9)
    assert words == ("fc expects 8 features and gets 9: mean(dim=(1, 2)) (my_net.py:13) goes over the 8 channels of 8 "
                     "x 9 x 9, and 9 rows or columns are left. Write x.mean((2, 3)).")


def test_maps_that_are_joined_along_the_batch(inspect):
    layers = "self.a = nn.Conv2d(1, 8, 3)\nself.b = nn.Conv2d(1, 8, 3)\nself.fc = nn.Linear({}, 5)"
    sentence = "cat puts its 2 inputs of 8 x 7 x 7 one after another as pictures: {} of {}. Join their channels with " \
        "torch.cat([...], 1)."
    forward = "x = torch.cat([self.a(x), self.b(x)])    # here\nreturn self.fc(x.mean((2, 3)))"
    assert told(inspect, layers.format(16), forward, 1, 9, 9) == sentence.format(2, 1)
    assert told(inspect, layers.format(8), forward, 1, 9, 9) == sentence.format(2, 1)


def test_a_value_that_gradients_need_is_changed_in_place(inspect):
    assert told(inspect, CONV, "x = torch.sigmoid(self.conv(x))\ny = x * x\nx += 1    # here\n"
                               "return self.fc(y.mean((2, 3)))", 1, 9, 9) == (
        "add_(1) changes a value in place from which gradients are computed, and training ends at its first step. Make "
        "a new value of it, as x = x + 1 in the place of x += 1.")
    text = written(CONV, "x = F.relu_(self.conv(x))\nx *= 2\nreturn self.fc(x.mean((2, 3)))")
    assert inspect(text, 1, 9, 9).totals.problem.startswith(
        "my_net.py:14: mul_(2) changes a value in place from which gradients are computed, and training ends at its "
        "first step (it may also be relu_ (my_net.py:13)).")
    text = written(CONV, "x = F.relu_(self.conv(x) * 2)\nreturn self.fc(x.mean((2, 3)))")
    assert inspect(text, 1, 9, 9).faults == ()


UP = "self.down = nn.Conv2d(1, 4, 3, padding=1)\nself.up = nn.ConvTranspose2d(4, 4, {})"
JOINED = "a = self.down(x)\nx = self.up(F.max_pool2d(a, 2))\nreturn torch.cat([x, a], 1)    # here"


@pytest.mark.parametrize(("settings", "edge", "sentence"), [
    ("3, stride=2", 8, "cat joins maps of 4 x 9 x 9 and 4 x 8 x 8, since up (my_net.py:14) makes 9 of 4. Set padding=1 "
                       "and output_padding=1 of up, or kernel_size=2, padding=0 and output_padding=0: then 4 becomes "
                       "8."),
    ("4, stride=2", 8, "cat joins maps of 4 x 10 x 10 and 4 x 8 x 8, since up (my_net.py:14) makes 10 of 4. Set "
                       "padding=1 and output_padding=0 of up, or kernel_size=2, padding=0 and output_padding=0: then 4 "
                       "becomes 8."),
    ("2, stride=2", 9, "cat joins maps of 4 x 8 x 8 and 4 x 9 x 9: 9 -> 4 (max_pool2d(2)) -> 8 (up); 9 is halved "
                       "nowhere. Take pictures whose edges are multiples of 2 (--size 8 or 10), or bring one map to "
                       "the size of the other with F.interpolate(x, size=y.shape[2:]).")])
def test_a_map_that_is_enlarged_to_another_size(inspect, settings, edge, sentence):
    assert told(inspect, UP.format(settings), JOINED, 1, edge, edge) == sentence


@pytest.mark.parametrize("settings", ["3, stride=2, padding=1, output_padding=1", "4, stride=2, padding=1",
                                      "2, stride=2"])
def test_the_mend_of_a_map_that_is_enlarged_is_right(inspect, settings):
    assert inspect(written(UP.format(settings), JOINED), 1, 8, 8).totals.problem == ""


@pytest.mark.parametrize(("strided", "shapes", "mend"), [
    ("2", "16 x 9 x 9 and 32 x 5 x 5, since conv (my_net.py:14) makes 5 of 9",
     "Bring the first to 32 x 5 x 5 with a shortcut of its own, nn.Conv2d(16, 32, 1, stride=2)"),
    ("1", "16 x 9 x 9 and 32 x 9 x 9", "Give the last layers of both branches the same out_channels, or bring the "
                                       "first to 32 channels with nn.Conv2d(16, 32, 1)")])
def test_a_shortcut_that_does_not_fit(inspect, strided, shapes, mend):
    layers = f"self.stem = nn.Conv2d(1, 16, 1)\nself.conv = nn.Conv2d(16, 32, 3, {strided}, 1)"
    forward = "x = self.stem(x)\nreturn x + self.conv(x)    # here"
    assert told(inspect, layers, forward, 1, 9, 9) == f"add joins maps of {shapes}. {mend}."
    mended = written(f"{layers}\nself.short = nn.Conv2d(16, 32, 1, stride={strided})",
                     "x = self.stem(x)\nreturn self.short(x) + self.conv(x)")
    assert inspect(mended, 1, 9, 9).totals.problem == ""


def test_libraries_networks_that_give_several_tensors_have_no_fault():
    network = nn.MultiheadAttention(4, 2, batch_first=True)

    class Library(nn.Module):
        def forward(self, x):
            return network(x, x, x)

    Library.forward.__code__ = Library.forward.__code__.replace(co_filename=torch.__file__)
    assert inspect_network(Library(), (3, 4)).faults == ()


def test_the_places_of_slips_are_lines_of_the_file(inspect):
    text = f"{HEAD}        self.conv = nn.Conv2d(1, 8, 3)\n\n    def forward(self, x):\n        if x.sum() > 0:\n" \
        "            x = x + 1\n        self.conv(x)    # here\n"
    assert inspect(text, 1, 9, 9).totals.problem.startswith(f"my_net.py:{marked(text)}: forward returns nothing")
