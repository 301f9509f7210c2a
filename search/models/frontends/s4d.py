"""Bidirectional diagonal state-space layers, S4D (Gu et al. 2022), as Mehari & Strodthoff 2023 stack them."""

from search.models.frontends.layers import Convolution, Layers, StateSpaceLayer

N_LAYERS = 4
N_STATES = 8
DROPOUT = 0.2


def layers(n_leads: int, width: int, kernel: int | None = None) -> Layers:
    """Leads mixed into `width` channels, then four state-space layers at full length."""
    return (
        Convolution(n_leads, width, 1, bias=True),
        *[StateSpaceLayer(width, n_states=N_STATES, dropout=DROPOUT)] * N_LAYERS,
    )
