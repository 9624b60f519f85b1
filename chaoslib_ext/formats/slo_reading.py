"""From OpenSLO documents to SLOs: versions, references, and what is not built."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from chaoslib_ext.errors import Problem
from chaoslib_ext.formats import slo_models as models
from chaoslib_ext.formats.file_problems import nearest, tried
from chaoslib_ext.formats.quantities import parse_ratio, shown
from chaoslib_ext.formats.yamlfile import Document, KeyPath, read_documents
from chaoslib_ext.promql import counter_query
from chaoslib_ext.slo import TOLERANCE, Sli, Slo

_KINDS = ("SLO", "SLI", "DataSource", "Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
_ANNOTATIONS = "chaoslib-ext.dev/"
_MIN_SAMPLES, _BESIDE, _TOLERANCE = (_ANNOTATIONS + name for name in ("min-samples", "beside", "tolerance"))

Found = TypeVar("Found", models.SloDocument, models.SliDocument)


@dataclass(slots=True)
class SloReading:
    """What was found so far: documents by kind and name, problems, warnings."""

    journeys: frozenset[str]
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    slos: dict[str, tuple[models.SloDocument, Document]] = field(default_factory=dict)
    slis: dict[str, tuple[models.SliDocument, Document]] = field(default_factory=dict)
    sources: dict[str, models.DataSourceDocument] = field(default_factory=dict)

    def add(self, path: Path) -> None:
        """Reads one file. Raises InvalidFile when it is not YAML at all; other problems are collected."""
        found = 0
        for document in read_documents(path):
            for part in document.items() if isinstance(document.data, list) else [document]:
                self._document(part, found)
                found += 1
        if not found:
            self.problems.append(Problem(str(path), 0, "", "the file holds no document; expected OpenSLO v1"))

    def _document(self, document: Document, at: int) -> None:
        where = f"document {at}: "
        data = document.data
        if not isinstance(data, dict):
            self.problems.append(document.problem((), f"{where}got {shown(data)}, expected a mapping with apiVersion and kind"))
            return
        version, kind = data.get("apiVersion"), data.get("kind")
        if version != "openslo/v1":
            self.problems.append(document.problem(("apiVersion",), f"{where}version not supported: got {shown(version)}, expected openslo/v1"))
        elif kind not in _KINDS:
            near = nearest(kind, _KINDS)
            hint = f"; did you mean `{near}`?" if near else ""
            self.problems.append(document.problem(("kind",), f"{where}got {shown(kind)}, expected one of {', '.join(_KINDS)}{hint}"))
        elif kind == "SLO":
            slo, problems = tried(models.SloDocument, document)
            self.problems += problems
            if slo:
                self._once(self.slos, slo.metadata.name, (slo, Document(document.file, data, document.lines, at)))
        elif kind == "SLI":
            sli, problems = tried(models.SliDocument, document)
            self.problems += problems
            if sli:
                self._once(self.slis, sli.metadata.name, (sli, document))
        elif kind == "DataSource":
            source, problems = tried(models.DataSourceDocument, document)
            self.problems += problems
            if source:
                self.sources[source.metadata.name] = source

    def _once(self, known: dict[str, tuple[Found, Document]], name: str, found: tuple[Found, Document]) -> None:
        if name in known:
            first = known[name][1]
            self.problems.append(found[1].problem(("metadata", "name"), f"`{name}` is defined twice (first in {first.file}:{first.line(())}); rename one"))
        known.setdefault(name, found)

    def resolve(self) -> list[Slo]:
        """The SLOs, with their references resolved; what cannot be resolved is added to the problems."""
        built = [self._slo(slo, document) for slo, document in self.slos.values()]
        return [slo for slo in built if slo is not None]

    def _slo(self, slo: models.SloDocument, document: Document) -> Slo | None:
        before = len(self.problems)
        spec, name = slo.spec, slo.metadata.name
        if spec.budgetingMethod != "Occurrences":
            self._refuse(document, ("spec", "budgetingMethod"), f"{spec.budgetingMethod} is not built yet; use Occurrences")
        window = spec.timeWindow[0]
        if window.isRolling == (window.calendar is not None):
            self._refuse(document, ("spec", "timeWindow", 0), "expected either `isRolling: true` or a `calendar`, and not both")
        target = self._target(spec, document)
        sli = self._sli(slo, document)
        min_samples = self._min_samples(slo, document)
        beside, tolerance = self._beside(slo, sli, document), self._tolerance(slo, document)
        if len(self.problems) > before or sli is None:
            return None
        source = f"{document.file}#{document.index}"
        return Slo(name, spec.service, slo.metadata.displayName or name, sli, target, window.duration, source, min_samples, beside, tolerance)

    def _refuse(self, document: Document, path: KeyPath, text: str) -> None:
        self.problems.append(document.problem(path, text))

    def _target(self, spec: models.SloSpec, document: Document) -> float:
        for at, objective in enumerate(spec.objectives):
            where: KeyPath = ("spec", "objectives", at)
            for key in ("indicator", "indicatorRef", "compositeWeight"):
                if getattr(objective, key) is not None:
                    self._refuse(document, (*where, key), f"`{key}` in an objective (a composite SLO) is not built yet; write one SLO for each indicator")
            if (objective.target is None) == (objective.targetPercent is None):
                self._refuse(document, where, "expected exactly one of `target` and `targetPercent`")
            if objective.op is not None:
                self.warnings.append(f"{document.file}:{document.line((*where, 'op'))}: `op` has no meaning for a ratio; it is ignored")
        if len(spec.objectives) > 1:
            self.warnings.append(f"{document.file}:{document.line(('spec', 'objectives', 1))}: only the first objective of an SLO is judged")
        first = spec.objectives[0]
        return first.target if first.target is not None else round((first.targetPercent or 0.0) / 100, 12)

    def _min_samples(self, slo: models.SloDocument, document: Document) -> int | None:
        wanted: int | None = None
        for key, value in (slo.metadata.annotations or {}).items():
            path: KeyPath = ("metadata", "annotations", key)
            if key in (_BESIDE, _TOLERANCE):
                continue
            if key == _MIN_SAMPLES:
                if value.isascii() and value.isdigit() and 0 < len(value) < 10 and int(value) > 0:
                    wanted = int(value)
                else:
                    self._refuse(document, path, f'got {shown(value)}, expected a whole number above 0 in quotes, like "200"')
            elif key.startswith(_ANNOTATIONS):
                self.warnings.append(f"{document.file}:{document.line(path)}: the annotation {key} is not used; windows live in the experiment")
        return wanted

    def _beside(self, slo: models.SloDocument, sli: Sli | None, document: Document) -> Sli | None:
        """The indicator that an annotation names, to be shown beside the one that judges."""
        name = (slo.metadata.annotations or {}).get(_BESIDE)
        if name is None:
            return None
        path: KeyPath = ("metadata", "annotations", _BESIDE)
        found = self._named(name, document, path)
        if found is not None and sli is not None and found.source == sli.source:
            self._refuse(document, path, f"{shown(name)} is read from {found.source}, like the one that judges; expected an SLI of another source")
        return found

    def _tolerance(self, slo: models.SloDocument, document: Document) -> float:
        """How far apart two sources may be, as a ratio."""
        annotations, path = slo.metadata.annotations or {}, ("metadata", "annotations", _TOLERANCE)
        if _TOLERANCE not in annotations:
            return TOLERANCE
        if _BESIDE not in annotations:
            self._refuse(document, path, f"says nothing without `{_BESIDE}`, the name of a second SLI")
        try:
            return parse_ratio(annotations[_TOLERANCE])
        except ValueError:
            self._refuse(document, path, f'got {shown(annotations[_TOLERANCE])}, expected percentage points in quotes, like "2%"')
            return TOLERANCE

    def _sli(self, slo: models.SloDocument, document: Document) -> Sli | None:
        spec, name = slo.spec, slo.metadata.name
        if (spec.indicator is None) == (spec.indicatorRef is None):
            self._refuse(document, ("spec",), "expected exactly one of `indicator` and `indicatorRef`")
            return None
        if spec.indicator is not None:
            inline = spec.indicator
            named = inline.metadata.name if inline.metadata else name
            return self._indicator(named, inline.spec, document, ("spec", "indicator", "spec"))
        return self._named(spec.indicatorRef, document, ("spec", "indicatorRef"))

    def _named(self, name: str | None, document: Document, path: KeyPath) -> Sli | None:
        """The indicator of a document of kind SLI; `path` is where its name is written."""
        found = self.slis.get(name or "")
        if found is None:
            near = nearest(name, self.slis)
            hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(sorted(self.slis)) or 'none'}"
            self._refuse(document, path, f"no SLI is called {shown(name)}; {hint}")
            return None
        return self._indicator(found[0].metadata.name, found[0].spec, found[1], ("spec",))

    def _indicator(self, name: str, spec: models.IndicatorSpec, document: Document, path: KeyPath) -> Sli | None:
        if spec.ratioMetric is None or spec.thresholdMetric is not None:
            text = "`thresholdMetric` is not built yet; use a ratioMetric" if spec.thresholdMetric else "expected a `ratioMetric`"
            self._refuse(document, path, text)
            return None
        ratio, path = spec.ratioMetric, (*path, "ratioMetric")
        for key in ("bad", "raw", "rawType"):
            if getattr(ratio, key) is not None:
                self._refuse(document, (*path, key), f"`{key}` is not built yet; use `good` and `total`")
                return None
        if ratio.good is None or ratio.total is None:
            self._refuse(document, path, "expected `good` and `total`")
            return None
        kinds = {self._kind(metric, document, (*path, key, "metricSource")) for key, metric in (("good", ratio.good), ("total", ratio.total))}
        if "" in kinds:
            return None
        if len(kinds) > 1:
            self._refuse(document, path, "`good` and `total` come from different sources; expected the same one")
            return None
        if kinds == {"prometheus"}:
            return self._from_prometheus(name, ratio, document, path)
        good = self._source(document, (*path, "good", "metricSource"))
        total = self._source(document, (*path, "total", "metricSource"))
        if good is None or total is None:
            return None
        if good.condition is None:
            text = "`condition` is missing; add `condition: success` or `condition: {latency_ms: 250}`"
            self._refuse(document, (*path, "good", "metricSource", "spec"), text)
            return None
        if total.condition is not None or total.select != good.select:
            self._refuse(document, (*path, "total", "metricSource", "spec"), "expected the same `select` as in `good`, and no `condition`")
            return None
        selected = good.select.name
        class_ = good.select.class_ or ("journey" if selected is None or selected in self.journeys else "step")
        return Sli(name, selected, class_, good.condition.latency_ms)

    def _from_prometheus(self, name: str, ratio: models.RatioMetric, document: Document, path: KeyPath) -> Sli | None:
        """An indicator of two counters in Prometheus."""
        if ratio.counter is False:
            self._refuse(document, (*path, "counter"), "a gauge is not built yet; use counters")
            return None
        queries = [self._query(metric, document, (*path, key, "metricSource")) for key, metric in (("good", ratio.good), ("total", ratio.total))]
        if None in queries:
            return None
        return Sli(name, None, "none", None, "prometheus", *queries)

    def _query(self, metric: models.Metric | None, document: Document, path: KeyPath) -> str | None:
        assert metric is not None  # the caller has looked
        spec, problems = tried(models.PrometheusSpec, document.part((*path, "spec")))
        self.problems += [Problem(one.file, one.line, ".".join(filter(None, ("spec", one.path))), one.text) for one in problems]
        if spec is None:
            return None
        try:
            return counter_query(spec.query)
        except ValueError as error:
            self._refuse(document, (*path, "spec", "query"), f"got {shown(spec.query)}, {error}")
            return None

    def _kind(self, metric: models.Metric, document: Document, path: KeyPath) -> str:
        """The type of a metric source, in small letters; an empty string after a complaint."""
        source = metric.metricSource
        kind = source.type
        if source.metricSourceRef is not None:
            known = self.sources.get(source.metricSourceRef)
            if known is None:
                hint = f"there are: {', '.join(sorted(self.sources)) or 'none'}"
                self._refuse(document, (*path, "metricSourceRef"), f"no DataSource is called {shown(source.metricSourceRef)}; {hint}")
                return ""
            kind = kind or known.spec.type
        if (kind or "").lower() not in ("locust", "prometheus"):
            text = f"source type {kind} is not built yet; use locust or Prometheus" if kind else "`type` is missing; add `type: locust` or `type: Prometheus`"
            self._refuse(document, (*path, "type"), text)
            return ""
        return str(kind).lower()

    def _source(self, document: Document, path: KeyPath) -> models.LocustSpec | None:
        part = document.part((*path, "spec"))
        spec, problems = tried(models.LocustSpec, part)
        self.problems += [Problem(one.file, one.line, ".".join(filter(None, ("spec", one.path))), one.text) for one in problems]
        return spec
