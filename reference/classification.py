"""Golden entry `statistics/classification`: what scikit-learn and scipy say of made-up predictions.

The name is not `statistics.py`, which would hide Python's own module from every script in this folder.
"""

import numpy as np
from scipy import stats
from sklearn import metrics

from golden import save

SEED = 20250611


def delong_standard_error(labels, scores):
    """DeLong's standard error by its definition, over all pairs (no ranks)."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    kernel = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    v10, v01 = kernel.mean(axis=1), kernel.mean(axis=0)
    return np.sqrt(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01))


def cluster_interval(labels, scores, subjects, rng, n_resamples=20_000):
    """Percentile interval of the AUC over resampled subjects, by concatenating their scans."""
    names = np.unique(subjects)
    scans_of = [np.flatnonzero(subjects == name) for name in names]
    values = []
    for _ in range(n_resamples):
        scans = np.concatenate([scans_of[k] for k in rng.integers(0, len(names), len(names))])
        if 0 < labels[scans].sum() < len(scans):
            positive, negative = scores[scans][labels[scans] == 1], scores[scans][labels[scans] == 0]
            values.append(stats.mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative)))
    return [float(x) for x in np.quantile(values, [0.025, 0.975])]


def metrics_of(labels, scores, threshold):
    called = (scores >= threshold).astype(int)
    tn, fp, fn, tp = (int(x) for x in metrics.confusion_matrix(labels, called).ravel())
    wilson = stats.binomtest(tp, tp + fn).proportion_ci(0.95, method="wilson")
    return {
        "threshold": threshold,
        "confusion": {"true_positive": tp, "false_positive": fp, "true_negative": tn, "false_negative": fn},
        "accuracy": metrics.accuracy_score(labels, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
        "sensitivity": metrics.recall_score(labels, called),
        "sensitivity_interval": [wilson.low, wilson.high],
        "specificity": metrics.recall_score(labels, called, pos_label=0),
        "ppv": metrics.precision_score(labels, called),
        "npv": metrics.precision_score(labels, called, pos_label=0),
        "f1": metrics.f1_score(labels, called),
        "auc": metrics.roc_auc_score(labels, scores),
        "log_loss": metrics.log_loss(labels, scores),
        "brier": metrics.brier_score_loss(labels, scores),
        "delong_standard_error": float(delong_standard_error(labels, scores)),
    }


def main():
    rng = np.random.default_rng(SEED)
    subjects = rng.integers(0, 60, 211).astype(np.int32)
    is_ad = rng.permutation(np.arange(60) % 2)
    labels = is_ad[subjects].astype(np.int32)
    raw = 0.8 * labels + rng.normal(0, 0.6, 60)[subjects] + rng.normal(0, 0.7, 211)
    # Two decimals, so that many scores are tied; a 0 and a 1 among them.
    scores = np.round(1 / (1 + np.exp(-(raw - 0.4))), 2)
    scores[:2] = [0.0, 1.0]
    parameters = {str(t): metrics_of(labels, scores, t) for t in (0.5, 0.37)}
    parameters["cluster_auc_interval"] = cluster_interval(labels, scores, subjects, rng)
    arrays = {"labels": labels, "scores": scores, "subjects": subjects}
    tools = ["numpy", "scipy", "scikit-learn"]
    save("statistics", "classification", arrays, generator=__file__, tools=tools, seed=SEED, parameters=parameters)


if __name__ == "__main__":
    main()
