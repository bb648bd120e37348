/* Study files of any bytes: either one printable line that names the file, or a study whose
 * candidates can be counted, listed, written, read back and expanded. */
#include "spec/study.h"

#include "base/buf.h"
#include "unit/spec/fixture.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void check_message(const struct err *err)
{
    check(err->code == ERR_INPUT && strncmp(err->text, "f.yaml:", 7) == 0);
    for (const char *c = err->text; *c; c++)
        check((unsigned char)*c >= ' ' && *c != 0x7f);
}

static void check_settings(const struct spec_study *study, const struct spec_candidate *candidate)
{
    for (size_t s = 0; s < study->service_count; s++) {
        const struct spec_service *service = &study->services[s];
        const struct spec_engine_use *use = spec_candidate_engine(study, candidate, s);
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
        for (size_t i = 0; i < service->command_count; i++)
            (void)spec_setting_expand(study, candidate, s, service->command[i].text, 1, "d", &text);
        for (size_t i = 0; use && i < use->setting_count; i++)
            (void)spec_setting_expand(study, candidate, s, use->settings[i].text, 1, "d", &text);
        spec_candidate_add_service_text(&text, study, candidate, s);
        (void)spec_candidate_protocol(study, candidate, s);
        check(spec_candidate_device(study, candidate, s) < study->device_count);
    }
}

static void check_study(const struct spec_study *study)
{
    enum { LISTED = 64 };
    spec_code *codes = NULL;
    size_t count = 0;
    if (spec_space_combinations(study) > 20000)
        return;
    uint64_t counted = spec_space_count(study);
    check(counted > 0 && counted <= spec_space_combinations(study));
    check(spec_space_list(study, 20000, &codes, &count, NULL) && count == counted);
    for (size_t i = 0; i < count && i < LISTED; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
        struct spec_candidate candidate = spec_candidate_decode(study, codes[i]), again;
        check(spec_candidate_code(study, &candidate) == codes[i]);
        spec_candidate_add_text(&text, study, &candidate);
        check(spec_candidate_parse(study, buf_text(&text), &again, NULL));
        check(spec_candidate_code(study, &again) == codes[i]);
        check_settings(study, &candidate);
    }
    free(codes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(spec_study_free) struct spec_study *study = NULL;
    struct err err = ERR_INIT;
    bool ok = spec_study_parse("f.yaml", (const char *)data, size, &fixture_catalog, &study, &err);
    check(ok == (study != NULL));
    if (ok)
        check_study(study);
    else
        check_message(&err);
    return 0;
}
