"""Training of the ladder's models (lib/models/ladder.py): in parallel processes, each on one core."""

import json
import multiprocessing
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from lib.runtime import progress
from lib.runtime.cores import available_cores, end_with_parent
from lib.runtime.errors import ResourceError
from lib.storage import caching

AUGMENTED = "augmented.npy"  # the blocks of an augmented ladder, written before the others
PADDING = -100  # after the end of a block that is shorter than others; torch gives this label no loss
_counter = None  # operations done by all training processes, shared with the process that shows the progress


@dataclass(frozen=True)
class Recipe:
    """How the models are trained."""

    family: ClassVar[str] = "ladder"
    # name: width and layers; heads are 32 wide, and a layer has 12 · width² weights
    sizes: dict = field(
        default_factory=lambda: {"0.1M": (64, 2), "0.4M": (96, 4), "1.2M": (160, 4), "3.1M": (256, 4)}
    )
    vocabulary: int = 4096  # tokens; a larger table would cost a small model more than its layers
    block: int = 128  # tokens of a training sequence
    batch: int = 4  # blocks per step
    epochs: int = 1
    rate: float = 0.006  # peak learning rate; tried on a fifth of the text
    held_out: float = 0.1  # of the documents
    seed: int = 20251118

    def learning_rate(self, size: str) -> float:
        """Peak learning rate of the layers' matrices: `rate` · 64 / width. Embeddings and norms use `rate`.

        This one rule for all sizes is that of Yang et al. (2022, arXiv 2203.03466) for Adam: a matrix that
        sums over more inputs has to change less. With one rate for all weights, the larger models learned no
        better than the smaller ones.
        """
        return self.rate * 64 / self.sizes[size][0]


def _empty(size: str, recipe: Recipe, tokenizer):
    """The model of a size with the random weights that the seed gives it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    width, layers = recipe.sizes[size]
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            intermediate_size=round(width / 6) * 16,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def order(blocks: int, recipe: Recipe) -> list[np.ndarray]:
    """The blocks of each step, the same for every size: all of them once an epoch, in an order of its own."""
    rng = np.random.default_rng(recipe.seed)
    epochs = [rng.permutation(blocks) for _ in range(recipe.epochs)]
    return [batch for epoch in epochs for batch in np.split(epoch, range(recipe.batch, blocks, recipe.batch))]


def train(ladder: Path, size: str, recipe: Recipe) -> None:
    """Train one size on one core and keep it, with what can be told of it in `<size>.json`.

    There: parameters (outside the embeddings), learning_rate (peak, of the layers), tokens, inserted (how
    many of them augmentation added), epochs, minutes, and mean cross-entropies of a token, nats: init_loss
    and val_loss of the held-out text, train_loss of as much of the other, without insertions. `<size>.npy`
    holds that of each held-out block. AdamW, gradients clipped at 1, a tenth of the steps to warm up, then a
    cosine to 0.
    """
    import torch
    from accelerate import Accelerator
    from transformers import AutoTokenizer, get_cosine_schedule_with_warmup
    from transformers.utils import logging

    logging.disable_progress_bar()  # the bar of saving would interrupt the one that counts operations
    started, blocks = time.monotonic(), np.load(ladder / "blocks.npz")
    plain, unseen = (torch.from_numpy(blocks[part]).long() for part in ("train", "held_out"))
    learnt = torch.from_numpy(to_learn(ladder)).long()
    tokenizer = AutoTokenizer.from_pretrained(ladder / "tokenizer")
    empty, steps, rate = (
        _empty(size, recipe, tokenizer),
        order(len(learnt), recipe),
        recipe.learning_rate(size),
    )
    untrained = losses(empty, unseen, recipe).mean()
    optimizer = torch.optim.AdamW(_weights(empty, rate, recipe), betas=(0.9, 0.95))
    schedule = get_cosine_schedule_with_warmup(optimizer, len(steps) // 10, len(steps))
    accelerator = Accelerator(cpu=True)  # the same numbers with and without an accelerator
    model, optimizer, schedule = accelerator.prepare(empty, optimizer, schedule)
    for batch in steps:
        accelerator.backward(_loss(model, learnt[batch]))
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        _tell(_operations(size, recipe) * int((learnt[batch] != PADDING).sum()))
    held_out = losses(empty, unseen, recipe)
    results = {
        "parameters": sum(part.numel() for part in empty.parameters())
        - empty.get_input_embeddings().weight.numel(),
        "learning_rate": rate,
        "tokens": (n_tokens := int((learnt != PADDING).sum()) * recipe.epochs),
        "inserted": n_tokens - plain.numel() * recipe.epochs,
        "epochs": recipe.epochs,
        "init_loss": untrained,
        "train_loss": losses(empty, plain[: len(unseen)], recipe).mean(),
        "val_loss": held_out.mean(),
        "minutes": (time.monotonic() - started) / 60,
    }
    np.save(ladder / f"{size}.npy", held_out)
    _keep(ladder, size, accelerator.unwrap_model(model), tokenizer, results)


def to_learn(ladder: Path) -> np.ndarray:
    """The blocks to train on, shape (blocks, tokens): with what augmentation inserted, if it did."""
    augmented = ladder / AUGMENTED
    return np.load(augmented) if augmented.exists() else np.load(ladder / "blocks.npz")["train"]


def _weights(model, rate: float, recipe: Recipe) -> list[dict]:
    """Parameter groups of AdamW: the layers' matrices with `rate` and decay, embeddings and norms without."""
    table = model.get_input_embeddings().weight
    parts: dict[bool, list] = {True: [], False: []}
    for weight in model.parameters():
        parts[weight.dim() == 2 and weight is not table].append(weight)
    return [
        {"params": parts[True], "lr": rate, "weight_decay": 0.1},
        {"params": parts[False], "lr": recipe.rate, "weight_decay": 0.0},
    ]


