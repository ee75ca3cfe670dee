/* Finds the end of a frame: the two state machines of codec/grammar.py, state for state. */
#ifndef GETNET_GRAMMAR_H
#define GETNET_GRAMMAR_H

#include "text.h"

#define GETNET_MAX_DEPTH 32

enum { GETNET_BAD = -1, GETNET_MORE = 0, GETNET_WHOLE = 1 };

enum {
    AT_OBJECT, AT_KEY, AT_COLON, AT_VALUE, AT_LIST, AT_NEXT, IN_KEY, IN_TEXT, AT_ESCAPE, AT_HEX1, AT_HEX2, AT_HEX3,
    AT_HEX4, AT_MINUS, AT_ZERO, AT_DIGIT, AT_POINT, AT_FRACTION, AT_EXPONENT, AT_EXPONENT_SIGN, AT_EXPONENT_DIGIT,
    IN_WORD
};

typedef struct {
    int state, string;
    int depth;
    uint64_t objects; /* one bit for each open container, the innermost lowest: whether it is an object */
    const char *word; /* the rest of the literal */
} getnet_json;

typedef struct {
    int digits, in_text;
} getnet_simplified;

static inline void getnet_json_begin(getnet_json *json)
{
    json->state = AT_OBJECT;
    json->string = IN_KEY;
    json->depth = 1;
    json->objects = 1;
    json->word = "";
}

