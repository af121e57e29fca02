"""The schema of each notebook's section of a parameter set, with the values that several notebooks share."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from lib.config import draws, interventions
from lib.config.mitigation_texts import Texts
from lib.config.specs import (
    HELD_OUT,
    MAIN,
    NO_MITIGATION,
    Count,
    Judge,
    LLMJudge,
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
    """The values that every notebook has."""

    set_name: Name  # results go to outputs/<set_name>/
    is_mock: bool  # whether the model is a mock: every page is marked "no conclusion"


class PublishedPrompts(Strict):
    """Prompts that others published, in a file: parquet, CSV, TSV, JSONL or xlsx.

    See lib/dataset/prompt_tables.py.
    """

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
    ] = Field({})  # canonical: the file's


class Crawl(Strict):
    """WET files of Common Crawl, which are downloaded."""

    crawl: Annotated[str, Field(pattern=r"^CC-MAIN-\d{4}-\d{2}$")]
    files: Count = 20  # number of the crawl's 90,000 files, drawn with the section's seed
    minutes: Annotated[float, Field(gt=0)] = 120.0  # maximum minutes of the download


class Mining(Strict):
    """Prompts mined from free text in place of the curated ones.

    `lib.mining.mined` describes each step.
    """

    # text that ships in packages; paths or globs of WET files; or a crawl
    source: Literal["embedded"] | list[str] | Crawl = "embedded"
    groups: Count = 150  # stems, each with the contexts of one match
    # maximum stems per match; with more, the contexts are stronger and fewer
    max_stems_per_match: Count = 2
    tasks: Count | None = None  # parts of the work, each finished or not; None: one per file
    executor: Literal["local", "slurm"] = "local"
    workers: Count | None = None  # tasks at the same time; None: as many as cores, or as Slurm allows
    # arguments of datatrove's Slurm executor: partition, time, mem_per_cpu_gb, …
    slurm: dict[str, int | str] = Field({})
    # minimum |VADER valence| of a charged context, points of the human scale
    min_abs_vader: Annotated[float, Field(ge=0, lt=4)] = 1.6
    # minimum predicted mean rating of a charged context, in its direction
    min_predicted_rating: Annotated[float, Field(ge=0, lt=4)] = 1.5
    # maximum predicted |mean rating| of a stem or neutral context
    max_predicted_rating: Annotated[float, Field(gt=0, lt=4)] = 0.35
    max_cosine: Share = 0.2  # maximum cosine of the sentence vectors of a stem and a context
    oversample: Count = 10  # candidates per role that are examined, as a multiple of groups
    max_per_page: Count | None = 3  # maximum stems, and maximum contexts, from one page
    max_per_site: Count | None = 20  # the same for one registered domain
    url_filter: bool = True  # exclude sites on datatrove's lists of adult and fraudulent sites


class Dataset(Notebook):
    """The values of notebook 01_dataset."""

    seed: int
    # number of curated stems, spread over the domains; None: all
    stems: Annotated[int, Field(ge=2)] | None
    contexts_per_stem: Count | None  # None: every pair of stem and match that is not excluded
    # keep only this number of groups, the first of each stem before any second
    first_groups: Annotated[int, Field(ge=2)] | None = None
    # a CSV of your own stems in place of the curated ones (see lib/dataset/own_sentences.py)
    stems_file: str | None = None
    # the same for contexts; paths are relative to the project's folder, or absolute
    contexts_file: str | None = None
    mining: Mining | None = None  # prompts mined from text in place of the curated stems
    published_prompts: PublishedPrompts | None = (
        None  # a published prompt table in place of the curated stems
    )
    # part of the stems and contexts; held-out ones are only for a confirmatory run
    part: Literal["main", "held_out"] = MAIN
    # half of the domains, stems and matches; interventions are found on the half that is not evaluated
    half: Literal["found", "evaluated"] | None = None
    variance_source: Name | None = None  # a finished set; its variances show which effect this one can detect

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
        if self.half and other:
            raise ValueError(
                f"half: {self.half!r} and {other} are both given, and only curated or own sentences are "
                "halved; take one out"
            )
        if self.part == HELD_OUT and other:
            raise ValueError(
                f"part: {self.part!r} and {other} are both given, and nothing is held out of {other}; take "
                "one out"
            )
        return self


class Generation(Notebook):
    """The values of notebook 02_generation."""

    model: Model
    mitigations: dict[Name, Texts]
    seed: int
    # completions per prompt: a number, or one for each of the five arms (see lib/config/draws.py)
    samples: Any
    # completions per prompt under each mitigation: a number, or one per arm; an arm with 0 is not used
    mitigation_samples: Any
    temperature: Temperature
    # of the answer; a thought may have the model's thinking_tokens in addition
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536)]
    batch_size: Count | None = None  # completions decoded at the same time; None: measured, the fastest
    # parts of a batch decoded at the same time, each on its share of the cores; None: measured
    workers: Count | None = None
    # of the model's working memory; None: 70 % of the free memory
    max_working_memory_gb: Annotated[float, Field(gt=0)] | None = None

    @property
    def most_tokens(self) -> int:
        """The maximum number of tokens of a reply: the answer, and the thought before it."""
        return self.max_new_tokens + self.model.thinking_tokens

    @property
    def sampled_at(self) -> float:
        """The sampling temperature: the model's own, or else the section's."""
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
    """The values of notebooks 03_judging, 03b_leakage and 03c_robustness."""

    model_name: Name
    judge: Judge
    # a larger |valence| is charged; None: fitted to ratings
    charged_threshold: Annotated[float, Field(gt=0, lt=4)] | None = None
    confidence: Share
    n_examples: Count  # completions shown per arm
    # points of net excess that count as no difference between levels of a factor
    margin: Annotated[float, Field(gt=0)] = 5.0
    shift_margin: ScaleMargin = 0.1  # that of section scaling, for the placebo rule
    n_resamples: Annotated[int, Field(ge=50)]  # bootstrap draws
    seed: int


class Ratings(Strict):
    """Texts that people rated, in a file of the user: parquet, CSV, TSV, JSONL or xlsx.

    See lib/corpora/own_ratings.py.
    """

    path: str  # relative to the project's folder, or absolute
    # canonical: the file's; `ratings` is a list of columns, one per rater; `rating` is the column of a file
    # with one row per rating
    columns: dict[Literal["text", "mean", "n_raters", "ratings", "rating", "document"], str | list[str]] = (
        Field({})
    )
    # the most negative and the most positive value, as [1, 5]
    scale: Annotated[list[float], Field(min_length=2, max_length=2)]
    name: Name | None = None  # name of the domain in tables; None: the file's name

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
                raise ValueError(f"columns.{canonical}: {named!r} is not {wanted}; fix it")
        if len(set(columns.get("ratings", ("a", "b")))) < 2:
            raise ValueError(
                "columns.ratings: fewer than two raters tell nothing of how far they agree; name the column "
                "in mean"
            )
        return self


class Agreement(Notebook):
    """The values of notebooks 04_human_agreement, 04c, 04d and 04e."""

    model_names: list[Name]
    judge: Judge
    # other judges; their agreement with people is shown next to that of `judge`
    comparison_judges: list[Judge] = Field([])
    ratings: Ratings | None = None  # the user's own rated texts: a further domain
    # number of rated texts, the same for each domain, that a language model in `comparison_judges` judges;
    # of the completions, it judges the annotation_pairs
    llm_sample_size: Annotated[int, Field(ge=40)] = 500
    annotation_pairs: Annotated[int, Field(ge=10)]  # pairs of completions that are drawn for people to label
    confidence: Share
    # difference of two correlations, or kappas, that counts as none
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
        """The run's judge, and the comparison judges that are cheap enough for every rated text."""
        return [self.judge, *(judge for judge in self.comparison_judges if judge.kind != "llm")]

    @property
    def on_a_sample(self) -> list[LLMJudge]:
        """The comparison judges that are language models: each text costs a question."""
        return [judge for judge in self.comparison_judges if judge.kind == "llm"]


