#!/usr/bin/env python3
"""Recomputes a report's numbers from the rows of its study.db, with nothing but Python.

usage: recompute.py WRITE_SAMPLE
Checks every pooled percentile with its distribution-free interval, every mean over runs, the pooled
word error rates, failed requests, fitness and verdict counts of report.json and winner.json, and
that the page and the figures are well-formed and free of foreign markup.
"""
import html.parser
import json
import math
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import xml.dom.minidom

WINNER, BASELINE_BEST, INFEASIBLE, UNFINISHED, WEIRD, SMALL, GPU = range(7)
QUANTILES = {'p50': 0.50, 'p90': 0.90, 'p95': 0.95, 'p99': 0.99}
VALUE = {'latency': '(done_ns - intended_ns) / 1e9',
         'ttft': '(first_token_ns - intended_ns) / 1e9',
         'rtf': '(done_ns - intended_ns) / 1e9 / audio_s'}

GAUGES = {'free_before_bytes': ('before', 'free'), 'free_idle_bytes': ('start', 'free'),
          'free_least_bytes': ('measure', 'free, least'), 'free_after_bytes': ('after', 'free'),
          'neighbours_bytes': ('before', 'neighbours'), 'busy_ratio': ('measure', 'busy mean'),
          'temperature_celsius': ('measure', 'temperature'), 'power_watt': ('measure', 'power')}


def close(a, b):
    if a is None or b is None:
        return a is None and b is None
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def quantile(ordered, q):
    at = (len(ordered) - 1) * q
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def binomial_cdf(k, n, p):
    logs = (math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p) +
            (n - i) * math.log(1 - p) for i in range(k + 1))
    return math.fsum(math.exp(x) for x in logs)


def interval(ordered, q, confidence=0.95):
    """Order statistics: the largest rank with P(X <= rank - 1) <= a, the least with P(X >= rank) <= a."""
    n, a = len(ordered), (1 - confidence) / 2
    cdf = [binomial_cdf(k, n, q) for k in range(n)]
    low = next((k for k in range(n) if cdf[k] > a), None)        # ppf(a)
    high = next((k for k in range(n) if 1 - cdf[k] <= a), None)  # isf(a)
    low = low - 1 if low else None
    high = high if high is not None and high < n else None
    while low is not None and high is not None:  # give up what the confidence does not need
        without = [cdf[high] - cdf[low + 1], cdf[high - 1] - cdf[low]]
        if max(without) < confidence or low + 1 >= high:
            break
        if without[0] > without[1]:
            low += 1
        else:
            high -= 1
    return tuple(None if rank is None else ordered[rank] for rank in (low, high))


