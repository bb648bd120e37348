/* What is hidden, and what must stay readable because a person approves by it. */
#include "promote/secret.h"

#include "base/digest.h"

#include "check.h"

#include <string.h>

static const struct {
    const char *name, *value;
    bool secret;
} values[] = {
    {"HF_TOKEN", "x", true},
    {"OPENAI_API_KEY", "abc", true},
    {"api-key", "abc", true},
    {"DB_PASSWORD", "/pass", true},
    {"DB_PASS", "x", true},
    {"PGPASSWORD", "x", true},
    {"MYSQL_PWD", "1234", true},
    {"dbpass", "x", true},
    {"REDISCLI_AUTH", "x", true},
    {"BASICAUTH", "x", true},
    {"USE_AUTH", "true", false},
    {"PWD", "/srv", false},
    {"PASSES", "2 of 3", false},
    {"DB_PASS_FILE", "/run/x", false},
    {"AUTHOR", "anna", false},
    {"MAX_TOKEN", "512", false},
    {"TOKENIZERS_PARALLELISM", "false", false},
    {"MAX_TOKENS", "many", false},
    {"SSL_KEY_FILE", "/etc/x.pem", false},
    {"HF_TOKEN", "", false},
    {"API_KEYS", "x", true},
    {"TOKENS", "a,b", true},
    {"CREDS", "x", true},
    {"JWT", "x", true},
    {"SESSION_COOKIE", "x", true},
    {"OPENAIKEY", "x", true},
    {"HFTOKEN", "x", true},
    {"SSHPRIVATEKEY", "x", true},
    {"AccountKey", "abc==", true},
    {"DB_PW", "x", true},
    {"SLACK_WEBHOOK_URL", "x", true},
    {"MONKEY", "x", false},
    {"max-num-batched-tokens", "auto", false},
    {"MAX_API_KEY", "x", true},
    {"MAX_TOKENS_SECRET", "x", true},
    {"API_KEYS_FILE", "/run/x", false},
    {"KEYBOARD", "de", false},
    {"MODEL", "sk-proj-0123456789", true},
    {"MODEL", "hf_abcdefghijkl", true},
    {"MODEL", "Qwen2.5-7B-Instruct-GPTQ-Int4", false},
    {"MODEL", "/srv/models/ggml-tiny.en-q5_1.bin", false},
    {"X", "Zm9vYmFyYmF6cXV4MTIzNDU2", true},
    {"CUDA_VISIBLE_DEVICES", "GPU-8f0a2b3c-1d2e-3f40-5162-738495a6b7c8", false},
    {"REVISION", "0123456789abcdef0123456789abcdef01234567", false},
};

static void knows_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (promote_is_secret(values[i].name, values[i].value) != values[i].secret)
            fail_msg("%s=%s", values[i].name, values[i].value);
}

/* Each sign stands for a hidden text. */
static const struct {
    char sign;
    const char *secret;
} signs[] = {
    {'@', "hunter2 x"},         {'#', "hunter2"},        {'%', "hunter2,TAIL"},
    {'~', "hunter2\nx"},        {'&', "Bearer hunter2"}, {'^', "|\n    hunter2\n\n    x"},
    {'!', "webhooks/7/hunter"},
};

