"""Contrastive decoding: a context counts for less, because logits move towards those of the stem alone."""

from lib.interventions.base import Intervention


class Contrast(Intervention):
    """Draws from (1 − strength) · the logits of the prompt + strength · those of the stem without a context.

    It is context-aware decoding (Shi et al. 2024, arXiv 2305.14739) with the opposite sign: it knows nothing
    of sentiment and takes from every context alike. At strength 1 the context is not read at all.

    Args:
        strength: From 0 to 1; beyond 1 the context counts against itself.
    """

    changes_logits = True

    def __init__(self, strength: float):
        super().__init__(f"contrast-1 {strength:g}")
        self.strength = strength

    def reference(self, context: str, stem: str) -> tuple[str, str]:
        """The stem alone."""
        return "", stem

    def logits(self, own, reference):
        """Move the logits towards those of the stem alone."""
        return own + self.strength * (reference - own)
