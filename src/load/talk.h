/* A conversation so far, as it is sent with its next turn: the messages of a chat, and the same as
 * one text for protocols that know no messages. */
#pragma once

#include "base/buf.h"
#include "load/corpus.h"

#include <jansson.h>

enum { LOAD_TALK_MAX = 16 << 20 }; /* bytes of text */

struct load_talk {
    json_t *messages; /* owned array; NULL: empty */
    struct buf text;
};

void load_talk_clear(struct load_talk *talk); /* also its end; zeroed objects are fine */
/* The user's turn: `prefix` (may be NULL) stands before what the prompt says, as its own system
 * message where the prompt is messages. */
void load_talk_add_prompt(struct load_talk *talk, const char *prefix,
                          const struct corpus_prompt *prompt);
void load_talk_add_answer(struct load_talk *talk, const char *text, size_t len);
/* A prompt that says all of it. *ret_json is the caller's to free; the prompt borrows from both. */
struct corpus_prompt load_talk_prompt(const struct load_talk *talk, char **ret_json);
