"""Statistics of tables of results by other people's programs, for src/study/statistics/.

    pip install numpy scipy statsmodels scikit-posthocs autorank rliable baycomp 'pandas<3'
    python kernels-tests/golden/statistical_tests.py

Writes statistical_tests.json. All values but those of random draws are computed once. Of an end of a bootstrap interval the file has the
mean of REPEATS computations with RESAMPLES resamples each, and `_error`, the standard error of the difference between that mean and
one computation with OURS resamples: what a test may allow is a multiple of it. Of the Bayesian test it has the number of draws.

The table is made up: accuracies of 5 methods on 7 datasets with 3 to 6 seeds, rounded to three digits so that some tie; a method that
equals another on some datasets; a dataset on which all are equal.
"""

import json
import pathlib
import warnings
from unittest import mock

import autorank
import baycomp
import numpy as np
import pandas
import scikit_posthocs
import scipy
import statsmodels
from rliable import library, metrics
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

ALPHA, OURS, RESAMPLES, REPEATS, DRAWS = 0.05, 4000, 4000, 40, 50_000
# rliable takes a second for 500 probabilities of improvement.
FEW_REPEATS, FEW_RESAMPLES = 10, 500
METHODS, SETS = 5, 7


def table():
    """A list for each dataset, of a list for each method, of accuracies by seed."""
    rng = np.random.default_rng(20240115)
    of_method = np.array([0.0, 0.03, 0.03, 0.055, -0.02])
    sets = []
    for d in range(SETS):
        seeds = 3 + d % 4
        base = 0.5 + 0.06 * d
        gain = of_method * (1.0 if d != 5 else 0.3)
        runs = base + gain[:, None] + rng.normal(0, 0.015, size=(METHODS, seeds))
        runs = np.round(runs, 3)
        if d == 2:
            runs[2] = runs[1]
        if d == 6:
            runs[:] = runs[0]
        sets.append(runs.tolist())
    return sets


TABLE = table()
SCORES = np.array([[np.mean(m) for m in d] for d in TABLE])


