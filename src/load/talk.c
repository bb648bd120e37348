/* Messages are kept as JSON values, so that nothing is parsed again for each turn but what is new.
 * The plain text exists beside them since which of the two a protocol sends is its own affair. */
#include "load/talk.h"

#include "base/json.h"

#include <string.h>

void load_talk_clear(struct load_talk *talk)
{
    if (!talk)
        return;
    json_decref(talk->messages);
    buf_done(&talk->text);
    *talk = (struct load_talk){0};
}

static void add_message(struct load_talk *talk, const char *role, const char *content)
{
    json_array_append_new(talk->messages, json_pack("{s:s, s:o}", "role", role, "content",
                                                    json_text_or_null(content)));
}

static void add_text(struct load_talk *talk, const char *text, size_t len)
{
    talk->text.max = LOAD_TALK_MAX;
    if (talk->text.len > 0)
        buf_add(&talk->text, "\n");
    if (!buf_append(&talk->text, text, len))
        talk->text.over = true;
}

void load_talk_add_prompt(struct load_talk *talk, const char *prefix,
                          const struct corpus_prompt *prompt)
{
    if (!talk->messages)
        talk->messages = json_array();
    if (prompt->messages) {
        AUTO_JSON json_t *messages = json_loads(prompt->messages, 0, NULL);
        if (prefix)
            add_message(talk, "system", prefix);
        for (size_t i = 0; i < json_array_size(messages); i++) {
            json_t *message = json_array_get(messages, i);
            const char *content = json_get_text(message, "content");
            json_array_append(talk->messages, message);
            if (content)
                add_text(talk, content, strlen(content));
        }
        return;
    }
    AUTO(buf_done) struct buf text = BUF_INIT(LOAD_TALK_MAX);
    buf_addf(&text, "%s%s%s", prefix ? prefix : "", prefix ? "\n\n" : "",
             prompt->prompt ? prompt->prompt : "");
    add_message(talk, "user", buf_text(&text));
    add_text(talk, buf_text(&text), text.len);
}

void load_talk_add_answer(struct load_talk *talk, const char *text, size_t len)
{
    AUTO(free) char *answer = strndup(text, len);
    if (!answer)
        abort();
    add_message(talk, "assistant", answer);
    add_text(talk, answer, strlen(answer));
}

struct corpus_prompt load_talk_prompt(const struct load_talk *talk, char **ret_json)
{
    *ret_json = json_dump_text(talk->messages);
    return (struct corpus_prompt){.prompt = buf_text(&talk->text), .messages = *ret_json};
}
