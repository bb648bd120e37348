#!/usr/bin/env python3
"""Writes the tables reference_*.h beside this file: what the field's own tools answer.

    python3 -m venv /tmp/reference && /tmp/reference/bin/pip install \
        scipy==1.17.1 numpy==2.4.6 jiwer==4.0.0 rapidfuzz==3.14.6 whisper-normalizer==0.1.15
    /tmp/reference/bin/python tests/unit/stats/reference.py

The tables are committed; the tests need neither Python nor these packages.
"""
import math
import pathlib
import random

import jiwer
import numpy as np
from scipy import stats
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

import reference_pairs
import reference_texts as texts

HERE = pathlib.Path(__file__).parent
HEAD = "/* Written by {2}: do not edit. {0} */\n#pragma once\n\n{1}\n"


def write(name, source, body, by="reference.py"):
    (HERE / name).write_text(HEAD.format(source, body, by), encoding="ascii")


def number(x):
    if math.isnan(x):
        return "NAN"
    if math.isinf(x):
        return "INFINITY" if x > 0 else "-INFINITY"
    return repr(float(x))


def text(s):
    """A C string literal in ASCII."""
    out = []
    for byte in s.encode("utf-8", "surrogateescape"):
        c = chr(byte)
        if c in '"\\':
            out.append("\\" + c)
        elif 32 <= byte < 127 and c != "?":
            out.append(c)
        else:
            out.append(f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def table(declaration, rows):
    return declaration + " = {\n" + "".join(f"    {{{', '.join(r)}}},\n" for r in rows) + "};\n"


def quantiles():
    def index(x):
        return "-1" if math.isnan(x) else str(int(x))

    rows = []
    for n in (1, 2, 5, 10, 20, 50, 58, 59, 100, 200, 299, 460, 1000, 5000, 100000):
        values = np.arange(n)
        for q in (0.05, 0.5, 0.9, 0.95, 0.99):
            for confidence in (0.9, 0.95, 0.99):
                found = [stats.quantile_test(values, q=0, p=q, alternative=a)
                         .confidence_interval(confidence)
                         for a in ("two-sided", "greater", "less")]
                rows.append([str(n), str(q), str(confidence), index(found[0].low),
                             index(found[0].high), index(found[1].low), index(found[2].high)])
    body = table("static const struct {\n    size_t n;\n    double q, confidence;\n"
                 "    long low, high, bound_low, bound_high;\n} quantile_cases[]", rows)

    draw = np.random.default_rng(20261125)
    samples, points = [], []
    for i, n in enumerate((1, 2, 3, 7, 40)):
        values = sorted(float(f"{v:.6g}") for v in draw.lognormal(size=n))
        samples.append([", ".join(number(v) for v in values)])
        for q in (0, 0.05, 0.25, 0.5, 0.9, 0.95, 0.99, 1):
            points.append([str(i), str(n), str(q), number(np.quantile(values, q))])
    body += "\n" + table("static const double quantile_samples[][40]", samples)
    body += "\n" + table("static const struct {\n    size_t sample, n;\n    double q, value;\n"
                         "} quantile_points[]", points)
    write("reference_quantile.h", "scipy 1.17.1 quantile_test over 0, 1, ..., n - 1 (so a bound is "
          "its index), -1 for nan;\n * numpy 2.4.6 quantile.", body)


def binomials():
    rows = []
    for n in (1, 10, 59, 300, 10000, 1000000):
        for p in (1e-6, 0.003, 0.05, 0.5, 0.95):
            d = stats.binom(n, p)
            for k in sorted({0, n // 20, int(n * p), int(n * p + 3 * math.sqrt(n * p * (1 - p))),
                             n - 1}):
                cdf, sf = float(d.cdf(k)), float(d.sf(k))
                if 0 < cdf < 1 and sf > 1e-250 and cdf > 1e-250:
                    rows.append([str(k), str(n), number(p), number(cdf), number(sf)])
    body = table("static const struct {\n    uint64_t k, n;\n    double p, cdf, sf;\n"
                 "} binomial_cases[]", rows)
    rows = []
    for n in (1, 5, 20, 100, 1000, 30000, 1000000):
        for k in sorted({0, 1, n // 100, n // 3, n - 1, n}):
            for confidence in (0.9, 0.95, 0.99):
                # binomtest(k, n).proportion_ci(method="exact") is the same, but stops at 1e-12.
                alpha = (1 - confidence) / 2
                low = stats.beta.ppf(alpha, k, n - k + 1) if k else 0
                high = stats.beta.isf(alpha, k + 1, n - k) if k < n else 1
                rows.append([str(k), str(n), str(confidence), number(low), number(high)])
    body += "\n" + table("static const struct {\n    uint64_t k, n;\n    double confidence, low, "
                         "high;\n} share_cases[]", rows)
    write("reference_binomial.h", "scipy 1.17.1: binom.cdf and sf, beta.ppf and isf.", body)


def students():
    rows = [[str(p), str(df), number(stats.t.ppf(p, df))]
            for p in (0.005, 0.025, 0.1, 0.5, 0.9, 0.95, 0.975, 0.995)
            for df in (1, 2, 2.5, 3, 7, 30, 1000)]
    body = table("static const struct {\n    double probability, df, value;\n} student_cases[]",
                 rows)
    rows = [[str(p), number(stats.norm.ppf(p))] for p in (1e-6, 0.025, 0.3, 0.5, 0.95, 0.975)]
    body += "\n" + table("static const struct {\n    double probability, value;\n} normal_cases[]",
                         rows)
    paired = []
    draw = np.random.default_rng(4)
    for n in (2, 3, 4, 12):
        a = [float(f"{v:.5g}") for v in draw.lognormal(0, 0.2, n)]
        b = [float(f"{v:.5g}") for v in draw.lognormal(0.1, 0.2, n)]
        ci = stats.ttest_rel(a, b).confidence_interval(0.95)
        ri = stats.ttest_rel(np.log(a), np.log(b)).confidence_interval(0.95)
        paired.append([str(n), "{" + ", ".join(map(number, a)) + "}",
                       "{" + ", ".join(map(number, b)) + "}", number(ci.low), number(ci.high),
                       number(np.exp(ri.low)), number(np.exp(ri.high))])
    body += "\n" + table("static const struct {\n    size_t n;\n    double a[12], b[12];\n"
                         "    double low, high, ratio_low, ratio_high;\n} paired_cases[]", paired)
    write("reference_student.h", "scipy 1.17.1: t.ppf, norm.ppf, ttest_rel.", body)


def normalisers():
    english, plain = EnglishTextNormalizer(), BasicTextNormalizer()
    rows = [[text(s), text(english(s).strip())] for s in texts.SENTENCES]
    body = table("static const struct {\n    const char *text, *english;\n} english_cases[]", rows)
    rows = [[text(s), text(plain(s).strip())] for s in texts.PLAIN]
    body += "\n" + table("static const struct {\n    const char *text, *plain;\n} plain_cases[]",
                         rows)
    write("reference_normalise.h", "whisper-normalizer 0.1.15, ends stripped.", body)

    pairs = sorted(english.standardize_spellings.mapping.items())
    cells = [f"{{{text(k)}, {text(v)}}}," for k, v in pairs if " " not in k]
    lines, line = [], "   "
    for cell in cells:
        if len(line) + len(cell) >= 100:
            lines.append(line)
            line = "   "
        line += " " + cell
    body = ("static const struct {\n    const char *british, *american;\n} spelling_cases[] = {\n"
            + "\n".join(lines + [line]) + "\n};\n")
    write("reference_spelling.h", "whisper-normalizer 0.1.15's list.", body)


def errors():
    english = EnglishTextNormalizer()
    draw = random.Random(7)
    words = "a b c d e the cat sat on mat".split()
    pairs = list(texts.PAIRS)
    for _ in range(120):
        a = [draw.choice(words) for _ in range(draw.randrange(0, 14))]
        b = [w if draw.random() < 0.6 else draw.choice(words) for w in a if draw.random() < 0.8]
        b += [draw.choice(words) for _ in range(draw.randrange(0, 4))]
        pairs.append((" ".join(a), " ".join(b)))
    rows = []
    for a, b in pairs:
        for name, f in (("ENGLISH", english), ("NONE", lambda s: s)):
            if name == "ENGLISH" and (a, b) not in texts.PAIRS:
                continue
            out = jiwer.process_words(f(a), f(b))
            rows.append(["NORMALISER_" + name, text(a), text(b), str(out.hits),
                         str(out.substitutions), str(out.deletions), str(out.insertions),
                         number(out.wer)])
    body = table("static const struct {\n    enum stats_normaliser normaliser;\n"
                 "    const char *reference, *hypothesis;\n"
                 "    unsigned hits, substitutions, deletions, insertions;\n    double wer;\n"
                 "} wer_cases[]", rows)
    out = jiwer.process_words([english(a) for a, _ in texts.PAIRS],
                              [english(b) for _, b in texts.PAIRS])
    body += (f"\nstatic const double wer_pooled_english = {number(out.wer)}; "
             "/* over the hand-written pairs */\n")
    write("reference_wer.h", "jiwer 4.0.0 (rapidfuzz 3.14.6), texts through whisper-normalizer "
          "0.1.15 where named.", body)


def said():
    english, rows = EnglishTextNormalizer(), []
    pairs = reference_pairs.pairs()
    for a, b in pairs:
        out = jiwer.process_words(english(a), english(b))
        rows.append([text(a), text(b), text(english(a).strip()), text(english(b).strip()),
                     str(out.hits), str(out.substitutions), str(out.deletions),
                     str(out.insertions), number(out.wer)])
    body = table("static const struct {\n    const char *reference, *hypothesis;\n"
                 "    const char *reference_words, *hypothesis_words;\n"
                 "    unsigned hits, substitutions, deletions, insertions;\n    double wer;\n"
                 "} said_cases[]", rows)
    out = jiwer.process_words([english(a) for a, _ in pairs], [english(b) for _, b in pairs])
    body += f"\nstatic const double said_pooled = {number(out.wer)};\n"
    write("reference_said.h", "jiwer 4.0.0 (rapidfuzz 3.14.6) over whisper-normalizer 0.1.15.", body)


if __name__ == "__main__":
    quantiles()
    binomials()
    students()
    normalisers()
    errors()
    said()
