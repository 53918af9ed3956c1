import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lensmith.base.errors import ModelError, UserError
from lensmith.engine.plan.plan import Plan, exact, make_plan, plan_from_json

THREADS = torch.get_num_threads()


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    make_plan(device="cpu").settle()
    torch.set_num_threads(THREADS)


def test_a_plan_comes_back_from_its_file():
    chosen = Plan("cpu", "bfloat16", "channels_last", 3, compiled=True, rewrites=("pool_first",), deterministic=True)
    assert plan_from_json(json.loads(json.dumps(chosen.as_json()))) == chosen
    assert chosen.in_words() == "bfloat16, channels_last, 3 threads, compiled, pool first, deterministic"


def test_a_plan_of_an_older_run_has_no_rewrites():
    old = {"device": "cpu", "precision": "float32", "layout": "contiguous", "threads": 2}
    assert plan_from_json(old) == Plan("cpu", "float32", "contiguous", 2)


def test_a_rewrite_is_known_by_its_former_name():
    old = {"device": "cpu", "precision": "float32", "layout": "contiguous", "threads": 2, "rewrites": ["trim_kernels"]}
    assert plan_from_json(old).rewrites == ("small_maps",)


@pytest.mark.parametrize("wrong", [{"precision": "float8"}, {"threads": 0}, {"rewrites": ["faster"]}, {"layout": 3},
                                   {"rewrites": [["pool_first"]]}, {"rewrites": 1}])
def test_a_damaged_plan_is_refused(wrong):
    with pytest.raises(ModelError, match="plan.json is damaged"):
        plan_from_json({"device": "cpu", "precision": "float32", "layout": "contiguous", "threads": 2} | wrong)


def test_a_plan_of_a_machine_with_a_gpu_is_usable_without():
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    found = plan_from_json({"device": "cuda:0", "precision": "float16", "layout": "channels_last", "threads": 2})
    assert (found.device, found.precision) == ("cpu", "float32")


def test_what_the_device_does_not_have_is_said():
    with pytest.raises(UserError, match="plan.precision='float16' is for CUDA, and the device is cpu: use bfloat16"):
        make_plan(device="cpu", precision="float16")
    with pytest.raises(UserError, match="plan.threads must be 0"):
        make_plan(threads=-1)


def test_exact_is_deterministic_float32():
    chosen = exact(device="cpu", threads=1)
    assert chosen == Plan("cpu", "float32", "contiguous", 1, deterministic=True)
    chosen.settle()
    assert torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == 1
    replace(chosen, deterministic=False).settle()
    assert not torch.are_deterministic_algorithms_enabled()


def test_placing_keeps_the_names_of_the_weights():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3))
    names = list(network.state_dict())
    Plan("cpu", "float32", "channels_last", 1, rewrites=("pool_first",)).place(network)
    assert list(network.state_dict()) == names
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert [type(layer).__name__ for layer in network] == ["Conv2d", "MaxPool2d", "ReLU", "Conv2d"]


def test_a_plan_file_of_another_folder(tmp_path: Path, command):
    for content, told in (("{", "line 1 is not JSON"), ("[]", "the file holds no plan"),
                          ('{"device": "cpu"}', "the file holds no plan (precision is missing)"),
                          ('{"device": "cpu", "precision": "float32", "layout": "x", "threads": 1}', "plan.json is")):
        (tmp_path / "plan.json").write_text(content)
        ended = command("train", "shapes", "--plan", tmp_path / "plan.json", "--runs", tmp_path / "runs")
        assert ended.code in (2, 4) and told in ended.err, ended.err
    ended = command("train", "shapes", "--plan", "fast", "--runs", tmp_path / "runs")
    assert ended.code == 2 and "is neither auto nor exact, nor a file that can be read" in ended.err
    ended = command("train", "shapes", "--plan", "exact", "plan.precision=bfloat16", "--runs", tmp_path / "runs")
    assert ended.code == 2 and "plan.mode='exact' (--plan) decides precision, layout, compiled itself" in ended.err


def test_exact_takes_the_place_of_what_a_recipe_asks_for(tmp_path: Path, command):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[data]\nname = "shapes"\n'
                      '[plan]\nprecision = "bfloat16"\nlayout = "channels_last"\nthreads = 1\n')
    ended = command("train", recipe, "--plan", "exact", "--dry-run")
    assert ended.code == 0, ended.err
    section = ended.out.partition("[plan]")[2]
    assert 'mode = "exact"' in section and "bfloat16" not in section and "threads = 1" in section
