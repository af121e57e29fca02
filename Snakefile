# Which notebook runs for which parameter set and model. Orchestration only: what a run does stands in the notebooks and in lib/.
#
#   snakemake embedded --cores all        one parameter set
#   snakemake embedded --dry-run          what would run, and why
#   snakemake --rulegraph | dot -Tsvg     the picture
import re

import yaml

from lib.annotation import labelling
from lib.cli import jobs, sources
from lib.config import params, specs
from lib.runtime import progress

SETS = specs.set_names()
CORES = workflow.resource_settings.cores or 1  # none on a cluster, where the profile sets the threads of a rule
RUN = "{sys.executable:q} -m lib.cli.batch notebook {params.notebook} {input.values:q} {log.page:q} 2> {log.text:q}"


wildcard_constraints:
    set="|".join(map(re.escape, SETS)),
    model="[^/]+",
    part=r"\d+",
    parts=r"\d+",


def values(wildcards):
    """What one notebook run is given, as YAML, headed by the hash of the code that will see it."""
    notebook, _, model = wildcards.job.partition("/")
    told = params.cell_values(params.load(wildcards.set), wildcards.set, notebook, model or None)
    return f"# code {sources.digest(notebook)}\n{yaml.safe_dump(told, sort_keys=False, allow_unicode=True)}"


def models(wildcards):
    return [model.name for model in params.load(wildcards.set).models]


def table(wildcards):
    """The file of completions made elsewhere, if the model is one."""
    chosen = next(model for model in params.load(wildcards.set).models if model.name == wildcards.model)
    return [chosen.table.path] if chosen.table else []


def shards(wildcards):
    """The parts in which a model's completions are generated, if there are several."""
    count = next(model.shards for model in params.load(wildcards.set).models if model.name == wildcards.model)
    each = range(1, count + 1) if count > 1 else ()
    return expand("outputs/{set}/shards/{model}.{part}-of-{parts}", part=each, parts=count, **wildcards)


def own_sentences(wildcards):
    """The files with one's own stems and contexts, if the set has any."""
    told = params.cell_values(params.load(wildcards.set), wildcards.set, "01_dataset")
    return [told[name] for name in ("stems_file", "contexts_file") if told[name]]


def rubric(wildcards):
    """The file with what the judge is asked, if it is a language model."""
    judge = params.cell_values(params.load(wildcards.set), wildcards.set, "03_judging", wildcards.model)["judge"]
    return [str(specs.rubric_path(judge["rubric"]))] if judge["kind"] == "llm" else []


def judgements(wildcards):
    return expand("outputs/{set}/judgements/{model}.parquet", set=wildcards.set, model=models(wildcards))


def pages(wildcards):
    """What the notebooks write that no other notebook reads."""
    dataset, agreement = params.dataset(wildcards.set), params.agreement(wildcards.set)
    only_here = {
        "mining/page": dataset.mining,
        "power.parquet": dataset.variance_source,
        "people/quantities.parquet": labelling.labelled_by_people(wildcards.set),
        "llm_sample/replies.parquet": agreement.on_a_sample,
        "strategies.parquet": params.load(wildcards.set).intervened,
    }
    of_models = expand("{table}/{model}.parquet", model=models(wildcards), table=["quantities", "robustness"])
    apart = [name for name, runs in only_here.items() if runs]
    return [f"outputs/{wildcards.set}/{name}" for name in ["calibration.parquet", "size_shapes.parquet", *of_models, *apart]]


def intervened(wildcards):
    """What the models wrote under interventions, and what these cost."""
    names = [model.name for model in params.load(wildcards.set).intervened]
    return expand(
        "outputs/{set}/{table}/{model}.parquet",
        set=wildcards.set,
        table=["interventions", "controls", "costs"],
        model=names,
    )


def labels(wildcards):
    """What people have labelled of this set."""
    return sorted(map(str, (specs.ROOT / "outputs" / wildcards.set / "annotation" / "labels").glob("*.jsonl")))


def curated(wildcards):
    """What the set that this one is compared with says of the models they share."""
    told = params.cell_values(params.load(wildcards.set), wildcards.set, "05_scaling_analysis")
    names = [model.name for model in params.load(told["reference_set"]).models] if told["reference_set"] else []
    shared = [name for name in models(wildcards) if name in names]
    return expand("outputs/{set}/judgements/{model}.parquet", set=told["reference_set"], model=shared)


def own_ratings(wildcards):
    """The file of texts that people rated, if the set names one."""
    told = params.cell_values(params.load(wildcards.set), wildcards.set, "04_human_agreement")["ratings"]
    return [told["path"]] if told else []


