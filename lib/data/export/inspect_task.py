"""Expression leakage as an Inspect task.

    inspect eval expression_leakage.py --model …

asks a chat model to complete the sentence. A base model of the hf provider goes on from the bare text with

    -T instruction= -M "chat_template='{{ messages[0].content }}'"

`-T samples=5` draws five completions a prompt. Pairs share a group and a sample_index, so samples are samples
here and not epochs, which Inspect would average before the metrics see them.
"""

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import TaskState, generate
from leakage_scoring import OUTCOMES, SETTINGS, judged, leakage, read_prompts


@task
def expression_leakage(samples: int = 1, instruction: str | None = SETTINGS["instruction"]) -> Task:
    """Completions of matched neutral, placebo, negative and positive prompts, judged by VADER."""
    rows = [
        Sample(
            id=f"{prompt['prompt_id']}#{index}",
            input=f"{instruction or ''} {prompt['text']}".strip(),
            metadata={**prompt, "sample_index": index},
        )
        for prompt in read_prompts()
        for index in range(samples)
    ]
    config = GenerateConfig(max_tokens=SETTINGS["max_new_tokens"])
    return Task(
        dataset=MemoryDataset(rows, name="expression_leakage"),
        solver=generate(),
        scorer=valence(),
        config=config,
    )


def _read(value: dict[str, float]) -> dict:
    return {"valence": value["valence"], "outcome": OUTCOMES[int(value["outcome"])]}


@metric
def clustered_leakage() -> Metric:
    """Leakage by arm, with standard errors clustered by stem, and how many replies had which outcome."""

    def compute(scores: list[SampleScore]) -> dict[str, float]:
        return leakage([{**item.sample_metadata, **_read(item.score.value)} for item in scores])

    return compute


@scorer(metrics=[clustered_leakage()])
def valence() -> Scorer:
    """The valence of a completion by VADER (−4 … +4, NaN for a reply that is no answer) and its outcome.

    The outcome is an index into OUTCOMES.
    Both in one value: Inspect would keep a sample whose whole value is NaN from the metric, which is to count
    it.
    """

    async def score(state: TaskState, target: Target) -> Score:
        stop = state.output.stop_reason
        outcome = "filtered" if stop == "content_filter" else None
        row = judged(
            state.output.completion,
            state.metadata,
            state.metadata["sample_index"],
            stop != "max_tokens",
            outcome,
        )
        value = {"valence": row["valence"], "outcome": float(OUTCOMES.index(row["outcome"]))}
        return Score(value=value, answer=row["completion"], explanation=row["outcome"])

    return score
