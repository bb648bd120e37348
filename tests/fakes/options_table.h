/* The rows that options.c reads by; private to both files. */
#ifndef FAKES_OPTIONS_TABLE_H
#define FAKES_OPTIONS_TABLE_H

#include "options.h"

struct options_row {
    const char *name;     /* NULL: the heading of a group, which stands in `argument` */
    const char *argument; /* NULL: a flag */
    bool (*read)(struct options *options, const struct options_row *row, const char *text,
                 char *why, size_t why_size);
    size_t offset;
    int detail; /* for the reader */
    const char *help;
};

extern const struct options_row options_rows[];
extern const size_t options_row_count;

/* Dresses as the server of that name; false when there is none. */
bool options_disguise(struct options *options, const char *name);
bool options_read_script(struct options *options, const char *path, char *why, size_t why_size);

#endif
