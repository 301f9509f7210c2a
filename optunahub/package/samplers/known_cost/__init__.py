"""The front sampler: two objectives, of which one is uncertain and the other known before a trial."""

from search.sampler.candidates import Candidates
from search.sampler.front import FrontSampler, NoCandidateLeftError, Proposal
from search.sampler.gain import Gain
from search.sampler.history import Estimate
from search.sampler.listed import ListedCandidates

__all__ = [
    "Candidates",
    "Estimate",
    "FrontSampler",
    "Gain",
    "ListedCandidates",
    "NoCandidateLeftError",
    "Proposal",
]
