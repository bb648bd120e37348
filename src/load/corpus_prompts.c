/* Prompts: one JSON object a line, or one plain prompt a line. Other members of the objects are
 * passed over (public sets carry many), but what we use must be of the right type: a prompt that is
 * a number, or both a prompt and messages, is a mistake that would be measured otherwise. */
#include "load/corpus_file.h"

#include "base/json.h"
#include "base/text.h"

#include <string.h>

struct reading {
    struct arena *arena;
    struct corpus_prompt *prompts; /* owned while reading */
    size_t count, cap;
};

static bool add(struct reading *r, struct corpus_prompt prompt, struct err *err)
{
    if (r->count == CORPUS_MAX_ITEMS)
        return err_set(err, ERR_INPUT, "more than %d prompts", CORPUS_MAX_ITEMS);
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 64;
        struct corpus_prompt *grown = realloc(r->prompts, r->cap * sizeof *grown);
        if (!grown)
            abort();
        r->prompts = grown;
    }
    r->prompts[r->count++] = prompt;
    return true;
}

static bool take_text_line(void *ctx, const char *line, size_t len, struct err *err)
{
    struct reading *r = ctx;
    if (!corpus_text_check(line, len, err))
        return false;
    return add(r, (struct corpus_prompt){.prompt = corpus_text_keep(r->arena, line, len)}, err);
}

static bool take_messages(struct reading *r, const json_t *messages, struct corpus_prompt *prompt,
                          struct err *err)
{
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return err_set(err, ERR_INPUT, "\"messages\" is not a list of messages");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const json_t *content = json_object_get(message, "content");
        if (!json_get_text(message, "role") ||
            (!json_is_string(content) && !json_is_array(content)))
            return err_set(err, ERR_INPUT, "message %zu lacks \"role\" or \"content\"", i + 1);
    }
    AUTO(free) char *text = json_dump_text(messages);
    prompt->messages = arena_strdup(r->arena, text);
    return true;
}

/* Input tensors of KServe's protocol, sent as they are. */
static bool take_inputs(struct reading *r, const json_t *inputs, struct corpus_prompt *prompt,
                        struct err *err)
{
    if (!json_is_array(inputs) || json_array_size(inputs) == 0)
        return err_set(err, ERR_INPUT, "\"inputs\" is not a list of tensors");
    for (size_t i = 0; i < json_array_size(inputs); i++) {
        const json_t *tensor = json_array_get(inputs, i);
        if (!json_get_text(tensor, "name") || !json_get_text(tensor, "datatype") ||
            !json_is_array(json_object_get(tensor, "shape")) ||
            !json_is_array(json_object_get(tensor, "data")))
            return err_set(err, ERR_INPUT,
                           "input %zu lacks \"name\", \"datatype\", \"shape\" or \"data\"", i + 1);
    }
    AUTO(free) char *text = json_dump_text(inputs);
    prompt->inputs = arena_strdup(r->arena, text);
    return true;
}

static bool take_max_tokens(const json_t *value, struct corpus_prompt *prompt, struct err *err)
{
    if (!value || json_is_null(value))
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > 1000000)
        return err_set(err, ERR_INPUT, "\"max_tokens\" is not a number from 1 to 1000000");
    prompt->max_tokens = (int)json_integer_value(value);
    return true;
}

static bool take_object(struct reading *r, const json_t *root, struct err *err)
{
    struct corpus_prompt prompt = {0};
    const json_t *text = json_object_get(root, "prompt");
    const json_t *messages = json_object_get(root, "messages");
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, "not a JSON object; wants {\"prompt\": \"...\"}");
    const json_t *inputs = json_object_get(root, "inputs");
    if (inputs && !text && !messages)
        return take_inputs(r, inputs, &prompt, err) && add(r, prompt, err);
    if (!text == !messages)
        return err_set(err, ERR_INPUT, "wants one of \"prompt\" and \"messages\", has %s",
                       text ? "both" : "neither");
    if (text && json_string_length(text) == 0)
        return err_set(err, ERR_INPUT, "\"prompt\" is not a text, or empty");
    if (text)
        prompt.prompt = arena_strdup(r->arena, json_string_value(text));
    if (messages && !take_messages(r, messages, &prompt, err))
        return false;
    return take_max_tokens(json_object_get(root, "max_tokens"), &prompt, err) &&
           add(r, prompt, err);
}

static bool take_json_line(void *ctx, const char *line, size_t len, struct err *err)
{
    json_error_t problem;
    AUTO_JSON json_t *root = json_loadb(line, len, JSON_DECODE_ANY, &problem);
    if (!root)
        return err_set(err, ERR_INPUT, "not JSON: %s", problem.text);
    return take_object(ctx, root, err);
}

bool corpus_load_prompts(struct arena *arena, const char *path, struct corpus *ret_corpus,
                         struct err *err)
{
    struct reading r = {.arena = arena};
    bool plain = text_ends_with(path, ".txt");
    bool good = corpus_lines(path, plain ? take_text_line : take_json_line, &r, err);
    if (good && r.count == 0)
        good = err_set(err, ERR_INPUT, "%s: holds no prompt", path);
    if (good) {
        ret_corpus->prompts = arena_array(arena, r.count, sizeof *r.prompts);
        memcpy(ret_corpus->prompts, r.prompts, r.count * sizeof *r.prompts);
        ret_corpus->prompt_count = r.count;
    }
    free(r.prompts);
    return good;
}
