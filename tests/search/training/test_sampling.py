"""Oversampling of rare classes: weights by hand, how often a record is drawn, and training with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_samples import CPU, NO_CACHE, Case, development, seeded

import space
from search.data.folds import cv_folds
from search.training.device_data import DeviceData
from search.training.lockstep import Lockstep, Together
from search.training.sampling import class_balanced, epoch_rows, equal, square_root
from space import Architecture

Y_NC = torch.tensor(
    [[1.0, 0, 0], [1, 0, 0], [1, 1, 0], [0.5, 0, 0], [0, 0, 0.4], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
)
"""Eight records: four of class A, of which one is of class B, too; four of none, for .4 is below one half."""


# ---------------------------------------------------------------------------------------------------------
# Weights


def test_repeat_factors_by_hand() -> None:
    # A has a share of 1/2, B of 1/8: √2 and √8, the larger of which counts; 1 without a class.
    root = 2**0.5
    expected = [root, root, 2 * root, root, 1, 1, 1, 1]
    assert square_root(Y_NC).tolist() == pytest.approx(expected, rel=1e-15)


def test_class_balanced_weights_by_hand() -> None:
    # A quarter for each of the four of A, and of the four of none; one more for the only record of B.
    assert class_balanced(Y_NC).tolist() == [0.25, 0.25, 1.25, 0.25, 0.25, 0.25, 0.25, 0.25]


@given(st.integers(2, 60), st.integers(1, 6), st.integers(0, 99))
def test_drawing_a_class_first_is_what_balanced_weights_say(n: int, n_classes: int, seed: int) -> None:
    """Of exclusive classes every one has the same weight in all, however many records it has."""
    class_N = torch.randint(n_classes, (n,), generator=seeded(seed))
    weight_N = class_balanced(torch.nn.functional.one_hot(class_N, n_classes).float())
    sums = [float(weight_N[class_N == each].sum()) for each in class_N.unique()]
    assert sums == pytest.approx([1.0] * len(sums), rel=1e-12)


@pytest.mark.parametrize("name", space.SAMPLINGS)
def test_a_class_without_records_changes_no_weight(name: str) -> None:
    weights = space.load_code(space.SAMPLINGS[name].weights)
    assert torch.equal(weights(Y_NC), weights(Y_NC[:, :2]))
    assert weights(Y_NC).shape == (8,)


# ---------------------------------------------------------------------------------------------------------
# Rows of an epoch


def test_equal_weights_draw_every_row_once_and_no_random_number() -> None:
    rows, source = torch.arange(7) + 3, seeded()
    before = source.get_state()
    assert epoch_rows(rows, equal(torch.zeros(7, 2)), source) is rows
    assert torch.equal(source.get_state(), before)


@given(
    st.lists(st.floats(0.0, 100.0), min_size=2, max_size=80).filter(lambda each: max(each) > 1e-3),
    st.integers(0, 99),
)
def test_a_row_comes_as_often_as_its_weight_says_rounded_up_or_down(weights: list[float], seed: int) -> None:
    rows = torch.arange(len(weights)) * 2
    weight_N = torch.tensor(weights, dtype=torch.float64)
    drawn = epoch_rows(rows, weight_N, seeded(seed))
    assert len(drawn) == len(rows)
    expected_N = (weight_N / weight_N.sum() * len(rows)).numpy()
    times_N = np.bincount(drawn.numpy() // 2, minlength=len(rows))
    # Sums of 80 numbers are right to 80 × 1e-16 of their size.
    assert (times_N >= np.floor(expected_N - 1e-12)).all()
    assert (times_N <= np.ceil(expected_N + 1e-12)).all()


def test_over_many_epochs_the_mean_number_of_times_is_the_weights() -> None:
    rows, weight_N = torch.arange(5), torch.tensor([0.1, 1.0, 1.3, 2.6, 0.0], dtype=torch.float64)
    source = seeded(5)
    drawn = torch.cat([epoch_rows(rows, weight_N, source) for _ in range(4000)])
    mean_N = np.bincount(drawn.numpy(), minlength=5) / 4000
    # A number between two whole ones has a standard error of at most .5 / √4000 = .008; four of them.
    assert mean_N == pytest.approx(weight_N.numpy(), abs=0.032)
    assert mean_N[4] == 0


def test_rows_of_an_epoch_depend_on_the_generator_alone() -> None:
    rows, weight_N = torch.arange(50), torch.arange(50, dtype=torch.float64)
    first, again, other = (epoch_rows(rows, weight_N, seeded(seed)).tolist() for seed in (1, 1, 2))
    assert first == again
    assert sorted(first) != sorted(other)


# ---------------------------------------------------------------------------------------------------------
# Training


@pytest.fixture(scope="module")
def skewed() -> Case:
    """The tiny data set with a class that eight of its 90 records have, and others that a third have."""
    data = development()
    y_NC = data.y["subclass"].copy()
    y_NC[:, 0] = np.arange(len(y_NC)) % 11 == 5
    data = replace(data, y={**data.y, "subclass": y_NC})
    on_device = DeviceData(data, CPU, cache_dir=NO_CACHE)
    return Case(data=data, on_device=on_device, folds=cv_folds(data.strat_fold, data.fold_plan))


@pytest.mark.parametrize("loss", [{}, {"loss": "power", "exponent": 0.5, "cap": 10.0}])
def test_an_epoch_with_oversampling_has_as_many_steps_and_more_of_the_rare_class(skewed: Case, loss) -> None:
    batches, share = {}, {}
    for name in space.SAMPLINGS:
        training = skewed.start(Architecture(width=0.0625, head="linear", sampling=name, **loss))
        batches[name] = training.begin_epoch()
        rows = torch.cat(batches[name])
        share[name] = skewed.data.y["subclass"][rows.numpy(), 0].mean()
        assert set(rows.tolist()) <= set(training.fold.train.tolist())
        assert np.isfinite(training.run_epoch()[0])
    assert [len(rows) for rows in batches["balanced"]] == [len(rows) for rows in batches["none"]]
    assert share["none"] < share["square-root"] < share["balanced"]


def test_folds_in_lockstep_draw_what_they_draw_alone(skewed: Case) -> None:
    """The path of a GPU and that of a CPU, on a CPU."""
    architecture = Architecture(width=0.0625, head="linear", sampling="balanced", dropout=0.0)
    alone = [skewed.start(architecture, fold=number) for number in (1, 2)]
    losses = [training.run_epoch()[0] for training in alone]
    together = [skewed.start(architecture, fold=number) for number in (1, 2)]
    joint = Lockstep(together, Together(lockstep=True, graphs=False)).run_epoch()
    assert [loss for loss, _ in joint] == pytest.approx(losses, rel=1e-4)


def test_an_epoch_is_drawn_by_the_seed_of_the_study_and_its_number(skewed: Case) -> None:
    architecture = Architecture(width=0.0625, head="linear", sampling="square-root")
    first, again = (skewed.start(architecture) for _ in range(2))
    drawn = [torch.cat(training.begin_epoch()).tolist() for training in (first, again)]
    assert drawn[0] == drawn[1]
    again.run_epoch()
    assert torch.cat(again.begin_epoch()).tolist() != drawn[0]
