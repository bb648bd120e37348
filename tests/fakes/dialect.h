/* Streams that are not OpenAI's chat: Ollama's lines, transcripts in pieces, sound. All of them are
 * tokens that leave by the same plan, in another dress. */
#ifndef FAKES_DIALECT_H
#define FAKES_DIALECT_H

#include "llm.h"

/* As llm_add_opening, llm_add_next and llm_add_whole, for every dialect but OpenAI's. */
void dialect_add_opening(struct llm_stream *stream, struct buf *out);
enum llm_state dialect_add_next(struct llm_stream *stream, struct buf *out);
void dialect_add_whole(const struct llm_stream *stream, struct buf *out);
/* Content type of a stream, or of a whole answer. */
const char *dialect_type(const struct llm_ask *ask);
/* Reads what is to be spoken; false with a reason. */
bool dialect_parse_spoken(struct llm_ask *ask, const char *body, size_t len, const char **ret_why);

#endif
