"""What one network learns from the answers of another."""

from torch import Tensor
from torch.nn import functional as F


def teacher_divergence(logits: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """The Kullback-Leibler divergence of the softened answers, in the mean over pictures, or pixels, a float32 scalar:

        T^2 sum_k p_k (log p_k - log q_k),    p = softmax(teacher / T),  q = softmax(logits / T)

    Both are [batch, classes, ...], before the softmax. The factor T^2 gives the gradient the length that it has at T =
    1 (Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network", arXiv 1503.02531, section 2).
    """
    answers = (logits.float() / temperature).log_softmax(1)
    wanted = (teacher.float() / temperature).log_softmax(1)
    total = F.kl_div(answers, wanted, reduction="sum", log_target=True)
    return total * (temperature**2 * logits.shape[1] / max(1, logits.numel()))
