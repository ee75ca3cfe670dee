/* Reads a listing of terminals into the library's types, in one pass. Anything unusual is declined: 0, no exception. */
#ifndef GETNET_TERMINALS_H
#define GETNET_TERMINALS_H

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function" /* the headers below have functions for others */
#endif
#include "objects.h"
#include <datetime.h>

/* The end of a body is read from a copy with readable bytes after it, so that reads need no bounds checks. Between two
   checks for the end at most GETNET_AHEAD bytes are read. */
#define GETNET_TAIL 4096
#define GETNET_AHEAD 256

#define GETNET_TERMINAL_FIELDS 11
#define GETNET_TERMINAL_MODES 8
#define GETNET_SAME_TEXTS 512
#define GETNET_SAME_TIMES 64

enum { KIND_NAME = 100, KIND_SERIAL_NUMBER, KIND_DATETIME, KIND_MODE, KIND_FLAG };

typedef struct {
    uint8_t text[16]; /* with its quotes */
    size_t size;
    PyObject *value;
} getnet_mode_text;

/* How a listing becomes objects. It never changes after it is made. */
typedef struct {
    getnet_layout layout;
    Py_ssize_t limit[GETNET_TERMINAL_FIELDS]; /* in characters */
    uint64_t required;
    int modes;
    getnet_mode_text mode[GETNET_TERMINAL_MODES];
    PyObject *utc;
} getnet_terminals;

/* A text that was read before, without its quotes and followed by zeros. */
typedef struct {
    uint8_t cut[32];
    PyObject *value;
} getnet_same_text;

typedef struct {
    uint64_t moment;
    PyObject *zone, *value;
} getnet_same_time;

/* One reading of one body. */
typedef struct {
    getnet_source source;
    getnet_memory memory;
    const uint8_t *last; /* the end of the body; NULL while the copy is read */
    PyObject **terminals;
    Py_ssize_t count, room;
    PyObject *zone; /* the last one other than UTC */
    int zone_minutes;
    uint8_t follows[GETNET_TERMINAL_FIELDS + 1]; /* the key that followed each; the last entry is the first key */
    getnet_same_text text[GETNET_SAME_TEXTS];
    getnet_same_time time[GETNET_SAME_TIMES];
    uint8_t tail[GETNET_TAIL + GETNET_AHEAD];
} getnet_listing;

/* The content of a listing. */
typedef struct {
    PyObject *merchant_id, *terminals, *extra, *unknown;
} getnet_found;

/* ------------------------------------------------------------------------------------------------------- the body */

/* Continue in the copy of the end if the end is near. */
static inline void getnet_near_end(getnet_listing *listing)
{
    if (listing->last != NULL && listing->last - listing->source.at <= GETNET_TAIL) {
        const size_t left = (size_t)(listing->last - listing->source.at);
        memcpy(listing->tail, listing->source.at, left);
        memset(listing->tail + left, 0, GETNET_AHEAD);
        listing->source.at = listing->tail;
        listing->source.end = listing->tail + left;
        listing->last = NULL;
    }
}

static void getnet_listing_begin(getnet_listing *listing, const getnet_terminals *how, const uint8_t *body, size_t size)
{
    memset(listing, 0, offsetof(getnet_listing, tail));
    for (int key = 0; key < GETNET_TERMINAL_FIELDS; key++)
        listing->follows[key] = how->layout.key[key].next;
    listing->source.memory = &listing->memory;
    listing->source.at = body;
    listing->last = body + size;
    if (size > GETNET_TAIL)
        listing->source.end = listing->last - GETNET_AHEAD;
    getnet_near_end(listing);
}

static void getnet_listing_end(getnet_listing *listing)
{
    while (listing->count)
        Py_DECREF(listing->terminals[--listing->count]);
    PyMem_Free(listing->terminals);
    Py_CLEAR(listing->zone);
    getnet_forget(&listing->memory);
    for (int i = 0; i < GETNET_SAME_TEXTS; i++)
        Py_CLEAR(listing->text[i].value);
    for (int i = 0; i < GETNET_SAME_TIMES; i++) {
        Py_CLEAR(listing->time[i].zone);
        Py_CLEAR(listing->time[i].value);
    }
}

