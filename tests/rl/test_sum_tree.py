"""The tree of sums against running sums."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lensmith.rl.sum_tree import SumTree

ENTRIES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 1.0, 7.5, 1e-9, 1e9]), min_size=1, max_size=40)


@settings(max_examples=30, deadline=None)
@given(ENTRIES, st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
def test_an_entry_is_found_where_the_running_sum_passes(entries, numbers):
    if not sum(entries):
        return
    tree = SumTree(len(entries))
    tree.put(np.arange(len(entries)), np.array(entries))
    sums = np.array(numbers) * tree.total
    found = tree.find(sums)
    running = np.cumsum(entries)
    for index, wanted in zip(found, sums, strict=True):
        assert entries[index] > 0
        before = running[index] - entries[index]
        assert before <= wanted * (1 + 1e-9) + 1e-6 and wanted <= running[index] * (1 + 1e-9) + 1e-6


@settings(max_examples=20, deadline=None)
@given(ENTRIES, st.data())
def test_a_tree_that_was_changed_has_the_bits_of_one_built_anew(entries, data):
    tree = SumTree(len(entries))
    for _ in range(5):
        indices = data.draw(st.lists(st.integers(0, len(entries) - 1), min_size=1, max_size=4, unique=True))
        tree.put(np.array(indices), np.array([entries[index] for index in indices]))
    again = SumTree(len(entries))
    again.put(np.arange(len(entries)), tree.entries())
    assert (again.nodes == tree.nodes).all()
