"""Train the adapter of the judge's encoder and write the file that ships (make fit-adapter; meant for a GPU).

The encoder with the adapter, the pooling and a linear head on the standardised columns of `regression.design`
are trained together on weighted squared error. The head starts as the ridge regression on the frozen encoder.
Predictions for unseen texts are made as the judge makes them: by a ridge regression on the features of the
trained encoder, not by the head.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lib.corpora import human_ratings
from lib.judging import adapter, learned, mpnet, regression, training_data
from lib.nlp import batches, vader
from lib.nlp.text import normalize
from lib.runtime import progress
from lib.storage import packages

SEED, FEATURE_BATCH = 1, 512


@dataclass
class Texts:
    """Token ids of each text, and VADER's valence, shape (texts, 1)."""

    ids: list[list[int]]
    vader: torch.Tensor

    @classmethod
    def read(cls, texts: list[str]) -> "Texts":
        """Tokenise `texts` as `mpnet.features` does."""
        tokenizer, _ = mpnet.load(max(mpnet.LAYERS), False)
        ids = tokenizer(
            [normalize(text) for text in texts], truncation=True, max_length=mpnet.MAX_TOKENS
        ).input_ids
        return cls(ids, torch.tensor(vader.valences(texts), dtype=torch.float32)[:, None])

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text."""
        return np.array([len(ids) for ids in self.ids])


def device() -> str:
    """Return "cuda" where an accelerator is available, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def pooled(encoder, ids: list[list[int]]) -> torch.Tensor:
    """Return the columns of `mpnet.features` of a padded batch, with gradients, shape (texts, columns)."""
    length = max(map(len, ids))
    # 1 is the encoder's padding token
    tokens = torch.tensor([row + [1] * (length - len(row)) for row in ids], device=device())
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ids], device=device())
    states = encoder(input_ids=tokens, attention_mask=mask, output_hidden_states=True).hidden_states
    is_token, columns = mask[..., None].bool(), []
    for layer in mpnet.LAYERS:
        state = states[layer].float()
        columns += [
            (state * is_token).sum(1) / is_token.sum(1),
            state.masked_fill(~is_token, -torch.inf).amax(1),
        ]
    return torch.cat(columns, dim=1)


@torch.inference_mode()
def features(encoder, texts: Texts) -> np.ndarray:
    """Return `regression.design` of all texts, computed with `encoder` as it is, float32."""
    encoder.eval()
    encoded = np.empty((len(texts.ids), len(mpnet.LAYERS) * len(mpnet.POOLINGS) * mpnet.WIDTH), np.float32)
    for rows in batches.by_length(texts.lengths, FEATURE_BATCH):
        with torch.autocast(device(), torch.bfloat16, enabled=device() == "cuda"):
            encoded[rows] = pooled(encoder, [texts.ids[row] for row in rows]).cpu().numpy()
    return np.column_stack([encoded, texts.vader.numpy()])


def _shuffled_batches(rows: np.ndarray, lengths: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Split `rows` into batches of texts of similar length, in random order."""
    order = rows[np.argsort(lengths[rows] + rng.uniform(0, 4, len(rows)))]
    result = np.array_split(order, -(-len(rows) // adapter.BATCH))
    rng.shuffle(result)
    return result


def train(texts: Texts, table: pd.DataFrame, frozen: np.ndarray, rows: np.ndarray):
    """Train an adapter on the given `rows` of `table`.

    Args:
        texts: The texts of `table`, tokenised.
        table: One row per text, with columns mean and weight.
        frozen: The design of all texts computed without an adapter.
        rows: Positions of the training rows.

    Returns:
        The encoder with its trained adapter.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(SEED)
    _, encoder = mpnet.load(max(mpnet.LAYERS), False)
    config = LoraConfig(
        r=adapter.RANK,
        lora_alpha=adapter.ALPHA,
        lora_dropout=adapter.DROPOUT,
        target_modules=[*adapter.MODULES],
    )
    encoder = get_peft_model(encoder, config).to(device()).train()
    coefficients, intercept = regression.fit_table(frozen[rows], table.iloc[rows])
    centre, scale = (torch.tensor(f(frozen[rows], axis=0)) for f in (np.mean, np.std))
    head = torch.nn.Linear(len(centre), 1).to(device())
    with torch.no_grad():
        head.weight[:] = torch.tensor(coefficients) * scale
        head.bias[:] = intercept + float(coefficients @ centre.numpy())
    trained = [weight for weight in encoder.parameters() if weight.requires_grad]
    rates, steps = [adapter.RATE, adapter.HEAD_RATE], adapter.EPOCHS * -(-len(rows) // adapter.BATCH)
    optimiser = torch.optim.AdamW(
        [{"params": trained}, {"params": list(head.parameters())}], weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps, pct_start=0.1)
    means, weights = (torch.tensor(table[name].to_numpy(dtype=np.float32)) for name in ("mean", "weight"))
    rng = np.random.default_rng(SEED)
    with progress.bar(steps, "training", "steps") as bar:
        for batch in (
            batch for _ in range(adapter.EPOCHS) for batch in _shuffled_batches(rows, texts.lengths, rng)
        ):
            with torch.autocast(device(), torch.bfloat16, enabled=device() == "cuda"):
                encoded = pooled(encoder, [texts.ids[row] for row in batch])
            columns = (
                torch.cat([encoded, texts.vader[batch].to(device())], dim=1) - centre.to(device())
            ) / scale.to(device())
            loss = (
                weights[batch].to(device()) * (head(columns)[:, 0] - means[batch].to(device())) ** 2
            ).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*trained, *head.parameters()], 1.0)
            optimiser.step()
            schedule.step()
            bar.step(1)
    return encoder


