"""Hand-crafted features of a record, as HC-CNN-TN uses them (table 1 of its paper)."""

from search.data.features.names import FEATURE_NAMES as FEATURE_NAMES
from search.data.features.names import FEATURES as FEATURES
from search.data.features.scaling import FeatureScaling as FeatureScaling
