"""The colours of both themes, named by the purpose they serve."""

from typing import Final, Literal

import msgspec
from PySide6.QtGui import QColor

#: How much nearer to the colour of text a colour is on the ground of a selection.
_NEARER: Final = 0.25


class Theme(msgspec.Struct, frozen=True):
    """Colours by the purpose they serve, as ``#rrggbb``; those of text and states have contrast 4.5:1 on `panel`."""

    name: Literal["dark", "light"]
    window: str
    panel: str
    field: str
    line: str
    text: str
    secondary: str
    hint: str
    accent: str
    selection: str
    hover: str
    succeeded: str
    failed: str
    retrying: str
    running: str
    received: str
    pending: str
    revoked: str
    rejected: str
    lost: str
    production: str
    staging: str
    development: str
    unknown: str
    #: Text on a button filled with `accent` or `failed`.
    on_accent: str
    #: Lines of a chart whose series have no colour of their own, in order; at most eight lines are drawn.
    series: tuple[str, ...]

    @property
    def dark(self) -> bool:
        """Whether this is the dark one."""
        return self.name == "dark"

    def colour(self, token: str, alpha: float = 1.0) -> QColor:
        """The colour of a token: the name of a field above, or ``series.3`` for a line of a chart; `alpha` thins it."""
        colour = QColor(self.series[int(token[7:])] if token.startswith("series.") else getattr(self, token))
        colour.setAlphaF(alpha)
        return colour

    def on_selection(self, token: str) -> QColor:
        """The colour of a token where the ground is `selection`, nearer to that of text: it is as legible there."""
        return QColor(mixed(self.colour(token).name(), self.text, _NEARER))


DARK: Final = Theme(
    name="dark",
    window="#14171c",
    panel="#191d24",
    field="#20252e",
    line="#2a303a",
    text="#e4e8ee",
    secondary="#8d97a6",
    hint="#7b8594",
    accent="#5aa2ff",
    selection="#22324a",
    hover="#1f2530",
    succeeded="#3fb27f",
    failed="#f0616d",
    retrying="#e3a53c",
    running="#5aa2ff",
    received="#7f8ea3",
    pending="#7d8796",
    revoked="#a98bf5",
    rejected="#b98b6a",
    lost="#e06bc0",
    production="#e9545b",
    staging="#e3a53c",
    development="#3fb27f",
    unknown="#8d97a6",
    on_accent="#0e1117",
    series=("#5aa2ff", "#e3a53c", "#3fb27f", "#a98bf5", "#e06bc0", "#4cc4cf", "#b98b6a", "#8d97a6"),
)

LIGHT: Final = Theme(
    name="light",
    window="#f6f7f9",
    panel="#ffffff",
    field="#ffffff",
    line="#e1e5ea",
    text="#1b212a",
    secondary="#5d6876",
    hint="#6c7683",
    accent="#1f6feb",
    selection="#e3eefc",
    hover="#f0f3f7",
    succeeded="#1a8554",
    failed="#cf2f3f",
    retrying="#a26600",
    running="#1f6feb",
    received="#5f6f85",
    pending="#6b7582",
    revoked="#7048d8",
    rejected="#8b5a34",
    lost="#b5349a",
    production="#d1242f",
    staging="#a26600",
    development="#1a8554",
    unknown="#5d6876",
    on_accent="#ffffff",
    series=("#1f6feb", "#a26600", "#1a8554", "#7048d8", "#b5349a", "#0e7c88", "#8b5a34", "#5d6876"),
)


def theme_for(dark: bool) -> Theme:
    """The dark or the light theme."""
    return DARK if dark else LIGHT


def mixed(one: str, other: str, share: float) -> str:
    """The colour between two others, `share` of the way from the first to the second."""
    first, second = QColor(one), QColor(other)
    parts = zip(first.getRgb()[:3], second.getRgb()[:3], strict=True)  # type: ignore[index]
    return QColor(*(round(a + (b - a) * share) for a, b in parts)).name()