class Scaling(Notebook):
    """The values of notebook 05_scaling_analysis."""

    model_names: list[Name]
    confidence: Share
    margin: ScaleMargin  # mean shift, points of the human scale, that counts as none
    min_sizes: Annotated[int, Field(ge=5)]  # sizes per family for a verdict; from 3 on, a slope is shown
    # a set on the curated benchmark with which this one, on a mined benchmark, is compared
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
    """The values of notebook 06_prompting_mitigation_ablation."""

    model_names: list[Name]
    mitigations: dict[Name, Texts]
    # mitigations that request nothing about mood; they show the effect of any added sentence
    controls: list[Name]
    confidence: Share
    # share of the leak; a smaller reduction counts as none
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


class Interventions(Generation):
    """The values of notebook 06b_interventions: those of generation, and the judge."""

    interventions: dict[Name, interventions.Spec]  # what is done to the model beside its prompt
    controls: list[Name] = Field([])  # mitigations that are controls, and whose survival is not measured
    judge: Judge
    charged_threshold: Annotated[float, Field(gt=0, lt=4)] | None = None
    confidence: Share

    @model_validator(mode="after")
    def _are_asked(self):
        counts = self.mitigation_samples
        if self.interventions and not (counts.get("negative") if isinstance(counts, dict) else counts):
            raise ValueError(
                f"mitigation_samples: {counts!r} asks nothing of the charged arms, and it says how often "
                "interventions are asked; give 1 or more, or take the interventions out"
            )
        return self


class Strategies(Mitigation):
    """The values of notebook 06c_mitigation_compared."""

    interventions: dict[Name, interventions.Spec]


NOTEBOOKS: dict[str, tuple[str, type[Notebook]]] = {
    "01_dataset": ("dataset", Dataset),
    "01b_mining": ("dataset", Dataset),
    "01c_power": ("dataset", Dataset),
    "02_generation": ("generation", Generation),
    "03_judging": ("judging", Judging),
    "03b_leakage": ("judging", Judging),
    "03c_robustness": ("judging", Judging),
    "04_human_agreement": ("agreement", Agreement),
    "04c_calibration": ("agreement", Agreement),
    "04d_labels": ("agreement", Agreement),
    "04e_llm_judge": ("agreement", Agreement),
    "05_scaling_analysis": ("scaling", Scaling),
    "05b_sizes": ("scaling", Scaling),
    "06_prompting_mitigation_ablation": ("mitigation", Mitigation),
    "06b_interventions": ("generation", Interventions),
    "06c_mitigation_compared": ("mitigation", Strategies),
}
PER_MODEL = ("02_generation", "03_judging", "03b_leakage", "03c_robustness", "06b_interventions")
