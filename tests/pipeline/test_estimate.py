"""`iess estimate`: every estimator on a table of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from lifelines.datasets import load_lung
from typer.testing import CliRunner

from pipeline.cli.main import app
from surveillance.errors import ObservationsUnreadable
from surveillance.estimating import estimate_frame


def test_lung_as_r_prints_it(tmp_path: Path) -> None:
    lung = load_lung()
    data, out = tmp_path / "lung.csv", tmp_path / "out.csv"
    group = lung["sex"].map({1: "male", 2: "female"})
    pd.DataFrame({"group": group, "days": lung["time"], "status": lung["status"]}).to_csv(data, index=False)
    options = ["--reference", "male", "--day", "365", "--tau", "365", "--json"]
    result = CliRunner().invoke(app, ["estimate", str(data), "--out", str(out), *options])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["estimates"] == len(pd.read_csv(out))
    found = pd.read_csv(out).set_index(["group", "estimand", "method"])
    assert found.loc[("female", "median", "kaplan-meier"), "estimate"] == 426
    assert found.loc[("male", "surv_365", "kaplan-meier"), "estimate"] == pytest.approx(0.336, abs=5e-4)
    assert found.loc[("male", "rmst_365", "kaplan-meier area"), "se"] == pytest.approx(10.35823, abs=5e-6)
    # summary(coxph(Surv(time, status) ~ sex, lung))
    assert found.loc[("female", "hr", "cox efron"), "estimate"] == pytest.approx(0.5880, abs=5e-5)


def test_counts_by_site_as_mantelhaen_test() -> None:
    # UCBAdmissions: admitted and rejected, men and women, departments A to F; mantelhaen.test: 0.9046968.
    men = [(512, 313), (353, 207), (120, 205), (138, 279), (53, 138), (22, 351)]
    women = [(89, 19), (17, 8), (202, 391), (131, 244), (94, 299), (24, 317)]
    rows = [
        {"group": sex, "site": site, "late": late, "n": n}
        for sex, table in (("men", men), ("women", women))
        for site, both in zip("ABCDEF", table, strict=True)
        for late, n in zip(("yes", "no"), both, strict=True)
    ]
    found = estimate_frame(pd.DataFrame(rows), reference="women")
    within = found[(found["scope"] == "within-site") & (found["method"] == "mantel-haenszel")].set_index("estimand")
    assert within.loc["or", "estimate"] == pytest.approx(0.9046968, abs=1e-7)
    assert (found["estimate"].notna() | found["reason"].notna()).all()


def test_indices_that_need_an_order_are_of_ordered_groups_only() -> None:
    late, sizes = (4, 6, 9, 12, 15), 30
    rows = pd.DataFrame(
        [
            {"group": f"quintile {i + 1}", "late": said, "n": n}
            for i, count in enumerate(late)
            for said, n in (("yes", count), ("no", sizes - count))
        ]
    )
    need = {"sii", "rii", "sii_linear", "rii_linear", "rci", "aci"}
    assert not need & set(estimate_frame(rows)["estimand"])
    ordered = estimate_frame(rows, ordered=True).set_index("estimand")["estimate"]
    # Ranks .1, .3, ... .9 and shares late of 4, 6, 9, 12, 15 in 30: covariance over variance of the ranks.
    assert ordered["sii_linear"] == pytest.approx(28 / 60)
    assert ordered["rci"] == pytest.approx(
        2 / (46 / 150) * (0.1 * 4 + 0.3 * 6 + 0.5 * 9 + 0.7 * 12 + 0.9 * 15) / 150 - 1
    )


@pytest.mark.parametrize(
    "table",
    [
        {"group": ["a"]},
        {"days": [3]},
        {"days": ["soon"], "status": [1]},
        {"days": [-1], "status": [1]},
        {"days": [1], "status": [0.5]},
        {"late": ["perhaps"]},
        {"late": ["yes"], "n": [-1]},
    ],
)
def test_a_table_that_cannot_be_read_is_refused(table: dict[str, list[object]]) -> None:
    with pytest.raises(ObservationsUnreadable):
        estimate_frame(pd.DataFrame(table))


@pytest.mark.parametrize(
    "table",
    [
        {"late": []},
        {"days": [], "status": []},
        {"days": [0, 0], "status": [1, 1], "group": ["a", "b"], "late": ["no", "no"], "site": ["x", "y"]},
        {"days": [5, 6], "status": [0, 0], "group": ["a", "b"], "entry": [-1, 7]},
        {"days": [1, 1], "status": [2, 1], "group": ["a", "a"]},
    ],
)
def test_small_tables_have_values_or_reasons(table: dict[str, list[object]]) -> None:
    found = estimate_frame(pd.DataFrame(table))
    whole = found[["estimate", "low", "high"]].notna().all(axis=1)
    assert (whole | found["reason"].notna()).all()
