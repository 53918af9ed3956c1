"""What a GPU computes: each precision and layout beside float64 on the CPU, and the operators of our own."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lensmith.data.sources.sample import Batch
from lensmith.engine.evaluate import evaluate, predictions
from lensmith.engine.optimize import leaves, sgd
from lensmith.engine.plan.candidates import Wanted
from lensmith.engine.plan.plan import Plan, exact, make_plan
from lensmith.engine.plan.time_candidates import pick
from lensmith.engine.plan.trial import Trial
from lensmith.engine.schedule import constant
from lensmith.engine.stepper import Stepper
from lensmith.kernels.focal import sigmoid_focal_loss
from lensmith.kernels.gather import gather_crop_flip, plain_gather_crop_flip
from lensmith.models.network import Network
from lensmith.tasks.classification import Classification
from lensmith.values.value import to_device

# plan -> how far the gradient may be from that of float64, as a fraction of its length. TF32 has 10 bits, as float16.
PLANS = {"float32 contiguous": 0.01, "float32 channels_last": 0.01, "bfloat16 channels_last": 0.1,
         "bfloat16 contiguous": 0.1, "float16 channels_last": 0.02, "float16 contiguous": 0.02}


def without_dropout(network: nn.Module) -> nn.Module:
    same = deepcopy(network)
    for layer in same.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return same


def of_float64(network: Network, task: Classification, batch: Batch) -> tuple[float, torch.Tensor]:
    """(loss, gradient as one vector) by float64 on the CPU."""
    precise = without_dropout(network).double().train()
    features = precise.backbone((batch.images.double() - precise.mean) / precise.deviation)
    loss = sum(task.loss(precise.head(features), batch.targets).values())
    loss.backward()
    return loss.item(), torch.cat([parameter.grad.flatten() for parameter in precise.parameters()])


def of_trial(plan: Plan, network: Network, task: Classification, batch: Batch) -> tuple[float, torch.Tensor]:
    trial = Trial(plan, deepcopy(network).to(plan.device), task)
    loss, gradient = trial.gradient(batch.to(plan.device))
    return loss, torch.cat([values.flatten() for values in gradient]).double().cpu()


def apart(found: torch.Tensor, true: torch.Tensor) -> float:
    return float((found - true).norm() / true.norm())


@pytest.mark.parametrize("name", PLANS)
def test_each_precision_and_layout_has_the_gradient_of_float64(gpu, network, task, batches, name: str):
    precision, layout = name.split()
    plan = make_plan(device=gpu, precision=precision, layout=layout)
    loss, gradient = of_trial(plan, network, task, batches[0])
    true_loss, true = of_float64(network, task, batches[0])
    assert loss == pytest.approx(true_loss, abs=PLANS[name])
    assert apart(gradient, true) < PLANS[name]


def test_the_exact_plan_has_no_tf32_and_gives_the_same_bits_again(gpu, network, task, batches):
    plan = exact(device=gpu)
    found = [of_trial(plan, network, task, batches[0]) for _ in range(2)]
    true_loss, true = of_float64(network, task, batches[0])
    assert torch.equal(found[0][1], found[1][1]) and found[0][0] == found[1][0]
    assert apart(found[0][1], true) < 1e-5 and found[0][0] == pytest.approx(true_loss, abs=1e-5)
    assert torch.backends.cudnn.allow_tf32 is False
    make_plan(device=gpu).settle()
    assert torch.backends.cudnn.allow_tf32 is True


def test_a_compiled_step_has_the_gradient_of_float64(gpu, network, task, batches):
    pytest.importorskip("triton", reason="compiling for a GPU needs triton")
    loss, gradient = of_trial(make_plan(device=gpu, compiled=True), network, task, batches[0])
    true_loss, true = of_float64(network, task, batches[0])
    assert loss == pytest.approx(true_loss, abs=0.01) and apart(gradient, true) < 0.01


def test_pictures_come_whole_while_the_cpu_goes_on(gpu):
    """A copy from page-locked memory has only begun when `to_device` returns, and its source may be dropped then."""
    draw, large = torch.Generator().manual_seed(0), []
    for _ in range(8):
        large.append(torch.randint(0, 256, (64, 3, 512, 512), dtype=torch.uint8, generator=draw))
    to_device(large[0], gpu)    # page-locked memory is handed out for the first time
    locked, done = large[0].pin_memory(), torch.cuda.Event()
    torch.cuda.synchronize()
    locked.to(gpu, non_blocking=True)
    done.record()
    assert not done.query()
    moved = [to_device(pictures.clone(), gpu) for pictures in large]
    assert all(torch.equal(there.cpu(), here) for there, here in zip(moved, large, strict=True))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_answers_and_metrics_are_those_of_the_cpu(gpu, network, task, batches, precision):
    plans = [exact(device="cpu"), make_plan(device=gpu, precision=precision)]
    scores, measured = [], []
    for plan in plans:
        placed = plan.place(deepcopy(network))
        found = [predicted["label"].scores for _, predicted, _ in predictions(placed, task, batches, plan=plan)]
        scores.append(torch.cat(found))
        measured.append(evaluate(placed, task, batches, plan=plan))
    limit = {"float32": 0.005, "bfloat16": 0.02, "float16": 0.005}[precision]    # as `predict_pictures` says
    assert scores[1].device.type == "cpu" and (scores[0] - scores[1]).abs().max() < limit
    assert measured[0]["loss"] == pytest.approx(measured[1]["loss"], abs=2 * limit)
    assert measured[0]["count"] == measured[1]["count"] == 192


def test_a_plan_is_picked_among_those_of_the_gpu(gpu, network, task, batches):
    def stepper(copied: nn.Module, plan: Plan) -> Stepper:
        chosen = leaves(copied)
        return Stepper(copied, chosen, sgd(chosen, rate=0.1), schedule=constant())

    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.to(gpu)
    choice = pick(Wanted(device=gpu, compiled=False), network, task, batches[0].to(gpu), steps=10_000, stepper=stepper)
    tried = {(timing.plan.precision, timing.plan.layout) for timing in choice.timings}
    assert choice.plan.device == gpu and choice.source == "timed"
    assert {"float32", "float16"} <= {precision for precision, _ in tried}
    assert all(torch.equal(tensor.cpu(), before[name]) for name, tensor in network.state_dict().items())


def test_gathering_on_the_gpu_gives_the_pixels_of_the_cpu(gpu):
    draw = torch.Generator().manual_seed(0)
    for dtype in (torch.uint8, torch.uint16):
        store = torch.randint(0, 256, (20, 3, 9, 7), generator=draw).to(dtype)
        rows, flipped = torch.randint(0, 20, (50,), generator=draw), torch.randint(0, 2, (50,), generator=draw).bool()
        x, y = torch.randint(-3, 4, (50,), generator=draw), torch.randint(-3, 4, (50,), generator=draw)
        expected = plain_gather_crop_flip(store, rows, x, y, flipped)
        found = gather_crop_flip(*(tensor.to(gpu) for tensor in (store, rows, x, y, flipped)))
        assert torch.equal(found.cpu().view(torch.uint8), expected.view(torch.uint8))


def test_the_focal_loss_on_the_gpu_is_that_of_float64(gpu):
    draw = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(200, 7, generator=draw), torch.rand(200, 7, generator=draw)
    there = logits.to(gpu).requires_grad_()
    loss = sigmoid_focal_loss(there, targets.to(gpu), 2.0, 0.25)
    loss.sum().backward()
    here = logits.detach().double().requires_grad_()
    share = here.sigmoid()
    expected = 0.25 * targets * (1 - share) ** 2 * -F.logsigmoid(here) \
        + 0.75 * (1 - targets) * share**2 * -F.logsigmoid(-here)
    expected.sum().backward()
    assert torch.allclose(loss.double().cpu(), expected, atol=1e-6)
    assert torch.allclose(there.grad.double().cpu(), here.grad, atol=1e-6)


def test_folding_batch_norm_for_inference_keeps_the_answers(gpu, network, task, batches):
    plan = make_plan(device=gpu)
    folded = replace(plan, rewrites=("fold_batch_norm",))
    placed = plan.place(network)
    found = [torch.cat([predicted["label"].scores for _, predicted, _ in predictions(placed, task, batches, plan=one)])
             for one in (plan, folded)]
    assert (found[0] - found[1]).abs().max() < 0.005
