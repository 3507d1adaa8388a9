"""Ratios and intervals against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from deepsched.baselines.ratios import (
    SIZE_LABELS,
    bootstrap_interval,
    ratios,
    size_bucket,
    summarise_ratios,
)


def test_ratios_of_known_values() -> None:
    assert ratios([2, 3, 0, 5], [4, 3, 0, 0]).tolist() == [0.5, 1.0, 1.0, np.inf]


def test_a_comparison_counts_and_averages() -> None:
    found = summarise_ratios([5, 10, 12, 30], [10, 10, 10, 10], ["a", "b", "c", "d"])
    assert (found.mean, found.median, found.worst) == pytest.approx((1.425, 1.1, 3.0))
    assert (found.better, found.equal, found.worse) == (1, 1, 2)
    assert (found.samples, found.sources) == (4, 4)


@pytest.mark.parametrize(("offset", "equal"), [(1e-12, 1), (1e-6, 0)])
def test_makespans_that_differ_in_the_last_digits_are_equal(offset: float, equal: int) -> None:
    assert summarise_ratios([1 + offset], [1.0], ["a"]).equal == equal


def test_one_source_has_no_interval() -> None:
    assert bootstrap_interval([1.0, 2.0, 3.0], ["a", "a", "a"]) is None


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert bootstrap_interval([2.0] * 4, list("abcd")) == (2.0, 2.0)


def test_two_sources_reach_from_one_mean_to_the_other() -> None:
    # Each source is drawn twice with probability 1/4, so both ends lie beyond the 95 %.
    assert bootstrap_interval([1.0, 1.0, 4.0], ["a", "a", "b"]) == (1.0, 4.0)


def test_repeating_samples_of_a_graph_does_not_make_it_surer() -> None:
    values, sources = [1.0, 2.0, 3.0, 4.0], list("abcd")
    once = bootstrap_interval(values, sources, seed=1)
    often = bootstrap_interval(np.repeat(values, 50), np.repeat(sources, 50).tolist(), seed=1)
    assert once == pytest.approx(often)


def test_the_interval_is_seeded() -> None:
    values, sources = np.arange(20.0), [str(k) for k in range(20)]
    assert bootstrap_interval(values, sources, seed=3) == bootstrap_interval(
        values, sources, seed=3
    )
    assert bootstrap_interval(values, sources, seed=3) != bootstrap_interval(
        values, sources, seed=4
    )


def test_the_interval_is_as_wide_as_the_normal_one_for_many_samples() -> None:
    values = np.random.default_rng(0).normal(1.0, 0.5, 400)
    found = bootstrap_interval(values, [str(k) for k in range(400)])
    half = 1.96 * values.std() / np.sqrt(400)
    assert found == pytest.approx((values.mean() - half, values.mean() + half), rel=0.01)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    sources = [str(k) for k in range(40)]
    hits = 0
    for seed in range(200):
        found = bootstrap_interval(rng.exponential(1.0, 40), sources, seed=seed, resamples=400)
        assert found is not None
        hits += found[0] <= 1.0 <= found[1]
    # A percentile interval of 40 skewed values covers a little less than 95 %.
    assert 0.87 <= hits / 200 <= 0.99


@pytest.mark.parametrize(
    ("tasks", "label"),
    [(1, "1–50"), (50, "1–50"), (51, "51–200"), (2_000, "501–2,000"), (84_654, "over 10,000")],
)
def test_sizes_fall_into_their_ranges(tasks: int, label: str) -> None:
    assert size_bucket(tasks) == label
    assert label in SIZE_LABELS
