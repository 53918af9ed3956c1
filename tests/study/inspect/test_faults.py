"""Every fault that `inspect` knows, made on purpose: its line, its numbers and its mend; and networks without any."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lensmith.base.errors import ModelError
from lensmith.models.adapters.user_code import NotBuilt, find_module
from lensmith.study.inspect.building_causes import BUILDING, why_not_built
from lensmith.study.inspect.evidence import Fault
from lensmith.study.inspect.explain import in_own_words
from lensmith.study.inspect.layers import inspect_network
from lensmith.study.inspect.learning_causes import LEARNING
from lensmith.study.inspect.what_is_wrong import FAILURES, FINDINGS
from tests.study.inspect.conftest import HEAD, marked, told, written

POOLED = """
self.conv1 = nn.Conv2d({inputs}, 16, 3, padding=1)
self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
self.pool = nn.MaxPool2d(2)
self.fc = nn.Linear({features}, 10)
"""


@pytest.mark.parametrize(("shape", "pools", "features", "sentence"), [
    ((1, 28, 28), 1, 32 * 7 * 7, "fc expects 1568 features and gets 6272 = 32 x 14 x 14: 28 is halved once. Set "
                                 "in_features=6272, or pool twice."),
    ((1, 28, 28), 3, 32 * 7 * 7, "fc expects 1568 features and gets 288 = 32 x 3 x 3: 28 is halved 3 times. Set "
                                 "in_features=288, or pool twice."),
    ((1, 28, 28), 0, 32 * 14 * 14, "fc expects 6272 features and gets 25088 = 32 x 28 x 28: 28 is halved nowhere. Set "
                                   "in_features=25088, or pool once."),
    ((3, 224, 224), 2, 32 * 28 * 28, "fc expects 25088 features and gets 100352 = 32 x 56 x 56: 224 is halved twice. "
                                     "Set in_features=100352, or pool 3 times."),
    ((3, 224, 224), 4, 32 * 28 * 28, "fc expects 25088 features and gets 6272 = 32 x 14 x 14: 224 is halved 4 times. "
                                     "Set in_features=6272, or pool 3 times.")])
@pytest.mark.parametrize("flat", ["x.flatten(1)", "torch.flatten(x, 1)", "x.view(x.size(0), -1)", "nn.Flatten()(x)"])
def test_too_few_or_too_many_poolings_before_a_dense_layer(inspect, shape, pools, features, sentence, flat):
    forward = "x = torch.relu(self.conv2(torch.relu(self.conv1(x))))\n" + "x = self.pool(x)\n" * pools + \
        f"x = {flat}\nreturn self.fc(x)    # here"
    assert told(inspect, POOLED.format(inputs=shape[0], features=features), forward, *shape) == sentence


@pytest.mark.parametrize(("shape", "pools", "features", "sentence"), [
    ((1, 28, 28), 1, 32 * 7 * 7, "view(-1, 1568) makes 4 rows of one picture, since a picture has 6272 = 32 x 14 x 14: "
                                 "28 is halved once. Write x.flatten(1), and set in_features=6272 of fc, or pool "
                                 "twice."),
    ((1, 28, 28), 3, 32 * 7 * 7, "view(-1, 1568) needs 1568 values and a picture has 288 = 32 x 3 x 3: 28 is halved 3 "
                                 "times. Write x.flatten(1), and set in_features=288 of fc, or pool twice."),
    ((3, 224, 224), 2, 32 * 28 * 28, "view(-1, 25088) makes 4 rows of one picture, since a picture has 100352 = 32 x "
                                     "56 x 56: 224 is halved twice. Write x.flatten(1), and set in_features=100352 of "
                                     "fc, or pool 3 times."),
    ((3, 224, 224), 4, 32 * 28 * 28, "view(-1, 25088) needs 25088 values and a picture has 6272 = 32 x 14 x 14: 224 is "
                                     "halved 4 times. Write x.flatten(1), and set in_features=6272 of fc, or pool 3 "
                                     "times.")])
@pytest.mark.parametrize("call", ["view(-1, {})", "reshape(-1, {})"])
def test_a_view_that_takes_the_rest_of_a_picture_for_another_picture(inspect, shape, pools, features, sentence, call):
    call = call.format(features)
    forward = "x = torch.relu(self.conv2(torch.relu(self.conv1(x))))\n" + "x = self.pool(x)\n" * pools + \
        f"x = x.{call}    # here\nreturn self.fc(x)"
    words = told(inspect, POOLED.format(inputs=shape[0], features=features), forward, *shape)
    assert words == sentence.replace(f"view(-1, {features})", call)


def test_a_view_of_one_row_for_all_pictures(inspect):
    layers = POOLED.format(inputs=1, features=32 * 7 * 7)
    forward = "x = self.pool(self.pool(self.conv2(self.conv1(x))))\nx = x.view(1, -1)    # here\nreturn self.fc(x)"
    assert told(inspect, layers, forward, 1, 28, 28) == (
        "view(1, -1) makes one row of 2 pictures, since a picture has 1568 = 32 x 7 x 7: 28 is halved twice. Write "
        "x.flatten(1), which keeps a row for each picture.")


def test_a_squeeze_that_takes_the_batch_of_one_picture_away(inspect):
    layers = "self.conv = nn.Conv2d(3, 8, 3)\nself.fc = nn.Linear(8, 5)"
    forward = "x = F.adaptive_avg_pool2d(self.conv(x), 1)\nreturn self.fc(x.squeeze())    # here"
    assert told(inspect, layers, forward, 3, 9, 9) == (
        "squeeze makes [8] of one picture: it takes the batch away where it is one picture. Write x.flatten(1).")


def test_unpadded_convolutions_show_how_the_size_came_and_the_pictures_that_fit(inspect):
    layers = "self.c1 = nn.Conv2d(1, 6, 5)\nself.c2 = nn.Conv2d(6, 16, 5)\nself.fc = nn.Linear(400, 10)"
    forward = "x = F.max_pool2d(self.c1(x), 2)\nx = F.max_pool2d(self.c2(x), 2)\nreturn self.fc(x.flatten(1))    # here"
    assert told(inspect, layers, forward, 1, 28, 28) == (
        "fc expects 400 features and gets 256 = 16 x 4 x 4: 28 -> 24 (c1) -> 12 (max_pool2d(2)) -> 8 (c2) -> 4 "
        "(max_pool2d(2)). Set in_features=256, or take pictures of 32 x 32 pixels (--size 32).")


def test_two_heads_for_channels_on_a_flattened_map(inspect):
    layers = "self.conv = nn.Conv2d(3, 64, 3, stride=2, padding=1)\nself.kind = nn.Linear(64, 4)\n" \
        "self.age = nn.Linear(64, 1)"
    forward = "x = self.conv(x).flatten(1)\nreturn self.kind(x), self.age(x)    # here"
    assert told(inspect, layers, forward, 3, 32, 32) == (
        "kind expects 64 features and gets 16384 = 64 x 16 x 16: 32 is halved once. Pool the map to one cell before, "
        "as with nn.AdaptiveAvgPool2d(1), since 64 are its channels; or set in_features=16384.")


def test_dense_layers_that_do_not_follow(inspect):
    layers = "self.fc1 = nn.Linear(75, 120)\nself.fc2 = nn.Linear(84, 10)"
    forward = "x = self.fc1(x.flatten(1))\nreturn self.fc2(torch.relu(x))    # here"
    assert told(inspect, layers, forward, 3, 5, 5) == (
        "fc2 expects 84 features and gets 120 from fc1 (my_net.py:13). Set in_features=120 of fc2, or out_features=84 "
        "of fc1.")


@pytest.mark.parametrize(("features", "sentence"), [
    (3136, "fc expects 3136 features and gets a map of 64 x 7 x 7, of which it takes the last axis. Flatten it before, "
           "as with x.flatten(1)."),
    (64, "fc expects 64 features and gets a map of 64 x 7 x 7, of which it takes the last axis. Pool and flatten it "
         "before, as with x.mean((2, 3))."),
    (1024, "fc expects 1024 features and gets a map of 64 x 7 x 7, of which it takes the last axis; flattened it has "
           "3136 = 64 x 7 x 7: 28 is halved twice. Flatten it before, as with x.flatten(1), and set in_features=3136, "
           "or take pictures of 16 x 16 pixels (--size 16).")])
def test_a_head_fed_with_maps_where_a_vector_is_due(inspect, features, sentence):
    layers = f"self.conv = nn.Conv2d(1, 64, 3, padding=1)\nself.fc = nn.Linear({features}, 10)"
    forward = "x = F.max_pool2d(F.max_pool2d(self.conv(x), 2), 2)\nreturn self.fc(x)    # here"
    assert told(inspect, layers, forward, 1, 28, 28) == sentence


def test_a_head_that_works_along_the_columns_of_a_map(inspect):
    layers = "self.conv = nn.Conv2d(1, 8, 3)\nself.fc = nn.Linear(6, 10)"
    assert told(inspect, layers, "return self.fc(self.conv(x))    # here", 1, 8, 8) == (
        "fc gets a map of 8 x 6 x 6 and works along its 6 columns. Flatten it before, as with x.flatten(1), and set "
        "in_features=288.")


def test_channels_that_do_not_follow(inspect):
    layers = "self.conv1 = nn.Conv2d(3, 32, 3)\nself.conv2 = nn.Conv2d(16, 64, 3)"
    assert told(inspect, layers, "x = self.conv1(x)\nreturn self.conv2(torch.relu(x))    # here", 3, 16, 16) == (
        "conv2 expects 16 channels and gets 32 from conv1 (my_net.py:13). Set in_channels=32 of conv2, or "
        "out_channels=16 of conv1.")
    layers = "self.a = nn.Conv2d(3, 8, 1)\nself.b = nn.Conv2d(3, 4, 1)\nself.c = nn.Conv2d(8, 2, 1)"
    assert told(inspect, layers, "x = torch.cat([self.a(x), self.b(x)], 1)\nreturn self.c(x)    # here", 3, 9, 9) == (
        "c expects 8 channels and gets 12 = 8 + 4, joined by cat(1) (my_net.py:14). Set in_channels=12 of c.")
    layers = "self.conv = nn.Conv2d(3, 8, 1)\nself.norm = nn.BatchNorm2d(6)"
    assert told(inspect, layers, "return self.norm(self.conv(x))    # here", 3, 9, 9) == (
        "norm expects 6 channels and gets 8 from conv (my_net.py:13). Set num_features=8 of norm, or out_channels=6 of "
        "conv.")


def test_a_kernel_larger_than_its_input(inspect):
    layers = "self.conv1 = nn.Conv2d(1, 4, 3, padding=1)\nself.conv2 = nn.Conv2d(4, 4, 5)"
    forward = "x = F.max_pool2d(F.max_pool2d(F.max_pool2d(self.conv1(x), 2), 2), 2)\nreturn self.conv2(x)    # here"
    assert told(inspect, layers, forward, 1, 28, 28) == (
        "conv2 needs a map of at least 5 x 5 and gets 3 x 3: 28 is halved 3 times. Take pictures of 40 x 40 pixels or "
        "more (--size 40), or fewer pools before it, or padding.")
    forward = "x = F.max_pool2d(x, 4)\nreturn F.max_pool2d(x, 8)    # here"
    assert told(inspect, "pass", forward, 1, 28, 28) == (
        "max_pool2d(8) needs a map of at least 8 x 8 and gets 7 x 7: 28 -> 7 (max_pool2d(4)). Take pictures of 32 x 32 "
        "pixels or more (--size 32), or fewer pools before it, or padding.")


def test_groups_that_do_not_divide(inspect):
    forward = "return F.group_norm(self.conv(x), 5)    # here"
    assert told(inspect, "self.conv = nn.Conv2d(3, 32, 3)", forward, 3, 9, 9) == (
        "group_norm(5) divides 32 channels into 5 groups, which leaves 2 over. 32 channels can have 1, 2, 4, 8, 16 or "
        "32 groups.")


def test_height_x_width_x_channels_where_channels_come_first(inspect):
    conv = "self.conv = nn.Conv2d(3, 8, 3)"
    assert told(inspect, conv, "x = x.permute(0, 2, 3, 1)\nreturn self.conv(x)    # here", 3, 28, 28) == (
        "conv expects 3 channels and gets 28 in 28 x 28 x 3, which permute(0, 2, 3, 1) (my_net.py:12) made of 3 x 28 x "
        "28. Leave it out: pictures come as channels x height x width.")
    assert told(inspect, conv, "return self.conv(x)    # here", 28, 28, 3) == (
        "conv expects 3 channels and gets 28 x 28 x 3, whose channels come last. Bring them to the front with "
        "x.permute(0, 3, 1, 2).")


def test_gray_into_a_colour_network_and_the_other_way_round(inspect):
    assert told(inspect, "self.conv = nn.Conv2d(3, 8, 3)", "return self.conv(x * 2)    # here", 1, 28, 28) == (
        "conv expects 3 channels and gets 1, a gray picture. Set in_channels=1, or show it a colour picture: "
        "pictures.channels=3 (--channels 3).")
    assert told(inspect, "self.conv = nn.Conv2d(1, 8, 3)", "return self.conv(x)    # here", 3, 28, 28) == (
        "conv expects 1 channel and gets 3, a colour picture. Set in_channels=3, or show it a gray picture: "
        "pictures.channels=1 (--channels 1).")


def test_a_wrong_type_of_numbers(inspect):
    conv = "self.conv = nn.Conv2d(1, 8, 3)"
    assert told(inspect, conv, "x = x.double()\nreturn self.conv(x)    # here", 1, 9, 9) == (
        "conv has weights of float32 and gets float64, which double (my_net.py:12) makes. Leave it out.")
    assert told(inspect, f"{conv}\nself.double()", "return self.conv(x)    # here", 1, 9, 9) == (
        "conv has weights of float64 and gets float32, as pictures come. Leave .double() of the network out, or begin "
        "its forward with x = x.to(torch.float64).")
    assert told(inspect, "self.fc = nn.Linear(81, 2)", "x = x.flatten(1).long()\nreturn self.fc(x)    # here", 1, 9,
                9).startswith("fc has weights of float32 and gets int64, which long (my_net.py:12) makes.")


def test_tensors_of_two_devices(inspect):
    forward = "x = self.conv(x)\nreturn x * self.scale    # here"
    assert told(inspect, "self.conv = nn.Conv2d(1, 8, 3)\nself.scale = torch.ones(8, 1, 1)", forward, 1, 9, 9) == (
        "mul takes tensors of two devices once the network is moved to a GPU: Net.scale is a plain tensor, which stays "
        "where it is. Write self.register_buffer(\"scale\", ...) in __init__.")
    forward = "x = self.conv(x)\nnoise = torch.zeros(8, 7, 7)\nreturn x + noise    # here"
    assert told(inspect, "self.conv = nn.Conv2d(1, 8, 3)", forward, 1, 9, 9) == (
        "add takes tensors of two devices once the network is moved to a GPU: zeros(8, 7, 7) (my_net.py:13) is made on "
        "the cpu. Give it the device of its partner, as device=x.device.")
    layers = "self.conv = nn.Conv2d(1, 8, 3)\nself.fc = nn.Linear(8, 2, device='meta')"
    assert told(inspect, layers, "return self.fc(self.conv(x).mean((2, 3)))    # here", 1, 9, 9) == (
        "fc takes tensors of two devices, cpu and meta: its weights lie on meta. Build all layers on one device; the "
        "network is moved as a whole.")


@pytest.mark.parametrize(("layers", "end", "name"), [
    ("", "F.softmax(self.fc(x), dim=1)", "softmax(dim=1)"), ("", "self.fc(x).softmax(1)", "softmax(1)"),
    ("\nself.end = nn.Softmax(dim=1)", "self.end(self.fc(x))", "end"),
    ("", "torch.softmax(self.fc(x), -1)", "softmax(-1)")])
def test_softmax_before_cross_entropy(inspect, layers, end, name):
    assert told(inspect, f"self.fc = nn.Linear(81, 5){layers}", f"x = x.flatten(1)\nreturn {end}    # here", 1, 9,
                9) == (f"{name} ends the network with a softmax, and cross entropy takes one of its own: gradients "
                       f"become small and training stalls. Return the scores before it.")


def test_a_sigmoid_at_the_end_is_a_note_since_numbers_may_have_one(inspect):
    text = written("self.fc = nn.Linear(81, 5)", "return torch.sigmoid(self.fc(x.flatten(1)))")
    assert [(fault.grave, fault.sentence()) for fault in inspect(text, 1, 9, 9).faults] == [(False, (
        "my_net.py:12: sigmoid ends the network with a sigmoid, which cross entropy takes by itself: where it is to "
        "score classes or tags, return the scores before it."))]


def test_a_softmax_that_is_not_the_output_or_only_shown_is_right(inspect):
    text = written("self.fc = nn.Linear(81, 5)\nself.gate = nn.Linear(81, 5)",
                   "x = x.flatten(1)\nx = self.fc(x) * torch.softmax(self.gate(x), 1)\n"
                   "return x if self.training else x.softmax(1)")
    assert inspect(text, 1, 9, 9).faults == ()


def test_a_module_made_in_forward(inspect):
    assert told(inspect, "self.conv = nn.Conv2d(1, 8, 3)", "x = self.conv(x).flatten(1)\n"
                "return nn.Linear(x.shape[1], 10)(x)    # here", 1, 9, 9) == (
        "Linear(392, 10) is made in forward: its 3,930 weights are drawn anew, and no optimizer knows them. Make it "
        "once in __init__, or nn.LazyLinear(10) there, which finds in_features by itself.")
    text = written("self.conv = nn.Conv2d(1, 8, 3)\nself.fc = nn.LazyLinear(10)", "return "
                                                                                  "self.fc(self.conv(x).flatten(1))")
    assert inspect(text, 1, 9, 9).faults == ()


def test_parameters_that_never_get_a_gradient(inspect):
    layers = "self.conv = nn.Conv2d(1, 8, 3)\nself.fc = nn.Linear(8, 5)"
    assert told(inspect, layers, "x = self.conv(x).mean((2, 3))\nreturn self.fc(x.detach())    # here", 1, 9, 9) == (
        "conv (80 parameters) never gets a gradient: detach cuts it off. Leave that out, or freeze what is not to "
        "learn with requires_grad_(False).")
    assert told(inspect, layers, "with torch.no_grad():\n    x = self.conv(x).mean((2, 3))    # here\nreturn "
                                 "self.fc(x)",
                1, 9, 9) == ("conv (80 parameters) never gets a gradient: conv2d runs under torch.no_grad(). Leave "
                             "that "
                             "out, or freeze what is not to learn with requires_grad_(False).")
    text = written(f"{layers}\nself.spare = nn.Linear(8, 5)", "return self.fc(self.conv(x).mean((2, 3)))")
    assert inspect(text, 1, 9, 9).totals.problem == (
        "spare (45 parameters) never gets a gradient: forward does not use it. Use or remove what is not needed.")
    text = written(f"{layers}\nself.spare = nn.Linear(8, 5).requires_grad_(False)",
                   "return self.fc(self.conv(x).mean((2, 3)))")
    assert inspect(text, 1, 9, 9).faults == ()


def test_answers_where_scores_are_due(inspect):
    assert told(inspect, "self.fc = nn.Linear(81, 5)", "x = self.fc(x.flatten(1))\nreturn x.argmax(1)    # here", 1, 9,
                9) == ("the network gives int64, made by argmax(1), through which no gradient flows. Return the "
                       "scores: "
                       "the loss and predictions take them.")


def test_weights_that_two_layers_share_are_a_note(inspect):
    text = written("self.a = nn.Linear(81, 81)\nself.b = nn.Linear(81, 81)\nself.b.weight = self.a.weight",
                   "return self.b(self.a(x.flatten(1)))")
    found = inspect(text, 1, 9, 9)
    assert found.totals.problem == "" and found.faults == (
        Fault("a.weight and b.weight are one tensor: these layers learn together, and its parameters count once",
              grave=False, name="shared weights"),)
    assert found.totals.parameters == 81 * 81 + 2 * 81
    text = written("self.a = nn.Linear(81, 81)", "x = self.a(x.flatten(1))\nreturn self.a(x)")
    assert [fault.sentence() for fault in inspect(text, 1, 9, 9).faults] == [
        "a is called 2 times with the same weights (my_net.py:12 and my_net.py:13): they are shared, and their "
        "parameters "
        "count once."]


def test_maps_of_two_sizes_and_a_vector_where_a_map_is_due(inspect):
    layers = "self.a = nn.Conv2d(1, 4, 3)\nself.b = nn.Conv2d(1, 4, 5)"
    assert told(inspect, layers, "return self.a(x) + self.b(x)    # here", 1, 9, 9) == (
        "add joins maps of 4 x 7 x 7 and 4 x 5 x 5: 9 -> 7 (a); 9 -> 5 (b). Give the layers of both branches the same "
        "strides and paddings, as padding=1 with a kernel of 3.")
    assert told(inspect, layers, "return self.a(x.flatten(1))    # here", 1, 9, 9) == (
        "a is for maps and gets a vector of 81, which flatten(1) (my_net.py:13) made of 1 x 9 x 9. Put it before that "
        "line.")
    assert told(inspect, "self.norm = nn.BatchNorm1d(3)", "return self.norm(x)    # here", 3, 9, 9) == (
        "norm is for vectors and gets a map of 3 x 9 x 9. Take nn.BatchNorm2d(3).")


def test_what_fits_no_cause_is_told_with_its_line(inspect):
    assert told(inspect, "pass", "a, b = x    # here\nreturn a", 1, 9, 9) == (
        "Net failed: ValueError: not enough values to unpack (expected 2, got 1).")
    words = told(inspect, "self.fc = nn.Linear(81, 2)", "x = self.fc(x.flatten(1))\n"
                 "assert not self.training, 'only for inference'    # here\nreturn x", 1, 9, 9)
    assert words == "in training mode Net failed: AssertionError: only for inference."


def test_layers_in_a_sequence_are_told_by_the_line_that_builds_them(inspect):
    text = f"{HEAD.replace('nn.Module', 'nn.Sequential')}".replace("super().__init__()", "super().__init__(") + \
        "            nn.Conv2d(1, 4, 3),\n            nn.Flatten(),\n            nn.Linear(99, 5))    # here\n"
    assert inspect(text, 1, 9, 9).totals.problem.startswith(f"my_net.py:{marked(text)}: 2 expects 99 features and gets "
                                                            "196 = 4 x 7 x 7: 9 -> 7 (0). ")


def test_a_network_for_vectors_and_one_that_is_shown_a_picture(inspect):
    text = written("self.fc1 = nn.Linear(25, 9)\nself.fc2 = nn.Linear(9, 2)",
                   "return self.fc2(torch.relu(self.fc1(x)))    # here")
    found = inspect(text, 25)
    assert found.faults == () and [row.shape for row in found.rows] == [(9,), (9,), (2,)]
    assert {row.receptive_field for row in found.rows} == {None}
    assert inspect(text, 30).totals.problem.endswith(
        "fc1 expects 25 features and gets 30, the vector that it is shown. Set in_features=30, or show it others: "
        "--vector 25.")
    text = written("self.fc = nn.Linear(784, 9)", "return self.fc(x.flatten(1))    # here")
    assert inspect(text, 3, 32, 32).totals.problem.endswith(
        "fc expects 784 features and gets 3072 = 3 x 32 x 32: 32 is halved nowhere. Set in_features=3072, or show it "
        "other pictures: --size 28 --channels 1.")
    text = written("self.fc = nn.Linear(784, 9)", "return self.fc(x)    # here")
    assert inspect(text, 1, 28, 28).totals.problem.endswith(
        "fc expects 784 features and gets a picture of 1 x 28 x 28, of which it takes the last axis. Flatten it "
        "before, "
        "as with x.flatten(1).")


@pytest.mark.parametrize(("line", "name", "words"), [
    ("self.conv = nn.Conv2d(32, 64, 3, groups=5)    # here", "groups that do not divide",
     "Conv2d has in_channels=32 and groups=5, which leaves 2 over. 32 channels can have 1, 2, 4, 8, 16 or 32 groups"),
    ("self.conv = nn.Conv2d(30, 64, 3, groups=5)    # here", "groups that do not divide",
     "Conv2d has out_channels=64 and groups=5, which leaves 4 over. 64 channels can have 1, 2, 4, 8, 16, 32 or 64 "
     "groups"),
    ("self.norm = nn.GroupNorm(8, 20)    # here", "groups that do not divide",
     "GroupNorm has num_channels=20 and num_groups=8, which leaves 4 over. 20 channels can have 1, 2, 4, 5, 10 or 20 "
     "groups"),
    ("self.conv = nn.Conv2d(3, 8)    # here", "not built",
     "the network could not be built: TypeError: Conv2d.__init__() missing 1 required positional argument: "
     "'kernel_size'")])
def test_a_network_that_cannot_be_built(tmp_path, monkeypatch, line, name, words):
    monkeypatch.chdir(tmp_path)
    text = written(line, "return x")
    Path("my_net.py").write_text(text)
    with pytest.raises(NotBuilt) as caught:
        find_module("my_net.py:Net", trusted=True)(inputs=3, size=(8, 8), outputs=2)
    fault = why_not_built(caught.value.__cause__)
    assert (fault.name, fault.words) == (name, words)
    assert fault.sentence().startswith(f"my_net.py:{marked(text)}: ")
    sys.modules.pop("lensmith_outside_my_net", None)


def test_a_constructor_that_forgets_its_parents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_net.py").write_text(written("self.fc = nn.Linear(2, 2)", "return x").replace("super().__init__()", "pass"))
    with pytest.raises(NotBuilt) as caught:
        find_module("my_net.py:Net", trusted=True)(inputs=3, size=(8, 8), outputs=2)
    assert why_not_built(caught.value.__cause__).sentence() == (
        "my_net.py:9: a layer is set before the network is one. Call super().__init__() first in __init__.")
    sys.modules.pop("lensmith_outside_my_net", None)


def test_every_cause_of_the_tables_has_a_name_of_its_own_words():
    for table in (FAILURES, FINDINGS, LEARNING, BUILDING):
        assert all(name and callable(cause) for name, cause in table.items())


def test_a_network_is_left_as_it_was_by_all_passes(inspect):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(196, 3))
    network[1].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(5)
    assert inspect_network(network, (1, 9, 9), timed=True).faults == ()
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert drawn.equal(torch.rand(3))
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())
    assert network.training and not network[1].training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_training_keeps_is_what_autograd_saves():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                            nn.Linear(36, 3))
    saved = {}

    def pack(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()    # kept, so that no address comes again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = network(torch.zeros(2, 3, 8, 8))
    own = {parameter.untyped_storage().data_ptr() for parameter in (*network.parameters(), *network.buffers())}
    found = inspect_network(network, (3, 8, 8))
    assert found.totals.kept_bytes == sum(storage.nbytes() for place, storage in saved.items() if place not in own) // 2
    assert abs(sum(row.kept_bytes for row in found.rows) - found.totals.kept_bytes) <= len(found.rows)
    assert output.shape == (2, 3)


def test_the_shares_of_the_time_are_those_of_the_work(inspect):
    text = written("self.small = nn.Conv2d(1, 2, 1)\nself.large = nn.Conv2d(2, 64, 7, padding=3)",
                   "return self.large(self.small(x))")
    found = inspect(text, 1, 64, 64, timed=True)
    shares = {row.name: row.share for row in found.rows}
    assert sum(shares.values()) == pytest.approx(1) and shares["large"] > shares["small"]
    assert found.totals.seconds > 0 and inspect(text, 1, 8, 8).totals.seconds is None


def test_errors_of_others_stay_as_they_are():
    error = ModelError("x")
    assert in_own_words(error, built={}) is error
