"""The axis of leads: canonical names, counts, closed-form costs, and what it leaves alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import space
from search.models.costs import costs_of
from search.models.hybrid import build_model, n_parameters
from search.sampler.encoding import SpaceCandidates
from space import Architecture, Inputs, RecurrentLayer, Space, SpaceError

SMALL = Architecture(width=0.25, head="linear", recurrent=(RecurrentLayer(cell="gru"),), hidden_size=8)
CHOICES = ("all", "limb", "I,II,V2", "I")


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("V2, II,I", "I,II,V2"),
        ("I,II,III,aVR,aVL,aVF", "limb"),
        (",".join(space.LEADS), "12"),
        ("MLII,V", "MLII,V"),
        ("all", "all"),
    ],
)
def test_leads_have_one_name(given: str, canonical: str) -> None:
    assert Architecture(leads=given).leads == canonical
    assert Architecture(leads=given).digest == Architecture(leads=canonical).digest


@pytest.mark.parametrize("wrong", ["", "I,,II", "I,i", 12, None])
def test_what_names_no_leads(wrong: object) -> None:
    with pytest.raises(SpaceError, match="leads is all or names of leads such as I,II,V2, got"):
        Architecture(leads=wrong)


def test_all_leads_without_lead_dropout_are_the_architecture_of_before() -> None:
    assert Architecture(leads="all", lead_dropout=0.0).digest == Architecture().digest
    assert Architecture(leads="I", lead_dropout=0.25) == Architecture(leads="I")
    assert Architecture(leads="I").lead_dropout is None
    sentence = Architecture(leads="I,II,V2", lead_dropout=0.25).describe()
    assert sentence.startswith("leads I, II, V2 → CNN")
    assert ", lead dropout 0.25," in sentence
    assert Architecture(leads="limb").describe().startswith("limb leads → CNN")


@pytest.mark.parametrize(("leads", "n"), [("all", 12), ("limb", 6), ("I,II,V2", 3), ("I", 1)])
def test_costs_follow_from_the_number_of_leads(leads: str, n: int) -> None:
    """The first convolution alone sees leads: 16 channels, kernel 5, without strides at 1,000 samples."""
    architecture = replace(SMALL, leads=leads)
    found, every = costs_of(architecture, 5), costs_of(SMALL, 5)
    first = space.load_code(SMALL.front_end.layers)(12, SMALL.conv_width, None)[0]
    weights_of_a_lead = (
        first.n_parameters - space.load_code(SMALL.front_end.layers)(11, 16, None)[0].n_parameters
    )
    assert every.parameters - found.parameters == (12 - n) * weights_of_a_lead
    assert every.macs - found.macs == (12 - n) * weights_of_a_lead * 1000
    model = build_model(architecture, 5, generator=torch.Generator())
    assert n_parameters(model) == found.parameters
    assert model.eval()(torch.zeros(2, n, 1000)).shape == (2, 5)
    # A study with these leads alone has the same model.
    assert costs_of(SMALL, 5, Inputs(n_leads=n)) == found


def test_the_costs_of_a_space_with_leads_are_those_of_its_architectures() -> None:
    axes = {**space.SPACES["paper"], "leads": CHOICES, "lead_dropout": (0.0, 0.25), "depth": (0, 1)}
    listed = Space("searched", ("superclass",), axes)
    candidates = SpaceCandidates(listed, {"superclass": 5})
    some = np.arange(0, len(listed), 97)
    architectures = [listed[int(index)] for index in some]
    assert {each.leads for each in architectures} == set(CHOICES)
    assert 10 ** candidates.log_cost(some) == pytest.approx(
        [costs_of(each, 5).parameters for each in architectures], rel=1e-12
    )
    expected = [{"all": 12, "limb": 6, "I,II,V2": 3, "I": 1}[each.leads] for each in architectures]
    assert candidates.n_leads(some).tolist() == expected
    # One lead has no dropout: seven settings of the two axes.
    assert len(listed) == 7 * len(
        Space("paper", ("superclass",), axes | {"leads": ("all",), "lead_dropout": (0.0,)})
    )
    for architecture in architectures[:20]:
        assert listed[listed.index(listed.to_params(architecture))] == architecture


def test_the_latency_of_some_leads_is_measured_on_these() -> None:
    from search.export.folder import ECG_INPUT
    from search.export.runtime import session
    from search.export.untrained import untrained_graph

    content, fed = untrained_graph(replace(SMALL, leads="I,II,V2"), 5, Inputs(n_samples=200))
    assert fed[ECG_INPUT].shape[1:] == (3, 200)
    (_, logits, *_) = session(content).run(None, {name: values[:2] for name, values in fed.items()})
    assert logits.shape == (2, 5)
