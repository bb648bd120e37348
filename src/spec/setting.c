/* A setting's text for one candidate. Leaving out is contagious: when one placeholder of a text has
 * nothing to put in, the whole text goes, because half an argument is worse than none. */
#include "spec/space.h"
#include "spec/template.h"

#include <string.h>

static const struct spec_value *find_value(const struct spec_study *study,
                                           const struct spec_candidate *candidate, size_t service,
                                           const struct spec_piece *piece)
{
    for (size_t i = 0; i < study->knob_count; i++) {
        const struct spec_knob *knob = &study->knobs[i];
        if (knob->service == service && strlen(knob->name) == piece->len &&
            strncmp(knob->name, piece->text, piece->len) == 0)
            return spec_candidate_value(study, candidate, i);
    }
    return NULL;
}

static bool is(const struct spec_piece *piece, const char *name)
{
    return strlen(name) == piece->len && strncmp(name, piece->text, piece->len) == 0;
}

/* What each request puts in stays a placeholder, for whoever runs the program. */
static bool is_of_request(const struct spec_study *study, size_t service,
                          const struct spec_piece *piece)
{
    return study->services[service].by_request &&
           (is(piece, "audio") || is(piece, "prompt") || is(piece, "text_file"));
}

bool spec_setting_hands_on(const struct spec_study *study, size_t service,
                           const struct spec_setting *setting)
{
    const char *text = setting->text;
    if (!setting->name || !text)
        return false;
    const size_t len = strlen(setting->name);
    if (strlen(text) != len + 2 || text[0] != '{' || text[len + 1] != '}' ||
        strncmp(text + 1, setting->name, len) != 0)
        return false;
    for (size_t i = 0; i < study->knob_count; i++)
        if (study->knobs[i].service == service && strcmp(study->knobs[i].name, setting->name) == 0)
            return false;
    return true;
}

bool spec_setting_expand(const struct spec_study *study, const struct spec_candidate *candidate,
                         size_t service, const char *text, int port, const char *scratch,
                         struct buf *ret_text)
{
    struct spec_piece piece;
    size_t start = ret_text->len;
    if (!text)
        return false;
    while (spec_template_next(&text, &piece)) {
        if (piece.kind != PIECE_NAME) {
            buf_addf(ret_text, "%.*s", (int)piece.len, piece.text);
        } else if (is_of_request(study, service, &piece)) {
            buf_addf(ret_text, "{%.*s}", (int)piece.len, piece.text);
        } else if (is(&piece, "port")) {
            buf_addf(ret_text, "%d", port);
        } else if (is(&piece, "dir")) {
            buf_add(ret_text, scratch ? scratch : "");
        } else if (is(&piece, "study")) {
            buf_add(ret_text, study->folder);
        } else {
            const struct spec_value *value = find_value(study, candidate, service, &piece);
            if (!value || !value->text) {
                ret_text->len = start; /* nothing is appended when it is left out */
                if (ret_text->data)
                    ret_text->data[start] = '\0';
                return false;
            }
            buf_add(ret_text, value->text);
        }
    }
    return true;
}
