"""What no C++ source of the library may do."""

from __future__ import annotations

import re

from conftest import ROOT

SOURCES = ROOT / "cpp" / "src"
# These read or write numbers, or change letters, as the process's locale says: texts that are data would be others.
# `join`, `fixed`, `lines`, `parse_int` and `parse_float` of core/ do the same, know no locale, and do not end early
# where memory runs out, as streams do.
LOCALE = re.compile(
    r"stringstream|\b(?:std::)?(?:stod|stof|stold|strtod|strtof|atof|strtoll?|strtoull?|atoi|stoi|stoll?"
    r"|stoull?|isalpha|isalnum|isdigit|isspace|tolower|toupper|snprintf|sprintf|sscanf)\("
)


def uses_locale(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if LOCALE.search(line.partition("//")[0])]


def test_locale_is_found_where_it_is_used() -> None:
    text = (
        "std::ostringstream text;\nx = std::stod(word);\n// std::stod(word)\ny = parse_float(word);\nfind_atoi_names();"
    )
    assert uses_locale(text) == ["std::ostringstream text;", "x = std::stod(word);"]


def test_no_text_depends_on_the_locale() -> None:
    files = [file for file in SOURCES.rglob("*") if file.suffix in (".cpp", ".h", ".cu", ".cuh")]
    # The engine to compare with is built with C++14, and makes no text that is data.
    found = {
        str(file.relative_to(ROOT)): lines
        for file in sorted(files)
        if file.parent != SOURCES / "reference" and (lines := uses_locale(file.read_text()))
    }
    assert len(files) > 100
    assert not found
