"""Sphinx's part of the words: the first use of each on a page leads to its meaning (`lib.site.glossary`)."""

from docutils import nodes

from lib.site import glossary

PAGES = ("index", "compare", "runs/", "guide/measured")  # whose words are linked
# a quotation is a model's text, a heading or a link has a use of its own
KEPT = (nodes.reference, nodes.literal, nodes.literal_block, nodes.raw, nodes.title, nodes.block_quote)


def link_words(app, tree: nodes.document, page: str) -> None:
    """Turn the first use of each term in the text of a page into a link; for Sphinx's doctree-resolved."""
    if not page.startswith(PAGES):
        return
    known, address = glossary.known(), app.builder.get_relative_uri(page, glossary.PAGE)
    for text in list(tree.findall(nodes.Text)):
        if not _within(text, KEPT):
            text.parent.replace(text, _linked(str(text), known, address))


def _within(text: nodes.Text, kinds: tuple) -> bool:
    parent = text.parent
    while parent is not None and not isinstance(parent, kinds):
        parent = parent.parent
    return parent is not None


def _linked(text: str, known: dict, address: str) -> list[nodes.Node]:
    """The pieces of a text; the terms that it uses are no longer in `known` afterwards."""
    pieces: list[nodes.Node] = []
    while known and (match := glossary.pattern(known).search(text)):
        anchor, meaning = known[match[0]]
        for spelling in [each for each in known if known[each][0] == anchor]:
            del known[spelling]
        link = nodes.reference("", match[0], internal=True, refuri=f"{address}#{anchor}", reftitle=meaning)
        link["classes"].append("word")
        pieces += [nodes.Text(text[: match.start()]), link]
        text = text[match.end() :]
    return [*pieces, nodes.Text(text)]
