#!/usr/bin/env python3
"""Writes reference_series.h: boundaries, block lengths, worths, cuts and drifts, computed anew with
numpy and scipy (block lengths by arch). Set up as reference.py says, with arch==8.0.0 beside.

Series are drawn by the same small generator here and in the tests: no table of numbers is needed.
"""
import math

import numpy as np
from arch.bootstrap import optimal_block_length
from scipy import stats

from reference import number, table, write


def uniform(seed, n):
    """The minimal standard generator of Park and Miller 1988."""
    out = []
    for _ in range(n):
        seed = seed * 48271 % 2147483647
        out.append(seed / 2147483647)
    return np.array(out)


def series(kind, seed, n):
    u = uniform(seed, n)
    if kind == "INDEPENDENT":
        return 1 + u * u * u
    if kind == "QUEUE":  # neighbours are alike
        level, out = 0.5, []
        for x in u:
            level = 0.6 * level + 0.4 * x
            out.append(level)
        return np.array(out)
    if kind == "ROUND":  # clips of 23 lengths in the same order, again and again
        return uniform(99, 23)[np.arange(n) % 23] + 0.1 * u
    if kind == "FREEZE":  # twelve in a row
        out = 1 + u
        out[n // 2:n // 2 + 12] = 50 + u[n // 2:n // 2 + 12]
        return out
    if kind == "STALL":  # a tenth of it, just before the middle
        out = 1 + u
        out[n * 2 // 5:n // 2] = 50 + u[n * 2 // 5:n // 2]
        return out
    if kind == "COLD":  # a tenth of it is three times slower
        return np.where(np.arange(n) < n // 10, 3 * (1 + u), 1 + u)
    if kind == "LATE":  # settles in the last third only
        return np.where(np.arange(n) < n * 2 // 3, 4 * (1 + u), 1 + u)
    if kind == "RISE":  # by a half over the window
        return (1 + u) * (1 + 0.5 * np.arange(n) / n)
    raise ValueError(kind)


def boundaries():
    rows, heads = [], []
    for allowed, error, n_max in ((0.05, 0.05, 59), (0.05, 0.05, 1000), (0.05, 0.01, 1000),
                                  (0.01, 0.05, 3000), (0.5, 0.1, 200), (0.1, 0.05, 3)):
        at, looks = 5.0, []
        while at * 1.2 < n_max:
            looks.append(int(at))
            at = max(at + 1, at * 1.2)
        looks.append(n_max)
        low, high = np.array([1.0]), np.array([1.0])
        spent_low = spent_high = 0.0
        before = 0
        for j, n in enumerate(looks):
            step = stats.binom.pmf(np.arange(n - before + 1), n - before, allowed)
            low, high, before = np.convolve(low, step), np.convolve(high, step), n
            budget = error * (j + 1) / len(looks)
            met, missed = -1, n + 1
            while met + 1 <= n and spent_low + low[met + 1] <= budget:
                met += 1
                spent_low += low[met]
                low[met] = 0
            while missed - 1 >= 0 and spent_high + high[missed - 1] <= budget:
                missed -= 1
                spent_high += high[missed]
                high[missed] = 0
            rows.append([str(n), str(missed), str(met)])
        heads.append([number(allowed), number(error), str(n_max), str(len(looks)),
                      number(spent_low), number(spent_high)])
    return (table("static const struct stats_look look_rows[]", rows) + "\n" +
            table("static const struct {\n    double allowed, error;\n    uint64_t n_max;\n"
                  "    size_t looks;\n    double spent_met, spent_missed;\n} boundary_cases[]",
                  heads))


def fixed():
    rows = []
    for allowed in (0.05, 0.01, 0.3):
        for error in (0.05, 0.01):
            for n in (10, 58, 59, 89, 90, 100, 299, 1000):
                for over in sorted({0, 1, n // 100, n // 20, n // 10, n // 3, n}):
                    met = over < n and stats.binomtest(over, n, allowed, "less").pvalue <= error
                    missed = stats.binomtest(over, n, allowed, "greater").pvalue <= error
                    rows.append([number(allowed), number(error), str(n), str(over),
                                 "STATS_MET" if met else "STATS_MISSED" if missed else
                                 "STATS_OPEN"])
    return table("static const struct {\n    double allowed, error;\n    uint64_t n, over;\n"
                 "    enum stats_answer answer;\n} fixed_cases[]", rows)


def costs(y):
    y = y - y.mean()
    span = min(50, len(y) // 4)
    return sum((1 - k / (span + 1)) * (y[:-k] @ y[k:]) for k in range(1, span + 1)) > 0.1 * (y @ y)


def ljung_box(x):
    r = stats.rankdata(x)
    r = r - r.mean()
    n = len(x)
    q = sum(n * (n + 2) * ((r[:-k] @ r[k:]) / (r @ r)) ** 2 / (n - k) for k in range(1, 11))
    return stats.chi2.sf(q, 10) < 0.01 and costs(r)


def clustered(x, q):
    n, over = len(x), x > np.quantile(x, q)
    pairs = sum(int((over[:-k] & over[k:]).sum()) for k in range(1, 11))
    possible = sum(n - k for k in range(1, 11))
    m = over.sum()
    mean = possible * m * (m - 1) / (n * (n - 1))
    return m >= 3 and pairs > mean and stats.poisson.sf(pairs - 1, mean) < 0.005 and \
        costs(over * 1.0)


def block_variance(x, b):
    y = x - x.mean()
    sums = [np.take(y, range(i, i + b), mode="wrap").sum() for i in range(len(y))]
    return np.mean(np.square(sums)) / b


def worth(x, limit):
    over = (x > limit) * 1.0
    n, p = len(x), over.mean()
    length = max(1, optimal_block_length(over)["circular"].iloc[0],
                 optimal_block_length(stats.rankdata(x))["circular"].iloc[0])
    b = math.ceil(length)
    whole, half = block_variance(over, b), block_variance(over, max(1, b // 2))
    return n / max(1, max(whole, 2 * whole - half) / (p * (1 - p)))


def correlations():
    rows = []
    for kind in ("INDEPENDENT", "QUEUE", "FREEZE", "ROUND"):
        for n in (200, 1000, 1500):
            x = series(kind, 7 + n, n)
            for q in (0.5, 0.95, 0.99):
                limit = np.quantile(x, q)
                alike, together = ljung_box(x), q > 0.89 and clustered(x, q)
                rows.append(["SERIES_" + kind, str(7 + n), str(n), str(q), str(int(alike)),
                             str(int(together)),
                             number(max(1, optimal_block_length(x)["circular"].iloc[0])),
                             number(worth(x, limit) if alike or together else n)])
    return table("static const struct {\n    enum series kind;\n    uint32_t seed;\n    size_t n;\n"
                 "    double q;\n    int correlated, clustered;\n    double block, worth;\n"
                 "} correlation_cases[]", rows)


def differs(x, cut):
    rest = x[cut:]
    m = min(20, len(rest) // 5)
    if cut == 0 or m < 3:
        return False
    size = len(rest) // m
    means = rest[:m * size].reshape(m, size).mean(1)
    se = math.sqrt(means.var(ddof=1) * size * (1 / cut + 1 / len(rest)))
    return abs(x[:cut].mean() - rest.mean()) > se * stats.t.isf(0.0005, m - 1)


def begins_so(x, cut):
    third, rest = min(cut, max(5, cut // 3)), x[cut:].mean()
    return (x[:third].mean() - rest) / (x[:cut].mean() - rest) >= 0.5


def warmups():
    rows = []
    for kind in ("INDEPENDENT", "QUEUE", "FREEZE", "STALL", "COLD", "RISE", "LATE"):
        for n in (60, 203, 1000):
            x = np.log(series(kind, 11 + n, n))
            batches = x[:n // 5 * 5].reshape(-1, 5).mean(1)
            k = len(batches)
            errors = [np.square(batches[d:] - batches[d:].mean()).sum() / (k - d) ** 2
                      for d in range(k - k // 10 + 1)]
            cut, settled, before = 5 * int(np.argmin(errors[:k // 2 + 1])), True, math.nan
            if not (differs(x, cut) and begins_so(x, cut)):
                cut = 5 * (k // 2 + int(np.argmin(errors[k // 2:])))
            if differs(x, cut) and begins_so(x, cut):
                settled = cut // 5 < k // 2
                before = math.exp(x[:cut].mean() - x[cut:].mean())
            else:
                cut = 0
            rows.append(["SERIES_" + kind, str(11 + n), str(n), str(int(settled)),
                         str(cut if settled else 0), number(before)])
    return table("static const struct {\n    enum series kind;\n    uint32_t seed;\n    size_t n;\n"
                 "    int settled;\n    size_t cut;\n    double before;\n} warmup_cases[]", rows)


def drifts():
    rows = []
    for kind in ("INDEPENDENT", "QUEUE", "COLD", "RISE"):
        for n in (39, 60, 203, 1000):
            for q in (0.5, 0.95):
                x, at = series(kind, 11 + n, n), np.arange(n) * 0.25
                if n < 40 or n * (1 - q) < 10 - 1e-9:
                    rows.append(["SERIES_" + kind, str(11 + n), str(n), str(q), "0", "0", "NAN",
                                 "NAN", "NAN"])
                    continue
                third = n // 3
                first, last = np.quantile(x[:third], q), np.quantile(x[n - third:], q)
                m = max(8, min(20, n // 10))
                size = n // m
                over = (x > np.quantile(x, q))[:m * size].reshape(m, size).mean(1)
                middle = at[:m * size].reshape(m, size).mean(1)
                line = stats.linregress(middle, over)
                change = last / first - 1
                minutes = (at[n - third:].mean() - at[:third].mean()) / 60
                drifting = abs(change) >= 0.1 and line.pvalue < 0.01
                rows.append(["SERIES_" + kind, str(11 + n), str(n), str(q), "1",
                             str(int(drifting)), number(first), number(last),
                             number(change / minutes)])
    return table("static const struct {\n    enum series kind;\n    uint32_t seed;\n    size_t n;\n"
                 "    double q;\n    int known, drifting;\n    double first, last, per_minute;\n"
                 "} drift_cases[]", rows)


if __name__ == "__main__":
    write("reference_series.h", "numpy 2.4.6, scipy 1.17.1, arch 8.0.0 (block lengths).",
          "\n".join([boundaries(), fixed(), correlations(), warmups(), drifts()]), "reference_series.py")
