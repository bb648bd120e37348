/* A service that is a program: see load/share.c for who runs it. */
#pragma once

/* A program that is run for each request, in place of a server: what is executed, complete but for
 * {audio}, {prompt} and {text_file} in its arguments. All borrowed. */
struct load_program {
    const char *path;        /* absolute */
    const char *const *argv; /* NULL-terminated; argv[0] as written */
    const char *const *env;  /* NULL-terminated "NAME=value": what is added to or changed in ours */
    const char *const *unset; /* NULL-terminated names removed */
    const char *const *keys;  /* as unset: names that hold keys of requests; may be NULL */
    const char *folder;       /* working folder */
    const char *log_path;     /* what it says on its standard error is appended to this file */
    const char *study, *name; /* SPICA_SERVICE in its environment is STUDY/NAME */
};
