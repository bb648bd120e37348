"""Each rule of tools/check-* rejects a tree that breaks it, at the right line, and accepts a good one."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / 'tools'
OPENING = '/* The idea. */\n'
LAYERS = "layers = ['base', 'spec',\n          'cli']\n"


class Tree(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix='spica-rules-'))
        self.addCleanup(shutil.rmtree, self.root)
        self.write('src/meson.build', LAYERS)
        self.write('src/base/err.h', OPENING)

    def write(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def run_tool(self, name, *args):
        run = subprocess.run([sys.executable, TOOLS / name, *args], capture_output=True, text=True,
                             check=False)
        self.assertEqual(run.stderr, '')
        self.assertEqual(run.returncode, 1 if run.stdout else 0)
        return run.stdout.splitlines()


class Layers(Tree):
    def test_rows(self):
        for path, include, reason in [
                ('src/spec/a.c', '#include "base/err.h"', None),
                ('src/spec/a.c', '#include "spec/a.c"', None),
                ('src/spec/a.c', '#include <cli/system.h>', None),
                ('src/spec/a.c', '  #  include "cli/b.h"', 'cli comes after spec'),
                ('src/base/a.h', '#include "spec/b.h"', 'spec comes after base'),
                ('src/spec/sub/a.c', '#include "cli/b.h"', 'cli comes after spec'),
                ('src/spec/a.c', '#include "err.h"', 'write includes as'),
                ('src/spec/a.c', '#include "../base/err.h"', '.. is no folder'),
                ('src/spec/a.c', '#include "base/gone.h"', 'no such file'),
                ('src/other/a.c', '', 'not in a folder of the layers')]:
            with self.subTest(path=path, include=include):
                self.write(path, OPENING + include + '\n')
                found = self.run_tool('check-layers', self.root)
                (self.root / path).unlink()
                if reason is None:
                    self.assertEqual(found, [])
                else:
                    self.assertEqual(len(found), 1)
                    self.assertIn(reason, found[0])
                    self.assertTrue(found[0].startswith(f'{path}:{2 if include else 1}: '))


class Style(Tree):
    def test_rows(self):
        body = '    x();\n'
        for name, text, line, reason in [
                ('a.c', 'int x = 1;\n', 0, None),
                ('a.c', 'x();\n', 1, 'does not open'),
                ('a.c', 'int x; // why\n', 2, '// comment'),
                ('a.c', 'char *x = "http://host"; /* http://host */\n', 0, None),
                ('a.c', 'int\tx;\n', 2, 'tab'),
                ('a.c', 'int x; \n', 2, 'trailing blank'),
                ('a.c', '/* ' + 'x' * 98 + ' */\n', 2, 'columns'),
                ('a.c', '/* ' + 'é' * 94 + ' */\n', 0, None),
                ('a.c', '/* TODO: later */\n', 2, 'unfinished'),
                ('a.c', 'x = atoi(text);\n', 2, 'banned call: atoi'),
                ('a.c', 'x = ops->system(1) + ops.system(1) + my_system(1);\n', 0, None),
                ('a.c', '/* never system() */ x = "system(1)";\n', 0, None),
                ('a.c', 'snprintf(a, 1, "x");\n', 0, None),
                ('a.c', '    if ((x = f()) > 1)\n', 2, 'assignment inside'),
                ('a.c', '    while (a &&\n           (x = f()))\n', 2, 'assignment inside'),
                ('a.c', '    if (a == b && c <= d && e != f)\n        x = 1;\n', 0, None),
                ('a.c', 'void f(void)\n{\n' + body * 70 + '}\n', 0, None),
                ('a.c', 'void f(void)\n{\n' + body * 71 + '}\n', 3, 'function of 71'),
                ('a.c', 'static int x[] = {\n' + body * 200 + '};\n', 0, None),
                ('a.c', '\n' * 599, 0, None),
                ('a.c', '\n' * 600, 601, '601 lines'),
                ('a.c', '/* Written by tools/make_x: do not edit. */\n' + '\n' * 900, 0, None),
                ('a.h', '\n' * 119, 0, None),
                ('a.h', '\n' * 120, 121, '121 lines')]:
            with self.subTest(text=text[:60], reason=reason):
                opening = '' if reason == 'does not open' or 'Written' in text else OPENING
                self.write('src/spec/' + name, opening + text)
                found = self.run_tool('check-style', '--root', self.root)
                (self.root / 'src/spec' / name).unlink()
                if reason is None:
                    self.assertEqual(found, [])
                else:
                    self.assertEqual(len(found), 1, found)
                    self.assertIn(reason, found[0])
                    self.assertTrue(found[0].startswith(f'src/spec/{name}:{line}: '), found)


@unittest.skipUnless(shutil.which('cc') and shutil.which('nm'), 'needs cc and nm')
class Symbols(Tree):
    def compile(self, folder, name, text):
        self.write(f'src/{folder}/{name}.c', text)
        target = self.root / f'build/src/{folder}/lib{folder}.a.p/{name}.c.o'
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(['cc', '-c', self.root / f'src/{folder}/{name}.c', '-o', target], check=True)

    def test_names(self):
        self.compile('base', 'err', OPENING + 'int err_set(void)\n{\n    return 0;\n}\n')
        self.compile('cli', 'main', 'static int hidden;\nint main(void)\n{\n    return hidden;\n}\n')
        self.compile('spec', 'good', 'int spec_a(void)\n{\n    return 0;\n}\nint spec_table[3];\n')
        self.assertEqual(self.run_tool('check-symbols', self.root / 'build', self.root), [])
        self.compile('spec', 'bad', OPENING + 'int err_b(void)\n{\n    return 0;\n}\nint loose;\n')
        self.compile('base', 'bad', 'int base_b(void)\n{\n    return 0;\n}\n')
        found = self.run_tool('check-symbols', self.root / 'build', self.root)
        self.assertEqual([line.split(': ')[0] for line in found],
                         ['src/base/bad.c:1', 'src/spec/bad.c:2', 'src/spec/bad.c:6'])


if __name__ == '__main__':
    unittest.main()
