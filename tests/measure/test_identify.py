"""What is found out about a model before it is asked."""

import shutil

import pytest
from transformers import AutoTokenizer

from lib.config.specs import Model, ParameterError
from lib.measure import identify
from tests.measured import asked


@pytest.mark.parametrize(
    ("label", "slug", "family"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b-instruct", "qwen2.5"),
        ("meta-llama/Llama-3.2-1B", "llama-3.2-1b", "llama-3.2"),
        ("models/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct.q4_1", "smollm2"),
        ("EleutherAI/pythia-70m-deduped", "pythia-70m-deduped", "pythia"),
        ("gpt2", "gpt2", "gpt2"),
        ("gpt-4o mini (2024)", "gpt-4o-mini-2024", "gpt-4o-mini-2024"),
    ],
)
def test_a_name_and_a_family_are_read_from_a_label(label, slug, family):
    assert (identify.slug(label), identify.family(label)) == (slug, family)
    # the name is one that a set takes
    Model(name=slug, id="mock:leak-0", family=family, tuning="instruct", mode="chat")


@pytest.fixture
def folder(tiny, tmp_path):
    """A copy of the tiny model whose chat template and end token a test may change."""

    def made(name: str, template: bool = True, end: str | None = None):
        place = tmp_path / name
        shutil.copytree(tiny, place)
        tokenizer = AutoTokenizer.from_pretrained(place)
        if not template:
            tokenizer.chat_template = None
            (place / "chat_template.jinja").unlink(missing_ok=True)
        tokenizer.eos_token = end or tokenizer.eos_token
        tokenizer.save_pretrained(place)
        return str(place)

    return made


def test_a_model_tuned_on_its_chat_template_is_asked_in_chat_mode(folder):
    found = asked(model=folder("some-1b"))
    assert (found.mode, found.tuning, found.keep_template_system, found.dtype) == (
        "chat",
        "instruct",
        True,
        "float32",
    )
    assert asked(model=folder("other"), mode="completion").mode == "completion"


def test_a_model_without_a_chat_template_is_continued_and_not_asked_to_chat(folder):
    place = folder("bare", template=False)
    assert (asked(model=place).mode, asked(model=place).tuning) == ("completion", "base")
    with pytest.raises(
        ParameterError, match=r"MODE=chat: .* has no chat template, as a base model; take MODE=completion"
    ):
        asked(model=place, mode="chat")


def test_a_template_on_which_a_model_may_not_be_tuned_is_asked_about(folder):
    with pytest.raises(ParameterError, match=r"MODE is ambiguous: .* say MODE=chat or MODE=completion"):
        asked(model=folder("unclear-1b", end="<|endoftext|>"))
    assert asked(model=folder("some-1b-base", end="<|endoftext|>")).mode == "completion"
    assert asked(model=folder("some-1b-it", end="<|endoftext|>")).mode == "chat"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nothing-of-the-kind", "no such model"),
        ("bundled:SmolLM2-135M", "did you mean 'bundled:SmolLM2-135M-Instruct'"),
        ("./nowhere", "no such folder"),
        ("model.Q8.gguf", "no such file; give the path of a .gguf file"),
        (__file__, "is a file, but no .gguf; a table of completions goes to TABLE="),
    ],
)
def test_what_is_no_model_is_refused_with_a_remedy(given, says):
    with pytest.raises(ParameterError, match=says):
        asked(model=given)


def test_of_several_models_of_a_server_one_must_be_named(stand_in):
    url = f"http://127.0.0.1:{stand_in.port}/v1"
    with pytest.raises(
        ParameterError, match=r"NAME is missing: .* lists stand-in-7b, stand-in-70b; say which one"
    ):
        asked(model=url)
    found = asked(model=url, name="stand-in-7b")
    assert (found.name, found.id, found.mode, found.server.url) == ("stand-in-7b", "stand-in-7b", "chat", url)
    stand_in.listed = ["stand-in-7b"]
    assert asked(model=url).id == "stand-in-7b"
    assert asked(model=url.removesuffix("/v1")).server.url == url
    stand_in.stop()
    with pytest.raises(ParameterError, match="cannot be reached"):
        asked(model=url)
