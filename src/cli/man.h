/* Manual pages as roff source on stdout: what the two pages share. Texts may hold `words` in
 * backquotes, which become bold, and a blank line, which starts a paragraph. */
#pragma once

#include <stdio.h>

void man_title(const char *name, int section, const char *manual, const char *summary);
void man_section(const char *title);
void man_subsection(const char *title);
void man_text(const char *text); /* ends its line */
void man_paragraph(void);        /* ends a list of items */
/* A tagged paragraph: the tag in bold, its argument plain behind it; its text follows by
 * man_text(). */
void man_item(const char *tag, const char *argument);
void man_example(const char *text); /* as it stands, line by line */
void man_exit_status(void);
