"""One metric of several methods on the same cases, looked at in groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mdx.errors import RefusedError
from mdx.evaluation.classification import SET_SCORES, truth_and_probabilities
from mdx.evaluation.of_sets import set_scores_of
from mdx.evaluation.paired import (
    MethodScores,
    case_scores_over_seeds,
    compare_group,
    row_scores,
    set_scores,
)
from mdx.evaluation.site_gap import site_gap
from mdx.evaluation.statistics import GROUP, goodness, group_columns, remembered_draws
from mdx.interfaces.dataset import Task


class ComparedCases:
    """One metric of all methods on all cases, to be looked at in groups."""

    def __init__(
        self, tables: Mapping[str, Mapping[int, Any]], facts: Any, metric: str, better: str, task: Task
    ) -> None:
        self.metric, self.facts = metric, facts
        self.distance = better == "zero"
        self.better = "min" if self.distance else better
        self._tables = tables
        self.seeds = {name: sorted(found) for name, found in tables.items()}
        others = set_scores_of(task)
        self.of_rows = others[1] if others and metric in others[0] else None
        self.of_classes = metric in SET_SCORES and others is None
        self.of_sets = self.of_classes or self.of_rows is not None
        if not self.of_sets and metric not in facts:
            raise RefusedError(
                f"'{metric}' is one number a run: there are no cases to compare", "choose another metric"
            )
        place = {case: i for i, case in enumerate(facts["case"])}
        at = {n: {s: [place[case] for case in t["case"]] for s, t in found.items()} for n, found in tables.items()}
        self._tested = {n: {s: np.isin(np.arange(len(place)), i) for s, i in of.items()} for n, of in at.items()}
        if self.of_classes:
            self._truth = truth_and_probabilities(facts, task.classes)[0]
        self._found: dict[str, dict[int, np.ndarray]] = {n: {} for n in tables}
        for name, found in tables.items():
            for seed, table in found.items():
                if self.of_rows is not None:
                    values = np.arange(len(table), dtype=float)  # which row is whose
                elif self.of_classes:
                    values = truth_and_probabilities(table, task.classes)[1]
                else:
                    values = table[metric].to_numpy(dtype=float)
                whole = np.full((len(place), *values.shape[1:]), np.nan)
                # of a signed error the distance to 0 is compared: two errors of opposite sign would cancel out
                whole[at[name][seed]] = np.abs(values) if self.distance else values
                self._found[name][seed] = whole

    def scores(self, method: str, cases: np.ndarray, seeds: Sequence[int] | None = None) -> MethodScores:
        """The method's scores on some cases, averaged over seeds (of a score of cases, case by case)."""
        chosen = self.seeds[method] if seeds is None else seeds
        found, tested = ([of[method][s][cases] for s in chosen] for of in (self._found, self._tested))
        if self.of_rows is not None:
            rows = [self._tables[method][seed] for seed in chosen]
            return row_scores(self.of_rows, self.metric, rows, found, tested)
        if self.of_classes:
            return set_scores(SET_SCORES[self.metric][1], self._truth[cases], found, tested)
        return case_scores_over_seeds(found, tested)

    def best_first(self, leading: str) -> list[str]:
        """The methods in the order of their scores on the leading group."""
        cases = self.groups(leading)[leading]
        now = {n: float(self.scores(n, cases).weighted(np.ones((1, len(cases))))[0]) for n in self.seeds}
        return sorted(now, key=lambda n: (now[n] != now[n], -goodness(now[n], self.better)))

    def groups(self, leading: str) -> dict[str, np.ndarray]:
        """Group -> indices of its cases: the leading one, all, each role where there are several, each site, and each
        value of the columns that group the cases."""
        role, site = self.facts["role"].to_numpy(), self.facts["site"].to_numpy()
        roles = [r for r in sorted({r for r in role if r}) if len(set(role)) > 1 or leading == f"role={r}"]
        made = {"all": np.arange(len(role))}
        made |= {f"role={r}": np.flatnonzero(role == r) for r in roles}
        targets = set(site[role == "target"])
        made |= {f"site={s}": np.flatnonzero(site == s) for s in sorted(set(site), key=lambda s: (s not in targets, s))}
        for name in group_columns(self.facts):
            values = self.facts[f"{GROUP}{name}"]
            made |= {f"{name}={v}": np.flatnonzero(values == v) for v in sorted(set(values.dropna()))}
        return {leading: made[leading]} | made


def of_metric(
    cases: ComparedCases, names: Sequence[str], leading: str, ranked: Sequence[str], reference: str | None
) -> dict[str, Any]:
    """Everything about one metric: its groups, the leading one first with ``site_gap``, seeds and subjects."""
    groups = []
    for group, index in cases.groups(leading).items():
        subjects = cases.facts["subject"].to_numpy()[index].tolist()
        scores = {n: cases.scores(n, index) for n in names}
        found = compare_group(scores, subjects, cases.better, reference, ranked)
        groups.append({"group": group, "n_cases": len(index), "n_subjects": len(set(subjects)), **found})
    lead, index = groups[0], cases.groups(leading)[leading]
    by_seed = _by_seed(cases, index, ranked)
    subjects, sites = (cases.facts[c].to_numpy()[index].tolist() for c in ("subject", "site"))
    draw = remembered_draws()
    for row in lead["methods"]:
        name = row["method"]
        values = [s["means"][name] for s in by_seed if name in s["means"]]
        row["sd_over_seeds"] = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        row |= site_gap(_at(cases, name, index), subjects, sites, cases.better, draw)
    for pair in lead["pairs"]:
        ways = [_gain(s["means"], pair, cases.better) for s in by_seed if {pair["a"], pair["b"]} <= set(s["means"])]
        pair |= {"seeds": len(ways), "seeds_won": sum(w > 0 for w in ways)}
    return {
        "metric": cases.metric, "better": cases.better, "distance_to_zero": cases.distance, "of_sets": cases.of_sets,
        "groups": groups, "by_seed": by_seed, "subjects": _by_subject(cases, index),
    }  # fmt: skip


def _at(cases: ComparedCases, name: str, index: np.ndarray) -> Callable[[np.ndarray], MethodScores]:
    return lambda part: cases.scores(name, index[part])


def _gain(means: Mapping[str, float], pair: Mapping[str, Any], better: str) -> float:
    return goodness(means[pair["a"]], better) - goodness(means[pair["b"]], better)


def _by_seed(cases: ComparedCases, index: np.ndarray, ranked: Sequence[str]) -> list[dict[str, Any]]:
    """The score and the rank of each method at each seed."""
    import pandas as pd

    made = []
    whole = np.ones((1, len(index)))
    for seed in sorted({s for seeds in cases.seeds.values() for s in seeds}):
        means = {
            n: float(cases.scores(n, index, [seed]).weighted(whole)[0]) for n, s in cases.seeds.items() if seed in s
        }
        ranks: Any = pd.Series({n: -goodness(v, cases.better) for n, v in means.items() if n in ranked}).rank()
        made.append({"seed": seed, "means": means, "ranks": {str(n): float(r) for n, r in ranks.items()}})
    return made


def _by_subject(cases: ComparedCases, index: np.ndarray) -> list[dict[str, Any]]:
    """Each subject's mean score with each method; nothing for a score of sets."""
    if cases.of_sets:
        return []
    import pandas as pd

    table: Any = pd.DataFrame({n: cases.scores(n, index).values for n in cases.seeds})
    means = table.groupby(cases.facts["subject"].to_numpy()[index]).mean()
    return [{"subject": str(subject), "scores": row.to_dict()} for subject, row in means.iterrows()]
