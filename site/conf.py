"""Sphinx settings of the reading site. `dualad site` prepares the pages and builds them."""

import re

import dualad_lib

project = "DualAD"
author = "The DualAD course authors"
copyright = "text and figures CC BY 4.0, code MIT"
release = dualad_lib.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    "sphinx-mathjax-offline",  # equations without somebody else's server
]
bibtex_bibfiles = ["references.bib"]
myst_enable_extensions = ["amsmath", "dollarmath", "html_image", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the committed outputs are the ones to read
nb_merge_streams = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header", "misc.highlighting_failure"]
exclude_patterns = ["_build"]

html_theme = "pydata_sphinx_theme"
html_title = "DualAD"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "try": []},
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"[!l]*": [], "lessons": []}  # only the lessons have neighbours to list


def plain(app, what, name, thing, options, lines):
    """Docstrings are plain text: keep reStructuredText from reading |x|, w_* and names_ as markup."""
    lines[:] = [re.sub(r"(?<!`)([|*]|_(?=\W|$))", r"\\\1", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", plain)
