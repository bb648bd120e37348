#!/usr/bin/env python3
"""What is worth keeping of a study's folder, small enough to lie beside its report.

usage: export_study.py STUDY.spica FOLDER

Writes into FOLDER: the reports as they are; study.sql.xz, the database as SQL text but for the services'
logs (`xzcat study.sql.xz | sqlite3 study.db` gives a database that spica show and spica report read);
logs.txt, the first and last lines of each log. The study may be running: the database is only read.
Python's own sqlite3 does it, since the sqlite3 program is rarely there.
"""

import lzma
import os
import shutil
import sqlite3
import sys

REPORTS = ("report.md", "report.html", "report.json", "winner.json")
LEFT_OUT = ("log",)
HEAD_LINES, TAIL_LINES, LINE_CHARS = 40, 60, 400


def statements(db):
    """The database as SQL, in the order in which its parts were made."""
    yield "BEGIN;"
    for pragma in ("application_id", "user_version"):
        yield f"PRAGMA {pragma}={db.execute(f'PRAGMA {pragma}').fetchone()[0]};"
    objects = db.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
                         " AND name NOT LIKE 'sqlite_%' ORDER BY rowid").fetchall()
    for kind, _, sql in objects:
        if kind == "table":
            yield sql + ";"
    for kind, name, _ in objects:
        if kind != "table" or name in LEFT_OUT:
            continue
        columns = [row[1] for row in db.execute(f'PRAGMA table_info("{name}")')]
        quoted = " || ',' || ".join(f'quote("{column}")' for column in columns)
        for (values,) in db.execute(f'SELECT {quoted} FROM "{name}"'):
            yield f'INSERT INTO "{name}" VALUES({values});'
    for kind, _, sql in objects:
        if kind != "table":
            yield sql + ";"
    yield "COMMIT;"


def export_database(source, target):
    db = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    db.execute("BEGIN")  # one view of it, however long this takes
    with lzma.open(target + ".new", "wt", preset=9, encoding="utf-8") as file:
        for statement in statements(db):
            file.write(statement + "\n")
    db.close()
    os.replace(target + ".new", target)


def excerpt(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.rstrip("\n")[:LINE_CHARS] for line in file]
    if len(lines) > HEAD_LINES + TAIL_LINES:
        left = len(lines) - HEAD_LINES - TAIL_LINES
        lines[HEAD_LINES:-TAIL_LINES] = [f"[... {left} lines ...]"]
    return lines


def export_logs(folder, target):
    with open(target, "w", encoding="utf-8") as file:
        for name in sorted(os.listdir(folder)):
            file.write(f"==> {name}\n")
            file.writelines(line + "\n" for line in excerpt(os.path.join(folder, name)))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = sys.argv[1:]
    os.makedirs(target, exist_ok=True)
    for name in REPORTS:
        path = os.path.join(source, name)
        if os.path.exists(path):
            shutil.copy(path, target)
    export_database(os.path.join(source, "study.db"), os.path.join(target, "study.sql.xz"))
    if os.path.isdir(os.path.join(source, "logs")):
        export_logs(os.path.join(source, "logs"), os.path.join(target, "logs.txt"))


if __name__ == "__main__":
    main()
