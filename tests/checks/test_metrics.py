#!/usr/bin/env python3
"""What guard serves at /metrics, and what is shipped to read it.

Both forms by other people's eyes (promtool for the old text, prometheus_client's strict parser for
OpenMetrics), the alert rules by promtool with cases, every metric that an alert, the dashboard or a
document names against those that guard shows, and the table of alarms in docs/OPERATIONS.md against
those that there are, both ways.

usage: test_metrics.py SHOW_METRICS      (the program of tests/unit/guard/show_metrics.c)
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SHARE = HERE.parents[1] / 'share'
ALERTS = SHARE / 'spica-alerts.yaml'
DASHBOARD = SHARE / 'grafana' / 'spica.json'
OPERATIONS = HERE.parents[1] / 'docs' / 'OPERATIONS.md'
DEBIAN_PYTHON = '/usr/bin/python3'  # the one that Debian's packages belong to
NAME = re.compile(r'\bspica_[a-z0-9_]+')
PARSE = '''
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
print(sum(len(family.samples) for family in text_string_to_metric_families(sys.stdin.read())))
'''


class Missing(Exception):
    """A tool that is not here; in CI that is a failure."""


def run(argv, text=None, cwd=None):
    return subprocess.run([str(word) for word in argv], input=text, capture_output=True, text=True,
                          cwd=cwd, check=False)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def promtool():
    made = HERE.parents[1] / 'build/demo/bin/promtool'
    found = str(made) if made.exists() else shutil.which('promtool')
    if not found:
        raise Missing('promtool is not here (tools/setup checkers)')
    return found


def shown(show, form):
    done = run([show, form])
    check(done.returncode == 0 and done.stdout, f'{show} {form}: {done.stderr}')
    return done.stdout


def names_of(text):
    return {NAME.match(line).group() for line in text.splitlines() if line.startswith('spica_')}


def families_of(text):
    return {line.split()[2] for line in text.splitlines() if line.startswith('# TYPE ')}


def text_is_clean(show):
    done = run([promtool(), 'check', 'metrics'], shown(show, 'text'))
    check(done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr)


def promtool_complains(_):
    """It would, were something wrong."""
    done = run([promtool(), 'check', 'metrics'], '# TYPE spica_x counter\nspica_x 1\n')
    check(done.returncode != 0, 'a counter without _total went through')


def openmetrics_is_strict(show):
    text = shown(show, 'openmetrics')
    lines = [line for line in text.splitlines() if not line.startswith('#')]
    done = run([DEBIAN_PYTHON, '-c', PARSE], text)
    if 'No module named' in done.stderr:
        raise Missing('python3-prometheus-client is not here (tools/setup apt)')
    check(done.returncode == 0, done.stderr)
    check(int(done.stdout) == len(lines), f'{done.stdout} samples read of {len(lines)}')


def forms_agree(show):
    """The same samples, family by family, and nothing unknown among them."""
    text, strict = shown(show, 'text'), shown(show, 'openmetrics')
    check(names_of(text) == names_of(strict), names_of(text) ^ names_of(strict))
    empty = {name for name in families_of(text) if name not in names_of(text)}
    check(not empty, f'families without a sample, so not looked at here: {empty}')
    check('NaN' not in text and 'nan ' not in text.lower(), 'NaN is shown')


def alerts_are_right(_):
    for argv in (['check', 'rules', ALERTS], ['test', 'rules', HERE / 'spica-alerts.test.yaml']):
        done = run([promtool(), *argv], cwd=HERE)
        check(done.returncode == 0, done.stdout + done.stderr)


def alerts_name_what_exists(show):
    known = names_of(shown(show, 'text'))
    text = ALERTS.read_text(encoding='utf-8')
    named = set(NAME.findall(text))
    check(named and named <= known, f'not shown by guard: {named - known}')
    tested = (HERE / 'spica-alerts.test.yaml').read_text(encoding='utf-8')
    check(set(NAME.findall(tested)) <= known, set(NAME.findall(tested)) - known)


def table_of_alarms():
    """The first cell of each row of the table that somebody reads at 2 a.m."""
    text = OPERATIONS.read_text(encoding='utf-8').split('\n## Alarms', 1)[1].split('\n## ', 1)[0]
    rows = [line.split('|')[1] for line in text.splitlines() if line.startswith('| ')]
    check(len(rows) > 20, f'the table of alarms was not found: {rows}')
    return rows[1:]


def both_ways(named, known, what):
    check(known <= named, f'docs/OPERATIONS.md says nothing of {what} {known - named}')
    check(named <= known, f'docs/OPERATIONS.md names {what} that are not there: {named - known}')


def alarms_have_their_words(show):
    """Each alert, and each alarm of guard's own, has its row in docs/OPERATIONS.md, and no other has."""
    cells = ' '.join(table_of_alarms())
    alerts = re.findall(r'- alert: (\w+)', ALERTS.read_text(encoding='utf-8'))
    check(len(alerts) == len(set(alerts)), 'two alerts of one name')
    both_ways(set(re.findall(r'`(\w+)`', cells)), set(alerts), 'alerts')
    both_ways(set(re.findall(r'"([^"]+)"', cells)), set(shown(show, 'alarms').splitlines()), 'alarms')


