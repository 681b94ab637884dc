"""Golden values of the training loop's decisions: PyTorch's schedule, class weights and loss, early stopping.

    python reference/loop.py

The schedule is PyTorch's CosineAnnealingWarmRestarts with T_0 = 5 over 30 epochs, T_mult 1 and 2, stepped once an epoch
and with every one of seven steps. Class weights are scikit-learn's "balanced", the loss PyTorch's weighted
CrossEntropyLoss. Early stopping is decided by an oracle with two counters on 1,000 random histories, which the test
draws again from their seeds.
"""

import golden
import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight

N_EPOCHS, N_STEPS, N_HISTORIES, N_HISTORY_EPOCHS = 30, 7, 1000, 40
MASK = (1 << 64) - 1


def uniforms(seed, count):
    """SplitMix64, the upper 53 bits of each number."""
    state = seed
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield ((z ^ (z >> 31)) >> 11) / 2.0**53


def schedule(t_mult, by_step):
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(sgd, T_0=5, T_mult=t_mult)
    rates = []
    for epoch in range(N_EPOCHS):
        for step in range(N_STEPS if by_step else 1):
            sgd.step()
            if by_step:  # as PyTorch's documentation steps it with batches
                scheduler.step(epoch + step / N_STEPS)
            rates.append(sgd.param_groups[0]["lr"])
        if not by_step:
            scheduler.step()
    return np.array(rates)


def history(seed):
    """Accuracies in steps of 1/20 and losses in steps of 1/50, so that ties occur; some improve, some get worse."""
    draws = list(uniforms(seed, 2 * N_HISTORY_EPOCHS))
    better, worse = 0.02 * (seed % 3), 0.01 * (seed % 5) - 0.02
    for epoch in range(N_HISTORY_EPOCHS):
        accuracy = np.floor(20.0 * (0.5 * draws[2 * epoch] + better * epoch)) / 20.0
        loss = np.floor(50.0 * (draws[2 * epoch + 1] + worse * epoch)) / 50.0
        yield accuracy, loss


class Oracle:
    """The thesis's rule: stop when neither metric has improved for `patience` epochs."""

    def __init__(self, patience):
        self.patience, self.accuracy, self.loss = patience, -float("inf"), float("inf")
        self.since = {"accuracy": 0, "loss": 0}

    def stops(self, accuracy, loss):
        self.improved = [accuracy > self.accuracy, loss < self.loss]
        for name, improved in zip(self.since, self.improved):
            self.since[name] = 0 if improved else self.since[name] + 1
        self.accuracy, self.loss = max(accuracy, self.accuracy), min(loss, self.loss)
        return min(self.since.values()) >= self.patience


def decisions(seed):
    """Epochs run, and the last epochs in which accuracy and loss were best."""
    oracle, best = Oracle(patience=1 + seed % 7), [0, 0]
    for epoch, (accuracy, loss) in enumerate(history(seed)):
        stops = oracle.stops(accuracy, loss)
        best = [epoch if improved else old for improved, old in zip(oracle.improved, best)]
        if stops:
            break
    return epoch + 1, *best


def class_weights():
    counts = [[n, m] for n, m in np.random.default_rng(1).integers(1, 700, (50, 2))]
    balanced = lambda n, m: compute_class_weight("balanced", classes=np.array([0, 1]), y=np.repeat([0, 1], [n, m]))
    return np.array(counts, np.int32), np.array([balanced(n, m) for n, m in counts])


def losses():
    random = np.random.default_rng(2)
    logits = random.normal(0, 3, (30, 5, 2)).astype(np.float32)
    labels = random.integers(0, 2, (30, 5))
    weights = random.uniform(0.3, 2.0, (30, 2))
    values = [
        torch.nn.functional.cross_entropy(torch.from_numpy(x), torch.from_numpy(y), torch.tensor(w, dtype=torch.float32))
        for x, y, w in zip(logits, labels, weights)
    ]
    return {"logits": logits, "labels": labels.astype(np.int32), "loss_weights": weights, "losses": np.array(values, np.float64)}


def main():
    counts, weights = class_weights()
    arrays = {f"schedule_{t_mult}_{unit}": schedule(t_mult, unit == "step") for t_mult in (1, 2) for unit in ("epoch", "step")}
    arrays.update(class_counts=counts, class_weights=weights, **losses())
    arrays["stopping"] = np.array([decisions(seed) for seed in range(N_HISTORIES)], np.int32)
    stopped = arrays["stopping"][:, 0]
    print(f"{(stopped < N_HISTORY_EPOCHS).sum()} of {N_HISTORIES} histories end early, after {stopped.min()} epochs or more")
    golden.save(
        "training", "loop", arrays, generator=__file__, tools=["torch", "scikit-learn", "numpy"],
        parameters={"n_epochs": N_EPOCHS, "n_steps": N_STEPS, "n_history_epochs": N_HISTORY_EPOCHS},
    )


if __name__ == "__main__":
    main()
