"""Digests, Optuna's names, sentences, parameter counts and encodings are those of earlier versions."""

import pytest
from space_points import INPUTS, LATER_AXES, TIERS, load, member, point

import space
from search.sampler.encoding import SpaceCandidates
from space import Architecture, Space

KEPT = load()


@pytest.mark.parametrize("name", KEPT["presets"])
def test_a_preset_is_what_it_was(name: str) -> None:
    assert point(space.preset(name, "subclass"), INPUTS["rich"]) == KEPT["presets"][name]


def test_architectures_beyond_the_spaces_are_what_they_were() -> None:
    for kept in KEPT["anything"]:
        assert point(Architecture.from_dict(kept["architecture"]), INPUTS["rich"]) == kept


@pytest.mark.slow
@pytest.mark.parametrize("kept", KEPT["spaces"], ids=lambda kept: f"{kept['space']}-{kept['inputs']}")
def test_the_space_of_a_study_of_before_is_what_it_was(kept) -> None:
    axes = space.FORMER_SPACES[kept["space"]]
    listed = Space(kept["space"], tuple(TIERS), axes, inputs=INPUTS[kept["inputs"]])
    assert len(listed) == kept["size"]
    known = [[axis, list(values)] for axis, values in listed.axes.items() if axis not in LATER_AXES]
    assert known == kept["axes"]
    assert all(len(listed.axes[axis]) <= 1 for axis in LATER_AXES)
    assert [[axis, list(values)] for axis, values in listed.parameter_axes().items()] == kept["choices"]
    assert space.queued_presets(listed, "subclass") == kept["queued"]
    candidates = SpaceCandidates(listed, TIERS)
    for expected in kept["points"]:
        found = member(listed, candidates, expected["index"])
        # Rounding of a logarithm or a square root may differ between processors by its last bit.
        assert found.pop("features") == pytest.approx(expected["features"], abs=1e-14)
        assert {**found, "params": [list(pair) for pair in found["params"]]} == {
            name: value for name, value in expected.items() if name != "features"
        }
        assert Architecture.from_dict(expected["architecture"]) == listed[expected["index"]]