def special():
    z = [-37.0, -8.0, -2.5, -0.3, 0.0, 0.1, 1.0, 1.96, 5.0, 12.0, 30.0]
    p = [1e-300, 1e-20, 1e-6, 0.025, 0.3, 0.5, 0.8, 0.975, 0.999999]
    t = [(t, v) for t in (0.01, 0.7, 2.0, 6.0, 40.0) for v in (1, 2.5, 4, 30, 1000.0, 1e6)]
    levels = [(a, v) for a in (0.3, 0.05, 0.001, 1e-8) for v in (1, 2, 3.7, 30, 1e5)]
    chi = [(x, k) for x in (0.001, 0.5, 3.0, 20.0, 200.0) for k in (1, 2, 5, 8, 60)]
    f = [(x, a, b) for x in (0.01, 0.9, 3.0, 50.0) for a in (1, 4, 9) for b in (2, 12, 300)]
    coins = [(k, n) for n in (1, 6, 25, 400) for k in (0, n // 3, n // 2, n)]
    ranges = [(q, k) for q in (0.05, 1.0, 2.5, 3.8, 6.0) for k in (2, 3, 5, 9, 20)]
    critical = [(a, k) for a in (0.3, 0.1, 0.05, 0.01) for k in (2, 3, 5, 9, 20)]
    above = stats.studentized_range.sf
    return {
        "normal_above": [[x, stats.norm.sf(x)] for x in z],
        "normal_quantile": [[x, stats.norm.ppf(x)] for x in p],
        "t_two_sided": [[x, v, 2 * stats.t.sf(x, v)] for x, v in t],
        "t_critical": [[a, v, stats.t.isf(a / 2, v)] for a, v in levels],
        "chi_square_above": [[x, k, stats.chi2.sf(x, k)] for x, k in chi],
        "f_above": [[x, a, b, stats.f.sf(x, a, b)] for x, a, b in f],
        "fair_coins_at_most": [[k, n, stats.binom.cdf(k, n, 0.5)] for k, n in coins],
        "range_above": [[q, k, above(q, k, np.inf)] for q, k in ranges],
        "range_critical": [[a, k, stats.studentized_range.ppf(1 - a, k, np.inf)] for a, k in critical],
    }


def differences(a, b):
    """By dataset, of two methods of the table, paired by seed."""
    return [(np.array(d[a]) - np.array(d[b])).round(6).tolist() for d in TABLE]


def student():
    """One sample by t, two strata by Welch: the mean of two means is half the difference of one and the negated other."""
    cases = []
    for sample in [differences(1, 0)[0], differences(3, 0)[4], [0.1, -0.2], [5.0, 5.0, 5.0, 5.1]]:
        test = stats.ttest_1samp(sample, 0)
        low, high = test.confidence_interval(1 - ALPHA)
        cases.append(dict(strata=[sample], mean=np.mean(sample), low=low, high=high, p=test.pvalue, degrees=test.df))
    for a, b in [(differences(1, 0)[0], differences(1, 0)[3]), ([1.0, 2.0], [0.5, 0.75, 4.0, -1.0])]:
        test = stats.ttest_ind(a, [-v for v in b], equal_var=False)
        low, high = test.confidence_interval(1 - ALPHA)
        mean = (np.mean(a) + np.mean(b)) / 2
        cases.append(dict(strata=[a, b], mean=mean, low=low / 2, high=high / 2, p=test.pvalue, degrees=test.df))
    return cases


def mean_of_means(*strata, axis=-1):
    return sum(np.mean(s, axis=axis) for s in strata) / len(strata)


def repeated(case, name, one, repeats=REPEATS, resamples=RESAMPLES):
    """The mean of repeats of an interval, and the standard error of its difference from one with OURS resamples."""
    ends = np.array([one(i) for i in range(repeats)])
    spread = ends.std(axis=0, ddof=1)
    error = spread * np.sqrt(1 / repeats + resamples / OURS)
    for i, end in enumerate(["low", "high"]):
        prefix = f"{name}_" if name else ""
        case[f"{prefix}{end}"], case[f"{prefix}{end}_error"] = ends[:, i].mean(), error[i]
    return case


def bootstrap():
    cases = []
    for strata in [differences(1, 0), differences(3, 0)[:2], [[1.0, 2.0, 4.0, 8.0, 16.0, 3.0, 2.5]]]:
        case = dict(strata=strata)
        for method, name in [("percentile", "percentile"), ("BCa", "bca")]:

            def one(i, method=method):
                found = stats.bootstrap(
                    strata, mean_of_means, n_resamples=RESAMPLES, method=method, confidence_level=1 - ALPHA,
                    vectorized=True, rng=np.random.default_rng(i),
                ).confidence_interval
                return found.low, found.high

            repeated(case, name, one)
        cases.append(case)
    return cases


def bca_levels():
    """SciPy's own levels for a set of resamples that is given."""
    cases = []
    for strata in [[[1.0, 2.0, 4.0, 8.0]], [[1.0, 5.0, 2.0], [3.0, 3.5, 9.0, -2.0]]]:
        drawn = np.random.default_rng(7).choice
        resamples = np.array([mean_of_means(*[drawn(s, len(s)) for s in strata]) for _ in range(60)])
        data = [np.array(s) for s in strata]
        found = stats._resampling._bca_interval(data, mean_of_means, -1, ALPHA / 2, resamples, None, np)
        cases.append(dict(strata=strata, resamples=resamples.tolist(), levels=[float(found[0]), float(found[1])]))
    return cases


def signed_rank():
    rng = np.random.default_rng(3)
    flat = [v for d in differences(1, 0) for v in d]
    all_cases = [
        flat[:6],
        flat[:11],
        [0.0, 0.0, 0.1, -0.2, 0.3, 0.4, 0.0, 0.5],
        [0.1, 0.1, -0.1, 0.2, 0.2, 0.2, -0.3],
        [1.0, 2.0, 3.0],
        rng.normal(0.3, 1, 25).tolist(),
        rng.normal(0.1, 1, 50).tolist(),
        rng.normal(0.2, 1, 80).round(1).tolist(),
    ]
    cases = []
    for d in all_cases:
        kept = np.array([v for v in d if v != 0])
        ties = len(np.unique(np.abs(kept))) < len(kept)
        case = dict(differences=d)
        normal = stats.wilcoxon(kept, method="asymptotic", correction=False, zero_method="wilcox")
        case["normal"], case["statistic"] = normal.pvalue, normal.statistic
        if ties and len(kept) <= 13:
            every = stats.PermutationMethod(n_resamples=np.inf)
            case["exact"] = stats.wilcoxon(kept, method=every, zero_method="wilcox").pvalue
        elif not ties:
            case["exact"] = stats.wilcoxon(kept, method="exact").pvalue
        cases.append(case)
    return cases


def holm():
    rng = np.random.default_rng(5)
    lists = [[0.01, 0.04, 0.03], [0.02, 0.02, 0.9, 0.5, 0.001], [0.7], rng.uniform(0, 0.2, 12).tolist()]
    return [dict(p=p, adjusted=multipletests(p, method="holm")[1].tolist()) for p in lists]


def friedman():
    rng = np.random.default_rng(9)
    cases = []
    for scores in [SCORES, SCORES[:, :3], rng.normal(size=(11, 9)), rng.normal(size=(5, 9)).round(1)]:
        n, k = scores.shape
        test = stats.friedmanchisquare(*scores.T)
        ranks = stats.rankdata(-scores, axis=1).mean(axis=0)
        f = (n - 1) * test.statistic / (n * (k - 1) - test.statistic)
        error = np.sqrt(k * (k + 1) / (6 * n))
        upper = [(i, j) for i in range(k) for j in range(i + 1, k)]
        p = [2 * stats.norm.sf(abs(ranks[i] - ranks[j]) / error) for i, j in upper]
        adjusted = np.ones((k, k))
        for (i, j), v in zip(upper, multipletests(p, method="holm")[1]):
            adjusted[i, j] = adjusted[j, i] = v
        cases.append(dict(
            scores=scores.tolist(),
            ranks=ranks.tolist(),
            chi_square=test.statistic,
            chi_square_p=test.pvalue,
            f=f,
            f_p=stats.f.sf(f, k - 1, (k - 1) * (n - 1)),
            critical_difference=stats.studentized_range.ppf(1 - ALPHA, k, np.inf) / np.sqrt(2) * error,
            nemenyi=scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy().tolist(),
            holm=adjusted.tolist(),
        ))
    return cases


def kendall():
    """SciPy's exact p knows no ties; with them, and below 9 values, all orders are gone through."""
    rng = np.random.default_rng(13)
    five = SCORES[:5, 0].tolist()
    pairs = [
        (five, [3.0, 1.0, 2.0, 5.0, 4.0]),
        ([1.0, 2.0, 2.0, 4.0, 5.0, 6.0], [1.0, 3.0, 2.0, 4.0, 4.0, 9.0]),
        (rng.normal(size=8).tolist(), rng.normal(size=8).tolist()),
        (rng.normal(size=15).round(1).tolist(), rng.normal(size=15).round(1).tolist()),
    ]
    cases = []
    for x, y in pairs:
        if len(x) > 8:
            p = stats.kendalltau(x, y, method="asymptotic").pvalue
        else:
            test = stats.permutation_test(
                (y,), lambda y, x=x: stats.kendalltau(x, y).statistic, permutation_type="pairings",
                vectorized=False, n_resamples=np.inf,
            ) if len(x) <= 6 else None
            p = stats.kendalltau(x, y, method="exact").pvalue if test is None else test.pvalue
        cases.append(dict(x=x, y=y, tau=stats.kendalltau(x, y).statistic, p=p))
    return cases


def rliable():
    cases = []
    for a, b in [(1, 0), (3, 1)]:
        # rliable wants as many runs of each dataset.
        ours = np.array([d[a][:3] for d in TABLE])
        theirs = np.array([d[b][:3] for d in TABLE])
        taus = np.linspace(0.4, 1.0, 13)
        share = library.create_performance_profile({"ours": ours.T}, taus, reps=10)[0]["ours"]
        iqm, improvement = metrics.aggregate_iqm, metrics.probability_of_improvement
        case = dict(
            ours=ours.tolist(), theirs=theirs.tolist(), taus=taus.tolist(), profile=share.tolist(),
            iqm=iqm(ours.T), improvement=improvement(ours.T, theirs.T),
        )

        def of_iqm(i):
            np.random.seed(i)  # rliable draws from NumPy's own generator
            found = library.StratifiedBootstrap(ours.T)
            return found.conf_int(lambda x: np.array([iqm(x)]), RESAMPLES, method="percentile").ravel()

        def of_improvement(i):
            np.random.seed(i)
            found = library.StratifiedIndependentBootstrap(ours.T, theirs.T)
            return found.conf_int(lambda x, y: np.array([improvement(x, y)]), FEW_RESAMPLES, method="percentile").ravel()

        repeated(case, "iqm", of_iqm)
        repeated(case, "improvement", of_improvement, FEW_REPEATS, FEW_RESAMPLES)
        cases.append(case)
    return cases


def bayes():
    cases = []
    rng = np.random.default_rng(17)
    for differences, margin in [
        ((SCORES[:, 3] - SCORES[:, 0]), 0.01),
        ((SCORES[:, 2] - SCORES[:, 1]), 0.01),
        (np.array([0.02, -0.02, 0.01, 0.0, 0.05]), 0.01),
        (rng.normal(0.005, 0.02, 15), 0.01),
    ]:
        # A sum that meets the region's edge up to rounding would fall on another side in another program.
        differences = differences.round(4)
        zeros = np.zeros_like(differences)
        test = baycomp.SignedRankTest
        # baycomp's right is the probability that y is above x by more than the region.
        below, within, above = test.probs(zeros, differences, rope=margin, nsamples=DRAWS, random_state=1)
        weights = rng.dirichlet(np.ones(len(differences) + 1), 3)
        drawn = mock.Mock(dirichlet=lambda *_: weights)
        with mock.patch("numpy.random.RandomState", return_value=drawn):
            shares = test.sample(zeros, differences, rope=margin, nsamples=3)
        cases.append(dict(
            differences=differences.tolist(), margin=margin, draws=DRAWS, probabilities=[below, within, above],
            weights=weights.tolist(), shares=shares.tolist(),
        ))
    return cases


def ranked():
    cases = []
    for scores in [SCORES, np.random.default_rng(9).normal(size=(11, 9))]:
        frame = pandas.DataFrame(scores, columns=[f"m{i}" for i in range(scores.shape[1])])
        found = autorank.autorank(frame, alpha=ALPHA, force_mode="nonparametric", order="descending")
        cases.append(dict(
            scores=scores.tolist(), critical_difference=found.cd, digits=1e-3, ranks=found.rankdf["meanrank"].tolist(),
        ))
    return cases


def images():
    cases = []
    rng = np.random.default_rng(21)
    for n, a, b in [(60, 0.8, 0.7), (500, 0.75, 0.7)]:
        first, second = rng.uniform(size=n) < a, rng.uniform(size=n) < b
        counts = [[np.sum(first & second), np.sum(first & ~second)], [np.sum(~first & second), np.sum(~first & ~second)]]
        plain = mcnemar(counts, exact=False, correction=True)
        difference = first.astype(float) - second.astype(float)
        case = dict(
            first=first.astype(int).tolist(), second=second.astype(int).tolist(),
            exact_p=mcnemar(counts, exact=True).pvalue, chi_square=plain.statistic, chi_square_p=plain.pvalue,
            difference=difference.mean(),
        )

        def one(i):
            found = stats.bootstrap(
                (difference,), np.mean, n_resamples=RESAMPLES, method="percentile", confidence_level=1 - ALPHA,
                rng=np.random.default_rng(i),
            ).confidence_interval
            return found.low, found.high

        cases.append(repeated(case, "", one))
    return cases


def plain(value):
    """NumPy's numbers as JSON's; infinity as a text."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else str(value)
    return int(value)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print(f"scipy {scipy.__version__}, statsmodels {statsmodels.__version__}, numpy {np.__version__}")
    found = dict(
        special=special(), student=student(), bootstrap=bootstrap(), bca_levels=bca_levels(), signed_rank=signed_rank(),
        holm=holm(), friedman=friedman(), kendall=kendall(), rliable=rliable(), baycomp=bayes(), autorank=ranked(),
        images=images(),
    )
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(plain(found), separators=(",", ":")).replace("],", "],\n") + "\n")
