/* Keys: where they come from, where they may go, and that nothing shows them. */
#include "load/upstream.h"

#include "check.h"
#include "plan_of.h"

#include "load/transport.h"

static const struct {
    const char *value; /* NULL: not set */
    const char *says;  /* NULL: good */
} keys[] = {
    {"sk-0123456789abcdef", NULL}, {"a", NULL},
    {NULL, "TEST_KEY is not set"}, {"", "is empty"},
    {"sk-with blank", "byte 8"},   {"sk-\r\nX-Evil: 1", "byte 4"},
    {"sk-\xc3\xa9", "byte 4"},
};

static void test_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const char *name = keys[i].value ? keys[i].value : "(none)", *key = NULL;
        struct err err = ERR_INIT;
        unsetenv("TEST_KEY");
        if (keys[i].value)
            setenv("TEST_KEY", keys[i].value, 1);
        bool good = load_upstream_key("TEST_KEY", &key, &err);
        CHECK_ROW(i, name, good == !keys[i].says);
        if (good) {
            CHECK_ROW_TEXT(i, name, key, keys[i].value);
            continue;
        }
        CHECK_ROW(i, name, err.code == ERR_INPUT && !key);
        CHECK_ROW(i, name, strstr(err.text, keys[i].says) != NULL);
        CHECK_ROW(i, name, !strstr(err.text, "sk-"));
    }
    unsetenv("TEST_KEY");
}

static const struct {
    const char *url, *key, *ca;
    const char *target; /* NULL: refused */
    const char *addresses;
} targets[] = {
    {"http://localhost:1/x", NULL, NULL, "http://127.0.0.1:1/x"},
    {"http://127.0.0.1:1/x", "k", NULL, "http://127.0.0.1:1/x"},
    {"https://localhost:1/x", "k", NULL, "https://localhost:1/x 127.0.0.1", "127.0.0.1"},
    {"https://10.0.0.1/x", "k", NULL, "https://10.0.0.1/x"},
    {"http://10.0.0.1/x", NULL, NULL, "http://10.0.0.1/x"},
    {"http://10.0.0.1/x", "k", NULL, NULL}, /* a key in clear text */
    {"https://10.0.0.1/x", "k\n", NULL, NULL},
    {"http://127.0.0.1/x", NULL, "/dev/null", NULL},
    {"https://127.0.0.1/x", NULL, "/dev/null", NULL},
    {"https://127.0.0.1/x", NULL, "/nonexistent", NULL},
    {"https://spica.invalid/", NULL, NULL, NULL},
};

static const struct corpus prompts = PROMPTS({.prompt = "one"});

static void test_targets(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct load_plan plan = plan_of("openai-chat", &prompts, targets[i].url);
        plan.streams[0].api_key = targets[i].key;
        plan.streams[0].ca = targets[i].ca;
        char target[LOAD_TARGET_MAX] = "";
        struct err err = ERR_INIT;
        bool good = load_upstream_check(&plan.streams[0], target, sizeof target, &err);
        CHECK_ROW(i, targets[i].url, good == (targets[i].target != NULL));
        if (!good) {
            CHECK_ROW(i, targets[i].url, err.code == ERR_INPUT || err.code == ERR_MISSING);
            continue;
        }
        CHECK_ROW_TEXT(i, targets[i].url, target, targets[i].target);
        const char *addresses = load_upstream_addresses(target);
        CHECK_ROW(i, targets[i].url, !addresses == !targets[i].addresses);
        if (addresses)
            CHECK_ROW_TEXT(i, targets[i].url, addresses, targets[i].addresses);
    }
}

static const struct {
    const char *text, *shown;
} texts[] = {
    {"nothing of it", "nothing of it"},
    {"key sk-abcdef is wrong", "key ********* is wrong"},
    {"sk-abcdefsk-abcdef", "******************"},
    {"cut: sk-abc", "cut: ******"},
    {"cut: sk-", "cut: sk-"}, /* too short to tell anything */
    {"sk-abcdeX", "sk-abcdeX"},
    {"sk-a", "****"},
    {"", ""},
};

static void test_redact(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct buf text = BUF_INIT(64);
        buf_add(&text, texts[i].text);
        load_upstream_redact("sk-abcdef", &text);
        CHECK_ROW_TEXT(i, texts[i].text, buf_text(&text), texts[i].shown);
        load_upstream_redact(NULL, &text);
        CHECK_ROW_TEXT(i, texts[i].text, buf_text(&text), texts[i].shown);
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_redact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
