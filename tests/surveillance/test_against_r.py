"""Every estimator against R: survival, cmprsk, base R, and published formulas coded there (oracles/oracles.R).

Data sets are R's own (lung, veteran, ovarian, colon, pbc, kidney, bladder, aml, heart, mgus2, infert, birthwt, nodal,
UCBAdmissions) and random ones: tied, heavily censored, all censored, all on day 0, entered late, separated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surveillance.estimates import inequality as indices
from surveillance.estimates.cox import CoxData, cox_coefficients, cox_data, firth_hazard_ratio, hazard_ratio
from surveillance.estimates.estimate import Estimate
from surveillance.estimates.logistic import firth_odds_ratio, standardised_difference
from surveillance.estimates.odds import chi_squared, odds_ratio
from surveillance.estimates.proportions import clopper_pearson, risk_difference, risk_ratio, wilson
from surveillance.estimates.shrinkage import shrunk
from surveillance.estimates.stratified import (
    conditional_odds_ratio,
    mantel_haenszel_odds_ratio,
    mantel_haenszel_risk_difference,
    mantel_haenszel_risk_ratio,
)
from surveillance.estimates.survival import (
    cumulative_incidence,
    kaplan_meier,
    median,
    restricted_mean,
    risk_table,
    survival_at,
)

Case = dict[str, Any]


def cases(name: str) -> list[Any]:
    found = json.loads((Path(__file__).parent / "oracles" / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case, id=str(case.get("name", case.get("table", i)))) for i, case in enumerate(found)]


def agree(found: Sequence[float | None], expected: Sequence[Any], *, rel: float = 1e-7) -> None:
    """R's NA and infinity are our None."""
    for mine, theirs in zip(found, expected, strict=True):
        if theirs is None or theirs == "inf":
            assert mine is None, (found, expected)
        else:
            assert mine == pytest.approx(theirs, rel=rel, abs=1e-8), (found, expected)


def whole(estimate: Estimate) -> list[float | None]:
    return [estimate.value, estimate.low, estimate.high]


@pytest.mark.parametrize("case", cases("kaplan_meier"))
def test_kaplan_meier_as_survfit(case: Case) -> None:
    table = risk_table(case["time"], case["status"], entry=case["entry"], min_at_risk=1)
    curve = kaplan_meier(table)
    agree(whole(median(curve)), case["median"])
    agree(whole(median(kaplan_meier(table, interval="log"))), case["median_log"])
    for day, value, se, low, high in zip(
        case["days"], case["survival"], case["se"], case["low"], case["high"], strict=True
    ):
        found = survival_at(curve, day)
        if 0 < value < 1:
            agree([*whole(found), found.se], [value, low, high, se])
        else:  # R's band at 1 is (1, 1), of no width whatever the number of infants
            assert found.value == pytest.approx(value, abs=1e-12)
            assert found.low is None
            assert found.reason


@pytest.mark.parametrize("case", [case for case in cases("kaplan_meier") if "taus" in case.values[0]])
def test_restricted_mean_as_survrm2(case: Case) -> None:
    curve = kaplan_meier(risk_table(case["time"], case["status"]))
    for tau, value, se in zip(case["taus"], case["rmst"], case["rmst_se"], strict=True):
        found = restricted_mean(curve, tau)
        agree([found.value, found.se], [value, se])