onstart:
    runs = sorted((run for run in workflow.dag.needrun_jobs() if hasattr(run.log, "page")), key=lambda run: run.log.page)
    progress.tell(jobs=[jobs.planned(run.params.notebook, run.log.page, run.wildcards.get("model", "")) for run in runs])


for name in SETS:

    rule:
        name: name
        localrule: True
        input: f"outputs/{name}/manifest.json"


# The names of rules begin with an underscore, which no set's name can.
#
# Freezing the values to a file before anything is queued makes a run depend on just its own values, and records them.
rule _values:
    localrule: True
    output: "outputs/{set}/values/{job}.yaml"
    params: text=values
    shell: "printf %s {params.text:q} > {output:q}"


rule _dataset:
    input: own_sentences, values="outputs/{set}/values/01_dataset.yaml"
    output: "outputs/{set}/prompts.parquet"
    params: notebook="01_dataset"
    retries: 0  # whatever the profile says: tasks of mining that are with Slurm must not be handed to it twice
    log: page="outputs/{set}/executed/01_dataset.ipynb", text="outputs/{set}/logs/01_dataset.log"
    shell: RUN


rule _mining:
    input: "outputs/{set}/prompts.parquet", values="outputs/{set}/values/01b_mining.yaml"
    output: touch("outputs/{set}/mining/page")
    params: notebook="01b_mining"
    log: page="outputs/{set}/executed/01b_mining.ipynb", text="outputs/{set}/logs/01b_mining.log"
    shell: RUN


rule _power:
    input: "outputs/{set}/prompts.parquet", values="outputs/{set}/values/01c_power.yaml"
    output: "outputs/{set}/power.parquet"
    params: notebook="01c_power"
    log: page="outputs/{set}/executed/01c_power.ipynb", text="outputs/{set}/logs/01c_power.log"
    shell: RUN


rule _shard:
    input: table, "outputs/{set}/prompts.parquet", values="outputs/{set}/values/02_generation/{model}.yaml"
    output: touch("outputs/{set}/shards/{model}.{part}-of-{parts}")
    log: text="outputs/{set}/logs/02_generation.{model}.{part}-of-{parts}.log"
    threads: CORES
    resources: gpu=1
    shell: "{sys.executable:q} -m lib.cli.batch shard {input.values:q} {wildcards.part:q} {wildcards.parts:q} 2> {log.text:q}"


rule _generation:
    input: table, shards, "outputs/{set}/prompts.parquet", values="outputs/{set}/values/02_generation/{model}.yaml"
    output: "outputs/{set}/completions/{model}.parquet", "outputs/{set}/next_token/{model}.parquet"
    params: notebook="02_generation"
    log: page="outputs/{set}/executed/02_generation.{model}.ipynb", text="outputs/{set}/logs/02_generation.{model}.log"
    threads: CORES  # it divides them itself, as it measures to be fastest
    resources: gpu=1
    shell: RUN


rule _judging:
    input:
        rubric,
        "outputs/{set}/prompts.parquet",
        "outputs/{set}/completions/{model}.parquet",
        values="outputs/{set}/values/03_judging/{model}.yaml",
    output: "outputs/{set}/judgements/{model}.parquet"
    params: notebook="03_judging"
    log: page="outputs/{set}/executed/03_judging.{model}.ipynb", text="outputs/{set}/logs/03_judging.{model}.log"
    shell: RUN


rule _leakage:
    input: "outputs/{set}/judgements/{model}.parquet", values="outputs/{set}/values/03b_leakage/{model}.yaml"
    output: "outputs/{set}/quantities/{model}.parquet", "outputs/{set}/comparisons/{model}.parquet"
    params: notebook="03b_leakage"
    log: page="outputs/{set}/executed/03b_leakage.{model}.ipynb", text="outputs/{set}/logs/03b_leakage.{model}.log"
    shell: RUN


rule _robustness:
    input:
        "outputs/{set}/judgements/{model}.parquet",
        "outputs/{set}/next_token/{model}.parquet",
        values="outputs/{set}/values/03c_robustness/{model}.yaml",
    output: "outputs/{set}/methods/{model}.parquet", "outputs/{set}/robustness/{model}.parquet"
    params: notebook="03c_robustness"
    log: page="outputs/{set}/executed/03c_robustness.{model}.ipynb", text="outputs/{set}/logs/03c_robustness.{model}.log"
    shell: RUN


