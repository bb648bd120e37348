/* Which version of a program is under test: results depend on it, so it is stored with every
 * trial. */
#pragma once

#include "service/launch.h"

/* Runs "PROGRAM --version", or asks its Python for a package's version, as its engine describes it,
 * with the launch's environment, at most 5 s and 64 KiB of output; nothing of it is left running.
 * Where that is not to be had: "sha256 " and the first digits of the program file's digest (of the
 * script that an interpreter runs), which at least tells two builds apart. NULL when even that
 * fails; the caller owns the text. */
char *service_version_read(const struct service_launch *launch);
/* The file whose digest that is; borrowed from the launch or in `arena`. */
const char *service_version_subject(struct arena *arena, const struct service_launch *launch);
