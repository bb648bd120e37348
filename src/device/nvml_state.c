/* The card's state beside memory and processes: how busy, how fast, how hot, and in which modes.
 *
 * Most readings are one number behind one function of one shape: they stand in a table, and a
 * function that the driver does not have is a reading that is not known. */
#include "device/nvml_driver.h"

#include "base/text.h"
#include "device/nvml_abi.h"

#include <limits.h>
#include <string.h>

enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, ECC_CORRECTED = 0, ECC_UNCORRECTED = 1 };

/* Bits of the throttle reasons that mean slower than asked for. The others: 1 idle, 2 a clock that
 * somebody set, 256 a display. */
static const struct {
    unsigned long long bit;
    const char *words;
} throttles[] = {
    {0x004, "power cap"},
    {0x008, "slowed by the hardware"},
    {0x010, "kept at other cards' clocks"},
    {0x020, "too hot"},
    {0x040, "too hot for the hardware"},
    {0x080, "power brake"},
};

static struct reading number(int code, unsigned value, double unit)
{
    return code == NVML_OK && value != UINT_MAX ? reading_known(READING_FROM_NVML, value * unit)
                                                : READING_NONE;
}

static struct reading share(int code, unsigned percent)
{
    return percent <= 100 ? number(code, percent, 0.01) : READING_NONE;
}

static struct reading clock_of(const struct nvml_card *card, unsigned kind)
{
    unsigned mhz = 0;
    int (*ask)(void *, unsigned, unsigned *) = card->nvml->api.clock;
    int code = ask ? ask(card->handle, kind, &mhz) : NVML_FUNCTION_NOT_FOUND;
    return number(code, mhz, 1e6);
}

static struct reading ecc_of(const struct nvml_card *card, unsigned kind)
{
    unsigned long long count = 0;
    int (*ask)(void *, unsigned, unsigned, unsigned long long *) = card->nvml->api.ecc;
    int code = ask ? ask(card->handle, kind, 0, &count) : NVML_FUNCTION_NOT_FOUND;
    return code == NVML_OK && count != ULLONG_MAX ? reading_known(READING_FROM_NVML, (double)count)
                                                  : READING_NONE;
}

static struct reading simple(const struct nvml_card *card, int (*ask)(void *, unsigned *),
                             double unit)
{
    unsigned value = 0;
    int code = ask ? ask(card->handle, &value) : NVML_FUNCTION_NOT_FOUND;
    return number(code, value, unit);
}

static int ask_use(struct nvml_card *card, struct nvml_abi_use *ret_use)
{
    int (*ask)(void *, struct nvml_abi_use *) = card->nvml->api.use;
    int code = ask ? ask(card->handle, ret_use) : NVML_FUNCTION_NOT_FOUND;
    if (code == NVML_GPU_IS_LOST)
        card->fault = code;
    return code;
}

struct reading nvml_driver_busy(struct nvml_card *card)
{
    struct nvml_abi_use use = {0};
    int code = ask_use(card, &use);
    return share(code, use.gpu);
}

void nvml_driver_state(struct nvml_card *card, struct nvml_state *ret_state)
{
    const struct nvml_api *api = &card->nvml->api;
    struct nvml_abi_use use = {0};
    unsigned celsius = 0, mig = 0, pending = 0;
    unsigned long long throttle = 0;
    int code = ask_use(card, &use);
    struct nvml_state state = {
        .busy_ratio = share(code, use.gpu),
        .memory_busy_ratio = share(code, use.memory),
        .sm_clock_hz = clock_of(card, CLOCK_SM),
        .memory_clock_hz = clock_of(card, CLOCK_MEMORY),
        .throttle_reasons = READING_NONE,
        .power_watt = simple(card, api->power, 1e-3),
        .power_limit_watt = simple(card, api->power_limit, 1e-3),
        .ecc_corrected = ecc_of(card, ECC_CORRECTED),
        .ecc_uncorrected = ecc_of(card, ECC_UNCORRECTED),
        .compute_mode = simple(card, api->compute_mode, 1),
        .accounting_enabled = simple(card, api->accounting, 1),
    };
    if (api->throttle && api->throttle(card->handle, &throttle) == NVML_OK &&
        throttle != ULLONG_MAX)
        state.throttle_reasons = reading_known(READING_FROM_NVML, (double)throttle);
    code = api->temperature ? api->temperature(card->handle, 0, &celsius) : NVML_FUNCTION_NOT_FOUND;
    state.temperature_celsius = number(code, celsius, 1);
    code = api->mig_mode ? api->mig_mode(card->handle, &mig, &pending) : NVML_FUNCTION_NOT_FOUND;
    state.mig_enabled = number(code, mig, 1);
    *ret_state = state;
}

void nvml_throttle_words(const struct reading *reasons, char *ret_text, size_t size)
{
    double bits = reading_value(*reasons);
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    if (bits >= 0 && bits < 0x1p53) {
        for (size_t i = 0; i < ARRAY_LEN(throttles); i++) {
            if ((unsigned long long)bits & throttles[i].bit)
                buf_addf(&text, "%s%s", text.len ? ", " : "", throttles[i].words);
        }
    }
    snprintf(ret_text, size, "%s", buf_text(&text));
}
