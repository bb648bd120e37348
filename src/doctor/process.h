/* Inside doctor/ only: what one process shows of itself. */
#pragma once

#include "base/buf.h"
#include "doctor/facts.h"

/* Libraries that tell a build from another, as bits of doctor_service.libraries. */
enum {
    DOCTOR_LIB_CUDA = 1,   /* libcuda: the driver's */
    DOCTOR_LIB_CUDART = 2, /* libcudart, libcublas, libcudnn: the toolkit's */
    DOCTOR_LIB_GGML_CUDA = 4,
    DOCTOR_LIB_TORCH_CUDA = 8,
    DOCTOR_LIB_TORCH_CPU = 16, /* every PyTorch has it */
    DOCTOR_LIB_CTRANSLATE2 = 32,
    DOCTOR_LIB_GGML = 64,
};
enum { DOCTOR_LIBS_CUDA = 1 | 2 | 4 | 8 };
const char *doctor_library_name(unsigned bit);

/* Target of a link ("exe", "fd/1"), without the kernel's " (deleted)". */
bool doctor_process_link(const char *root, pid_t pid, const char *name, char *ret, size_t size);
/* A whole file of the process; SEEN_NOT when it may not be read, SEEN_NO when it is empty. */
enum doctor_seen doctor_process_file(const char *root, pid_t pid, const char *name,
                                     struct buf *ret);
/* Value of a variable in the text of an environ file; NULL. Borrowed. */
const char *doctor_environ_find(const struct buf *variables, const char *name);

/* Value of the first of the flags (aliases, separated by blanks) as "--flag value" or
 * "--flag=value"; "" for one that ends the line; NULL when none is there. Borrowed from argv. */
const char *doctor_argv_value(char *const *argv, const char *flags);
bool doctor_argv_has(char *const *argv, const char *flags);

/* Fills environ, maps, libraries, beside, nodes, visible... of a service from all its members. */
void doctor_process_read(const char *root, struct doctor_service *service, size_t card_count);
