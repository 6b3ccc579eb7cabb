"""One class of several that exclude each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from mdx.data.config import DataConfig
from mdx.data.confounding import classes_by_site
from mdx.data.labels.base import Label, numbers, values_by_case
from mdx.data.problems import Problem
from mdx.data.table import MOST_CLASSES_OF_NUMBERS
from mdx.errors import DataError, nearest
from mdx.interfaces.dataset import Case, Dataset, Task, TaskKind
from mdx.interfaces.geometry import Geometry

if TYPE_CHECKING:
    from mdx.interfaces.adapter import Prediction

CODES_OF_MISSING = {"na", "nan", "none", "null", "unknown", "missing", "?", "-"}


class Classes(Label):
    """The index of a case's class: texts, or whole numbers of which there are at most ten."""

    kind: ClassVar[TaskKind] = "classification"
    columns: ClassVar[tuple[str, ...]] = ("class",)
    of_the_case: ClassVar[bool] = True
    says_rows: ClassVar[bool] = True
    evaluator: ClassVar[str] = "mdx.evaluation.classification:for_run"
    page: ClassVar[str] = "mdx.report.truths:ClassesPage"

    def fits(self, column: str, values: Sequence[Any]) -> bool:
        """Texts or few whole numbers; ages are numbers however few there are."""
        found = set(values)
        if not found or column == "age":
            return False
        few = all(isinstance(v, int) for v in found) and len(found) <= MOST_CLASSES_OF_NUMBERS
        return few or any(isinstance(v, str) for v in found)

    def stratum(self, case: Case, column: str) -> str:
        """The class."""
        return f"class {case.columns[column]}" if self.is_known(case, column) else "unlabelled"

    def details(self, cases: Sequence[Case], column: str, config: DataConfig) -> dict[str, Any]:
        """The classes, sorted."""
        found = {value for case in cases if (value := case.columns.get(column)) is not None}
        return {"classes": tuple(str(v) for v in sorted(found, key=lambda v: (isinstance(v, str), v)))}

    def read(self, case: Case, task: Task, geometry: Geometry, config: DataConfig) -> int:
        """The index in ``task.classes``. Raises DataError for a class that the task does not know."""
        name = str(case.columns[task.label])
        if name not in task.classes:
            raise DataError(f"has the unknown class '{name}'", nearest(name, task.classes), case.id)
        return task.classes.index(name)

    def collate(self, task: Task, values: Sequence[Any], image: Tensor) -> dict[str, Any]:
        """(B,) int64."""
        return {task.label: numbers(values, torch.int64)}

    def warnings(self, data: Dataset, config: DataConfig) -> Iterator[Problem]:
        """Classes that look like one, like none, or that val or test cases lack."""
        names = Counter(str(value) for value in values_by_case(data).values())
        alike: dict[str, list[str]] = defaultdict(list)
        for name in names:
            alike[name.casefold()].append(name)
        for same in alike.values():
            if len(same) > 1:
                yield Problem(
                    "the table", f"the classes {', '.join(sorted(same))} differ in upper and lower case only",
                    "write them alike if they are one",
                )  # fmt: skip
        for name, n in names.items():
            if name.lower() in CODES_OF_MISSING:
                what = f"'{name}' is a class of its own ({n} cases)"
                yield Problem("the table", what, "empty the cells if it means 'not known'")
        yield from _missing_in_a_split(data)

    def by_site(self, data: Dataset) -> dict[str, Any] | None:
        """Counts and Cramér's V."""
        return classes_by_site(data)

    def said(self, prediction: Prediction, task: Task) -> dict[str, Any]:
        """The most probable class and every probability."""
        if prediction.classes is None:
            return {}
        each = {f"p_{c}": float(p) for c, p in zip(task.classes, prediction.classes, strict=True)}
        return {"predicted": task.classes[int(prediction.classes.argmax())], **each}


def _missing_in_a_split(data: Dataset) -> Iterator[Problem]:
    """A class that a site has, but not among its val or test cases: kappa, AUROC and the choice of weights need it."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for case in data.cases:
        value = case.value(data.task.label)
        if value is not None:
            found[case.site][case.split or ""].add(str(value))
    for site, of_split in sorted(found.items()):
        for split in ("val", "test"):
            missing = set().union(*of_split.values()) - of_split[split]
            if split in of_split and missing:
                yield Problem(
                    f"site {site}", f"its {split} cases have no {data.task.label} {', '.join(sorted(missing))}",
                    "try another data.split_seed, or divide the cases in the column 'split'",
                )  # fmt: skip
