/* An answer as it comes in, each piece with its stamp: read straight into the buffer that the
 * reader will see. For transports which read a descriptor themselves. */
#pragma once

#include "load/protocol.h"

struct load_inbox {
    struct load_answer answer; /* as far as it has come; borrows from below */
    struct buf body;
    struct load_chunk *chunks; /* owned */
    size_t chunk_cap;
    struct load_scan scan;
};

enum load_inbox_news {
    LOAD_INBOX_TOOK,  /* a piece has come */
    LOAD_INBOX_EMPTY, /* nothing now */
    LOAD_INBOX_END,   /* the other side has closed */
    LOAD_INBOX_RESET, /* a failure: errno says which */
    LOAD_INBOX_FULL,  /* over the bound on bytes or on pieces */
};

/* For a new answer; zeroed before first use. Memory is kept from one to the next. */
void load_inbox_reset(struct load_inbox *inbox);
/* One read(2), stamped. */
enum load_inbox_news load_inbox_read(struct load_inbox *inbox, int fd);
void load_inbox_trim(
    struct load_inbox *inbox); /* the answer was read: it goes, a huge one with its memory */
void load_inbox_done(struct load_inbox *inbox);
