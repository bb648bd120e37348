/* Facts of the configuration, and that no text of a study becomes configuration. */
#include "check.h"
#include "made.h"

static const char folder[] = "/tmp/voice.spica.proxy";

static char *written(const struct made *made)
{
    struct buf buf = BUF_INIT(1 << 20);
    proxy_config_write(&made->study, &made->proxy.state, &buf);
    assert_false(buf.over);
    return buf_take(&buf);
}

static void facts(void **state)
{
    static const char *const lines[] = {
        "    stats socket /tmp/voice.spica.proxy/haproxy.sock mode 600 level admin expose-fd",
        "listen spica.stt\n",
        "    bind 127.0.0.1:8089\n",
        "    timeout client 600000ms\n",
        "    timeout server 600000ms\n",
        "    timeout queue 600000ms\n",
        "    timeout tunnel 3600000ms\n",
        "    option idle-close-on-response\n",
        "    option httpclose\n",
        "    retry-on conn-failure\n",
        "    http-check send meth GET uri /health ver HTTP/1.1 hdr Host localhost\n",
        "    use_backend %[str(stt),map_str(/tmp/voice.spica.proxy/tiers.map,spica.stt.base)]\n",
        "    server tiny 127.0.0.1:8102 weight 1 backup track spica.stt.tiny/tiny\n",
        "    server next 127.0.0.1:8002 maxconn 4 track spica.llm.next/next\n",
        "map_str_int(/tmp/voice.spica.proxy/cuts.map,90)\n",
        "    log 127.0.0.1:20001 len 2048 format raw local0\n",
        "\"spica\":\"0123456789abcdef\"",
    };
    struct made made;
    (void)state;
    made_init(&made, folder);
    AUTO(free) char *text = written(&made);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        CHECK_ROW(i, lines[i], strstr(text, lines[i]) != NULL);
    assert_null(strstr(text, "defaults"));
}

/* What run time has set is in the file: a reload changes nothing. */
static void run_time(void **state)
{
    struct made made;
    struct buf maps = BUF_INIT(4096);
    (void)state;
    made_init(&made, folder);
    made.proxy.state.tier[0] = "tiny";
    made.proxy.state.drained[0][0] = true;
    made.proxy.state.weight[1][0] = 0;
    made.proxy.state.weight[1][1] = 100;
    AUTO(free) char *text = written(&made);
    assert_non_null(strstr(text, "default_backend spica.stt.tiny\n"));
    assert_non_null(strstr(text, "server base 127.0.0.1:8101 weight 0 check"));
    assert_non_null(strstr(text, "server now 127.0.0.1:8001 maxconn 4 weight 0 check"));
    assert_non_null(strstr(text, "server next 127.0.0.1:8002 maxconn 4 weight 1 check"));
    proxy_tiers_map_write(&made.study, &made.proxy.state, &maps);
    assert_string_equal(buf_text(&maps), "stt spica.stt.tiny\n");
    buf_clear(&maps);
    proxy_cuts_map_write(&made.study, &made.proxy.state, &maps);
    assert_string_equal(buf_text(&maps), "llm.1 0\n");
    buf_done(&maps);
}

static void attached(void **state)
{
    struct made made;
    (void)state;
    made_init(&made, folder);
    made.guard.proxy.attach_file = "/etc/haproxy/conf.d/spica.cfg";
    AUTO(free) char *text = written(&made);
    assert_null(strstr(text, "global\n"));
    assert_null(strstr(text, "defaults"));
    assert_non_null(strstr(text, "listen spica.stt\n"));
}

