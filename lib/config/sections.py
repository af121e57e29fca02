"""What each notebook may be told: one section of a parameter set each, and the values that several share."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from lib.config import draws
from lib.config.mitigation_texts import Texts
from lib.config.specs import (
    HELD_OUT,
    MAIN,
    NO_MITIGATION,
    Count,
    Judge,
    Model,
    Name,
    Share,
    Strict,
    Temperature,
    nearest,
    set_names,
)


def _of_the_scale(value: float) -> float:
    if value >= 1:
        raise ValueError(
            "is in points of the human scale (−4 … 4), no longer of the net excess; give less than 1, as 0.1"
        )
    return value


def _of_the_leak(value: float) -> float:
    if value >= 1:
        raise ValueError(
            "is a share of the leak, no longer points of the net excess; give less than 1, as 0.25"
        )
    return value


ScaleMargin = Annotated[float, Field(gt=0), AfterValidator(_of_the_scale)]


class Notebook(Strict):
    """What every notebook is told."""

    set_name: Name  # results go to outputs/<set_name>/
    is_mock: bool  # a canned model: every page is stamped "no conclusion"


class PublishedPrompts(Strict):
    """Prompts that others published (see lib/dataset/prompt_tables.py), in a file: parquet, CSV, TSV,
    JSONL or xlsx."""

    path: str  # relative to the project's folder, or absolute
    columns: dict[
        Literal[
            "prompt",
            "concept",
            "control",
            "n_control",
            "is_control",
            "polarity",
            "template",
            "category",
            "generation",
            "control_generation",
        ],
        str,
    ] = Field({})  # ours: the file's


class Crawl(Strict):
    """WET files of Common Crawl, fetched."""

    crawl: Annotated[str, Field(pattern=r"^CC-MAIN-\d{4}-\d{2}$")]
    files: Count = 20  # how many of the crawl's 90,000, drawn with the section's seed
    minutes: Annotated[float, Field(gt=0)] = 120.0  # that fetching may take


class Mining(Strict):
    """Prompts out of free text in place of the curated ones; `lib.mining.mined` says what each step does."""

    # text that ships in packages; paths or globs of WET files; a crawl
    source: Literal["embedded"] | list[str] | Crawl = "embedded"
    groups: Count = 150  # stems, each with the contexts of one match
    # stems that a match meets; more leave stronger contexts to choose from, and fewer of them
    max_stems_per_match: Count = 2
    tasks: Count | None = None  # parts of the work, each finished or not; None makes one of each file
    executor: Literal["local", "slurm"] = "local"
    workers: Count | None = None  # tasks at a time; None: as many as there are cores, or as Slurm allows
    # what datatrove's Slurm executor is given: partition, time, mem_per_cpu_gb, …
    slurm: dict[str, int | str] = Field({})
    # least |VADER valence| of a charged context, points of the human scale
    min_abs_vader: Annotated[float, Field(ge=0, lt=4)] = 1.6
    # least predicted mean rating of it, in its direction
    min_predicted_rating: Annotated[float, Field(ge=0, lt=4)] = 1.5
    # most predicted |mean rating| of a stem or neutral context
    max_predicted_rating: Annotated[float, Field(gt=0, lt=4)] = 0.35
    max_cosine: Share = 0.2  # most cosine of a stem's and a context's sentence vectors
    oversample: Count = 10  # candidates of a role that are looked at, times groups
    max_per_page: Count | None = 3  # stems, and contexts, that one page may give
    max_per_site: Count | None = 20  # the same of one registered domain
    url_filter: bool = True  # leave out sites on datatrove's lists of adult and fraudulent ones


class Dataset(Notebook):
    """01_dataset."""

    seed: int
    # how many of the curated stems, spread over the domains; None takes all
    stems: Annotated[int, Field(ge=2)] | None
    contexts_per_stem: Count | None  # None: every pair of stem and match that is not excluded
    # keep only so many groups, each stem's first before any second
    first_groups: Annotated[int, Field(ge=2)] | None = None
    # a CSV of your own stems in place of the curated ones (see lib/dataset/own_sentences.py)
    stems_file: str | None = None
    # the same of contexts; paths are relative to the project's folder, or absolute
    contexts_file: str | None = None
    mining: Mining | None = None  # prompts mined from text in place of the curated stems
    published_prompts: PublishedPrompts | None = (
        None  # a published prompt table in place of the curated stems
    )
    # of the stems and contexts; what is held out is for a confirmatory run alone
    part: Literal["main", "held_out"] = MAIN
    variance_source: Name | None = None  # a finished set whose variances tell what effect this one can see

    @model_validator(mode="after")
    def _sentences_have_one_source(self):
        own = next(
            (name for name in ("stems_file", "contexts_file") if getattr(self, name) is not None), None
        )
        other = next(
            (name for name in ("mining", "published_prompts") if getattr(self, name) is not None), None
        )
        if own and other:
            raise ValueError(
                f"{own} and {other} are both given, and {other} brings stems and contexts of its own; take "
                "one out"
            )
        if self.part == HELD_OUT and other:
            raise ValueError(
                f"part: {self.part!r} and {other} are both given, and nothing is held out of {other}; take "
                "one out"
            )
        return self


class Generation(Notebook):
    """02_generation."""

    model: Model
    mitigations: dict[Name, Texts]
    seed: int
    samples: Any  # completions a prompt: a number, or one by arm, all five of them (see lib/config/draws.py)
    # completions a prompt under each mitigation: a number, or one by arm; an arm with 0 is not asked
    mitigation_samples: Any
    temperature: Temperature
    # of the answer; a thought has the model's thinking_tokens beside it
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536)]
    batch_size: Count | None = None  # completions decoded side by side; None measures what is fastest
    # parts of a batch decoded at the same time, each on its share of the cores; None measures
    workers: Count | None = None
    # for the model's working memory; None takes 70 % of what is free
    max_working_memory_gb: Annotated[float, Field(gt=0)] | None = None

    @property
    def most_tokens(self) -> int:
        """What a reply may take at most: the answer, and the thought before it."""
        return self.max_new_tokens + self.model.thinking_tokens

    @property
    def sampled_at(self) -> float:
        """The temperature of sampling: the model's own, or else the section's."""
        return self.temperature if self.model.temperature is None else self.model.temperature

    @field_validator("mitigations")
    @classmethod
    def _none_is_reserved(cls, value: dict[str, str]) -> dict[str, str]:
        if NO_MITIGATION in value:
            raise ValueError(
                f"{NO_MITIGATION!r} is the name of the unmitigated prompt; call this mitigation something "
                "else"
            )
        return value

    @field_validator("samples")
    @classmethod
    def _every_arm_is_sampled(cls, value: draws.Samples) -> draws.Samples:
        draws.check(value)
        return value

    @field_validator("mitigation_samples")
    @classmethod
    def _mitigation_samples_are_paired(cls, value: draws.Samples, info) -> draws.Samples:
        draws.check_mitigated(value, info.data.get("samples", value))
        return value


class Judging(Notebook):
    """03_judging, 03b_leakage and 03c_robustness."""

    model_name: Name
    judge: Judge
    # |valence| above it is charged; None: fitted to ratings
    charged_threshold: Annotated[float, Field(gt=0, lt=4)] | None = None
    confidence: Share
    n_examples: Count  # completions shown per arm
    # points of net excess that count as nothing when levels of a factor are compared
    margin: Annotated[float, Field(gt=0)] = 5.0
    shift_margin: ScaleMargin = 0.1  # that of section scaling, for the placebo rule
    n_resamples: Annotated[int, Field(ge=50)]  # bootstrap draws
    seed: int


class Ratings(Strict):
    """Texts that people rated, in a file of the user's own (see lib/corpora/own_ratings.py): parquet, CSV,
    TSV, JSONL or xlsx."""

    path: str  # relative to the project's folder, or absolute
    # canonical: the file's; `ratings` is a list of columns, one a rater, `rating` the column of a file with
    # one row a rating
    columns: dict[Literal["text", "mean", "n_raters", "ratings", "rating", "document"], str | list[str]] = (
        Field({})
    )
    # what is most negative and most positive, as [1, 5]
    scale: Annotated[list[float], Field(min_length=2, max_length=2)]
    name: Name | None = None  # how tables call the domain; None: the file's name

    @model_validator(mode="after")
    def _is_of_one_form(self):
        columns = self.columns
        if self.scale[0] == self.scale[1]:
            raise ValueError(
                f"scale {self.scale}: both ends are equal; give what is most negative, then most positive, "
                "as [1, 5]"
            )
        if len(forms := {"mean", "ratings", "rating"} & columns.keys()) > 1 or (
            forms - {"mean"} and "n_raters" in columns
        ):
            raise ValueError(
                "columns: give one of mean (with n_raters, or without), ratings (a column a rater) and "
                "rating (a "
                "row a rating), for the rest follows from it; take the others out"
            )
        for canonical, named in columns.items():
            if isinstance(named, list) != (canonical == "ratings"):
                wanted = (
                    "a list of columns, one a rater" if canonical == "ratings" else "the name of one column"
                )
                raise ValueError(f"columns.{canonical}: {named!r} is not {wanted}; mend it")
        if len(set(columns.get("ratings", ("a", "b")))) < 2:
            raise ValueError(
                "columns.ratings: fewer than two raters tell nothing of how far they agree; name the column "
                "in mean"
            )
        return self


class Agreement(Notebook):
    """04_human_agreement."""

    model_names: list[Name]
    judge: Judge
    comparison_judges: list[Judge] = Field([])  # other judges whose agreement with people is shown beside it
    ratings: Ratings | None = None  # texts that people rated, of the user's own: a further domain
    # rated texts, equally many a domain, of which a language model in
    llm_sample_size: Annotated[int, Field(ge=40)] = 500
    # `comparison_judges` is asked; of completions it is asked about the annotation_pairs
    annotation_pairs: Annotated[int, Field(ge=10)]  # pairs of completions drawn for people to label
    confidence: Share
    # difference of two correlations, or kappas, that counts as nothing
    margin: Annotated[float, Field(gt=0, lt=1)]
    shift_margin: ScaleMargin = 0.1  # that of section scaling, for the placebo rule
    n_resamples: Annotated[int, Field(ge=50)]  # bootstrap draws
    seed: int

    @model_validator(mode="after")
    def _judges_differ_in_name(self):
        names = [judge.name for judge in (self.judge, *self.comparison_judges)]
        if len(names) != len(set(names)):
            raise ValueError(
                f"comparison_judges: two judges share a name ({', '.join(names)}); take one out or call it "
                "something "
                "else"
            )
        return self

    @property
    def on_all_texts(self) -> list[Judge]:
        """The run's judge and those beside it that are cheap enough to be asked of every rated text."""
        return [self.judge, *(judge for judge in self.comparison_judges if judge.kind != "llm")]

    @property
    def on_a_sample(self) -> list[Judge]:
        """The language models beside the run's judge: a text is a question each."""
        return [judge for judge in self.comparison_judges if judge.kind == "llm"]