static const struct {
    const char *text, *shown;
} texts[] = {
    {"Environment=\"HF_TOKEN=hunter2 x\"\n", "Environment=\"HF_TOKEN=@\"\n"},
    {"Environment=HF_TOKEN=hunter2\n", "Environment=HF_TOKEN=#\n"},
    {"HF_TOKEN=hunter2 x\nA=b\n", "HF_TOKEN=@\nA=b\n"},
    {"export HF_TOKEN=hunter2\n", "export HF_TOKEN=#\n"},
    {"HF_TOKEN=\"hunter2 x\"\n", "HF_TOKEN=\"@\"\n"},
    {"HF_TOKEN='hunter2 x'\n", "HF_TOKEN='@'\n"},
    {"+HF_TOKEN=hunter2\n", "+HF_TOKEN=#\n"},
    {"      HF_TOKEN: \"hunter2 x\"\n", "      HF_TOKEN: \"@\"\n"},
    {"      HF_TOKEN: hunter2 x\n", "      HF_TOKEN: @\n"},
    {"{\"HF_TOKEN\": \"hunter2\", \"A\": \"b\"}", "{\"HF_TOKEN\": \"#\", \"A\": \"b\"}"},
    {"ExecStart=/x --api-key hunter2 --port 1\n", "ExecStart=/x --api-key # --port 1\n"},
    {"ExecStart=/x --api-key=hunter2 --port 1\n", "ExecStart=/x --api-key=# --port 1\n"},
    {"ExecStart=/x \\\n    --api-key \\\n    hunter2 \\\n    --port 1\n",
     "ExecStart=/x \\\n    --api-key \\\n    # \\\n    --port 1\n"},
    {"command: [\"x\", \"--api-key\", \"hunter2 x\"]\n",
     "command: [\"x\", \"--api-key\", \"@\"]\n"},
    {"- name: HF_TOKEN\n  value: \"hunter2 x\"\n- name: B\n  value: \"c\"\n",
     "- name: HF_TOKEN\n  value: \"@\"\n- name: B\n  value: \"c\"\n"},
    {"MINE=hunter2\nOTHER=hunter3\n", "MINE=#\nOTHER=hunter3\n"},
    {"Environment=\"MINE=hunter2 x\" \"B=c d\"\n", "Environment=\"MINE=@\" \"B=c d\"\n"},
    {"# HF_TOKEN and others\nExecStart=/x --max-tokens 5 --key-file /k\n",
     "# HF_TOKEN and others\nExecStart=/x --max-tokens 5 --key-file /k\n"},
    {"UnsetEnvironment=HF_TOKEN\n", "UnsetEnvironment=HF_TOKEN\n"},
    {"HF_TOKEN=\n", "HF_TOKEN=\n"},
    /* A comma ends no value. */
    {"Environment=MINE=hunter2,TAIL B=c\n", "Environment=MINE=% B=c\n"},
    {"Environment=HF_TOKEN=hunter2,TAIL\n", "Environment=HF_TOKEN=%\n"},
    {"ExecStart=/x --api-key=hunter2,TAIL --port 1\n", "ExecStart=/x --api-key=% --port 1\n"},
    {"ExecStart=/x --api-key hunter2,TAIL --port 1\n", "ExecStart=/x --api-key % --port 1\n"},
    {"command: [/x, --api-key, hunter2, --port, 1]\n", "command: [/x, --api-key, #, --port, 1]\n"},
    /* More than one line. */
    {"DB_PASS=\"hunter2\nx\"\nA=b\n", "DB_PASS=\"~\"\nA=b\n"},
    {"DB_PASS='hunter2\nx'\nA=b\n", "DB_PASS='~'\nA=b\n"},
    {"DB_PASS=\"hunter2\nA=b\n", "DB_PASS=\"#\nA=b\n"},
    {"  DB_PASS: |\n    hunter2\n\n    x\n  A: b\n", "  DB_PASS: ^\n  A: b\n"},
    /* Who logs in where. */
    {"Authorization: Bearer hunter2\n", "Authorization: &\n"},
    {"ExecStart=/x -H \"Authorization: Bearer hunter2\" --port 1\n",
     "ExecStart=/x -H \"Authorization: &\" --port 1\n"},
    {"HEADER=Bearer hunter2\n", "HEADER=Bearer #\n"},
    {"URL=postgres://anna:hunter2@db:5432/x\n", "URL=postgres://anna:#@db:5432/x\n"},
    {"URL=redis://:hunter2@db/0\n", "URL=redis://:#@db/0\n"},
    /* In words of their own. */
    {"CONNECTION=Name=anna;AccountKey=hunter2\n", "CONNECTION=Name=anna;AccountKey=#\n"},
    {"ExecStart=/curl -u anna:hunter2 --port 1\n", "ExecStart=/curl -u anna:# --port 1\n"},
    {"ExecStart=/curl --user=\"anna:hunter2 x\"\n", "ExecStart=/curl --user=\"anna:@\"\n"},
    {"ExecStart=/docker -u 1000:1000 --user anna --port 1\n",
     "ExecStart=/docker -u 1000:1000 --user anna --port 1\n"},
    {"URL=https://hooks.x.com/hunter2 B=c\n", "URL=https://hooks.x.com/# B=c\n"},
    {"URL=https://x.com/webhooks/7/hunter\n", "URL=https://x.com/!\n"},
    {"ExecStart=/x --max-num-batched-tokens auto\n",
     "ExecStart=/x --max-num-batched-tokens auto\n"},
    /* Hidden before. */
    {"-u anna:<secret 1a2b3c4d> https://hooks.x.com/<secret 1a2b3c4d>",
     "-u anna:<secret 1a2b3c4d> https://hooks.x.com/<secret 1a2b3c4d>"},
    {"HF_TOKEN=<secret 1a2b3c4d>\n", "HF_TOKEN=<secret 1a2b3c4d>\n"},
    {"left: --api-key <secret 1a2b3c4d> --port 1", "left: --api-key <secret 1a2b3c4d> --port 1"},
    {"MINE: \"<secret 1a2b3c4d>\", redis://:<secret 1a2b3c4d>@db/0",
     "MINE: \"<secret 1a2b3c4d>\", redis://:<secret 1a2b3c4d>@db/0"},
    {"URL=http://127.0.0.1:8000/a@b git://git@host/x\n",
     "URL=http://127.0.0.1:8000/a@b git://git@host/x\n"},
};