@pytest.mark.parametrize("case", cases("aalen_johansen"))
def test_competing_events_as_cuminc(case: Case) -> None:
    table = risk_table(case["time"], case["kind"])
    for kind in case["kinds"]:
        for day, value, variance in zip(case["days"], kind["est"], kind["var"], strict=True):
            found = cumulative_incidence(table, int(kind["kind"]), day)
            assert found.value == pytest.approx(value, abs=1e-12)
            if variance is not None:
                assert (found.se or 0) ** 2 == pytest.approx(variance, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("case", cases("two_by_two"))
def test_two_by_two_tables_as_r(case: Case) -> None:
    x, n, y, m = table = tuple(int(count) for count in case["table"])
    agree(wilson(x, n), case["wilson"])
    agree(clopper_pearson(x, n), case["clopper"])
    agree(whole(risk_difference(x, n, y, m)), case["newcombe"])
    agree([chi_squared(x, n, y, m)], [case["chi2"]])
    if case["rr_log"]:
        agree(whole(risk_ratio(x, n, y, m, log_interval=True)), case["rr_log"])
    if case["koopman"]:
        agree(whole(risk_ratio(x, n, y, m))[1:], case["koopman"], rel=1e-5)  # R's optimize stops there
    odds = case["odds"]
    if odds is None:
        assert odds_ratio(*table).reason
        return
    exact, mid = odds_ratio(x, n, y, m), odds_ratio(x, n, y, m, mid_p=True)
    agree([*whole(exact), exact.p_value], [odds["mle"], *odds["exact"], odds["fisher"]])
    agree(whole(mid), [odds["median"], *odds["mid"]])


@pytest.mark.parametrize("case", cases("mantel_haenszel"))
def test_several_tables_as_mantelhaen_test(case: Case) -> None:
    tables: list[tuple[int, int, int, int]] = [(int(x), int(n), int(y), int(m)) for x, n, y, m in case["tables"]]
    odds = mantel_haenszel_odds_ratio(tables)
    agree([*whole(odds), odds.p_value], [*case["or"], case["p"]])
    exact = conditional_odds_ratio(tables)
    agree(whole(exact), case["exact"], rel=1e-2)  # R's uniroot stops at 1e-4 of its scale
    agree([exact.p_value], [case["exact_p"]])
    difference, ratio = mantel_haenszel_risk_difference(tables), mantel_haenszel_risk_ratio(tables)
    agree([difference.value, difference.se], case["rd"][:2])
    agree([ratio.value, ratio.se], case["rr"])


def _cox_data(case: Case) -> CoxData:
    return cox_data(case["time"], case["status"], np.array(case["x"]).T, strata=case["strata"], entry=case["entry"])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("case", [case for case in cases("cox") if "efron" in case.values[0]])
def test_cox_as_coxph(case: Case, ties: Any) -> None:
    coefficients, errors = cox_coefficients(_cox_data(case), ties=ties)
    agree(list(coefficients), case[ties]["coef"], rel=1e-6)
    agree(list(errors), case[ties]["se"], rel=1e-6)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("case", [case for case in cases("cox") if "firth_efron" in case.values[0]])
def test_firth_cox_as_the_penalised_likelihood_of_coxph(case: Case, ties: Any) -> None:
    expected, data = case[f"firth_{ties}"], _cox_data(case)
    agree(list(cox_coefficients(data, ties=ties, firth=True)[0]), expected["coef"], rel=2e-5)  # R's optim stops there
    found = firth_hazard_ratio(data, ties=ties)
    agree([math.log(bound or 0) for bound in (found.low, found.high)], expected["ci"], rel=1e-5)
    agree([found.p_value], [expected["p"]], rel=1e-5)


def test_a_separated_group_has_a_hazard_ratio_by_firth_only() -> None:
    case = next(case.values[0] for case in cases("cox") if case.id == "separated")
    assert isinstance(case, dict)
    assert hazard_ratio(_cox_data(case)).reason == "one of the groups has no events"
    assert firth_hazard_ratio(_cox_data(case)).value is not None


@pytest.mark.parametrize("case", cases("logistic"))
def test_firth_logistic_as_the_penalised_likelihood(case: Case) -> None:
    found, expected = firth_odds_ratio(case["y"], np.array(case["x"]).T), case["firth"]
    logs = [math.log(number or 0) for number in (found.value, found.low, found.high)]
    agree([*logs, found.p_value], [expected["coef"], *expected["ci"], expected["p"]], rel=1e-5)


@pytest.mark.parametrize("case", [case for case in cases("logistic") if "standardised" in case.values[0]])
def test_standardised_difference_as_glm_with_the_sandwich(case: Case) -> None:
    design = np.array(case["x"]).T
    found = standardised_difference(case["y"], design[:, 0], design[:, 1:])
    agree([found.value, found.se], [case["standardised"]["rd"], case["standardised"]["se"]], rel=1e-6)


@pytest.mark.parametrize("case", cases("separated_covariate"))
def test_a_separated_covariate_leaves_the_group_its_estimates_as_glm_and_coxph(case: Case) -> None:
    design = np.array(case["x"]).T
    difference = standardised_difference(case["late"], design[:, 0], design[:, 1:])
    agree([difference.value], [case["rd"]], rel=1e-6)
    ratio = hazard_ratio(
        cox_data(case["time"], np.array(case["status"]) == 1, design[:, [0, 2]], strata=case["strata"])
    )
    agree([ratio.value, ratio.se], [case["hr"], case["se"]], rel=1e-6)


@pytest.mark.parametrize("case", cases("shrinkage"))
def test_shrinkage_as_brute_quadrature(case: Case) -> None:
    found = shrunk(case["late"], case["n"])
    for field in ("value", "low", "high"):
        assert [getattr(one, field) for one in found] == pytest.approx(case[field], rel=2e-3, abs=1e-5)


@pytest.mark.parametrize("case", cases("inequality"))
def test_indices_of_inequality(case: Case) -> None:
    n, late = np.array(case["n"], dtype=float), np.array(case["late"], dtype=float)
    shares, shown = n / n.sum(), late / n
    renamed = {"sii": "sii_logit", "rii": "rii_logit"}
    for name, index in (indices.INDICES | indices.ORDERED_INDICES).items():
        expected = case[renamed.get(name, name)]
        assert float(index(shares, shown)) == pytest.approx(expected, rel=1e-6, abs=1e-8), name
    errors = np.sqrt(shown * (1 - shown) / n)
    assert indices.between_group_variance_se(shares, shown, errors) == pytest.approx(case["bgv_se"])
    assert indices.theil_se(shares, shown, errors) == pytest.approx(case["theil_se"])
    assert indices.mean_log_deviation_se(shares, shown, errors) == pytest.approx(case["mld_se"])
    assert indices.expected_variance_without_disparity(late, n) == pytest.approx(case["null_bgv"])