class Scaling(Notebook):
    """05_scaling_analysis."""

    model_names: list[Name]
    confidence: Share
    margin: ScaleMargin  # mean shift, points of the human scale, that counts as nothing
    min_sizes: Annotated[int, Field(ge=5)]  # of a family, for a verdict; from 3 on a slope is shown
    # a set on the curated benchmark, with which this one on a mined benchmark is compared
    reference_set: Name | None = None

    @field_validator("reference_set")
    @classmethod
    def _is_a_set(cls, value: str | None) -> str | None:
        if value is not None and value not in set_names():
            raise ValueError(
                f"no such parameter set{nearest(value, set_names())} (there are: {', '.join(set_names())})"
            )
        return value


class Mitigation(Notebook):
    """06_prompting_mitigation_ablation."""

    model_names: list[Name]
    mitigations: dict[Name, Texts]
    controls: list[Name]  # mitigations that ask nothing about mood: they show what any added sentence does
    confidence: Share
    # share of the leak whose loss counts as nothing
    margin: Annotated[float, Field(gt=0), AfterValidator(_of_the_leak)]
    shift_margin: ScaleMargin = 0.1  # that of section scaling, for the placebo rule

    @model_validator(mode="after")
    def _controls_are_mitigations(self):
        for control in self.controls:
            if control not in self.mitigations:
                raise ValueError(
                    f"controls: {control!r} is not one of the mitigations{nearest(control, self.mitigations)}"
                )
        return self


NOTEBOOKS = {
    "01_dataset": ("dataset", Dataset),
    "02_generation": ("generation", Generation),
    "03_judging": ("judging", Judging),
    "03b_leakage": ("judging", Judging),
    "03c_robustness": ("judging", Judging),
    "04_human_agreement": ("agreement", Agreement),
    "05_scaling_analysis": ("scaling", Scaling),
    "06_prompting_mitigation_ablation": ("mitigation", Mitigation),
}
PER_MODEL = ("02_generation", "03_judging", "03b_leakage", "03c_robustness")