def predicted(texts: Texts, table: pd.DataFrame, frozen: np.ndarray, splits: Iterator) -> np.ndarray:
    """Predict each text with an adapter and a regression that were not trained on it; NaN if in no split.

    Args:
        texts: The texts of `table`, tokenised.
        table: One row per text, with columns mean and weight.
        frozen: The design of all texts computed without an adapter.
        splits: Pairs of training rows and left-out rows.
    """
    result = np.full(len(table), np.nan)
    for seen, left_out in splits:
        design = features(train(texts, table, frozen, seen), texts)
        coefficients, intercept = regression.fit_table(design[seen], table.iloc[seen])
        result[left_out] = design[left_out] @ coefficients + intercept
    return learned.rounded(result)


def domains(table: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield training rows and test rows, leaving out one domain of rated texts at a time.

    The words are always part of the training rows.
    """
    for domain in table["domain"].drop(table.index[table["domain"] == training_data.WORDS]).unique():
        is_left_out = (table["domain"] == domain).to_numpy()
        yield np.flatnonzero(~is_left_out), np.flatnonzero(is_left_out)


def changes(encoder) -> dict[str, np.ndarray]:
    """Return the adapter of a trained encoder as `adapter.FILE` holds it: by layer, module and side."""
    result: dict[str, np.ndarray] = {}
    for number, layer in enumerate(encoder.base_model.model.encoder.layer):
        for name in adapter.MODULES:
            module = getattr(layer.attention.attn, name)
            result |= {
                f"{number}.{name}.{side}": getattr(module, f"lora_{side}")["default"]
                .weight.detach()
                .cpu()
                .numpy()
                for side in "AB"
            }
    return result


def main() -> None:
    """Train without each fold and each domain, then on all texts, and write adapter.FILE."""
    table, rated = training_data.read(), len(human_ratings.read())
    texts = Texts.read(table["text"].tolist())
    _, encoder = mpnet.load(max(mpnet.LAYERS), False)
    frozen = features(encoder.to(device()), texts)
    documents = predicted(texts, table, frozen, regression.folds(table))[:rated]
    domain = predicted(texts, table, frozen, domains(table))[:rated]
    weights = changes(train(texts, table, frozen, np.arange(len(table))))
    n_weights = sum(change.size for change in weights.values())
    device_name = torch.cuda.get_device_name() if device() == "cuda" else "CPU"
    facts = {
        "rank": adapter.RANK,
        "alpha": adapter.ALPHA,
        "modules": ", ".join(adapter.MODULES),
        "epochs": adapter.EPOCHS,
        "batch": adapter.BATCH,
        "numbers": f"{n_weights:,}",
        "trained_on": device_name,
    }
    adapter.save(weights, documents, domain, {name: str(fact) for name, fact in facts.items()})
    progress.message(f"written: {adapter.FILE}; now make fit-judge and make bench-judges")


if __name__ == "__main__":
    packages.unpacked(mpnet.ENCODER)
    main()