def documents_name_what_exists(show):
    known = names_of(shown(show, 'text'))
    for path in (OPERATIONS, OPERATIONS.with_name('METHOD.md'), OPERATIONS.with_name('PROXY.md')):
        text = path.read_text(encoding='utf-8')
        named = set(re.findall(r'`(spica_[a-z0-9_]+)`', text))
        check(named <= known, f'{path.name}: not shown by guard: {named - known}')


def events_that_are_named_exist(show):
    known = set(shown(show, 'events').splitlines())
    for path in (ALERTS, DASHBOARD):
        named = set(re.findall(r'event=\\?"([^"\\]+)', path.read_text(encoding='utf-8')))
        check(named <= known, f'{path.name}: no such event: {named - known}')
    check('xid' in known, 'no event was found')


def expressions(dashboard):
    for panel in dashboard['panels']:
        for target in panel.get('targets', []):
            yield panel['title'], target['expr']
    for variable in dashboard['templating']['list']:
        if variable['type'] == 'query':
            yield variable['name'], variable['query']['query']
    for note in dashboard['annotations']['list']:
        yield note['name'], note['expr']


def dashboard_names_what_exists(show):
    known = names_of(shown(show, 'text'))
    dashboard = json.loads(DASHBOARD.read_text(encoding='utf-8'))
    named = set()
    for where, expression in expressions(dashboard):
        names = set(NAME.findall(expression))
        check(names and names <= known, f'{where}: {expression}: not shown by guard: {names - known}')
        named |= names
    missing = {name for name in known - named if not name.startswith('spica_guard_')}
    check(not missing, f'shown by guard and on no panel: {missing}')
    ids = [panel['id'] for panel in dashboard['panels']]
    check(len(ids) == len(set(ids)), 'two panels with one id')


def dashboard_is_promql(_):
    """promtool reads every expression, as a rule."""
    dashboard = json.loads(DASHBOARD.read_text(encoding='utf-8'))
    rules = []
    for i, (_, expression) in enumerate(expressions(dashboard)):
        if expression.startswith('label_values'):
            continue
        for name in ('service', 'source'):
            expression = expression.replace(f'${name}', 'x')
        rules.append({'record': f'r{i}', 'expr': expression})
    path = pathlib.Path(os.environ.get('TMPDIR', '/tmp')) / f'spica-dashboard-{os.getpid()}.yaml'
    path.write_text(json.dumps({'groups': [{'name': 'g', 'rules': rules}]}), encoding='utf-8')
    done = run([promtool(), 'check', 'rules', path])
    path.unlink()
    check(done.returncode == 0, done.stdout + done.stderr)


TESTS = [text_is_clean, promtool_complains, openmetrics_is_strict, forms_agree, alerts_are_right,
         alerts_name_what_exists, alarms_have_their_words, documents_name_what_exists,
         events_that_are_named_exist, dashboard_names_what_exists, dashboard_is_promql]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    failed = skipped = 0
    for test in TESTS:
        try:
            test(sys.argv[1])
            print(f'ok      {test.__name__}')
        except Missing as why:
            print(f'skipped {test.__name__}: {why}')
            skipped += 1
        except AssertionError as why:
            print(f'FAILED {test.__name__}: {why}')
            failed += 1
    if failed or (skipped and os.environ.get('SPICA_SKIP_IS_FAILURE')):
        return 1
    return 77 if skipped == len(TESTS) else 0


if __name__ == '__main__':
    sys.exit(main())
