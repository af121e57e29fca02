"""What an editor would strike out: fragments, sentences that lean on others, slips; what each rule passes and
what not."""

import pytest

from lib.mining import extract, standalone

FRAGMENTS = [
    ("The meal was a disaster.", True),
    ("I hated the long walk.", True),
    ("It's a dull book.", True),
    ("There are three wells in the village.", True),
    ("For two weeks the lift has been broken.", True),
    ("Wooden boats are painted each spring.", True),
    ("The committee rejected the plan.", True),  # the object shows that it is no participle
    ("The old pump slowly corrodes.", True),
    ("The script and the cast are dull.", True),
    ("The script and the cast is dull.", False),
    ("A masterpiece of the baker's art.", False),
    ("A story that is too long.", False),  # the verb is that of the clause
    ("The worst soup the cook has made.", False),
    ("A story told with an eye for detail.", False),
    ("Suffers from a dull plot and is too long.", False),
    ("Made by fools for fools.", False),
    ("Dull, noisy and far too long.", False),
    ("Lamp broke in the first week.", False),  # an article was lost
    ("Having read the manual.", False),
]


@pytest.mark.parametrize(("sentence", "whole"), FRAGMENTS)
def test_a_context_is_a_whole_sentence(sentence, whole):
    assert standalone.is_whole(sentence, charged=True) == whole


@pytest.mark.parametrize(
    ("sentence", "whole"),
    [
        ("Norway has a long coast.", True),
        ("Norway's coast is long.", True),
        ("Salt and sand are mixed by hand.", True),
        ("Norway in the long winter.", False),
        ("Painted has a second sense.", False),
    ],
)
def test_a_noun_without_an_article_is_a_name_in_neutral_sentences_only(sentence, whole):
    assert standalone.is_whole(sentence, charged=False) == whole
    assert not standalone.is_whole(sentence, charged=True)


LEANING = [
    ("The lamp broke because it was cheap.", True, False),
    ("It was a horrible meal.", True, False),
    ("It is hard to imagine a worse meal.", True, False),
    ("It is hard to count the boats.", False, False),
    ("I love this lamp.", True, False),  # it may be at hand
    ("I measured this lamp.", False, True),
    ("This is the best lamp in the shop.", True, False),
    ("Most shops are closed on Monday.", False, False),
    ("People walk to the market.", False, False),
    ("It was horrible and dull.", True, True),
    ("It is home to many boats.", False, True),
    ("It is a long road.", False, True),
    ("They fear the worst.", True, True),
    ("I hated every minute of it.", True, True),
    ("He walked to the market.", False, True),
    ("For the price it was awful.", True, True),
    ("Those lamps are awful.", True, True),
    ("That's a bad sign.", True, True),
    ("Some are painted in the spring.", False, True),
    ("The shop also sells lamps.", False, True),
    ("Larger boats stay in the harbour.", False, True),
    ("Boats larger than the harbour stay outside.", False, False),
    ("The problem is that lamps break.", True, True),
    ("I am sad about the broken one today.", True, True),
    ("I am one of the angry tenants.", True, False),
    ("The main fear is a flood.", True, True),
    ("Common sites include the hands and the feet.", False, True),
    ("I expected the same.", False, True),
]


@pytest.mark.parametrize(("sentence", "charged", "leans"), LEANING)
def test_a_context_leans_on_no_sentence_before_it(sentence, charged, leans):
    assert standalone.leans(extract.words_of(sentence), charged) == leans


SPELLING = [
    ("The lamp is bright and the price is fair.", True, False),
    ("The house of 1912 has a new roof.", True, False),
    ("The 2nd lamp is bright.", True, False),
    ("It is such a long road.", True, False),
    ("I love the sony lamp.", True, True),  # a name in lower case
    ("I love the dvd of the play.", True, True),
    ("I love the lamp of the brand x300.", True, True),
    ("I love the lamp number 7210.", True, True),
    ("The road is 7210 feet long.", False, False),
    ("The lamp was sooo bright.", True, True),
    ("The lamp was in the the shop.", True, True),
    ("The lamp is bright and its easy to clean.", True, True),
    ("The lamp has an easy to clean shade.", True, True),
    ("The play drags on becoming duller.", True, True),
    ("The play drags on.", True, False),
    ("The box holds 1018 grains of rice.", False, True),
    ("The self made lamp is bright.", True, True),
    ("I looked at the are options of the lamp.", True, True),
    ("The play is an act of faith a hymn to life.", True, True),  # a dash was lost
]


@pytest.mark.parametrize(("sentence", "charged", "misspelt"), SPELLING)
def test_a_context_is_spelt_as_english_is(sentence, charged, misspelt):
    assert standalone.is_misspelt(sentence, charged) == misspelt


STEMS = [
    ("The wooden bridge across the river was built by", False),
    ("The oldest bridge was built by", False),
    ("The Severn Bridge was built by", False),
    ("The first bridge in the valley was built by", False),
    ("The first was built by", True),
    ("In 1919 that guess was confirmed by", True),
    ("In 1844, the couple bought a house in", True),
    ("The committee met twice and wrote to", True),
    ("Several farms in the area are owned by", True),
    ("Several farms in the area of the lake are owned by", False),
    ("Other farms were sold to", True),
    ("Norway and its islands were drawn on", True),
    ("Long trains of carts laden with", True),  # without a verb
]


@pytest.mark.parametrize(("stem", "leans"), STEMS)
def test_a_stem_speaks_of_nothing_as_if_it_were_known(stem, leans):
    assert standalone.stem_leans(stem.split(" ")) == leans


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("A horrible, disgusting and miserable meal in every way.", "sentence_fragment"),
        ("They served a horrible, disgusting and miserable meal.", "sentence_leaning"),
        ("I hated the horrible and disgusting meal in vegas.", "sentence_spelling"),
        ("For this horrible and disgusting meal you'll wait an hour.", "sentence_address"),
        ("The board has a reason to reject and to condemn the plan.", "sentence_weak"),
        ("The horrible meal was disgusting, it was cold.", "sentence_fragment"),
        ("I wish we had a lovely and delightful meal.", "sentence_negated"),
        ("The harbour was built of granite, limestone.", "sentence_fragment"),
        ("There are 12 wooden boats.", "sentence_leaning"),
        ("He carried a long ladder up to the attic.", "sentence_leaning"),
    ],
)
def test_a_sentence_that_an_editor_strikes_out_is_told_why(sentence, reason):
    assert extract.judged(sentence, 1.6) == reason


def test_what_a_sentence_says_is_known_whether_or_not_it_is_whole():
    assert (
        extract.judged("A horrible, disgusting and miserable meal in every way.", 1.6, edited=False).role
        == "negative"
    )


@pytest.mark.parametrize(
    ("sentence", "able"),
    [("I carried a long ladder to the attic.", True), ("He carried a ladder.", False), ("", False)],
)
def test_which_sentence_can_be_a_neutral_context(sentence, able):
    assert extract.is_neutral_context(sentence) == able
