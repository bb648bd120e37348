/* What the speech protocols share: a clip uploaded as form-data, a transcript in the answer. */
#pragma once

#include "load/plan.h"

/* A form with the clip in field `file_field`, the stream's model in `model_field` (NULL: not sent),
 * and each option of the protocol that has a flag and a text, under the flag's name. */
bool load_form_build(const struct load_stream *stream, const struct load_input *input,
                     const char *file_field, const char *model_field,
                     struct load_request *ret_request, struct err *err);
/* Reads {"text": ...}, or where that is missing the texts of {"segments": [...]}; or plain text
 * when response_format is "text". */
void load_form_read(const struct load_stream *stream, const struct load_answer *answer,
                    struct load_record *record, struct buf *ret_text, struct buf *ret_gaps);
/* A transcript that has come: its text without blanks at its ends, and whether it is an answer (an
 * empty one is, where nothing is said in the clip). */
void load_form_take(const struct load_stream *stream, struct load_record *record, const char *text,
                    size_t len, struct buf *ret_text);
