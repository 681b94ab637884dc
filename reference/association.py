"""Golden entry `statistics/association`: what scipy says of tests, and of effect sizes and their intervals.

scipy has no effect sizes with intervals: these are computed here from their definitions, with scipy's
distributions and root finder, so that nothing is shared with the Rust code but the formulas.
"""

import numpy as np
from scipy import optimize, special, stats

from golden import save

SEED = 20261124


def noncentrality(cdf, largest):
    """The noncentralities at which the statistic is at its upper and its lower 2.5 %."""

    def reach(target):
        if cdf(1e-12) <= target:
            return 0.0
        return float(optimize.brentq(lambda nc: cdf(nc) - target, 1e-12, largest, xtol=1e-12, rtol=1e-14))

    return [reach(0.975), reach(0.025)]


def cramers_v(table):
    """Bergsma 2013, and the interval of the population's V."""
    n, (rows, columns) = table.sum(), table.shape
    statistic, _, dof, _ = stats.chi2_contingency(table, correction=False)
    phi2 = max(0.0, statistic / n - dof / (n - 1))
    corrected = [k - (k - 1) ** 2 / (n - 1) for k in (rows, columns)]
    value = float(np.sqrt(phi2 / (min(corrected) - 1)))
    bounds = noncentrality(lambda nc: stats.ncx2.cdf(statistic, dof, nc), 10 * statistic + 100)
    return value, [min(1.0, float(np.sqrt(nc / (n * (min(rows, columns) - 1))))) for nc in bounds]


def permutation_p(table, rng, n_permutations=200_000):
    """Share of tables of the same margins with a statistic at least as large: columns dealt anew."""
    rows, columns = np.repeat(np.arange(table.shape[0]), table.sum(1)), np.repeat(np.arange(table.shape[1]), table.sum(0))
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    observed = ((table - expected) ** 2 / expected).sum()
    n_as_large = 0
    for _ in range(n_permutations):
        cells = rows * table.shape[1] + rng.permutation(columns)
        dealt = np.bincount(cells, minlength=table.size).reshape(table.shape)
        n_as_large += ((dealt - expected) ** 2 / expected).sum() >= observed * (1 - 1e-9)
    return float((n_as_large + 1) / (n_permutations + 1))


def hedges_g(one, two):
    m, n = len(one), len(two)
    dof = m + n - 2
    pooled = np.sqrt(((m - 1) * one.var(ddof=1) + (n - 1) * two.var(ddof=1)) / dof)
    correction = np.exp(special.gammaln(dof / 2) - special.gammaln((dof - 1) / 2)) / np.sqrt(dof / 2)
    g = float(correction * (one.mean() - two.mean()) / pooled)
    half = stats.norm.ppf(0.975) * np.sqrt((m + n) / (m * n) + g**2 / (2 * (m + n)))
    return g, [g - half, g + half]


def eta_squared(groups):
    everybody = np.concatenate(groups)
    n, k = len(everybody), len(groups)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups)
    total = ((everybody - everybody.mean()) ** 2).sum()
    statistic = stats.f_oneway(*groups).statistic
    bounds = noncentrality(lambda nc: stats.ncf.cdf(statistic, k - 1, n - k, nc), 10 * k * statistic + 100)
    return float(1 - within / total), [nc / (nc + n) for nc in bounds]


def of_table(table):
    chi2 = stats.chi2_contingency(table, correction=False)
    value, interval = cramers_v(table)
    expected = {
        "counts": table.tolist(),
        "chi_squared": [float(chi2.statistic), float(chi2.dof), float(chi2.pvalue)],
        "cramers_v": [value, *interval],
    }
    if table.shape == (2, 2):
        fisher = stats.fisher_exact(table)
        expected["fisher_exact"] = [float(fisher.statistic), float(fisher.pvalue)]
    return expected


def of_two(one, two):
    welch = stats.ttest_ind(one, two, equal_var=False)
    is_exact = len(one) * len(two) <= 400 and len(np.unique(np.concatenate([one, two]))) == len(one) + len(two)
    rank = stats.mannwhitneyu(one, two, method="exact" if is_exact else "asymptotic")
    g, interval = hedges_g(one, two)
    return {
        "welch_t": [float(welch.statistic), float(welch.df), float(welch.pvalue)],
        "mann_whitney": [float(rank.statistic), float(rank.pvalue)],
        "rank_biserial": float(2 * stats.mannwhitneyu(one, two).statistic / (len(one) * len(two)) - 1),
        "hedges_g": [g, *interval],
    }


def of_several(groups):
    welch = stats.f_oneway(*groups, equal_var=False)
    rank = stats.kruskal(*groups)
    value, interval = eta_squared(groups)
    return {
        "welch_anova": [float(welch.statistic), float(welch.pvalue)],
        "kruskal_wallis": [float(rank.statistic), float(rank.pvalue)],
        "eta_squared": [value, *interval],
    }


def main():
    rng = np.random.default_rng(SEED)
    tables = [
        np.array([[105, 100], [98, 105]]),
        np.array([[8, 2], [1, 5]]),
        np.array([[900, 20], [30, 850]]),
        np.array([[31, 42, 12], [55, 20, 18]]),
        rng.integers(6, 40, (2, 17)),
        rng.integers(6, 15, (3, 5)),
    ]
    samples = {
        # Ages as tables give them: of decimals few, so that some are tied.
        "cn": np.round(rng.normal(75.0, 5.6, 205), 1),
        "ad": np.round(rng.normal(77.0, 7.7, 203), 1),
        "mci": np.round(rng.normal(71.5, 7.0, 61), 1),
        "few": rng.normal(72.0, 1.0, 9),
        "fewer": rng.normal(74.0, 2.0, 7),
    }
    permuted = np.array([[30, 20, 25, 1], [18, 32, 25, 0]])
    parameters = {
        "permuted": {"counts": permuted.tolist(), "p_value": permutation_p(permuted, rng)},
        "tables": [of_table(table) for table in tables],
        "two": {
            "cn ad": of_two(samples["cn"], samples["ad"]),
            "ad mci": of_two(samples["ad"], samples["mci"]),
            "few fewer": of_two(samples["few"], samples["fewer"]),
        },
        "several": {
            "cn ad mci": of_several([samples["cn"], samples["ad"], samples["mci"]]),
            "few fewer mci": of_several([samples["few"], samples["fewer"], samples["mci"]]),
        },
    }
    save(
        "statistics",
        "association",
        samples,
        generator=__file__,
        tools=["numpy", "scipy"],
        seed=SEED,
        parameters=parameters,
    )


if __name__ == "__main__":
    main()
