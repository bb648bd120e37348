/* Fakes that share a device: each sees whether another one is busy. */
#ifndef FAKES_SHARE_H
#define FAKES_SHARE_H

#include <stdbool.h>

struct share_table;

struct share {
    struct share_table *table;  /* mapped; NULL when not sharing */
    int own;                    /* own row */
    const char *interfere_file; /* borrowed; may be NULL */
};

/* Joins the table in `dir` (NULL: none) under `name`. Prints the reason on failure. */
bool share_open(struct share *share, const char *dir, const char *name, const char *interfere_file);
void share_begin(struct share *share); /* one request in service more */
void share_end(struct share *share);   /* one less */
bool share_others_busy(const struct share *share);
void share_close(struct share *share);

#endif
