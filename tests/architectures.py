"""Hypothesis strategies over architectures, and the stacks of the seed paper."""

from hypothesis import strategies as st

from space import Architecture, RecurrentLayer, Space

TIERS = ("superclass", "subclass", "diagnostic", "all")
LSTM = RecurrentLayer(cell="lstm")
BILSTM = RecurrentLayer(cell="lstm", bidirectional=True)
GRU = RecurrentLayer(cell="gru")
BIGRU = RecurrentLayer(cell="gru", bidirectional=True)

recurrent_layers = st.sampled_from([LSTM, BILSTM, GRU, BIGRU])


def indices(space: Space) -> st.SearchStrategy[int]:
    """Positions in the listing of a space."""
    return st.integers(0, len(space) - 1)


def members(space: Space) -> st.SearchStrategy[Architecture]:
    """Architectures of a space."""
    return indices(space).map(space.__getitem__)


@st.composite
def arbitrary(draw) -> Architecture:
    """Any valid architecture, also with widths and weights that no space lists."""
    return Architecture(
        recurrent=draw(st.lists(recurrent_layers, max_size=3).map(tuple)),
        hidden_size=draw(st.integers(1, 300)),
        conv_width=draw(st.integers(1, 130)),
        head_width=2 * draw(st.integers(1, 300)),
        gate=draw(st.sampled_from([0, 4, 16])),
        loss=draw(st.sampled_from(["bce", "power", "focal"])),
        exponent=draw(st.floats(0.01, 1)),
        cap=draw(st.floats(1, 1e6)),
        label_smoothing=draw(st.floats(0, 0.49)),
        label_tier=draw(st.sampled_from(TIERS)),
    )