rule _agreement:
    input: judgements, labels, own_ratings, values="outputs/{set}/values/04_human_agreement.yaml"
    output: "outputs/{set}/validity.parquet", "outputs/{set}/claims/agreement.parquet"
    params: notebook="04_human_agreement"
    log: page="outputs/{set}/executed/04_human_agreement.ipynb", text="outputs/{set}/logs/04_human_agreement.log"
    shell: RUN


rule _calibration:
    input: own_ratings, "outputs/{set}/validity.parquet", values="outputs/{set}/values/04c_calibration.yaml"
    output: "outputs/{set}/calibration.parquet"
    params: notebook="04c_calibration"
    log: page="outputs/{set}/executed/04c_calibration.ipynb", text="outputs/{set}/logs/04c_calibration.log"
    shell: RUN


# Notebook 04 draws the pairs of the next two; their key is no output of its rule, as Snakemake would remove it before a run.
rule _labels:
    input: labels, "outputs/{set}/claims/agreement.parquet", values="outputs/{set}/values/04d_labels.yaml"
    output: "outputs/{set}/people/quantities.parquet"
    params: notebook="04d_labels"
    log: page="outputs/{set}/executed/04d_labels.ipynb", text="outputs/{set}/logs/04d_labels.log"
    shell: RUN


rule _llm_judge:
    input: "outputs/{set}/claims/agreement.parquet", values="outputs/{set}/values/04e_llm_judge.yaml"
    output: "outputs/{set}/llm_sample/agreement.parquet", "outputs/{set}/llm_sample/replies.parquet"
    params: notebook="04e_llm_judge"
    log: page="outputs/{set}/executed/04e_llm_judge.ipynb", text="outputs/{set}/logs/04e_llm_judge.log"
    shell: RUN


rule _scaling:
    input: judgements, labels, curated, values="outputs/{set}/values/05_scaling_analysis.yaml"
    output: "outputs/{set}/claims/scaling.parquet"
    params: notebook="05_scaling_analysis"
    log: page="outputs/{set}/executed/05_scaling_analysis.ipynb", text="outputs/{set}/logs/05_scaling_analysis.log"
    shell: RUN


rule _sizes:
    input: judgements, values="outputs/{set}/values/05b_sizes.yaml"
    output: "outputs/{set}/size_shapes.parquet"
    params: notebook="05b_sizes"
    log: page="outputs/{set}/executed/05b_sizes.ipynb", text="outputs/{set}/logs/05b_sizes.log"
    shell: RUN


rule _mitigation:
    input: judgements, labels, values="outputs/{set}/values/06_prompting_mitigation_ablation.yaml"
    output: "outputs/{set}/mitigation.parquet", "outputs/{set}/claims/mitigation.parquet"
    params: notebook="06_prompting_mitigation_ablation"
    log:
        page="outputs/{set}/executed/06_prompting_mitigation_ablation.ipynb",
        text="outputs/{set}/logs/06_prompting_mitigation_ablation.log",
    shell: RUN


rule _interventions:
    input:
        own_sentences,
        "outputs/{set}/prompts.parquet",
        "outputs/{set}/judgements/{model}.parquet",
        values="outputs/{set}/values/06b_interventions/{model}.yaml",
    output:
        "outputs/{set}/interventions/{model}.parquet",
        "outputs/{set}/controls/{model}.parquet",
        "outputs/{set}/costs/{model}.parquet",
        "outputs/{set}/layers/{model}.parquet",
    params: notebook="06b_interventions"
    log: page="outputs/{set}/executed/06b_interventions.{model}.ipynb", text="outputs/{set}/logs/06b_interventions.{model}.log"
    threads: CORES
    resources: gpu=1
    shell: RUN


rule _compared:
    input:
        intervened,
        judgements,
        labels,
        values="outputs/{set}/values/06c_mitigation_compared.yaml",
    output: "outputs/{set}/strategies.parquet", "outputs/{set}/claims/interventions.parquet"
    params: notebook="06c_mitigation_compared"
    log:
        page="outputs/{set}/executed/06c_mitigation_compared.ipynb",
        text="outputs/{set}/logs/06c_mitigation_compared.log",
    shell: RUN


# Written last: a run folder without its manifest is an interrupted run.
rule _finish:
    localrule: True
    input: pages, expand("outputs/{{set}}/claims/{part}.parquet", part=["agreement", "scaling", "mitigation"])
    output: "outputs/{set}/headline.csv", "outputs/{set}/headline.md", "outputs/{set}/claims.svg", "outputs/{set}/manifest.json"
    shell: "{sys.executable:q} -m lib.cli.batch finish {wildcards.set}"
