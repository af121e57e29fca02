"""A reply may have to begin with a word: which tokens can be drawn before a letter or digit stands.

Without this, a small chat model whose answer is begun for it mostly ends it at once, or with a lone period.
Held back, until a letter or digit is written, are the tokens that end a reply and those without a letter or
digit; but spaces may come first, and one opening mark such as a quotation mark may stand before the word.
Among the tokens that are left, the model's probabilities keep their proportions. This is a choice of a
parameter set (`require_word`), and ours.
"""

from functools import lru_cache

import torch

_OPENING = set("\"'`“‘«‹„([{$€£¥#¿¡*_~ ")
_PART_OF_A_LETTER = "\N{REPLACEMENT CHARACTER}"  # what one byte of several decodes to


class Allowed:
    """Which tokens may be drawn next, for one vocabulary: `size` logits, of which `ends` end a reply."""

    def __init__(self, tokenizer, size: int, ends: set[int]):
        words, opening = _kinds(tokenizer, size)
        kept = torch.ones(size, dtype=torch.bool)
        kept[[token for token in ends if token < size]] = False
        self.word, self.opening_or_word = words & kept, (words | opening) & kept

    def restrict(self, logits: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """`logits` (rows, vocabulary) with −∞ for the tokens that no reply which begins with `texts` may go
        on with."""
        wordless = [row for row, text in enumerate(texts) if not any(map(str.isalnum, text))]
        if not wordless:
            return logits
        allowed = torch.stack([self.word if texts[row].strip() else self.opening_or_word for row in wordless])
        logits = logits.clone()
        logits[wordless] = logits[wordless].masked_fill(~allowed.to(logits.device), -torch.inf)
        return logits


@lru_cache(maxsize=4)
def _kinds(tokenizer, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each of `size` tokens: does it hold a letter or digit, or part of one; may it stand before the
    word."""
    texts = tokenizer.batch_decode(
        [[token] for token in range(min(size, len(tokenizer)))], skip_special_tokens=True
    )
    words, opening = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
    for token, text in enumerate(texts):
        words[token] = any(letter.isalnum() or letter == _PART_OF_A_LETTER for letter in text)
        opening[token] = bool(text) and set(text) <= _OPENING and len(text.strip()) <= 1
    return words, opening
