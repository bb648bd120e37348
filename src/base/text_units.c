/* Numbers with units, read from people and shown to people.
 *
 * Reading: digits, at most one dot, at most one blank, a unit of the table; no sign, no exponent,
 * no bare number, because "timeout: 30" has cost everybody an afternoon once. Whole numbers stay
 * integers all the way, so that no nanosecond is lost to a double.
 * Showing: three significant digits, and the unit is chosen after rounding: 0.9996 ms is "1.00 ms",
 * never "1000 us". Unknown (NaN) and infinite print "unknown". */
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit duration_units[] = {
    {"ns", 1},
    {"us", INT64_C(1000)},
    {"ms", 1000 * 1000},
    {"s", INT64_C(1000000000)},
    {"m", INT64_C(60) * 1000000000},
    {"h", INT64_C(3600) * 1000000000},
};

static const struct unit byte_units[] = {
    {"B", 1},
    {"kB", 1000},
    {"MB", 1000 * 1000},
    {"GB", 1000 * 1000 * 1000},
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
    {"TiB", INT64_C(1) << 40},
};

static const char *const shown_byte_units[] = {"B", "KiB", "MiB", "GiB", "TiB"};

/* Above this a whole number of units no longer fits an int64_t with room to spare. */
static const double SHOWN_MAX = 1e15;

static const struct unit *find_unit(const struct unit *units, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(units[i].name, name) == 0)
            return &units[i];
    }
    return NULL;
}

static bool scale(const char *number, int64_t factor, int64_t *ret_value)
{
    int64_t whole = 0;
    if (!strchr(number, '.'))
        return text_to_i64(number, &whole) && !__builtin_mul_overflow(whole, factor, ret_value);
    double real = 0;
    if (!text_to_double(number, &real) || real * (double)factor >= 0x1p63)
        return false;
    *ret_value = llround(real * (double)factor);
    return true;
}

static bool read_with_unit(const char *text, const struct unit *units, size_t count,
                           int64_t *ret_value)
{
    char number[64];
    size_t len = strspn(text, "0123456789.");
    if (len == 0 || len >= sizeof number)
        return false;
    memcpy(number, text, len);
    number[len] = '\0';
    const struct unit *unit = find_unit(units, count, text + len + (text[len] == ' '));
    int64_t value = 0;
    if (!unit || !scale(number, unit->factor, &value))
        return false;
    *ret_value = value;
    return true;
}

bool text_to_duration_ns(const char *text, int64_t *ret_ns)
{
    /* Nothing is the same in every unit. */
    if (strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return true;
    }
    return read_with_unit(text, duration_units, ARRAY_LEN(duration_units), ret_ns);
}

bool text_to_bytes(const char *text, int64_t *ret_bytes)
{
    return read_with_unit(text, byte_units, ARRAY_LEN(byte_units), ret_bytes);
}

/* `value` >= 0 with three significant digits, never more than three after the point. */
static void add_three_digits(struct buf *buf, double value)
{
    static const double bounds[] = {0.9995, 9.995, 99.95}; /* below: 3, 2, 1 digits after it */
    int digits = 3;
    for (size_t i = 0; i < ARRAY_LEN(bounds) && value >= bounds[i]; i++)
        digits--;
    buf_addf(buf, "%.*f", digits, value);
}

static void add_short_duration(struct buf *buf, double seconds)
{
    static const struct {
        double below, per_second;
        const char *unit;
    } steps[] = {{0.9995e-3, 1e6, "us"}, {0.9995, 1e3, "ms"}, {INFINITY, 1, "s"}};
    size_t i = 0;
    while (seconds >= steps[i].below)
        i++;
    add_three_digits(buf, seconds * steps[i].per_second);
    buf_addf(buf, " %s", steps[i].unit);
}

void text_add_duration(struct buf *buf, double seconds)
{
    if (!isfinite(seconds)) {
        buf_add(buf, "unknown");
        return;
    }
    if (seconds < 0)
        buf_addc(buf, '-');
    seconds = fabs(seconds);
    if (seconds == 0)
        buf_add(buf, "0 s");
    else if (seconds < 119.5)
        add_short_duration(buf, seconds);
    else if (seconds >= SHOWN_MAX)
        buf_addf(buf, "%.3g s", seconds);
    else if (seconds < 7199.5)
        buf_addf(buf, "%lld min %02lld s", llround(seconds) / 60, llround(seconds) % 60);
    else
        buf_addf(buf, "%lld h %02lld min", llround(seconds / 60) / 60, llround(seconds / 60) % 60);
}

void text_add_bytes(struct buf *buf, double bytes)
{
    if (!isfinite(bytes)) {
        buf_add(buf, "unknown");
        return;
    }
    if (bytes < 0)
        buf_addc(buf, '-');
    double value = fabs(bytes);
    /* The next unit only from ten of it on: "2,260 MiB" tells more than "2.21 GiB", and sizes on
     * one page can be subtracted in one's head. */
    size_t unit = 0;
    while (value >= 10 * 1024 && unit + 1 < ARRAY_LEN(shown_byte_units)) {
        value /= 1024;
        unit++;
    }
    if (value >= SHOWN_MAX)
        buf_addf(buf, "%.3g", value);
    else if (unit == 0 || value >= 999.5)
        text_add_grouped(buf, llround(value));
    else
        add_three_digits(buf, value);
    buf_addf(buf, " %s", shown_byte_units[unit]);
}

void text_add_grouped(struct buf *buf, int64_t value)
{
    char digits[24];
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    int len = snprintf(digits, sizeof digits, "%" PRIu64, magnitude);
    if (value < 0)
        buf_addc(buf, '-');
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            buf_addc(buf, ',');
        buf_addc(buf, digits[i]);
    }
}
