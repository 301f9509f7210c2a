"""Training and validation by epoch: loss, accuracy and F1 of one or several networks."""

from collections.abc import Mapping, Sequence

from reports.figures.charts import OKABE_ITO, Chart, Number, Series, nth_colour
from reports.numbers import score_words
from reports.schema import Curve

N_NETWORKS = len(OKABE_ITO)
"""Networks of a model whose training is drawn, each in a colour of its own; the JSON file has all."""


TRAINING = (
    ("loss", "training_loss", "validation_loss"),
    ("accuracy", "training_accuracy", "validation_accuracy"),
    ("F1", "training_f1", "validation_f1"),
)
"""Words and fields of what is kept of every epoch."""


def training_curve_charts(curves: Mapping[str, Curve], who: str) -> list[Chart]:
    """Loss, accuracy and F1 in training and on validation records after every epoch, where they are kept.

    Args:
        curves: network in words to its curve.
        who: the model that the networks belong to, in words.
    """
    charts = []
    for words, training, validation in TRAINING:
        shown = list(curves.items())[:N_NETWORKS]
        series = [
            _epochs(name, curve, field, place, is_training=field == training)
            for place, (name, curve) in enumerate(shown)
            for field in (training, validation)
            if any(value is not None for value in getattr(curve, field))
        ]
        if series:
            charts.append(
                Chart(
                    key=words.lower(),
                    title=f"Training and validation {words}, {who}",
                    alt=f"{words} after each epoch; solid on validation records, dashed in training.",
                    x_label="epoch",
                    whole_x=True,
                    y_label=words,
                    series=series,
                    note="Dashed: training batches, augmented and with dropout where there is any. "
                    "Solid: validation records, where there are some."
                    + (
                        f" The first {N_NETWORKS} of {len(curves)} networks."
                        if len(curves) > N_NETWORKS
                        else ""
                    ),
                )
            )
    return charts


def _epochs(name: str, curve: Curve, field: str, place: int, *, is_training: bool) -> Series:
    values: Sequence[Number] = getattr(curve, field)
    part = "training" if is_training else "validation"
    return Series(
        name=f"{name}, {part}",
        x=list(curve.epochs),
        y=list(values),
        mode="line",
        colour=nth_colour(place),
        dashed=is_training,
        hover=[
            f"epoch {epoch}: {score_words(value)}<br>{name}, {part}"
            for epoch, value in zip(curve.epochs, values, strict=True)
        ],
    )