def alike(runs):
    """Ljung and Box over the ranks of all runs, neighbours within a run, 10 lags, 1 %."""
    pool = sorted(v for run in runs for v in run)
    first, last = {}, {}
    for i, v in enumerate(pool):
        first.setdefault(v, i)
        last[v] = i
    n = len(pool)
    span = max(10, min(50, n // 4))
    products = [0] * (span + 1)
    for run in runs:
        ranks = [(first[v] + last[v]) / 2 for v in run]
        mean = sum(ranks) / len(ranks) if ranks else 0
        for k in range(span + 1):
            products[k] += sum((a - mean) * (b - mean) for a, b in zip(ranks, ranks[k:]))
    if n <= 20 or not products[0]:
        return False
    q = sum(n * (n + 2) * (products[k] / products[0]) ** 2 / (n - k) for k in range(1, 11))
    span = min(50, n // 4)
    cost = sum((1 - k / (span + 1)) * products[k] for k in range(1, span + 1)) / products[0]
    return q > 23.209251158954356 and cost > 0.1


class Check:
    def __init__(self, story, folder):
        self.story, self.folder, self.count = story, folder, 0
        self.db = sqlite3.connect(folder / 'study.db')
        self.report = json.loads((folder / 'report.json').read_text())
        self.winner = json.loads((folder / 'winner.json').read_text())

    def same(self, what, is_, expected):
        self.count += 1
        ok = close(is_, expected) if not isinstance(expected, str) else is_ == expected
        if not ok:
            sys.exit(f'story {self.story}: {what}: report says {is_}, rows say {expected}')

    def rows(self, sql, *args):
        return self.db.execute(sql, args).fetchall()

    def column(self, sql, *args):
        return [row[0] for row in self.rows(sql, *args)]

    def check_quantile(self, name, number, mode, trials, service, metric, stat):
        marks = ','.join('?' * len(trials))
        values = sorted(self.column(
            f'SELECT {VALUE[metric]} FROM requests WHERE part = 1 AND error IS NULL AND mode = ? '
            f'AND service = ? AND trial IN ({marks})', mode, service, *trials))
        q = QUANTILES[stat]
        self.same(name + ' n', number['count'], len(values))
        allowed = len(values) >= 5 and len(values) * min(q, 1 - q) >= 1 - 1e-9
        self.same(name, number['value'], quantile(values, q) if allowed else None)
        low, high = interval(values, q) if values else (None, None)
        runs = [self.column(
            f'SELECT {VALUE[metric]} FROM requests WHERE part = 1 AND error IS NULL AND mode = ? '
            'AND service = ? AND trial = ? ORDER BY sequence', mode, service, trial)
            for trial in trials]
        correlated = 'alike' in number.get('no_interval', '') or \
            number.get('method') == 'block bootstrap'
        if alike(runs):
            assert correlated, name
        if correlated and len(values) >= 1000:
            return  # blocks are checked against arch in tests/unit/stats
        if correlated:
            low = high = None
        self.same(name + ' low', number['low'], low)
        self.same(name + ' high', number['high'], high)

    def check_wer(self, name, number, trials, service):
        marks = ','.join('?' * len(trials))
        errors, words = self.rows(
            f'SELECT sum(word_errors), sum(words) FROM requests WHERE part = 1 AND mode = \'shared\''
            f' AND service = ? AND trial IN ({marks})', service, *trials)[0]
        self.same(name, number['value'], errors / words)
        self.same(name + ' words', number['count'], words)

    def check_runs(self, name, number, mode, trials, service, metric, stat):
        values = []
        for trial in trials:
            names = ([service] if service != 'all' else
                     self.column('SELECT DISTINCT service FROM metrics WHERE trial = ?', trial))
            found = [self.column('SELECT value FROM metrics WHERE trial = ? AND service = ? AND '
                                 'mode = ? AND metric = ? AND stat = ?', trial, one, mode, metric,
                                 stat) for one in names]
            values.append(sum(f[0] for f in found) if all(found) else None)
        known = bool(values) and None not in values
        self.same(name, number['value'], sum(values) / len(values) if known else None)
        if known:
            self.same(name + ' min', number['low'], min(values))
            self.same(name + ' max', number['high'], max(values))

    def check_errors(self, name, number, mode, trials, service, metric):
        marks = ','.join('?' * len(trials))
        failed, everything = self.rows(
            f'SELECT count(error), count(*) FROM requests WHERE part = 1 AND mode = ? AND '
            f'service = ? AND trial IN ({marks})', mode, service, *trials)[0]
        self.same(name, number['value'], failed if metric == 'errors' else failed / everything)

    def check_number(self, name, number, mode, trials):
        service, metric, *rest = name.split('.')
        stat = rest[0] if rest else ''
        what = f'{name} {mode} {trials}'
        if metric in VALUE and stat in QUANTILES:
            self.check_quantile(what, number, mode, trials, service, metric, stat)
        elif metric == 'wer' and mode == 'shared':
            self.check_wer(what, number, trials, service)
        elif metric in ('errors', 'error_ratio'):
            self.check_errors(what, number, mode, trials, service, metric)
        else:
            self.check_runs(what, number, mode, trials, service, metric, stat)

    def check_side(self, side):
        trials = self.column('SELECT number FROM trials WHERE candidate = ? AND purpose = \'final\' '
                             'AND verdict IN (\'ok\', \'slow\') ORDER BY number', side['candidate'])
        assert side['measured_trials'] == trials, side['measured_trials']
        fitness = self.column('SELECT fitness FROM trials WHERE number IN (%s)' %
                              ','.join(map(str, trials)))
        self.same('fitness', side['fitness'], sum(fitness) / len(fitness))
        for mode in ('shared', 'alone'):
            for name, number in side[mode].items():
                self.check_number(name, number, mode, trials)
        return trials

    def check_changes(self, side, base):
        """Ratios are of the values printed; their intervals hold them."""
        for name, change in side['against_baseline'].items():
            a, b = side['shared'][name]['value'], base['shared'][name]['value']
            if a is None or b is None:
                self.same(name + ' change', change['value'], None)
                continue
            expected = a / b if change['kind'] == 'ratio' else a - b
            self.same(name + ' change', change['value'], expected)
            assert change['low'] <= change['value'] <= change['high'], (name, change)

    def check_winner(self, sides):
        side = next((s for s in sides if s['winner']), None)
        if self.story == BASELINE_BEST:
            side = next(s for s in sides if s['baseline'])
        if side is None:
            assert self.winner['best_params'] is None and self.winner['fitness'] is None
            assert self.winner['reasons']['fitness'], 'null without a reason'
            return
        self.same('winner.json fitness', self.winner['fitness'], side['fitness'])
        for key, name in (('stt_latency_ms', 'stt.latency.p50'), ('llm_latency_ms',
                                                                  'llm.latency.p50')):
            self.same(key, self.winner['best_metrics'][key], 1000 * side['shared'][name]['value'])
        for name, number in self.winner['metrics'].items():
            self.same('winner.json ' + name, number['value'], side['shared'][name]['value'])
        assert self.winner['concurrent_capacity'] is None
        if self.story == GPU:
            share = self.winner['best_params']['llm.gpu_memory_utilization']
            self.same('gpu_utilization', self.winner['gpu_utilization'], share)
        else:
            assert self.winner['gpu_utilization'] is None
            assert self.winner['reasons']['gpu_utilization']

    def check_cards(self, side):
        """Means of the runs' readings, least and largest."""
        for card in side['cards']:
            for key, (phase, name) in GAUGES.items():
                values = self.column(
                    'SELECT value FROM reading JOIN text p ON p.id = phase JOIN text n ON n.id = '
                    'reading.name JOIN text d ON d.id = device WHERE service IS NULL AND value IS '
                    'NOT NULL AND d.body = ? AND p.body = ? AND n.body = ? AND trial IN (%s)' %
                    ','.join(map(str, side['measured_trials'])), card['device'], phase, name)
                self.same(key, card[key]['value'], sum(values) / len(values) if values else None)
                self.same(key + ' low', card[key]['low'], min(values) if values else None)
                self.same(key + ' high', card[key]['high'], max(values) if values else None)

    def check_kept(self):
        """A start is saved by each trial in which the service is older than the trial."""
        for kept in self.report['services_kept_up']:
            saved = self.column(
                'SELECT s.ready_s FROM service k JOIN text t ON t.id = k.name JOIN service s ON '
                's.name = k.name AND s.trial = k.started_in_trial WHERE t.body = ? AND '
                'k.started_in_trial < k.trial', kept['service'])
            self.same('kept', kept['trials'], len(saved))
            self.same('saved', kept['saved_s'], sum(saved))

    def check_totals(self):
        counts = dict(self.rows("SELECT verdict, count(*) FROM trials WHERE purpose != 'compare'"
                                " GROUP BY verdict"))
        assert self.report['verdicts'] == counts, self.report['verdicts']
        self.same('requests', self.report['requests'],
                  self.column('SELECT count(*) FROM request')[0])
        self.same('trials', len(self.report['trials']),
                  self.column("SELECT count(*) FROM trials WHERE purpose != 'compare'")[0])
        outcome = {WINNER: 'winner', WEIRD: 'winner', SMALL: 'winner', GPU: 'winner',
                   BASELINE_BEST: 'baseline_best', INFEASIBLE: 'infeasible',
                   UNFINISHED: 'unfinished'}[self.story]
        self.same('outcome', self.report['outcome'], outcome)

    def run(self):
        sides = self.report['final']
        base = next((s for s in sides if s['baseline']), None)
        for side in sides:
            self.check_side(side)
            self.check_cards(side)
            if not side['baseline']:
                self.check_changes(side, base)
        self.check_winner(sides)
        self.check_totals()
        self.check_kept()
        check_page(self.folder)
        return self.count


class Page(html.parser.HTMLParser):
    """Every element closed, and only those that the report is made of."""
    ALLOWED = set('html head meta style title body h1 h2 h3 p blockquote strong em ul li code div '
                  'table thead tbody tr th td svg g rect line path polyline circle text'.split())
    EMPTY = {'meta', 'rect', 'line', 'path', 'polyline', 'circle'}

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        assert tag in self.ALLOWED, f'unexpected element {tag} at {self.getpos()}'
        assert not any(name.startswith('on') or name in ('href', 'src') for name, _ in attrs), attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in self.ALLOWED, f'unexpected element {tag}'

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f'</{tag}> at {self.getpos()}'


def check_page(folder):
    page = Page()
    page.feed((folder / 'report.html').read_text())
    assert not page.open, page.open
    for figure in folder.glob('*.svg'):
        xml.dom.minidom.parse(str(figure))
    for name in ('report.md', 'report.html'):
        text = (folder / name).read_text()
        bad = [c for c in text if ord(c) < 32 and c != '\n' or 0x7f <= ord(c) < 0xa0
               or 0x202a <= ord(c) <= 0x202e]
        assert not bad, (name, bad)


def main():
    total = 0
    for story in range(7):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.argv[1], str(story), folder], check=True)
            total += Check(story, pathlib.Path(folder)).run()
    print(f'{total} numbers recomputed')


if __name__ == '__main__':
    main()
