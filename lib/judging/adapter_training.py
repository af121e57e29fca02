"""Train the adapter of the judge's encoder and write the file that ships (make fit-adapter; for a GPU).

Encoder with adapter, pooling, and a linear head on the standardised columns of `regression.design` are
trained together on weighted squared error; the head starts as the ridge regression on the frozen encoder.
What is said of unseen texts is said as the judge says it: by a ridge regression on the features of the
trained encoder, never by the head.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lib.corpora import human_ratings
from lib.judging import adapter, learned, mpnet, regression, training_data
from lib.nlp import vader
from lib.nlp.text import normalize
from lib.runtime import progress
from lib.storage import packages

SEED, FEATURE_BATCH = 1, 512


@dataclass
class Texts:
    """Token ids of each text, and VADER's valence (texts, 1)."""

    ids: list[list[int]]
    vader: torch.Tensor

    @classmethod
    def read(cls, texts: list[str]) -> "Texts":
        """Tokenise as `mpnet.features` does."""
        tokenizer, _ = mpnet.load(max(mpnet.LAYERS), False)
        ids = tokenizer(
            [normalize(text) for text in texts], truncation=True, max_length=mpnet.MAX_TOKENS
        ).input_ids
        return cls(ids, torch.tensor(vader.valences(texts), dtype=torch.float32)[:, None])

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(ids) for ids in self.ids])


def device() -> str:
    """Where there is an accelerator, there."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def pooled(encoder, ids: list[list[int]]) -> torch.Tensor:
    """The columns of `mpnet.features` of a padded batch, with gradients, shape (texts, columns)."""
    length = max(map(len, ids))
    # 1: the encoder's padding
    tokens = torch.tensor([row + [1] * (length - len(row)) for row in ids], device=device())
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ids], device=device())
    states = encoder(input_ids=tokens, attention_mask=mask, output_hidden_states=True).hidden_states
    there, columns = mask[..., None].bool(), []
    for layer in mpnet.LAYERS:
        state = states[layer].float()
        columns += [(state * there).sum(1) / there.sum(1), state.masked_fill(~there, -torch.inf).amax(1)]
    return torch.cat(columns, dim=1)


@torch.inference_mode()
def features(encoder, texts: Texts) -> np.ndarray:
    """`regression.design` of all texts by an encoder as it is, float32."""
    encoder.eval()
    order = np.argsort(texts.lengths, kind="stable")
    found = np.empty((len(order), len(mpnet.LAYERS) * len(mpnet.POOLINGS) * mpnet.WIDTH), np.float32)
    for start in range(0, len(order), FEATURE_BATCH):
        rows = order[start : start + FEATURE_BATCH]
        with torch.autocast(device(), torch.bfloat16, enabled=device() == "cuda"):
            found[rows] = pooled(encoder, [texts.ids[row] for row in rows]).cpu().numpy()
    return np.column_stack([found, texts.vader.numpy()])


def batches(rows: np.ndarray, lengths: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """`rows` in batches of texts of about one length, in random order."""
    order = rows[np.argsort(lengths[rows] + rng.uniform(0, 4, len(rows)))]
    parts = np.array_split(order, -(-len(rows) // adapter.BATCH))
    rng.shuffle(parts)
    return parts


def train(texts: Texts, table: pd.DataFrame, frozen: np.ndarray, rows: np.ndarray):
    """An encoder with an adapter taught by the `rows` of `table` (mean, weight); `frozen`: the design without
    an adapter."""
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
    optimiser = torch.optim.AdamW([{"params": trained}, {"params": head.parameters()}], weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps, pct_start=0.1)
    means, weights = (torch.tensor(table[name].to_numpy(dtype=np.float32)) for name in ("mean", "weight"))
    rng = np.random.default_rng(SEED)
    with progress.bar(steps, "training", "steps") as bar:
        for part in (part for _ in range(adapter.EPOCHS) for part in batches(rows, texts.lengths, rng)):
            with torch.autocast(device(), torch.bfloat16, enabled=device() == "cuda"):
                read = pooled(encoder, [texts.ids[row] for row in part])
            columns = (
                torch.cat([read, texts.vader[part].to(device())], dim=1) - centre.to(device())
            ) / scale.to(device())
            loss = (weights[part].to(device()) * (head(columns)[:, 0] - means[part].to(device())) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*trained, *head.parameters()], 1.0)
            optimiser.step()
            schedule.step()
            bar.step(1)
    return encoder


def predicted(texts: Texts, table: pd.DataFrame, frozen: np.ndarray, splits: Iterator) -> np.ndarray:
    """What is said of each text by an adapter and a regression that did not learn from it; NaN if in no
    split."""
    found = np.full(len(table), np.nan)
    for seen, left_out in splits:
        read = features(train(texts, table, frozen, seen), texts)
        coefficients, intercept = regression.fit_table(read[seen], table.iloc[seen])
        found[left_out] = read[left_out] @ coefficients + intercept
    return learned.rounded(found)


def domains(table: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and rows to test on: without each domain of rated texts; the words are always learnt
    from."""
    for domain in table["domain"].drop(table.index[table["domain"] == training_data.WORDS]).unique():
        out = (table["domain"] == domain).to_numpy()
        yield np.flatnonzero(~out), np.flatnonzero(out)


def changes(encoder) -> dict[str, np.ndarray]:
    """The adapter of a trained encoder as `adapter.FILE` holds it: by layer, module and side."""
    found = {}
    for number, layer in enumerate(encoder.base_model.model.encoder.layer):
        for name in adapter.MODULES:
            module = getattr(layer.attention.attn, name)
            found |= {
                f"{number}.{name}.{side}": getattr(module, f"lora_{side}")["default"]
                .weight.detach()
                .cpu()
                .numpy()
                for side in "AB"
            }
    return found


def main() -> None:
    """Train without each fold and each domain, then on all texts, and write adapter.FILE."""
    table, rated = training_data.read(), len(human_ratings.read())
    texts = Texts.read(table["text"].tolist())
    _, encoder = mpnet.load(max(mpnet.LAYERS), False)
    frozen = features(encoder.to(device()), texts)
    documents = predicted(texts, table, frozen, regression.folds(table))[:rated]
    domain = predicted(texts, table, frozen, domains(table))[:rated]
    made = changes(train(texts, table, frozen, np.arange(len(table))))
    numbers = sum(change.size for change in made.values())
    where = torch.cuda.get_device_name() if device() == "cuda" else "CPU"
    facts = {
        "rank": adapter.RANK,
        "alpha": adapter.ALPHA,
        "modules": ", ".join(adapter.MODULES),
        "epochs": adapter.EPOCHS,
        "batch": adapter.BATCH,
        "numbers": f"{numbers:,}",
        "trained_on": where,
    }
    adapter.save(made, documents, domain, {name: str(fact) for name, fact in facts.items()})
    progress.message(f"written: {adapter.FILE}; now make fit-judge and make bench-judges")


if __name__ == "__main__":
    packages.unpacked(mpnet.ENCODER)
    main()