/* --------------------------------------------------------------------------------------------------------- values */

static inline int getnet_is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* One bit for each of 32 bytes: whether it does not belong to a plain run of ASCII. */
static inline uint32_t getnet_odd(const uint8_t *at)
{
#if defined(GETNET_SSE2)
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);
    const __m128i one = _mm_loadu_si128((const __m128i *)at), two = _mm_loadu_si128((const __m128i *)(at + 16));
#define GETNET_ODD(bytes)                                                                                              \
    (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote),                                \
                                                          _mm_cmpeq_epi8(bytes, backslash)),                           \
                                             _mm_cmplt_epi8(bytes, space))) /* signed: not ASCII as well */
    return GETNET_ODD(one) | GETNET_ODD(two) << 16;
#undef GETNET_ODD
#else
    uint32_t odd = 0;
    int i = 0;
    while (i < 32 && at[i] != '"' && at[i] != '\\' && at[i] >= 0x20 && at[i] < 0x80)
        i++;
    for (; i < 32; i = 32)
        odd = (uint32_t)1 << i;
    return odd;
#endif
}

static inline PyObject *getnet_short_ascii(const uint8_t *text, size_t size)
{
    PyObject *string;
    uint8_t *to;

    if (size < 8 || size > 32)
        return getnet_ascii(text, size);
    string = PyUnicode_New((Py_ssize_t)size, 127);
    if (string == NULL)
        return NULL;
    /* Constant sizes: one or two instructions each. */
    to = getnet_characters(string);
    if (size >= 16) {
        memcpy(to, text, 16);
        memcpy(to + size - 16, text + size - 16, 16);
    } else {
        memcpy(to, text, 8);
        memcpy(to + size - 8, text + size - 8, 8);
    }
    return string;
}

/* The first `size` of 32 bytes, followed by zeros, and their hash. */
static inline uint64_t getnet_cut(uint8_t *cut, const uint8_t *text, size_t size)
{
    static const uint8_t ones[64] = {
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    };
    const uint8_t *mask = ones + 32 - size;
    uint64_t low, high;

#if defined(GETNET_SSE2)
    const __m128i one = _mm_and_si128(_mm_loadu_si128((const __m128i *)text), _mm_loadu_si128((const __m128i *)mask));
    const __m128i two = _mm_and_si128(_mm_loadu_si128((const __m128i *)(text + 16)),
                                      _mm_loadu_si128((const __m128i *)(mask + 16)));
    const __m128i mixed = _mm_add_epi64(one, _mm_slli_epi64(two, 3));
    _mm_storeu_si128((__m128i *)cut, one);
    _mm_storeu_si128((__m128i *)(cut + 16), two);
    _mm_storel_epi64((__m128i *)&low, mixed);
    _mm_storel_epi64((__m128i *)&high, _mm_unpackhi_epi64(mixed, mixed));
#else
    uint64_t word[4];
    memcpy(cut, text, 32);
    for (int i = 0; i < 32; i++)
        cut[i] &= mask[i];
    memcpy(word, cut, 32);
    low = word[0] + (word[2] << 3);
    high = word[1] + (word[3] << 3);
#endif
    return (low ^ (high << 29 | high >> 35)) * 0x9e3779b97f4a7c15u;
}

static inline int getnet_cuts_same(const uint8_t *one, const uint8_t *other)
{
#if defined(GETNET_SSE2)
    return getnet_stands_masked(one, 0xffffffffu, other);
#else
    return memcmp(one, other, 32) == 0;
#endif
}

