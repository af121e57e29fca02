"""How far an adapted model is from the untouched one: divergences of their next-token distributions."""

import torch
from torch.nn.functional import kl_div

from lib.interventions.consistency_data import Group
from lib.models import architectures, prefill
from lib.models.huggingface import HuggingFaceModel

_LEAST = -1e30  # instead of a logit of minus infinity, whose product with a probability of 0 is no number


def log_probabilities(model: HuggingFaceModel, rows: list[list[int]], ends: list[int]) -> list[torch.Tensor]:
    """Compute the distributions of the next token at the end of each row of tokens.

    Args:
        model: The backend; its weights are used as they are, with gradients where they are enabled.
        rows: Tokens of each row.
        ends: Number of positions at the end of each row; only there logits are computed.

    Returns:
        A float32 tensor (positions, vocabulary) for each row.
    """
    weights, found = model.weights, {}
    for indices in architectures.alike(model.config, rows) if rows else []:
        part = {"input_ids": [rows[index] for index in indices]}
        padded = model.tokenizer.pad(part, padding_side="left", return_tensors="pt").to(weights.device)
        mask = padded.attention_mask
        # rows of models that keep a state are of equal length, so nothing is padded
        masks = {} if architectures.needs_equal_lengths(model.config) else {"attention_mask": mask}
        logits = weights(
            input_ids=padded.input_ids,
            position_ids=prefill.positions_of(mask),
            use_cache=False,
            logits_to_keep=max(ends[index] for index in indices),
            **masks,
        ).logits
        for index, row in zip(indices, logits, strict=True):
            found[index] = row[-ends[index] :].float().clamp_min(_LEAST).log_softmax(dim=-1)
    return [found[index] for index in range(len(rows))]


def divergences(
    model: HuggingFaceModel, student, groups: list[Group], plain: list[list[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the Kullback-Leibler divergence of the adapted model from the untouched one at each position.

    Args:
        model: The backend.
        student: Its weights with the adapter, a PeftModel.
        groups: The groups.
        plain: Tokens of ordinary texts, compared at every position.

    Returns:
        Two tensors, one number per position, nats: after charged prompts, against the untouched model after
        the neutral one; and after neutral prompts and in ordinary texts, each against itself.
    """
    neutral, ends = [group.neutral for group in groups], [group.positions for group in groups]
    charged = [ids for group in groups for ids in group.charged]
    group_of = [number for number, group in enumerate(groups) for _ in group.charged]
    lengths = list(map(len, plain))
    with torch.no_grad(), student.disable_adapter():
        expected = log_probabilities(model, neutral, ends)
        expected_plain = log_probabilities(model, plain, lengths)
    result = log_probabilities(model, charged + neutral, [ends[number] for number in group_of] + ends)
    result_plain = log_probabilities(model, plain, lengths)
    consistency = _divergence([expected[number] for number in group_of], result[: len(charged)])
    return consistency, _divergence(expected + expected_plain, result[len(charged) :] + result_plain)


def _divergence(expected: list[torch.Tensor], result: list[torch.Tensor]) -> torch.Tensor:
    pairs = zip(expected, result, strict=True)
    parts = [kl_div(got, wanted, reduction="none", log_target=True).sum(dim=-1) for wanted, got in pairs]
    return torch.cat(parts) if parts else torch.zeros(0)
