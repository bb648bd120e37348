/* Requests in JSON. An option that nobody set is left out of the request instead of being sent with
 * a value of ours: what a server does by itself is then what is measured, and a server that does
 * not know the member is not asked about it. */
#include "load/protocols/json_request.h"

#include "base/json.h"
#include "base/text.h"

#include <string.h>

bool load_setting_is_true(const struct load_stream *stream, const char *name)
{
    const char *text = load_stream_setting(stream, name);
    return text && strcmp(text, "true") == 0;
}

void load_json_set_number(json_t *object, const struct load_stream *stream, const char *name)
{
    const char *text = load_stream_setting(stream, name);
    int64_t whole;
    double real;
    if (text && text_to_i64(text, &whole))
        json_object_set_new(object, name, json_integer(whole));
    else if (text && text_to_double(text, &real))
        json_object_set_new(object, name, json_real(real));
}

void load_json_set_text(json_t *object, const struct load_stream *stream, const char *name)
{
    const char *text = load_stream_setting(stream, name);
    if (text)
        json_object_set_new(object, name, json_text_or_null(text));
}

void load_json_set_bool(json_t *object, const struct load_stream *stream, const char *name)
{
    if (load_stream_setting(stream, name))
        json_object_set_new(object, name, json_boolean(load_setting_is_true(stream, name)));
}

bool load_json_request(json_t *body, const struct load_input *input, bool expects_stream,
                       struct load_request *ret_request, struct err *err)
{
    AUTO(free) char *text = json_dump_text(body);
    json_decref(body);
    size_t len = strlen(text);
    struct load_request request = {
        .body = BUF_INIT(len),
        .content_type = BUF_INIT(64),
        .expects_stream = expects_stream,
    };
    if (!buf_append(&request.body, text, len))
        return err_set(err, ERR_LIMIT, "prompt %zu is too long", input->item + 1);
    buf_add(&request.content_type, "application/json");
    *ret_request = request;
    return true;
}
