"""The documentation site: `make docs`. It needs no network to be built, nor to be read."""

import re
from pathlib import Path

import pymc  # noqa: F401  autodoc would import it twice, which PyTensor complains of
import typer
import typer.cli
from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

import stimdose
from stimdose.cli import app as commands

project = "stimdose"
author = "The stimdose authors"
copyright = "the stimdose authors; MIT licence"
version = release = stimdose.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "sphinx-mathjax-offline"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
default_role = "literal"
smartquotes = False
highlight_language = "none"
lexers["csv"] = TextLexer()

autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"stimdose {release}"
html_show_search_summary = False  # a browser does not let a page of a folder read another one
html_copy_source = False
html_show_sphinx = False

TERMS = re.compile(r"(\w+(?:, \w+)*): ")


def escaped(text: str) -> str:
    """Text in which nothing but what stands between backticks is markup."""
    parts = re.split(r"(`[^`]+`)", text)
    parts[::2] = (re.sub(r"(?<=\w)_(?!\w)|[\\*|`]", r"\\\g<0>", part) for part in parts[::2])
    return "".join(parts)


def marked_up(paragraph: str) -> str:
    """A paragraph of a docstring in reStructuredText: `name: meaning` or a dash at the start of lines make it a list, indentation code."""
    if paragraph.startswith("    "):
        return f"::\n\n{paragraph}"
    lines, listed = [], False
    for line in paragraph.splitlines():
        if terms := TERMS.match(line):
            lines.append(f"\n- **{escaped(terms[1])}**: {escaped(line[terms.end() :])}")
        else:
            lines.append("  " * (listed and not line.startswith("- ")) + escaped(line.strip()))
        listed = listed or bool(terms) or line.startswith("- ")
    return "\n".join(lines)


def mark_up_docstring(_app, _what, _name, _object, _options, lines: list[str]) -> None:
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    lines[:] = [*"\n\n".join(map(marked_up, paragraphs)).splitlines(), ""]


def shorten_signature(_app, _what, _name, _object, _options, signature: str | None, returns: str | None) -> tuple:
    """Signatures of specs without the rules that pydantic checks, and without the reasons of default priors, which `prior_table` prints."""
    if signature:
        signature = re.sub(r"(?:~?typing\.)?Annotated\[([^,]+), [^\[\]]*\]", r"\1", signature)
        signature = re.sub(r"Prior\(family=('\w+').*?why='.*?'\)", r"Prior(\1)", signature)
    return signature, returns


def write_commands(_app) -> None:
    """The page of all commands and their options, as the command line has them."""
    command = typer.main.get_command(commands)
    text = typer.cli.get_docs_for_click(obj=command, ctx=typer.Context(command), name="stimdose", title="Commands and options")
    (Path(__file__).parent / "commands.md").write_text(text, encoding="utf-8")


def setup(app) -> None:
    app.connect("autodoc-process-docstring", mark_up_docstring)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("builder-inited", write_commands)
