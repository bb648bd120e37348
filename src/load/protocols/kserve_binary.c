/* Tensors as bytes.
 *
 * What an answer has in binary is checked as its JSON twin is: as many values as the shape says,
 * and no NaN or infinity among real ones. Where the JSON of a body ends is told by its own braces,
 * not by the header that an answer has for it: the two must agree anyway, and a reader that needs
 * no headers can be given a body alone. The sizes of all tensors then have to fill the rest
 * exactly.
 *
 * Invariant: nothing is read beyond `len`, whatever lengths stand in the bytes. */
#include "load/protocols/kserve_binary.h"

#include "base/json.h"
#include "base/text.h"
#include "load/protocols/json_answer.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { VALUE_BYTES_MAX = 8, LENGTH_BYTES = 4 };
enum form { FORM_TRUTH, FORM_SIGNED, FORM_UNSIGNED, FORM_REAL, FORM_TEXT };

static const struct datatype {
    const char *name;
    enum form form;
    unsigned bytes; /* of a value; 0: each has its own */
    unsigned
        fraction; /* FORM_REAL: bits of the fraction; what is left beside the sign is exponent */
} datatypes[] = {
    {"BOOL", FORM_TRUTH, 1, 0},      {"INT8", FORM_SIGNED, 1, 0},
    {"INT16", FORM_SIGNED, 2, 0},    {"INT32", FORM_SIGNED, 4, 0},
    {"INT64", FORM_SIGNED, 8, 0},    {"UINT8", FORM_UNSIGNED, 1, 0},
    {"UINT16", FORM_UNSIGNED, 2, 0}, {"UINT32", FORM_UNSIGNED, 4, 0},
    {"UINT64", FORM_UNSIGNED, 8, 0}, {"FP16", FORM_REAL, 2, 10},
    {"BF16", FORM_REAL, 2, 7},       {"FP32", FORM_REAL, 4, 23},
    {"FP64", FORM_REAL, 8, 52},      {"BYTES", FORM_TEXT, 0, 0},
};

static const struct datatype *find(const char *name)
{
    for (size_t i = 0; name && i < ARRAY_LEN(datatypes); i++)
        if (strcmp(datatypes[i].name, name) == 0)
            return &datatypes[i];
    return NULL;
}

static uint64_t exponent_mask(const struct datatype *type)
{
    return (UINT64_C(1) << (8 * type->bytes - 1)) - (UINT64_C(1) << type->fraction);
}

/* Rounded to the nearest, ties to even, as the processor would; false: too large. */
static bool real_bits(const struct datatype *type, double value, uint64_t *ret_bits)
{
    const int width = (int)(8 * type->bytes - 1 - type->fraction);
    const int bias = (1 << (width - 1)) - 1;
    const uint64_t sign = signbit(value) ? UINT64_C(1) << (8 * type->bytes - 1) : 0;
    int exponent = 0;
    *ret_bits = sign;
    if (value == 0)
        return true;
    frexp(value, &exponent);
    exponent = exponent - 1 < 1 - bias ? 1 - bias : exponent - 1; /* below that: subnormal */
    const double steps = nearbyint(ldexp(fabs(value), (int)type->fraction - exponent));
    const uint64_t size = ((uint64_t)(exponent + bias - 1) << type->fraction) +
                          (uint64_t)steps; /* a carry is right */
    *ret_bits = sign | size;
    return size < exponent_mask(type);
}

static bool whole_bits(const struct datatype *type, int64_t value, uint64_t *ret_bits)
{
    const unsigned bits = 8 * type->bytes;
    const int64_t most = bits == 64 ? INT64_MAX : (INT64_C(1) << (bits - 1)) - 1;
    *ret_bits = (uint64_t)value;
    if (type->form == FORM_SIGNED)
        return value >= -most - 1 && value <= most;
    return value >= 0 && (bits == 64 || value < INT64_C(1) << bits);
}