def _loss(model, ids):
    """Mean cross-entropy of the tokens of blocks, all but the first of each and but PADDING."""
    ids = ids[:, : int((ids != PADDING).sum(dim=1).max())]
    return model(input_ids=ids.clamp(min=0), labels=ids).loss


def losses(model, blocks, recipe: Recipe) -> np.ndarray:
    """Mean cross-entropy of the tokens of each block (all but its first), nats."""
    import torch

    by_block = []
    with torch.inference_mode():
        model.eval()
        for part in blocks.split(recipe.batch):
            logits = model(input_ids=part).logits[:, :-1]
            by_block.append(
                torch.nn.functional.cross_entropy(logits.mT, part[:, 1:], reduction="none")
                .double()
                .mean(dim=1)
            )
        model.train()
    return torch.cat(by_block).numpy()


def _keep(ladder: Path, size: str, model, tokenizer, results: dict) -> None:
    from safetensors import SafetensorError

    with caching.whole(ladder / size) as tmp_path:
        try:
            model.save_pretrained(tmp_path)
        except SafetensorError as error:  # a full disk, among others
            raise ResourceError(str(error)) from None
        tokenizer.save_pretrained(tmp_path)
        (ladder / f"{size}.json").write_text(json.dumps(results, indent=1))


def _operations(size: str, recipe: Recipe) -> float:
    """Floating-point operations to train on one token: 6 per weight, including those of the output table."""
    width, layers = recipe.sizes[size]
    return 6 * (12 * width**2 * layers + width * recipe.vocabulary)


def train_all(ladder: Path, missing: list[str], recipe: Recipe) -> None:
    """Train the missing sizes in parallel, the largest first, one core each, and show the progress."""
    tokens = int((to_learn(ladder) != PADDING).sum()) * recipe.epochs
    cost = {
        size: _operations(size, recipe) * tokens
        for size in sorted(missing, key=lambda size: -_operations(size, recipe))
    }
    cores = min(len(missing), available_cores())
    progress.message(
        f"training {', '.join(missing)} of {recipe.family}: once; a size that is finished is kept", sys.stderr
    )
    context = multiprocessing.get_context("spawn")
    counter = context.Value("d", 0.0)
    with (
        ProcessPoolExecutor(cores, context, initializer=_begin, initargs=(counter,)) as pool,
        progress.bar(round(sum(cost.values()) / 1e9), f"training {recipe.family}", "GFLOP") as bar,
    ):
        left = {pool.submit(train, ladder, size, recipe) for size in cost}
        while left:
            finished, left = wait(left, timeout=1, return_when=FIRST_EXCEPTION)
            bar.update(round(counter.value / 1e9) - bar.done)
            for one in finished:
                one.result()


def _begin(counter) -> None:
    import torch

    global _counter
    _counter = counter
    torch.set_num_threads(1)
    end_with_parent()  # the next call trains the same size and must be the only one


def _tell(operations: float) -> None:
    if _counter is not None:
        with _counter.get_lock():
            _counter.value += operations
