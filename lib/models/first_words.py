"""The option that a reply begins with a word: which tokens may be drawn before the first letter or digit.

Without it, a small chat model with a prefilled answer mostly ends the answer at once, or with a lone period.
Until a letter or digit is written, two kinds of tokens are excluded: those that end a reply, and those
without a letter or digit. Two exceptions may precede the word: spaces, and one opening mark such as a
quotation mark. The probabilities of the remaining tokens keep their proportions. This is a choice of a
parameter set (`require_word`), and of this project.
"""

from functools import lru_cache

import torch

_OPENING = set("\"'`“‘«‹„([{$€£¥#¿¡*_~ ")
_PART_OF_A_LETTER = "\N{REPLACEMENT CHARACTER}"  # result of decoding one byte of several


class Allowed:
    """The tokens of a vocabulary that may be drawn next: `size` logits, of which `ends` end a reply."""

    def __init__(self, tokenizer, size: int, ends: set[int]):
        words, opening = _kinds(tokenizer, size)
        not_end = torch.ones(size, dtype=torch.bool)
        not_end[[token for token in ends if token < size]] = False
        self.word, self.opening_or_word = words & not_end, (words | opening) & not_end

    def restrict(self, logits: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """Set the logits of excluded tokens to −∞.

        Args:
            logits: The logits (rows, vocabulary).
            texts: The beginning of each row's reply.

        Returns:
            The logits (rows, vocabulary), with −∞ for the tokens that may not follow a row's text.
        """
        wordless = [row for row, text in enumerate(texts) if not any(map(str.isalnum, text))]
        if not wordless:
            return logits
        allowed = torch.stack([self.word if texts[row].strip() else self.opening_or_word for row in wordless])
        logits = logits.clone()
        logits[wordless] = logits[wordless].masked_fill(~allowed.to(logits.device), -torch.inf)
        return logits


@lru_cache(maxsize=4)
def _kinds(tokenizer, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For each of `size` tokens: does it hold (part of) a letter or digit; may it precede the word."""
    texts = tokenizer.batch_decode(
        [[token] for token in range(min(size, len(tokenizer)))], skip_special_tokens=True
    )
    words, opening = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
    for token, text in enumerate(texts):
        words[token] = any(letter.isalnum() or letter == _PART_OF_A_LETTER for letter in text)
        opening[token] = bool(text) and set(text) <= _OPENING and len(text.strip()) <= 1
    return words, opening
