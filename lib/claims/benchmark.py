"""The version of the benchmark: of its sentences, its judge and its rules together.

Results are comparable within a version. A change of any of the three raises VERSION; a test compares them
with PARTS.
"""

from lib.config.params import ParameterSet
from lib.config.specs import JUDGE_SCHEMA

VERSION = 2
HISTORY = {
    1: "the first sentences, judged by a fine-tuned encoder; rules-1 and rules-2",
    2: "432 stems and 216 matches, each with a physical and a mental neutral; the shipped judge; rules-3",
}
PARTS = {
    "sentences": "b346ae0950b5",  # SHA-256 of stems, contexts and exclusions
    "judge": "learned-205546af06a7",
    "rules": "rules-3",
}
NAME = f"benchmark {VERSION}"
JUDGE = "learned"
_OTHER_SENTENCES = {
    "mining": "mined",
    "published_prompts": "published prompts",
    "stems_file": "own sentences",
    "contexts_file": "own sentences",
}


def sentences(parameters: ParameterSet) -> str:
    """The kind of sentences of a set: curated, mined, published prompts or own sentences."""
    return next((kind for key, kind in _OTHER_SENTENCES.items() if parameters.dataset.get(key)), "curated")


def of_set(parameters: ParameterSet) -> str:
    """The benchmark of a set in words; sentences and judge apart where one of them is another."""
    kind, judge = sentences(parameters), JUDGE_SCHEMA.validate_python(parameters.judging["judge"]).name
    if judge == JUDGE:
        return NAME if kind == "curated" else f"{kind}, judged as in {NAME}"
    return f"{f'sentences of {NAME}' if kind == 'curated' else kind}, judge {judge}"
