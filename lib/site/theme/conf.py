"""Sphinx's configuration of the site; `lib.site.build` copies it beside the staged pages."""

from lib.site import linking

project, author, language = "Expression leakage", "the authors", "en"
copyright = "the authors; MIT licence"
extensions = ["myst_nb", "sphinx_design"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing", "myst.header", "misc.highlighting_failure"]
nb_execution_mode, nb_merge_streams = "off", True
nb_ipywidgets_js: dict = {}  # the scripts would come from another host
nb_code_prompt_show, nb_code_prompt_hide = "Show code", "Hide code"
html_theme, html_static_path, html_css_files = "pydata_sphinx_theme", ["_static"], ["site.css"]
html_extra_path = ["extra"]
html_title = "Expression leakage"
html_copy_source = html_show_sourcelink = html_show_sphinx = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "icon_links": [],
    "header_links_before_dropdown": 8,
}
html_sidebars: dict = {"index": [], "compare": []}
html_context = {"default_mode": "auto"}
html_favicon = "_static/favicon.svg"


def setup(app):
    """Let the words of the pages lead to what they mean."""
    app.connect("doctree-resolved", linking.link_words)