/* Over TLS: each line of a server of that service, and no other's. */
static void tls(void **state)
{
#define TLS_OF(ca, name)                                                                           \
    " ssl ssl-min-ver TLSv1.2 alpn http/1.1 verify required ca-file " ca " verifyhost " name       \
    " sni str(" name ")"
#define CHECK_OF(name)                                                                             \
    " check check-ssl check-alpn http/1.1 check-sni " name                                         \
    " inter 10s fastinter 500ms downinter 500ms fall 3 rise 1"
    static const struct {
        struct spec_tls tls;
        int64_t timeout_ns;
        const char *lines[6];
    } rows[] = {
        {{.given = true, .name = "localhost"},
         600 * NS_PER_S,
         {"    server base 127.0.0.1:8101" TLS_OF("@system-ca", "localhost") " weight 1" CHECK_OF(
              "localhost") " observe layer4",
          "    timeout connect 60000ms\n", "ver HTTP/1.1 hdr Host localhost\n"}},
        {{.given = true, .name = "stt.example.org", .ca = "/etc/ssl/../our ca.pem"},
         20 * NS_PER_S,
         {"    server base 127.0.0.1:8101" TLS_OF("/etc/ssl/../our_ca.pem", "stt.example.org"),
          "    server tiny 127.0.0.1:8102" TLS_OF(
              "/etc/ssl/../our_ca.pem",
              "stt.example.org") " weight 1 backup track spica.stt.tiny/tiny\n",
          "    server tiny 127.0.0.1:8102" TLS_OF("/etc/ssl/../our_ca.pem",
                                                  "stt.example.org") " track spica.stt.tiny/tiny\n",
          CHECK_OF("stt.example.org"), "    timeout connect 20000ms\n",
          "ver HTTP/1.1 hdr Host stt.example.org\n"}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct made made;
        made_init(&made, folder);
        made.services[0].tls = rows[i].tls;
        made.fronts[0].timeout_ns = rows[i].timeout_ns;
        AUTO(free) char *text = written(&made);
        for (size_t k = 0; k < ARRAY_LEN(rows[i].lines) && rows[i].lines[k]; k++)
            CHECK_ROW(i, rows[i].lines[k], strstr(text, rows[i].lines[k]) != NULL);
        assert_null(strstr(text, "verify none"));
        assert_non_null(
            strstr(text, "server now 127.0.0.1:8001 maxconn 4 weight 1 check inter 2s"));
        assert_non_null(strstr(text, "    timeout connect 5000ms\n"));
        made.services[0].tls.given = false;
        AUTO(free) char *clear = written(&made);
        assert_null(strstr(clear, "ssl"));
    }
}

static void tls_refused(void **state)
{
    static const struct {
        const char *ca, *name, *says; /* NULL: fine */
    } rows[] = {
        {NULL, "localhost", NULL},
        {"/etc/ca.pem", "a-b.example.org", NULL},
        {"/home/x/studies/../ca.pem", "localhost", NULL},
        {"/etc/our ca.pem", "localhost", "tls: ca: \"/etc/our ca.pem\" can't stand"},
        {"/a\nglobal", "localhost", "can't stand"},
        {"@system-ca", "localhost", "can't stand"},
        {"ca.pem", "localhost", "can't stand"},
        {NULL, "127.0.0.1", "can't hold a certificate against \"127.0.0.1\""},
        {NULL, "a b", "can't hold"},
        {NULL, "a)", "can't hold"},
        {NULL, "", "can't hold"},
        {NULL, NULL, "can't hold"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct made made;
        struct err err = ERR_INIT;
        made_init(&made, folder);
        made.services[0].tls = (struct spec_tls){true, rows[i].ca, rows[i].name};
        bool ok = proxy_names_check(&made.study, &err);
        CHECK_ROW(i, err.text, ok == !rows[i].says);
        CHECK_ROW(i, err.text, ok || (err.code == ERR_INPUT && strstr(err.text, rows[i].says)));
    }
}

static const char *const hostile[] = {
    "/a b",
    "/a\nb",
    "/a,b",
    "/a)",
    "a b",
    "a\nglobal",
    "a#",
    "a\"",
    "a'",
    "a\\",
    "%[env(HOME)]",
    "a)",
    "a,b",
    "$HOME",
    "",
    "a{",
    "a/b",
    "a.pin",
    "\xff",
    "a\r",
    "a\t",
    "a;b",
    "a=b",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};

/* Everything of a study that is a text and reaches a configuration. */
static const char **place_of(struct made *made, size_t place)
{
    const char **places[] = {
        &made->services[0].name,
        &made->tiers[1].name,
        &made->arms[0].name,
        &made->fronts[0].pin_header,
        &made->fronts[1].split.sticky_header,
        &made->fronts[1].split.sticky_cookie,
        &made->guard.proxy.folder,
        &made->fronts[0].address,
        &made->guard.proxy.attach_file,
        &made->services[0].tls.ca,
        &made->services[0].tls.name,
    };
    return place < ARRAY_LEN(places) ? places[place] : NULL;
}

static size_t count_of(const char *text, char byte)
{
    size_t count = 0;
    for (; *text; text++)
        count += *text == byte;
    return count;
}

static char *written_with(struct made *made, size_t place, const char *word)
{
    made_init(made, folder);
    made->services[0].tls = (struct spec_tls){true, "/ca.pem", "localhost"};
    *place_of(made, place) = word;
    return written(made);
}

/* Refused; and were it not, it would still be no line, no word of its own and no expression: there
 * are as many bytes that mean something as with a harmless word in its place. */
static void injection(void **state)
{
    static const char meaning[] = " \n\r\t#\"'\\%[](){},;$=";
    struct made made;
    (void)state;
    for (size_t place = 0; made_init(&made, folder), place_of(&made, place); place++) {
        AUTO(free) char *harmless = written_with(&made, place, "ab");
        for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
            struct err err = ERR_INIT;
            if (place_of(&made, place) == &made.services[0].tls.name && spec_is_host(hostile[i]))
                continue; /* a host may be called so */
            AUTO(free) char *text = written_with(&made, place, hostile[i]);
            CHECK_ROW(place, hostile[i], !proxy_names_check(&made.study, &err));
            CHECK_ROW(place, hostile[i], err.code == ERR_INPUT);
            for (const char *byte = meaning; *byte; byte++)
                CHECK_ROW(place, hostile[i],
                          strcmp(hostile[i], "a=b") == 0 ||
                              count_of(text, *byte) == count_of(harmless, *byte));
        }
    }
}

static void study_name(void **state)
{
    struct made made;
    (void)state;
    made_init(&made, folder);
    made.study.name = "x\nglobal\n    chroot /";
    AUTO(free) char *text = written(&made);
    assert_null(strstr(text, "chroot /"));
}

static void senseless(void **state)
{
    static const struct {
        const char *says;
    } rows[] = {{"go round in a circle"}, {"two are called"},      {"another front's too"},
                {"can't send copies"},    {"sum up to 95"},        {"nobody is behind it"},
                {"none of 1 to 65535"},   {"nothing for HAProxy"}, {"is no IP address"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct made made;
        struct err err = ERR_INIT;
        made_init(&made, folder);
        assert_true(proxy_names_check(&made.study, &err));
        switch (i) {
        case 0:
            made.tiers[0].port = 8089;
            break;
        case 1:
            made.tiers[0].name = "TINY";
            break;
        case 2:
            made.fronts[1].port = 8089;
            break;
        case 3:
            made.arms[1].shadow = true;
            break;
        case 4:
            made.arms[1].weight = 5;
            break;
        case 5:
            made.fronts[0].tier_count = 0;
            break;
        case 6:
            made.fronts[0].port = 0;
            break;
        case 7:
            made.guard.front_count = 0;
            break;
        default:
            made.fronts[0].address = "localhost";
        }
        CHECK_ROW(i, rows[i].says, !proxy_names_check(&made.study, &err));
        CHECK_ROW(i, err.text, strstr(err.text, rows[i].says) != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts),      cmocka_unit_test(run_time),    cmocka_unit_test(attached),
        cmocka_unit_test(tls),        cmocka_unit_test(tls_refused), cmocka_unit_test(injection),
        cmocka_unit_test(study_name), cmocka_unit_test(senseless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
