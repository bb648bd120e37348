#!/usr/bin/env python3
"""Writes src/stats/unicode_table.h: what a transcript's characters become when it is normalised.

    python3 tools/make_unicode_table.py > src/stats/unicode_table.h
"""
import unicodedata

APART = {"œ": "oe", "ø": "o", "æ": "ae", "ß": "ss", "đ": "d", "ð": "d", "þ": "th", "ł": "l"}
# Left out are the scripts between Armenian and Georgian and the ideographs: kept as they are.
BLOCKS = [(0x80, 0x24F), (0x2B0, 0x52F), (0x1E00, 0x1EFF), (0x2000, 0x2BFF), (0x2E00, 0x2E7F),
          (0x3000, 0x303F), (0xFB00, 0xFB06), (0xFE00, 0xFE6F), (0xFF00, 0xFF65),
          (0xFFE0, 0xFFFF), (0x1F000, 0x1FAFF)]


def english(c):
    out = ""
    for x in unicodedata.normalize("NFKD", c.lower()):
        kind = unicodedata.category(x)
        if x in ".%$¢€£":
            out += x
        elif x in APART:
            out += APART[x]
        elif kind != "Mn":
            out += " " if kind[0] in "MSP" else x
    return out


def plain(c):
    return "".join(" " if unicodedata.category(x)[0] in "MSP" else x
                   for x in unicodedata.normalize("NFKC", c.lower())).lower()


def group(c):
    kind = unicodedata.category(c)
    if c.isspace():
        return "CLASS_SPACE"
    if kind == "Mn":
        return "CLASS_MARK"
    if kind[0] in "MSP":
        return "CLASS_SYMBOL"
    return "CLASS_WORD" if c.isalnum() else "CLASS_OTHER"


DEFAULT = {"CLASS_SPACE": (" ", " "), "CLASS_MARK": ("", " "), "CLASS_SYMBOL": (" ", " ")}


def quoted(s):
    return '"' + "".join(f"\\{b:03o}" if b > 126 else chr(b) for b in s.encode()) + '"'


def rows(cells):
    line = "   "
    for cell in cells:
        if len(line) + len(cell) + 1 > 100:
            print(line)
            line = "   "
        line += " " + cell
    print(line)


ranges = []
for first, last in BLOCKS:
    for code in range(first, last + 1):
        g = group(chr(code))
        joins = ranges and ranges[-1][1] == code - 1
        if unicodedata.category(chr(code)) == "Cn" and joins:
            g = ranges[-1][2]  # unassigned: whatever keeps the table short
        if joins and ranges[-1][2] == g:
            ranges[-1][1] = code
        else:
            ranges.append([code, code, g])

folds = []
for first, last in BLOCKS:
    for code in range(first, last + 1):
        c = chr(code)
        want = (english(c), plain(c))
        if unicodedata.category(c) != "Cn" and want != DEFAULT.get(group(c), (c, c)):
            folds.append((code, *want))

print("/* Written by tools/make_unicode_table.py: do not edit. Unicode "
      f"{unicodedata.unidata_version}. */\n#pragma once\n")
print("/* Characters of the blocks known here that are no letter or digit (CLASS_WORD). */")
print("static const struct {\n    uint32_t first, last;\n    enum character_class class;\n"
      "} class_ranges[] = {")
rows([f"{{0x{a:X}, 0x{b:X}, {g}}}," for a, b, g in ranges if g != "CLASS_WORD"])
print("};\n")
print("/* What replaces a character, where it is neither itself nor what its class says: lower case,\n"
      " * compatibility forms taken apart, for English without diacritics. */")
print("static const struct {\n    uint32_t code;\n    const char *english, *plain;\n"
      "} fold_rows[] = {")
rows([f"{{0x{c:X}, {quoted(e)}, {quoted(p)}}}," for c, e, p in folds])
print("};")