static bool pack_text(const json_t *value, struct buf *bytes)
{
    const size_t len = json_string_length(value);
    unsigned char length[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (unsigned char)(len >> (8 * i));
    return json_is_string(value) && len <= UINT32_MAX && buf_append(bytes, length, sizeof length) &&
           buf_append(bytes, json_string_value(value), len);
}

static bool pack_value(const struct datatype *type, const json_t *value, struct buf *bytes)
{
    unsigned char raw[VALUE_BYTES_MAX];
    uint64_t bits = 0;
    bool fits = false;
    switch (type->form) {
    case FORM_TEXT:
        return pack_text(value, bytes);
    case FORM_TRUTH:
        bits = json_is_true(value);
        fits = json_is_boolean(value);
        break;
    case FORM_SIGNED:
    case FORM_UNSIGNED:
        fits = json_is_integer(value) && whole_bits(type, json_integer_value(value), &bits);
        break;
    case FORM_REAL:
        fits = json_is_number(value) && real_bits(type, json_number_value(value), &bits);
        break;
    }
    for (unsigned i = 0; i < type->bytes; i++)
        raw[i] = (unsigned char)(bits >> (8 * i));
    return fits && buf_append(bytes, raw, type->bytes);
}

enum { NESTING_MAX = 16 };

static bool pack_data(const struct datatype *type, const json_t *data, int depth, struct buf *bytes)
{
    size_t i = 0;
    const json_t *value = NULL;
    json_array_foreach(data, i, value)
    {
        bool packed = json_is_array(value)
                          ? depth < NESTING_MAX && pack_data(type, value, depth + 1, bytes)
                          : pack_value(type, value, bytes);
        if (!packed)
            return false;
    }
    return json_is_array(data);
}

bool load_kserve_pack(json_t *tensors, struct buf *bytes, struct buf *why)
{
    size_t i = 0;
    json_t *tensor = NULL;
    json_array_foreach(tensors, i, tensor)
    {
        const char *datatype = json_get_text(tensor, "datatype");
        const struct datatype *type = find(datatype);
        const size_t start = bytes->len;
        if (!type || !pack_data(type, json_object_get(tensor, "data"), 0, bytes)) {
            buf_addf(why, "input %zu has %s", i + 1,
                     !type ? "no datatype that has a binary form"
                           : "data that its datatype can't hold");
            return false;
        }
        json_object_del(tensor, "data");
        json_t *parameters = json_object_get(tensor, "parameters");
        if (!json_is_object(parameters)) {
            parameters = json_object();
            json_object_set_new(tensor, "parameters", parameters);
        }
        json_object_set_new(parameters, "binary_data_size",
                            json_integer((json_int_t)(bytes->len - start)));
    }
    return true;
}

static uint64_t bits_at(const char *bytes, unsigned count)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < count; i++)
        bits |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    return bits;
}

/* Pictures come as texts too: what is no text is counted and not kept. */
static void keep_text(const char *bytes, size_t len, struct buf *text)
{
    for (size_t at = 0; at < len;) {
        uint32_t code = 0;
        size_t step = text_utf8_next(bytes + at, len - at, &code);
        if (step == 0)
            return;
        at += step;
    }
    load_text_add(text, bytes, len);
}

static int64_t count_texts(const char *bytes, size_t len, struct buf *text)
{
    int64_t count = 0;
    for (size_t at = 0; at < len; count++) {
        if (len - at < LENGTH_BYTES)
            return -1;
        const size_t size = (size_t)bits_at(bytes + at, LENGTH_BYTES);
        at += LENGTH_BYTES;
        if (len - at < size)
            return -1;
        keep_text(bytes + at, size, text);
        at += size;
    }
    return count;
}

static bool is_value(const struct datatype *type, uint64_t bits)
{
    if (type->form == FORM_TRUTH)
        return bits <= 1;
    return type->form != FORM_REAL || (bits & exponent_mask(type)) != exponent_mask(type);
}

bool load_kserve_check(const char *datatype, int64_t count, const char *bytes, size_t len,
                       struct buf *why, struct buf *text)
{
    const struct datatype *type = find(datatype);
    if (!type) {
        buf_addf(why, "%.20s has no binary form", datatype ? datatype : "no datatype");
        return false;
    }
    const int64_t told = type->form == FORM_TEXT  ? count_texts(bytes, len, text)
                         : len % type->bytes == 0 ? (int64_t)(len / type->bytes)
                                                  : -1;
    if (told != count) {
        buf_addf(why, "%zu bytes for %lld values of %s", len, (long long)count, type->name);
        return false;
    }
    for (size_t at = 0; type->bytes > 0 && at < len; at += type->bytes)
        if (!is_value(type, bits_at(bytes + at, type->bytes))) {
            buf_addf(why, "a value that is none of its datatype");
            return false;
        }
    return true;
}

size_t load_kserve_head(const char *body, size_t len)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        char c = body[i];
        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\')
            i++;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']') && depth > 0 && --depth == 0)
            return i + 1;
    }
    return len;
}