static const struct {
    const char *before, *word, *shown;
} words[] = {
    {"--password", "hunter2 x", "@"},
    {"--MINE", "hunter2 x", "@"},
    {NULL, "--password=hunter2 x", "--password=@"},
    {"-e", "MINE=hunter2 x", "MINE=@"},
    {"-H", "Authorization: Bearer hunter2", "Authorization: &"},
    {"--port", "8000", "8000"},
    {"-u", "anna:hunter2 x", "anna:@"},
    {"-u", "1000:1000", "1000:1000"},
};

static void add_expected(struct buf *buf, const char *shown)
{
    for (; *shown; shown++) {
        char hex[DIGEST_HEX_SIZE];
        const char *secret = NULL;
        for (size_t i = 0; i < ARRAY_LEN(signs); i++)
            if (signs[i].sign == *shown && shown[1] != 'b' && strncmp(shown, "# HF", 4) != 0)
                secret = signs[i].secret;
        if (!secret || (*shown == '@' && strchr("dh", shown[1]) && shown[1])) {
            buf_addc(buf, *shown);
            continue;
        }
        digest_bytes(secret, strlen(secret), hex);
        buf_addf(buf, "<secret %.8s>", hex);
    }
}

static void hides_them(void **state)
{
    static const char *const marked[] = {"MINE", NULL};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO(buf_done) struct buf got = BUF_INIT(4096), want = BUF_INIT(4096);
        promote_hide_secrets(texts[i].text, marked, &got);
        add_expected(&want, texts[i].shown);
        assert_string_equal(buf_text(&got), buf_text(&want));
    }
}

static void hides_words(void **state)
{
    static const char *const marked[] = {"MINE", NULL};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        AUTO(buf_done) struct buf got = BUF_INIT(4096), want = BUF_INIT(4096);
        promote_hide_word(words[i].before, words[i].word, marked, &got);
        add_expected(&want, words[i].shown);
        assert_string_equal(buf_text(&got), buf_text(&want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_them),
        cmocka_unit_test(hides_them),
        cmocka_unit_test(hides_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