/* An ASCII string of at most 32 characters; the same object if it was read before. */
static inline PyObject *getnet_same_ascii(getnet_listing *listing, const uint8_t *text, size_t size)
{
    uint8_t cut[32];
    const unsigned place = (unsigned)(getnet_cut(cut, text, size) >> 55);
    getnet_same_text *same;
    PyObject *string;

    for (unsigned step = 0; step < 4; step++) {
        same = &listing->text[(place + step) & (GETNET_SAME_TEXTS - 1)];
        if (same->value == NULL)
            break;
        if (getnet_cuts_same(same->cut, cut)) {
            Py_INCREF(same->value);
            return same->value;
        }
    }
    string = getnet_short_ascii(text, size);
    if (string == NULL)
        return NULL;
    if (same->value != NULL)
        same = &listing->text[place];
    memcpy(same->cut, cut, 32);
    Py_INCREF(string);
    Py_XSETREF(same->value, string);
    return string;
}

/* A text of at most `limit` characters. */
static inline PyObject *getnet_name(getnet_listing *listing, const uint8_t **at, Py_ssize_t limit, int same)
{
    const uint8_t *text = *at + 1;
    const uint32_t odd = getnet_odd(text);
    PyObject *string;

    if (odd != 0 && text[getnet_first(odd)] == '"') {
        const unsigned size = getnet_first(odd);
        if ((Py_ssize_t)size > limit)
            return NULL;
        *at = text + size + 1;
        return same ? getnet_same_ascii(listing, text, size) : getnet_short_ascii(text, size);
    }
    listing->source.at = *at;
    string = getnet_string_value(&listing->source, 0);
    *at = listing->source.at;
    if (string != NULL && PyUnicode_GET_LENGTH(string) > limit)
        Py_CLEAR(string);
    return string;
}

/* The number of two digits, or more than 255. */
static inline unsigned getnet_two_digits(const uint8_t *at)
{
    const unsigned tens = (unsigned)at[0] - '0', ones = (unsigned)at[1] - '0';

    return tens > 9 || ones > 9 ? 256 : tens * 10 + ones;
}

/* The time zone at an offset in minutes from UTC; a borrowed reference. */
static PyObject *getnet_zone(getnet_listing *listing, const getnet_terminals *how, int minutes)
{
    PyObject *delta, *zone;

    if (minutes == 0)
        return how->utc;
    if (listing->zone == NULL || listing->zone_minutes != minutes) {
        delta = PyDelta_FromDSU(0, minutes * 60, 0);
        zone = delta == NULL ? NULL : PyTimeZone_FromOffset(delta);
        Py_XDECREF(delta);
        if (zone == NULL)
            return NULL;
        Py_XSETREF(listing->zone, zone);
        listing->zone_minutes = minutes;
    }
    return listing->zone;
}

/* A date-time of RFC 3339 in its quotes, no finer than microseconds. */
static inline PyObject *getnet_datetime(getnet_listing *listing, const getnet_terminals *how, const uint8_t **at)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const uint8_t *text = *at + 1;
    const unsigned century = getnet_two_digits(text), rest = getnet_two_digits(text + 2);
    const unsigned month = getnet_two_digits(text + 5), day = getnet_two_digits(text + 8);
    const unsigned hour = getnet_two_digits(text + 11), minute = getnet_two_digits(text + 14);
    const unsigned second = getnet_two_digits(text + 17), year = century * 100 + rest;
    const unsigned leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    unsigned microsecond = 0;
    uint64_t moment;
    getnet_same_time *same;
    PyObject *zone = how->utc, *value;

    if (text[4] != '-' || text[7] != '-' || (text[10] | 0x20) != 't' || text[13] != ':' || text[16] != ':')
        return NULL;
    if (century > 99 || rest > 99 || year == 0 || month - 1 > 11 || day - 1 >= days[month - 1] + leap || hour > 23 ||
        minute > 59 || second > 59)
        return NULL;
    text += 19;
    if (*text == '.') {
        unsigned digits = 0;
        for (text++; (unsigned)*text - '0' <= 9 && digits < 9; text++, digits++) {
            if (digits < 6)
                microsecond = microsecond * 10 + (*text - '0');
            else if (*text != '0')
                return NULL;
        }
        if (digits == 0)
            return NULL;
        for (; digits < 6; digits++)
            microsecond *= 10;
    }
    if ((*text | 0x20) == 'z') {
        text++;
    } else {
        const unsigned hours = getnet_two_digits(text + 1), minutes = getnet_two_digits(text + 4);
        const int offset = (int)(hours * 60 + minutes);
        if ((*text != '+' && *text != '-') || text[3] != ':' || hours > 23 || minutes > 59)
            return NULL;
        zone = getnet_zone(listing, how, *text == '-' ? -offset : offset);
        if (zone == NULL)
            return NULL;
        text += 6;
    }
    if (*text != '"')
        return NULL;
    *at = text + 1;
    moment = ((((((uint64_t)year * 12 + month) * 32 + day) * 24 + hour) * 60 + minute) * 60 + second) * 1000000 +
             microsecond;
    same = &listing->time[moment * 0x9e3779b97f4a7c15u >> 58];
    if (same->moment == moment && same->zone == zone) {
        Py_INCREF(same->value);
        return same->value;
    }
    value = PyDateTimeAPI->DateTime_FromDateAndTime((int)year, (int)month, (int)day, (int)hour, (int)minute,
                                                    (int)second, (int)microsecond, zone, PyDateTimeAPI->DateTimeType);
    if (value != NULL) {
        same->moment = moment;
        Py_INCREF(zone);
        Py_XSETREF(same->zone, zone);
        Py_INCREF(value);
        Py_XSETREF(same->value, value);
    }
    return value;
}

