"""Softmax and cross entropy: from the outputs of the last layer to probabilities, a loss, and its gradient."""

import numpy as np

from lensmith.lessons.numpy_network.layer import Array


def numpy_softmax(logits: Array) -> Array:
    """p_k = exp(z_k) / sum_j exp(z_j) of each row z of `logits` [batch, classes].

    The largest logit is taken away first: p stays the same, and no exponential overflows.
    """
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def numpy_cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """-log p of the true class, the mean over the batch, and its gradient by the logits [batch, classes].

    The gradient is (p - y) / batch with y 1 for the true class and 0 for the others: what was answered, less the truth.
    """
    rows = np.arange(len(labels))
    shifted = logits - logits.max(1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(1))    # from logits: p itself may round to 0, and its logarithm to infinity
    loss = float((log_sums - shifted[rows, labels]).mean())
    gradient = numpy_softmax(logits)
    gradient[rows, labels] -= 1
    return loss, gradient / len(labels)
