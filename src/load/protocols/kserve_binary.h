/* Inside load/protocols/: KServe's binary tensor extension: the values of a tensor as bytes behind
 * the JSON that describes it, little-endian; texts each behind their length in 4 bytes. */
#pragma once

#include "base/buf.h"

#include <jansson.h>
#include <stdint.h>

/* Takes the "data" of every tensor out of the list and appends it as bytes, with its size among the
 * tensor's parameters instead. False with a reason: a datatype that there is not, or a value that
 * it can't hold. */
bool load_kserve_pack(json_t *tensors, struct buf *bytes, struct buf *why);

/* Are these bytes `count` values of the datatype, all of them numbers? Texts are appended to
 * `text`. False with a reason. */
bool load_kserve_check(const char *datatype, int64_t count, const char *bytes, size_t len,
                       struct buf *why, struct buf *text);

/* How many bytes the JSON at the beginning takes; `len` when it does not end. */
size_t load_kserve_head(const char *body, size_t len);
