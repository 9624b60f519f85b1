"""The page: sections in their order, put into one file. The one door to jinja2."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files

import jinja2

from chaoslib_ext import __version__
from chaoslib_ext.report.facts import Facts, services_hit
from chaoslib_ext.report.sections import Section, data, evidence, faults, findings, objectives, recovery, timeline, trend, verdict
from chaoslib_ext.report.signs import accent_class
from chaoslib_ext.report.svg import Svg, hatch, tag
from chaoslib_ext.report.words import Prose, clean

SECTIONS: tuple[Callable[[Facts], Section | None], ...] = (
    verdict.section,
    objectives.section,
    timeline.section,
    recovery.section,
    data.section,
    faults.section,
    trend.section,
    findings.section,
    evidence.section,
)


def draw(facts: Facts) -> str:
    """The HTML of a run: the same bytes for the same facts."""
    css, script = _text("report.css"), _text("hover.js") if len(facts.rows) else ""
    sections = [section for make in SECTIONS if (section := make(facts)) is not None]
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=Prose(f"{clean(facts.verdict, 20)} · {facts.title}"),
            heading=facts.title,
            crumbs=_crumbs(facts),
            css=Svg(css),
            script=Svg(script),
            policy=policy(css, script),
            accent=accent_class(facts.verdict, bool(facts.control)),
            patterns=tag("defs", {}, hatch("fault", "#ecd29a", 8, 2), hatch("maybe", "#0072b2", 6, 4, "maybe")),
            sections=sections,
            version=__version__,
        )
    )


def environment() -> jinja2.Environment:
    """The templates of the report, as every page of ours is drawn with them: all values escaped, none undefined."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("chaoslib_ext.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
        auto_reload=False,
    )


def _finalize(value: object) -> object:
    """The last gate of every printed value: markup of ours passes, our prose is escaped, all else is cleaned and capped too."""
    return value if hasattr(value, "__html__") or isinstance(value, Prose) else clean(value)


def policy(css: str, script: str = "") -> Svg:
    """The content policy of a page: this style and this script, each pinned by its hash, and nothing else from anywhere."""
    scripts = f" script-src '{_pinned(script)}';" if script else ""
    return Svg(f"default-src 'none'; style-src '{_pinned(css)}';{scripts} base-uri 'none'; form-action 'none'")


def _pinned(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _text(name: str) -> str:
    return files("chaoslib_ext.report").joinpath(name).read_text(encoding="utf-8")


def _crumbs(facts: Facts) -> list[str]:
    services = sorted({service for row in facts.plan.get("resolved") or [] for service in services_hit(row)})
    name = (facts.header.get("env") or {}).get("name")
    return [clean(part, 80) for part in [", ".join(services), name, facts.result.get("run")] if part]
