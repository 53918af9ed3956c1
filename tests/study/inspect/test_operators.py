"""Operators that are whole and operators that lack something, each found out and told in words."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from lensmith.base.errors import ModelError, UserError
from lensmith.base.user_code import find_attribute
from lensmith.cli.layers_by_name import layers
from lensmith.study.inspect.operators import Check, Operator, check_operator, is_operator

Command = Callable[..., Any]
HEAD = """
import torch
from torch import Tensor
from torch.library import custom_op

def keep(ctx, inputs, output):
    ctx.save_for_backward(*inputs)

"""
OPERATOR = HEAD + """
@custom_op("{space}::product", mutates_args=())
def op(x: Tensor, y: Tensor) -> Tensor:
    return {gives}

def backward(ctx, gradient):
    x, y = ctx.saved_tensors
    return {slope}

{fake}
{autograd}
examples = [(torch.rand(3, 2), torch.rand(3, 2)), (torch.rand(5), torch.rand(5))]
"""
FAKE = "@op.register_fake\ndef _(x, y):\n    return torch.empty_like({like})"
AUTOGRAD = "op.register_autograd(backward, setup_context=keep)"
WHOLE = {"gives": "x * y", "slope": "gradient * y, gradient * x", "fake": FAKE.format(like="x"), "autograd": AUTOGRAD}


class Written:
    """Writes files with operators, each in a namespace of its own, and checks them."""

    def __init__(self, folder: Path):
        self.folder, self.space = folder, f"test_{abs(hash(folder.name))}"

    def __call__(self, text: str, name: str = "op") -> Operator:
        file = self.folder / "my_op.py"
        file.write_text(text.replace("{space}", self.space))
        module, found = find_attribute(f"{file}:{name}", trusted=True)
        assert is_operator(found)
        return check_operator(found, module, "my_op.py")

    def product(self, more: str = "", **changed: str) -> Operator:
        return self(OPERATOR.format(space=self.space, **{**WHOLE, **changed}) + more)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def named(found: Operator) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


def results(found: Operator) -> dict[str, str]:
    return {check.name: check.result for check in found.checks}


def test_an_operator_that_is_whole_passes_everything(written: Written) -> None:
    others = torch.cuda.is_available() or torch.backends.mps.is_available()
    found = written.product("def plain(x, y):\n    return x * y\n")
    assert results(found) == {"runs": "passed", "schema": "passed", "fake kernel": "passed", "gradients": "passed",
                              "gradients by differences": "passed", "compilation": "passed",
                              "other devices": "passed" if others else "skipped", "plain form": "passed",
                              "time": "measured"}
    assert found.problem == "" and found.name == f"{written.space}::product" and "(Tensor x, Tensor y)" in found.schema
    assert named(found)["runs"].words == "registered for every device; gives a result on 2 examples"
    assert "times as fast" in named(found)["time"].words


def test_without_a_fake_kernel_it_cannot_be_compiled_and_the_lines_to_write_make_it_whole(written: Written) -> None:
    found = written.product(fake="")
    check = named(found)["fake kernel"]
    assert check.result == "missing" and check.words == "torch.compile and torch.export cannot know what it returns"
    assert results(found)["compilation"] == "skipped" and results(found)["gradients by differences"] == "passed"
    assert found.problem == f"{written.space}::product is not whole: see fake kernel"
    assert written.product(fake=check.lines).problem == ""


@pytest.mark.parametrize(("like", "told"), [
    ("x[1:]", "it foretells float32 [2, 2] with strides [2, 1] on cpu, and the operator gives float32 [3, 2]"),
    ("x, dtype=torch.float64", "it foretells float64 [3, 2]"),
    ("x, device='meta'", "meta"),
    ("nothing", "NameError: name 'nothing' is not defined")])
def test_a_fake_kernel_that_foretells_wrongly_is_told_of_beside_the_truth(written: Written, like: str,
                                                                          told: str) -> None:
    check = named(written.product(fake=FAKE.format(like=like)))["fake kernel"]
    assert check.result == "failed" and told in check.words


def test_without_a_backward_nothing_before_it_learns(written: Written) -> None:
    found = written.product(autograd="")
    check = named(found)["gradients"]
    assert check.result == "missing" and check.words == "no backward is registered, so that nothing before it can learn"
    assert "return ..., ...    # one an argument" in check.lines and "register_autograd" in check.lines
    assert results(found)["compilation"] == "passed" and "gradients by differences" not in results(found)


@pytest.mark.parametrize(("slope", "name", "result", "told"), [
    ("gradient * y, 2 * gradient * x", "gradients by differences", "failed",
     "the gradient for `y` is not what differences give"),
    ("gradient * y, None", "gradients by differences", "failed", "the gradient for `y` is not what differences give"),
    ("None, None", "gradients", "missing", "its backward gives None for every input"),
    ("gradient * y", "gradients", "failed", "its backward fails: RuntimeError: The backward formula"),
    ("1 / 0, None", "gradients", "failed", "its backward fails: ZeroDivisionError: division by zero")])
def test_a_wrong_backward_is_found_by_differences(written: Written, slope: str, name: str, result: str,
                                                  told: str) -> None:
    found = written.product(slope=slope)
    assert named(found)[name].result == result and told in named(found)[name].words
    assert found.problem.startswith(f"{written.space}::product is not whole: see {name}")


def test_only_the_gradients_asked_for_are_checked(written: Written) -> None:
    some = "examples = [(torch.rand(3, requires_grad=True), torch.rand(3))]\n"
    assert written.product(some, slope="gradient * y, None").problem == ""


def test_an_input_that_is_changed_without_a_word_is_found(written: Written) -> None:
    check = named(written.product(gives="y.mul_(x).clone()"))["schema"]
    assert check.result == "failed" and check.words.startswith("it changes its input `y` and does not say so")
    assert check.lines == f'@torch.library.custom_op("{written.space}::product", mutates_args=("y",))'


def test_an_input_that_is_changed_and_declared_passes(written: Written) -> None:
    found = written(HEAD + '@custom_op("{space}::doubled", mutates_args=("x",))\ndef op(x: Tensor) -> None:\n'
                    "    x.mul_(2)\nexamples = [(torch.rand(3),)]\n")
    assert found.problem == "" and results(found)["gradients"] == "skipped"


@pytest.mark.parametrize("gives", ["x.view(-1)", "x", "y[:1]"])
def test_a_view_of_an_input_is_not_a_result(written: Written, gives: str) -> None:
    found = written.product(gives=gives)
    assert results(found) == {"runs": "failed"} and "a view of one" in found.checks[0].words
    assert found.checks[0].lines == "return output.clone()"


def test_an_operator_that_fails_is_told_of_alone(written: Written) -> None:
    for gives, told in (("1 / 0", "ZeroDivisionError: division by zero"), ("x @ y", "RuntimeError: ")):
        found = written.product(gives=gives)
        assert results(found) == {"runs": "failed"} and found.checks[0].words.startswith(told)


def test_whole_numbers_have_no_gradient(written: Written) -> None:
    found = written.product("examples = [{'x': torch.arange(3), 'y': torch.arange(3)}]\n", autograd="")
    assert found.problem == "" and results(found)["gradients"] == "skipped"


def test_another_plain_form_is_told_of_and_not_timed(written: Written) -> None:
    found = written.product("def plain(x, y):\n    return x * y + 1\n")
    assert results(found)["plain form"] == "failed" and "time" not in results(found)
    assert "Tensor-likes are not close" in named(found)["plain form"].words
    raised = written.product("def plain(x):\n    return x\n")
    assert results(raised)["plain form"] == "failed" and "TypeError" in named(raised)["plain form"].words


@pytest.mark.parametrize("name", ["packet", "overload", "text"])
def test_an_operator_can_be_named_in_several_ways(written: Written, name: str) -> None:
    text = OPERATOR.format(space=written.space, **WHOLE) + \
        "packet = torch.ops.{space}.product\noverload = packet.default\ntext = '{space}::product'\n"
    assert written(text, name).problem == ""


def test_an_operator_of_torchs_own_is_whole(written: Written) -> None:
    assert written(HEAD + "op = torch.ops.aten.tanh.default\nexamples = [(torch.rand(3),)]\n").problem == ""


@pytest.mark.parametrize(("more", "told"), [
    ("del examples", "my_op.py has no `examples` to run {space}::product on: write a list of argument tuples, or a "
                     "function that gives one, such as examples = [(torch.rand(2, 3), torch.rand(2, 3),)]"),
    ("examples = lambda: 1 / 0", "`examples` in my_op.py failed: ZeroDivisionError: division by zero"),
    ("examples = []", "`examples` in my_op.py must be a list of tuples or dicts of arguments; got list of nothing"),
    ("examples = [torch.rand(3)]", "got list of Tensor. Write examples = [(torch.rand(2, 3), torch.rand(2, 3),)]"),
    ("examples = 3", "got int"),
    ("plain = 3", "`plain` in my_op.py is int, where a function that gives the same as {space}::product is expected"),
    ("op = '{space}::prodct'", "there is no operator '{space}::prodct' once my_op.py is imported. Did you mean "
                               "'{space}::product'?"),
    ("op = torch.ops.aten.add", "aten::add has the overloads ")])
def test_what_cannot_be_run_is_refused_in_one_line(written: Written, more: str, told: str) -> None:
    with pytest.raises(ModelError) as refused:
        written.product(more.replace("{space}", written.space))
    assert told.replace("{space}", written.space) in str(refused.value) and "\n" not in str(refused.value)


def test_the_operators_of_the_package_are_whole(written: Written) -> None:
    focal = written(
        "import torch\nfrom lensmith.kernels.focal import sigmoid_focal_loss as op, plain_sigmoid_focal_loss as plain\n"
        "examples = [(torch.randn(5, 3, requires_grad=True), torch.rand(5, 3), 2.0)]\n")
    assert focal.problem == "" and results(focal)["gradients by differences"] == "passed"
    gather = written(
        "import torch\nfrom lensmith.kernels.gather import gather_crop_flip as op, plain_gather_crop_flip as plain\n"
        "shift = torch.tensor([2, 0, -1])\nstore = torch.randint(256, (9, 3, 8, 8)).to(torch.uint8)\n"
        "examples = [(store, torch.tensor([0, 8, 4]), shift, shift, shift > 0)]\n")
    assert gather.problem == "" and results(gather)["plain form"] == "passed"
    assert named(gather)["runs"].words.startswith("registered for cpu, cuda, mps;")


def test_the_command_shows_a_table_and_the_lines_to_write(command: Command, written: Written) -> None:
    text = OPERATOR.format(space=written.space, **{**WHOLE, "fake": ""})
    file = written.folder / "my_op.py"
    file.write_text(text)
    ended = command("inspect", f"{file}:op")
    assert ended.code == 4 and ended.err == f"lensmith: {written.space}::product is not whole: see fake kernel\n"
    assert "fake kernel               missing  torch.compile and torch.export cannot know" in ended.out
    assert f'fake kernel: write\n\n@torch.library.register_fake("{written.space}::product")\ndef _(x, y):' in ended.out
    file.write_text(OPERATOR.format(space=written.space, **WHOLE))
    ended = command("inspect", f"{file}:op", "--json")
    assert ended.code == 0 and ended.err == ""
    shown = json.loads(ended.out)
    assert shown["problem"] == "" and shown["name"] == f"{written.space}::product"
    assert {check["name"]: check["result"] for check in shown["checks"]}["compilation"] == "passed"


@pytest.mark.parametrize(("arguments", "told"), [
    (("my_op.py:opp",), "my_op.py has no 'opp'. Did you mean 'op'?"),
    (("my_opp.py:op",), "no file my_opp.py. Did you mean 'my_op.py'?"),
    (("my_op.py:op", "width=3"), "my_op.py:op is an operator, which has no settings: leave 'width=3' out"),
    (("my_op.py:examples",), "my_op.py:examples is list, where a class or function that gives a torch.nn.Module is"),
    (("bare.py:op",), "bare.py has no `examples` to run"),
    (("broken.py:op",), "broken.py could not be imported: SyntaxError")])
def test_a_users_mistakes_are_one_line(command: Command, written: Written, monkeypatch: pytest.MonkeyPatch,
                                       arguments: tuple[str, ...], told: str) -> None:
    monkeypatch.chdir(written.folder)
    text = OPERATOR.format(space=written.space, **WHOLE)
    Path("my_op.py").write_text(text)
    Path("bare.py").write_text(text + "del examples\n")
    Path("broken.py").write_text("op =\n")
    ended = command("inspect", *arguments)
    assert ended.code in (2, 4) and ended.err.startswith(f"lensmith: {told}") and ended.err.count("\n") == 1
    assert ended.out == ""


def test_an_operator_has_no_layers(written: Written) -> None:
    file = written.folder / "my_op.py"
    file.write_text(OPERATOR.format(space=written.space, **WHOLE))
    with pytest.raises(UserError, match="is an operator, which has no layers: `lensmith inspect .*` checks it"):
        layers(f"{file}:op")


@pytest.mark.parametrize("found", [ModuleType("m"), "no operator", 3, lambda: None, ModuleType])
def test_other_things_are_no_operators(found: Any) -> None:
    assert not is_operator(found)
