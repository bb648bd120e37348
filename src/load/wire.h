/* Frames between the load worker and its parent: one machine, one binary, so structs travel as they
 * are. Each frame is a head and a payload padded to 8 bytes. Lengths are checked all the same: the
 * worker may die in the middle of one. */
#pragma once

#include "base/buf.h"
#include "load/record.h"

#include <stdbool.h>
#include <stdint.h>

enum load_wire_kind {
    LOAD_WIRE_START = 1, /* struct load_report with the run's times */
    LOAD_WIRE_RECORD,    /* struct load_record, gaps, text with its NUL */
    LOAD_WIRE_REPORT,    /* struct load_report, final */
    LOAD_WIRE_READY,     /* prepared, waits for the word to start; int, which worker */
    LOAD_WIRE_LATENESS,  /* int64_t: how late each send was, ns */
    LOAD_WIRE_STALLS,    /* int64_t: how late each tick of the loop was, ns */
    LOAD_WIRE_COUNT_
};

struct load_wire_frame {
    enum load_wire_kind kind;
    const char *payload; /* borrowed from the bytes, aligned as they are */
    size_t len;
};

enum load_wire_state { LOAD_WIRE_MORE, LOAD_WIRE_FRAME, LOAD_WIRE_BROKEN };

NODISCARD bool load_wire_add(struct buf *out, enum load_wire_kind kind, const void *payload,
                             size_t len);
/* Sets text_len and gap_count of what is sent by what is given. */
NODISCARD bool load_wire_add_record(struct buf *out, const struct load_record *record,
                                    const struct buf *text, const struct buf *gaps);
/* The frame at the start of the bytes (8-aligned); *ret_used: where the next one starts. */
enum load_wire_state load_wire_next(const char *bytes, size_t len,
                                    struct load_wire_frame *ret_frame, size_t *ret_used);
/* False when the frame holds no whole record. */
bool load_wire_read_record(const struct load_wire_frame *frame, struct load_result *ret_result);