static inline int getnet_json_space(int byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static int getnet_json_close(getnet_json *json)
{
    json->depth--;
    json->objects >>= 1;
    json->state = AT_NEXT;
    return json->depth ? GETNET_MORE : GETNET_WHOLE;
}

static int getnet_json_value(getnet_json *json, int byte)
{
    switch (byte) {
    case '"':
        json->state = IN_TEXT;
        return GETNET_MORE;
    case '{':
    case '[':
        if (json->depth == GETNET_MAX_DEPTH)
            return GETNET_BAD;
        json->depth++;
        json->objects = json->objects << 1 | (byte == '{');
        json->state = byte == '{' ? AT_OBJECT : AT_LIST;
        return GETNET_MORE;
    case '-':
        json->state = AT_MINUS;
        return GETNET_MORE;
    case '0':
        json->state = AT_ZERO;
        return GETNET_MORE;
    case 't':
    case 'f':
    case 'n':
        json->state = IN_WORD;
        json->word = byte == 't' ? "rue" : byte == 'f' ? "alse" : "ull";
        return GETNET_MORE;
    default:
        if (byte < '1' || byte > '9')
            return GETNET_BAD;
        json->state = AT_DIGIT;
        return GETNET_MORE;
    }
}

static int getnet_json_structure(getnet_json *json, int byte)
{
    const int in_object = (int)(json->objects & 1);

    switch (json->state) {
    case AT_NEXT:
        if (byte == ',') {
            json->state = in_object ? AT_KEY : AT_VALUE;
            return GETNET_MORE;
        }
        return byte == (in_object ? '}' : ']') ? getnet_json_close(json) : GETNET_BAD;
    case AT_COLON:
        json->state = AT_VALUE;
        return byte == ':' ? GETNET_MORE : GETNET_BAD;
    case AT_OBJECT:
    case AT_KEY:
        if (byte == '}' && json->state == AT_OBJECT)
            return getnet_json_close(json);
        json->state = IN_KEY;
        return byte == '"' ? GETNET_MORE : GETNET_BAD;
    default: /* AT_VALUE, AT_LIST */
        if (byte == ']' && json->state == AT_LIST)
            return getnet_json_close(json);
        return getnet_json_value(json, byte);
    }
}

static int getnet_json_number(getnet_json *json, int byte)
{
    const int state = json->state;

    if (byte >= '0' && byte <= '9' && state != AT_ZERO) {
        if (state == AT_MINUS)
            json->state = byte == '0' ? AT_ZERO : AT_DIGIT;
        else if (state == AT_POINT)
            json->state = AT_FRACTION;
        else if (state == AT_EXPONENT || state == AT_EXPONENT_SIGN)
            json->state = AT_EXPONENT_DIGIT;
        return GETNET_MORE;
    }
    if (byte == '.' && (state == AT_ZERO || state == AT_DIGIT)) {
        json->state = AT_POINT;
        return GETNET_MORE;
    }
    if ((byte == 'e' || byte == 'E') && (state == AT_ZERO || state == AT_DIGIT || state == AT_FRACTION)) {
        json->state = AT_EXPONENT;
        return GETNET_MORE;
    }
    if ((byte == '+' || byte == '-') && state == AT_EXPONENT) {
        json->state = AT_EXPONENT_SIGN;
        return GETNET_MORE;
    }
    if (state == AT_ZERO || state == AT_DIGIT || state == AT_FRACTION || state == AT_EXPONENT_DIGIT) {
        json->state = AT_NEXT;
        return getnet_json_space(byte) ? GETNET_MORE : getnet_json_structure(json, byte);
    }
    return GETNET_BAD;
}

static int getnet_json_step(getnet_json *json, int byte)
{
    const int state = json->state;

    if (state == IN_KEY || state == IN_TEXT) {
        if (byte == '"') {
            json->state = state == IN_KEY ? AT_COLON : AT_NEXT;
            return GETNET_MORE;
        }
        if (byte != '\\')
            return GETNET_BAD;
        json->string = state;
        json->state = AT_ESCAPE;
        return GETNET_MORE;
    }
    if (state == AT_ESCAPE) {
        json->state = byte == 'u' ? AT_HEX1 : json->string;
        return byte != 0 && strchr("\"\\/bfnrtu", byte) != NULL ? GETNET_MORE : GETNET_BAD;
    }
    if (state >= AT_HEX1 && state <= AT_HEX4) {
        json->state = state < AT_HEX4 ? state + 1 : json->string;
        return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F')
                   ? GETNET_MORE
                   : GETNET_BAD;
    }
    if (state == IN_WORD) {
        if (byte != *json->word)
            return GETNET_BAD;
        if (*++json->word == 0)
            json->state = AT_NEXT;
        return GETNET_MORE;
    }
    if (state >= AT_MINUS)
        return getnet_json_number(json, byte);
    if (getnet_json_space(byte))
        return GETNET_MORE;
    return getnet_json_structure(json, byte);
}

/* Continue at `*at`. Sets it to the position after the frame, of a byte that cannot follow, or to continue from. */
static int getnet_json_read(getnet_json *json, const uint8_t *data, size_t *at, size_t end)
{
    size_t place = *at;
    int verdict = GETNET_MORE;

    while (place < end) {
        if (json->state == IN_KEY || json->state == IN_TEXT) {
            place = (size_t)(getnet_skip_plain(data + place, data + end) - data);
            if (place == end)
                break;
        }
        verdict = getnet_json_step(json, data[place]);
        if (verdict == GETNET_BAD)
            break;
        place++;
        if (verdict == GETNET_WHOLE)
            break;
    }
    *at = place;
    return verdict;
}

static int getnet_simplified_read(getnet_simplified *frame, const uint8_t *data, size_t *at, size_t end)
{
    size_t place = *at;

    while (!frame->in_text) {
        if (place >= end) {
            *at = place;
            return GETNET_MORE;
        }
        if (data[place] == '|' && frame->digits) {
            frame->in_text = 1;
        } else if (data[place] >= '0' && data[place] <= '9' && frame->digits < 3) {
            frame->digits++;
        } else {
            *at = place;
            return GETNET_BAD;
        }
        place++;
    }
#if defined(GETNET_SSE2)
    while (end - place >= 16) {
        const __m128i bytes = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(data + place)), _mm_set1_epi8(0x02));
        const int found = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(1)), bytes));
        if (found) {
            place += getnet_first((uint64_t)found);
            break;
        }
        place += 16;
    }
#endif
    while (place < end && data[place] != 0x02 && data[place] != 0x03)
        place++;
    *at = place;
    if (place == end)
        return GETNET_MORE;
    if (data[place] == 0x02)
        return GETNET_BAD;
    if (place + 1 < end) {
        *at = place + 2;
        return GETNET_WHOLE;
    }
    return GETNET_MORE;
}

#endif
