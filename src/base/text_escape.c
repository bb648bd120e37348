/* Outside text made harmless: what a service prints reaches terminals, Markdown and HTML.
 *
 * The text is decoded as strict UTF-8 and each character is judged whole; filtering single bytes
 * was rejected because it either lets C1 controls and bidirectional overrides through or destroys
 * every foreign script. What is refused stays visible as \xNN: evidence is shown, not dropped. */
#include "base/text.h"

#include <locale.h>
#include <string.h>
#include <wchar.h>

struct range {
    uint32_t first, last;
};

/* Steers a terminal, ends a line behind our back, or reorders the text around it. */
static const struct range steering[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},     /* C0, DEL, C1 */
    {0x2028, 0x2029},                   /* line and paragraph separator */
    {0x202a, 0x202e}, {0x2066, 0x2069}, /* bidirectional embeddings, overrides and isolates */
};

int text_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

size_t text_utf8_next(const char *text, size_t len, uint32_t *ret_code)
{
    /* By the number of bytes: marker bits, their mask, and the smallest code not overlong. */
    static const struct {
        unsigned char mask, mark;
        uint32_t smallest;
    } kinds[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t k = 0; len > 0 && k < ARRAY_LEN(kinds); k++) {
        if ((bytes[0] & kinds[k].mask) != kinds[k].mark)
            continue;
        if (k >= len)
            return 0;
        uint32_t code = bytes[0] & (unsigned char)~kinds[k].mask;
        for (size_t i = 1; i <= k; i++) {
            if ((bytes[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (bytes[i] & 0x3f);
        }
        if (code < kinds[k].smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return 0;
        *ret_code = code;
        return k + 1;
    }
    return 0;
}

static bool steers(uint32_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(steering); i++) {
        if (code >= steering[i].first && code <= steering[i].last)
            return true;
    }
    return false;
}

static void add_hex(struct buf *buf, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf_addf(buf, "\\x%02x", (unsigned char)bytes[i]);
}

static void add_html(struct buf *buf, char c)
{
    static const char *const entities[128] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;",
    };
    if (entities[(unsigned char)c])
        buf_add(buf, entities[(unsigned char)c]);
    else
        buf_addc(buf, c);
}

static void add_ascii(struct buf *buf, enum text_target target, char c)
{
    if (target == TEXT_HTML) {
        add_html(buf, c);
        return;
    }
    if (target == TEXT_MARKDOWN && strchr("|*_`[]<>#\\&~", c))
        buf_addf(buf, "\\%c", c);
    else
        buf_addc(buf, c);
}

void text_add_escaped(struct buf *buf, enum text_target target, const char *text, size_t len,
                      size_t max)
{
    size_t end = len < max ? len : max;
    /* Stops at the first piece that does not fit, so that no escape is missing in the middle. */
    for (size_t at = 0; at < end && !buf->over;) {
        uint32_t code = 0;
        size_t size = text_utf8_next(text + at, len - at, &code);
        if (at + size > end)
            return; /* `max` falls inside a good character: leave it out whole */
        if (size == 0)
            add_hex(buf, text + at, 1);
        else if (code == '\n' || code == '\t')
            buf_addc(buf, ' ');
        else if (steers(code))
            add_hex(buf, text + at, size);
        else if (size == 1)
            add_ascii(buf, target, text[at]);
        else if (!buf_append(buf, text + at, size))
            return;
        at += size ? size : 1;
    }
}

/* wcwidth answers for the locale of the thread, and this program runs in "C", where it knows ASCII
 * alone; so the width is asked under the UTF-8 locale that every glibc has built in. */
size_t text_columns(const char *text)
{
    size_t len = strlen(text), columns = 0;
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
    for (size_t at = 0; at < len;) {
        uint32_t code = 0;
        size_t size = text_utf8_next(text + at, len - at, &code);
        int width = size > 1 && utf8 ? wcwidth((wchar_t)code) : 1;
        columns += width < 0 ? 1 : (size_t)width;
        at += size ? size : 1;
    }
    if (utf8) {
        uselocale(before);
        freelocale(utf8);
    }
    return columns;
}