static inline PyObject *getnet_mode(const getnet_terminals *how, const uint8_t **at)
{
    for (int i = 0; i < how->modes; i++) {
        if (getnet_same(*at, how->mode[i].text, how->mode[i].size)) {
            *at += how->mode[i].size;
            Py_INCREF(how->mode[i].value);
            return how->mode[i].value;
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------------ terminals */

static inline int getnet_field_stands(const getnet_key *key, const uint8_t *at)
{
    return getnet_stands_masked(key->text, key->bits, at) &&
           (key->size <= 32 || memcmp(key->text + key->size - 16, at + key->size - 16, 16) == 0);
}

/* Keep the value of a key that is not a field. */
static int getnet_keep_unknown(getnet_source *source, PyObject *extra, PyObject *name)
{
    PyObject *value;
    int kept;

    getnet_skip_spaces(source);
    value = getnet_value(source, 0);
    if (value == NULL)
        return 0;
    kept = getnet_keep(extra, name, value);
    Py_DECREF(value);
    return kept;
}

/* The object at the source's position. The garbage collector does not track it yet. */
static PyObject *getnet_terminal(getnet_listing *listing, const getnet_terminals *how)
{
    const getnet_layout *layout = &how->layout;
    getnet_source *source = &listing->source;
    const uint8_t *at = source->at;
    PyObject *result, *extra, *value, *name = NULL;
    unsigned key, last = GETNET_TERMINAL_FIELDS;
    uint64_t unset = layout->all;

    if (*at != '{')
        return NULL;
    extra = PyDict_New();
    if (extra == NULL)
        return NULL;
    result = PyObject_GC_New(PyObject, layout->type);
    if (result == NULL) {
        Py_DECREF(extra);
        return NULL;
    }
    for (int i = 0; i < GETNET_TERMINAL_FIELDS; i++)
        *getnet_slot(result, layout->field[i].offset) = NULL;
    *getnet_slot(result, layout->extra) = extra;
    at++;
next_key:
    if (at >= source->end)
        goto declined;
    key = listing->follows[last];
    if (key == GETNET_NO_KEY || !getnet_field_stands(&layout->key[key], at)) {
        source->at = at;
        getnet_skip_spaces(source);
        if (source->at >= source->end)
            goto declined;
        if (key != GETNET_NO_KEY && getnet_field_stands(&layout->key[key], source->at)) {
            source->at += layout->key[key].size;
        } else {
            if (!getnet_other_key(source, layout, &key, &name))
                goto declined;
            if (name != NULL) {
                if (!getnet_keep_unknown(source, extra, name))
                    goto declined;
                Py_CLEAR(name);
                at = source->at;
                goto behind;
            }
            listing->follows[last] = (uint8_t)key;
        }
        at = source->at;
    } else {
        at += layout->key[key].size;
    }
    if (getnet_is_space(*at)) {
        source->at = at;
        getnet_skip_spaces(source);
        at = source->at;
        if (at >= source->end)
            goto declined;
    }
    if (!(unset >> key & 1))
        goto declined;
    unset &= ~((uint64_t)1 << key);
    last = key;
    value = NULL;
    if (*at == '"') {
        switch (layout->field[key].kind) {
        case KIND_NAME:
            value = getnet_name(listing, &at, how->limit[key], 1);
            break;
        case KIND_SERIAL_NUMBER:
            value = getnet_name(listing, &at, how->limit[key], 0);
            break;
        case KIND_DATETIME:
            value = getnet_datetime(listing, how, &at);
            break;
        case KIND_MODE:
            value = getnet_mode(how, &at);
            break;
        }
    } else if (memcmp(at, "true", 4) == 0 && layout->field[key].kind == KIND_FLAG) {
        Py_INCREF(Py_True);
        value = Py_True;
        at += 4;
    } else if (memcmp(at, "false", 5) == 0 && layout->field[key].kind == KIND_FLAG) {
        Py_INCREF(Py_False);
        value = Py_False;
        at += 5;
    } else if (memcmp(at, "null", 4) == 0 && layout->field[key].kind != KIND_SERIAL_NUMBER) {
        Py_INCREF(Py_None);
        value = Py_None;
        at += 4;
    }
    if (value == NULL)
        goto declined;
    *getnet_slot(result, layout->field[key].offset) = value;
behind:
    if (*at == ',') {
        at++;
        goto next_key;
    }
    if (*at == '}') {
        at++;
        source->at = at;
        if (unset & how->required)
            goto declined;
        for (; unset; unset &= unset - 1) {
            Py_INCREF(Py_None);
            *getnet_slot(result, layout->field[getnet_first(unset)].offset) = Py_None;
        }
        return result;
    }
    source->at = at;
    if (getnet_is_space(*at)) {
        getnet_skip_spaces(source);
        at = source->at;
        if (at < source->end)
            goto behind;
    }
declined:
    Py_XDECREF(name);
    Py_DECREF(result);
    return NULL;
}

/* 0 if it was declined. */
static int getnet_terminal_list(getnet_listing *listing, const getnet_terminals *how)
{
    getnet_source *source = &listing->source;

    source->at++;
    getnet_skip_spaces(source);
    if (*source->at == ']') {
        source->at++;
        return 1;
    }
    for (;;) {
        PyObject *terminal;
        getnet_near_end(listing);
        getnet_skip_spaces(source);
        if (listing->count == listing->room) {
            const Py_ssize_t room = listing->room + listing->room / 4 + 64;
            PyObject **grown = (PyObject **)PyMem_Realloc(listing->terminals, (size_t)room * sizeof *grown);
            if (grown == NULL)
                return 0;
            listing->terminals = grown;
            listing->room = room;
        }
        terminal = getnet_terminal(listing, how);
        if (terminal == NULL)
            return 0;
        listing->terminals[listing->count++] = terminal;
        getnet_near_end(listing);
        if (*source->at != ',') {
            getnet_skip_spaces(source);
            getnet_near_end(listing);
        }
        if (*source->at == ']') {
            source->at++;
            return 1;
        }
        if (*source->at++ != ',')
            return 0;
    }
}

/* -------------------------------------------------------------------------------------------------------- listing */

/* Read the key of an object at the source's position, and its colon. */
static PyObject *getnet_member(getnet_listing *listing)
{
    getnet_source *source = &listing->source;
    PyObject *name;

    getnet_near_end(listing);
    getnet_skip_spaces(source);
    name = *source->at == '"' ? getnet_string_value(source, 0) : NULL;
    if (name == NULL)
        return NULL;
    getnet_skip_spaces(source);
    if (*source->at == ':') {
        source->at++;
        getnet_near_end(listing);
        getnet_skip_spaces(source);
        return name;
    }
    Py_DECREF(name);
    return NULL;
}

/* What follows a value in an object: 1 for another key, 0 for its end, -1 for anything else. */
static int getnet_more(getnet_listing *listing)
{
    getnet_source *source = &listing->source;

    getnet_near_end(listing);
    getnet_skip_spaces(source);
    getnet_near_end(listing);
    if (*source->at != ',' && *source->at != '}')
        return -1;
    return *source->at++ == ',';
}

static int getnet_equipments(getnet_listing *listing, const getnet_terminals *how, getnet_found *found)
{
    int more = *listing->source.at++ == '{' ? 1 : -1, listed = 0;

    while (more == 1) {
        PyObject *name = getnet_member(listing);
        int read;
        if (name == NULL)
            return 0;
        if (PyUnicode_CompareWithASCIIString(name, "item") == 0)
            read = !listed++ && *listing->source.at == '[' && getnet_terminal_list(listing, how);
        else
            read = getnet_keep_unknown(&listing->source, found->unknown, name);
        Py_DECREF(name);
        if (!read)
            return 0;
        more = getnet_more(listing);
    }
    return more == 0;
}

/* Read the whole body; 0 if it was declined. */
static int getnet_read_listing(getnet_listing *listing, const getnet_terminals *how, getnet_found *found)
{
    getnet_source *source = &listing->source;
    int more, equipped = 0;

    found->extra = PyDict_New();
    found->unknown = PyDict_New();
    if (found->extra == NULL || found->unknown == NULL)
        return 0;
    getnet_skip_spaces(source);
    more = *source->at++ == '{' ? 1 : -1;
    while (more == 1) {
        PyObject *name = getnet_member(listing);
        int read;
        if (name == NULL)
            return 0;
        if (PyUnicode_CompareWithASCIIString(name, "merchant_id") == 0) {
            read = found->merchant_id == NULL && *source->at == '"';
            if (read) {
                found->merchant_id = getnet_string_value(source, 0);
                read = found->merchant_id != NULL;
            }
        } else if (PyUnicode_CompareWithASCIIString(name, "equipments") == 0) {
            read = !equipped++ && getnet_equipments(listing, how, found);
            /* At the position where it was. */
            if (read && PyDict_GET_SIZE(found->unknown) > 0)
                read = getnet_keep(found->extra, name, found->unknown);
        } else {
            read = getnet_keep_unknown(source, found->extra, name);
        }
        Py_DECREF(name);
        if (!read)
            return 0;
        more = getnet_more(listing);
    }
    if (more != 0 || found->merchant_id == NULL)
        return 0;
    getnet_near_end(listing);
    getnet_skip_spaces(source);
    getnet_near_end(listing);
    getnet_skip_spaces(source);
    if (listing->last != NULL || source->at != source->end)
        return 0;
    found->terminals = PyTuple_New(listing->count);
    if (found->terminals == NULL)
        return 0;
    /* The garbage collector tracks them only when all are there: otherwise it would visit the first ones repeatedly
       while the others are made, and could see an incomplete one. */
    for (Py_ssize_t i = 0; i < listing->count; i++) {
        PyObject_GC_Track(listing->terminals[i]);
        PyTuple_SET_ITEM(found->terminals, i, listing->terminals[i]);
    }
    listing->count = 0;
    return 1;
}

/* Whether the objects of a type have only its slots. */
static int getnet_only_slots(PyObject *object, int slots)
{
    PyTypeObject *type = (PyTypeObject *)object;

    return type->tp_basicsize == (Py_ssize_t)(sizeof(PyObject) + (size_t)slots * sizeof(PyObject *)) &&
           type->tp_itemsize == 0 && type->tp_dictoffset == 0 && type->tp_weaklistoffset == 0 &&
           PyType_HasFeature(type, Py_TPFLAGS_HAVE_GC) && PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE);
}

static PyObject *getnet_utc(void)
{
    PyDateTime_IMPORT;
    return PyDateTimeAPI == NULL ? NULL : Py_NewRef(PyDateTime_TimeZone_UTC);
}

#endif
