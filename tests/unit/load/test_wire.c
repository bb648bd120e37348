/* Frames come back as they were sent, from any cut, and a damaged one is never believed. */
#include "load/wire.h"

#include "check.h"

static struct buf make_stream(void)
{
    struct buf out = BUF_INIT(1 << 20), text = BUF_INIT(64), gaps = BUF_INIT(64);
    int64_t gap_values[] = {5, -1, INT64_MAX};
    buf_add(&text, "hello");
    assert_true(buf_append(&gaps, gap_values, sizeof gap_values));
    struct load_record record = {.stream = 3, .sequence = 9, .error = LOAD_TIMEOUT, .tokens = -1};
    assert_true(load_wire_add(&out, LOAD_WIRE_START, "12345", 5));
    assert_true(load_wire_add_record(&out, &record, &text, &gaps));
    buf_clear(&text);
    buf_clear(&gaps);
    assert_true(load_wire_add_record(&out, &record, &text, &gaps));
    buf_done(&text);
    buf_done(&gaps);
    return out;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct buf out = make_stream();
    struct load_wire_frame frame;
    struct load_result result;
    size_t used = 0, at = 0;
    assert_int_equal(load_wire_next(out.data, out.len, &frame, &used), LOAD_WIRE_FRAME);
    assert_int_equal(frame.kind, LOAD_WIRE_START);
    assert_int_equal(frame.len, 5);
    at += used;
    assert_int_equal(load_wire_next(out.data + at, out.len - at, &frame, &used), LOAD_WIRE_FRAME);
    assert_true(load_wire_read_record(&frame, &result));
    assert_string_equal(result.text, "hello");
    assert_int_equal(result.record.gap_count, 3);
    assert_true(result.gaps_ns[2] == INT64_MAX && result.record.error == LOAD_TIMEOUT);
    at += used;
    assert_int_equal(load_wire_next(out.data + at, out.len - at, &frame, &used), LOAD_WIRE_FRAME);
    assert_true(load_wire_read_record(&frame, &result));
    assert_string_equal(result.text, "");
    assert_int_equal(at + used, out.len);
    buf_done(&out);
}

static void test_cut_and_damaged(void **state)
{
    (void)state;
    struct buf out = make_stream();
    struct load_wire_frame frame;
    struct load_result result;
    size_t used = 0;
    for (size_t len = 0; len < 16; len++)
        assert_int_equal(load_wire_next(out.data, len, &frame, &used), LOAD_WIRE_MORE);
    char *record_frame = out.data + 16;
    assert_int_equal(load_wire_next(record_frame, out.len - 16, &frame, &used), LOAD_WIRE_FRAME);
    size_t payload_len = frame.len;
    frame.len--;
    assert_false(load_wire_read_record(&frame, &result));
    frame.len = 3;
    assert_false(load_wire_read_record(&frame, &result));
    frame.len = payload_len;
    struct load_record record;
    memcpy(&record, frame.payload, sizeof record);
    record.gap_count = 0x20000001; /* times 8 overflows 32 bits */
    memcpy((char *)frame.payload, &record, sizeof record);
    assert_false(load_wire_read_record(&frame, &result));
    record.gap_count = 3;
    record.error = LOAD_ERROR_COUNT_;
    memcpy((char *)frame.payload, &record, sizeof record);
    assert_false(load_wire_read_record(&frame, &result));
    record_frame[0] = 99;
    assert_int_equal(load_wire_next(record_frame, out.len - 16, &frame, &used), LOAD_WIRE_BROKEN);
    memset(record_frame, 0xff, 8);
    assert_int_equal(load_wire_next(record_frame, out.len - 16, &frame, &used), LOAD_WIRE_BROKEN);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cut_and_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
