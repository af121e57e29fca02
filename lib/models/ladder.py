"""The ladder: small Llama models of four sizes, trained by this project from scratch on the same text.

They are model organisms and have no other use. They differ in size only: text, its order, tokenizer, seed,
number of tokens and the rule for the learning rate are the same. The text ships in packages
(`lib.corpora.packaged_text`, and the rated tweets); a tenth of its documents is held out. The models are
trained once and kept in the user's cache under a hash of text and code. Results on such models alone say
nothing about large models. A second family, `ladder-augmented`, is trained on the same text with sentences
inserted into it (lib/models/ladder_augmentation.py).

`python -m lib.cli.train_ladder [--augmented]` trains the models and reports how well each size learned.
"""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from lib.corpora import human_ratings, packaged_text, wet
from lib.models import ladder_augmentation, ladder_training
from lib.models.ladder_augmentation import AugmentedRecipe
from lib.models.ladder_training import Recipe
from lib.runtime.errors import ResourceError
from lib.storage import caching, packages, records

VERSION = "ladder-1"  # change it with any change here or in ladder_training.py that changes a weight
BEGIN, END = "<s>", "</s>"
RECIPES: dict[str, type[Recipe]] = {kind.family: kind for kind in (Recipe, AugmentedRecipe)}


def documents() -> list[str]:
    """Collect the encyclopaedia articles, editorials, reviews and tweets that ship in packages.

    Raises:
        OSError: If a package is not available.
    """
    pages = [page.text for path in packaged_text.wet_files() for page in wet.pages(path, Counter())]
    rated = human_ratings.read()
    return pages + rated.loc[rated["domain"] == "tweets", "text"].tolist()


def folder(family: str, size: str) -> Path:
    """The folder of a model and its tokenizer; all sizes of its family that are missing are trained first.

    Args:
        family: One of RECIPES.
        size: As in the recipe, for example "3.1M".
    """
    return path_of(documents(), RECIPES[family](), packages.cache_folder()) / size


def path_of(texts: list[str], recipe: Recipe, parent: Path) -> Path:
    """Train the sizes that are missing.

    Args:
        texts: The documents.
        recipe: How the models are trained.
        parent: The folder in which the ladder's folder is created.

    Returns:
        The ladder's folder: a folder with the model of each size, and next to it what `train` reports on that
        size.

    Raises:
        OSError: If the folder cannot be written.
    """
    ladder = parent / f"{recipe.family}-{key(texts, recipe)}"
    with records.explained(ladder), FileLock(f"{ladder}.lock"):
        missing = [size for size in recipe.sizes if not (ladder / size).exists()]
        if missing:
            _check_room(ladder, missing, recipe)
            if not (ladder / "blocks.npz").exists():
                _prepare(texts, recipe, ladder)
            ladder_training.train_all(ladder, missing, recipe)
    return ladder


def _check_room(ladder: Path, missing: list[str], recipe: Recipe) -> None:
    """OSError, before the training starts, if the disk cannot hold the models and the blocks of text."""
    ladder.mkdir(exist_ok=True)
    weights = sum(
        12 * width**2 * layers + width * recipe.vocabulary
        for width, layers in (recipe.sizes[size] for size in missing)
    )
    needed, free = 1.2 * 4 * weights + 20e6, shutil.disk_usage(ladder).free
    if free < needed:
        raise ResourceError(f"it takes {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free")


def key(texts: list[str], recipe: Recipe) -> str:
    """A hash of everything that the models depend on: the text, the recipe and the version of the code."""
    depends_on = [texts, asdict(recipe), VERSION]
    if isinstance(recipe, AugmentedRecipe):
        depends_on.append(ladder_augmentation.VERSION)
    return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:12]


def card(ladder: Path) -> pd.DataFrame:
    """What `train` reported on each size of a ladder, one row per size, the smallest first."""
    reports = {path.stem: json.loads(path.read_text()) for path in ladder.glob("*.json")}
    return pd.DataFrame.from_dict(reports, orient="index").rename_axis("size").sort_values("parameters")


def _prepare(texts: list[str], recipe: Recipe, ladder: Path) -> None:
    """The tokenizer and the text as blocks of its tokens: `train` and `held_out`, each (blocks, tokens).

    With augmentation there is also AUGMENTED: the blocks of `train` with what is inserted into them.
    """
    order = np.random.default_rng(recipe.seed).permutation(len(texts))
    cut = round(recipe.held_out * len(texts))
    held_out, train_on = ([texts[place] for place in part] for part in (order[:cut], order[cut:]))
    tokenizer = _tokenizer(train_on, recipe)
    tokenizer.save_pretrained(ladder / "tokenizer")
    train_blocks, held_out_blocks = (_blocks(tokenizer, part, recipe) for part in (train_on, held_out))
    if isinstance(recipe, AugmentedRecipe):
        with caching.whole(ladder / ladder_training.AUGMENTED) as tmp_path:
            np.save(tmp_path, ladder_augmentation.blocks(tokenizer, train_on, recipe))
    with caching.whole(ladder / "blocks.npz") as tmp_path:
        np.savez(tmp_path, train=train_blocks, held_out=held_out_blocks)


def _tokenizer(texts: list[str], recipe: Recipe):
    """Byte-level byte-pair encoding that begins every text with BEGIN, learnt from `texts`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer, trained.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=recipe.vocabulary,
            special_tokens=[BEGIN, END],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    trained.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=trained, bos_token=BEGIN, eos_token=END, pad_token=END)


def _blocks(tokenizer, texts: list[str], recipe: Recipe) -> np.ndarray:
    """The texts, each from BEGIN to END, joined and cut into blocks; the incomplete last block is dropped."""
    stream = np.concatenate([[*ids, tokenizer.eos_token_id] for ids in tokenizer(texts).input_ids]).astype(
        np.int32
    )
    return stream[: len(stream) // recipe.block * recipe.block].reshape(-1, recipe.block)
