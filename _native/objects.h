/* Flat JSON objects to the library's own frozen types. What is unusual is declined: NULL without an exception. */
#ifndef GETNET_OBJECTS_H
#define GETNET_OBJECTS_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>
#include <structmember.h>

#include "text.h"

#define GETNET_MAX_FIELDS 64
#define GETNET_MAX_KEYS 254
#define GETNET_KEY_ROOM 64
#define GETNET_NO_KEY 255
#define GETNET_SLOTS 512
#define GETNET_STRINGS 128
#define GETNET_MAX_SHARED 32

enum { KIND_INTEGER, KIND_TEXT, KIND_BOOLEAN, KIND_LAST_DIGITS, KIND_SALE_TYPE, KIND_ROWS };

struct getnet_layout;

typedef struct {
    Py_ssize_t offset;
    PyObject *unset; /* what stands there when it was not sent: None or () */
    struct getnet_layout *row;
    int kind;
    int shared; /* whether its strings may be kept, to be given again when they come again */
} getnet_field;

/* A key as it stands in the text, with its quotes and its colon. */
typedef struct {
    uint8_t text[GETNET_KEY_ROOM];
    uint32_t size;
    uint32_t bits; /* one for each of its first 32 bytes */
    uint8_t field;
    uint8_t next; /* the key that is expected behind it before anything was read */
} getnet_key;

/* How an object becomes one type. Never changes once it is made. */
typedef struct getnet_layout {
    PyTypeObject *type;
    Py_ssize_t extra;
    uint64_t all; /* a bit for each field */
    int index;    /* its number in this process */
    int function_code, response_code;
    int fields, keys;
    getnet_field field[GETNET_MAX_FIELDS];
    getnet_key key[GETNET_MAX_KEYS];
    uint8_t slot[GETNET_SLOTS];
} getnet_layout;

/* What a decoder remembers of what it read: which key follows which, and strings that may come again. */
typedef struct {
    uint8_t **follows; /* by layout */
    int room;
    PyObject *string[GETNET_STRINGS];
    PyObject **sale_types; /* by number */
    int sale_type_count;
    PyObject **numbers; /* the ints from 0 that are used most */
} getnet_memory;

#define GETNET_NUMBERS 1024

/* A text that is being read, with GETNET_SLACK bytes behind its end. */
typedef struct {
    const uint8_t *at, *end;
    getnet_memory *memory;
    const getnet_text *text;
    getnet_string *string;
} getnet_source;

/* -------------------------------------------------------------------------------------------------------- layouts */

static Py_ssize_t getnet_member_offset(PyObject *descriptor, PyObject *type)
{
    PyMemberDescrObject *member = (PyMemberDescrObject *)descriptor;

    if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type) || member->d_member->type != T_OBJECT_EX)
        return -1;
    if (!PyType_IsSubtype((PyTypeObject *)type, member->d_common.d_type))
        return -1;
    return member->d_member->offset;
}

/* Whether the type's objects are made by allocating them and nothing else, and read by their slots. */
static int getnet_made_plainly(PyObject *object)
{
    PyTypeObject *type = (PyTypeObject *)object;

    return type->tp_new == PyBaseObject_Type.tp_new && type->tp_alloc == PyType_GenericAlloc &&
           type->tp_getattro == PyObject_GenericGetAttr && !PyType_HasFeature(type, Py_TPFLAGS_IS_ABSTRACT);
}

static inline PyObject **getnet_slot(PyObject *object, Py_ssize_t offset)
{
    return (PyObject **)((char *)object + offset);
}

static unsigned getnet_key_hash(const uint8_t *key, size_t size)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ key[i]) * 16777619u;
    return (hash ^ hash >> 15) & (GETNET_SLOTS - 1);
}

/* 0 where there is no room for it. */
static int getnet_add_key(getnet_layout *layout, const char *name, size_t size, int field)
{
    getnet_key *key = &layout->key[layout->keys];
    unsigned place;

    if (layout->keys == GETNET_MAX_KEYS || size + 3 > GETNET_KEY_ROOM)
        return 0;
    memset(key, 0, sizeof *key);
    key->text[0] = '"';
    memcpy(key->text + 1, name, size);
    memcpy(key->text + 1 + size, "\":", 2);
    key->size = (uint32_t)size + 3;
    key->bits = key->size >= 32 ? 0xffffffffu : (1u << key->size) - 1;
    key->field = (uint8_t)field;
    key->next = GETNET_NO_KEY;
    place = getnet_key_hash(key->text, key->size);
    while (layout->slot[place] != GETNET_NO_KEY)
        place = (place + 1) & (GETNET_SLOTS - 1);
    layout->slot[place] = (uint8_t)layout->keys++;
    return 1;
}

static inline int getnet_key_stands(const getnet_key *key, const uint8_t *at)
{
#if defined(GETNET_SSE2)
    const __m128i *text = (const __m128i *)key->text, *here = (const __m128i *)at;
    const uint32_t same =
        (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(text), _mm_loadu_si128(here))) |
        (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(text + 1), _mm_loadu_si128(here + 1))) << 16;
    return (~same & key->bits) == 0 && (key->size <= 32 || memcmp(key->text + 32, at + 32, key->size - 32) == 0);
#else
    return getnet_same(key->text, at, key->size);
#endif
}

/* What of the layout's keys stands at `at`, `size` bytes with quotes and colon. */
static unsigned getnet_find_key(const getnet_layout *layout, const uint8_t *at, size_t size)
{
    unsigned place = getnet_key_hash(at, size);

    for (; layout->slot[place] != GETNET_NO_KEY; place = (place + 1) & (GETNET_SLOTS - 1)) {
        const getnet_key *key = &layout->key[layout->slot[place]];
        if (key->size == size && memcmp(key->text, at, size) == 0)
            return layout->slot[place];
    }
    return GETNET_NO_KEY;
}

/* Which key was behind which when such an object was read last; the last entry is for the first key. */
static uint8_t *getnet_follows(getnet_memory *memory, const getnet_layout *layout)
{
    uint8_t *follows;

    if (layout->index < memory->room && memory->follows[layout->index] != NULL)
        return memory->follows[layout->index];
    if (layout->index >= memory->room) {
        const int room = layout->index + 16;
        uint8_t **grown = (uint8_t **)PyMem_Realloc(memory->follows, (size_t)room * sizeof *grown);
        if (grown == NULL)
            return NULL;
        memset(grown + memory->room, 0, (size_t)(room - memory->room) * sizeof *grown);
        memory->follows = grown;
        memory->room = room;
    }
    follows = (uint8_t *)PyMem_Malloc((size_t)layout->keys + 1);
    if (follows == NULL)
        return NULL;
    for (int i = 0; i < layout->keys; i++)
        follows[i] = layout->key[i].next;
    follows[layout->keys] = 0;
    memory->follows[layout->index] = follows;
    return follows;
}

static void getnet_forget(getnet_memory *memory)
{
    for (int i = 0; i < memory->room; i++)
        PyMem_Free(memory->follows[i]);
    PyMem_Free(memory->follows);
    memory->follows = NULL;
    memory->room = 0;
    for (int i = 0; i < GETNET_STRINGS; i++)
        Py_CLEAR(memory->string[i]);
}

/* --------------------------------------------------------------------------------------------------------- values */

/* The characters of a string that is known to be compact and ASCII. */
static inline uint8_t *getnet_characters(PyObject *string)
{
    return (uint8_t *)((PyASCIIObject *)string + 1);
}

static inline PyObject *getnet_ascii(const uint8_t *text, size_t size)
{
    PyObject *string = PyUnicode_New((Py_ssize_t)size, 127);

    /* Of no string and of one character there is one object, which must not be written. */
    if (string != NULL && size > 1)
        memcpy(getnet_characters(string), text, size);
    else if (string != NULL && size == 1)
        Py_SETREF(string, PyUnicode_FromOrdinal(*text));
    return string;
}

/* An ASCII string, out of memory where it came before. */
static inline PyObject *getnet_shared_ascii(getnet_memory *memory, const uint8_t *text, size_t size)
{
    uint64_t hash;
    PyObject **kept, *string;

    if (size > GETNET_MAX_SHARED || size == 0)
        return getnet_ascii(text, size);
    {
        /* The first and the last eight bytes; of a shorter one also what stands around it, which is as good. */
        uint64_t first, last;
        memcpy(&first, text, 8);
        if (size < 8)
            first &= ((uint64_t)1 << 8 * size) - 1, last = 0;
        else
            memcpy(&last, text + size - 8, 8);
        hash = (first ^ (last << 23 | last >> 41) ^ size) * 0x9e3779b97f4a7c15u;
    }
    kept = &memory->string[hash >> 57];
    string = *kept;
    if (string != NULL && (size_t)PyUnicode_GET_LENGTH(string) == size &&
        getnet_same(getnet_characters(string), text, size)) {
        Py_INCREF(string);
        return string;
    }
    string = getnet_ascii(text, size);
    if (string != NULL) {
        Py_INCREF(string);
        Py_XSETREF(*kept, string);
    }
    return string;
}

/* The string whose text begins at `at`, with what is not plain in it. */
static PyObject *getnet_odd_string(getnet_source *source, const uint8_t *at)
{
    const uint8_t *stop = at;
    uint8_t *copy, *out;
    PyObject *string;

    /* The copy never is longer than what it is a copy of. */
    while (stop < source->end && *stop != '"')
        stop += *stop == '\\' ? 2 : 1;
    if (stop >= source->end)
        return NULL;
    out = copy = (uint8_t *)PyMem_Malloc((size_t)(stop - at) + 8);
    if (copy == NULL)
        return PyErr_NoMemory();
    while (at < stop) {
        if (*at < 0x20 || (*at == '\\' && !getnet_escape(&at, &out))) {
            PyMem_Free(copy);
            return NULL;
        }
        if (at < stop && *at != '\\')
            *out++ = *at++;
    }
    string = at == stop ? PyUnicode_DecodeUTF8((const char *)copy, out - copy, NULL) : NULL;
    PyMem_Free(copy);
    if (string == NULL && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        PyErr_Clear();
    source->at = stop + 1;
    return string;
}

static inline PyObject *getnet_string_value(getnet_source *source, int shared)
{
    const uint8_t *text = source->at + 1, *at = text;

    for (;;) {
        unsigned stop;
#if defined(GETNET_SSE2)
        const __m128i bytes = _mm_loadu_si128((const __m128i *)at);
        const __m128i odd = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')),
                                         _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20))); /* signed: not ASCII as well */
        stop = (unsigned)_mm_movemask_epi8(_mm_or_si128(odd, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'))));
        if (stop == 0) {
            at += 16;
            if (at >= source->end)
                return NULL;
            continue;
        }
        at += getnet_first(stop);
#else
        (void)stop;
        while (at < source->end && *at != '"' && *at != '\\' && *at >= 0x20 && *at < 0x80)
            at++;
#endif
        break;
    }
    if (at >= source->end)
        return NULL;
    if (*at != '"')
        return getnet_odd_string(source, text);
    source->at = at + 1;
    return shared ? getnet_shared_ascii(source->memory, text, (size_t)(at - text)) : getnet_ascii(text, (size_t)(at - text));
}

/* 1, or 0 where it is no integer of at most 18 digits that stands in the usual way. */
static inline int getnet_integer(getnet_source *source, long long *value)
{
    const uint8_t *at = source->at, *first;
    const int negative = *at == '-';
    long long number = 0;
    size_t size;

    at += negative;
    first = at;
    while (*at >= '0' && *at <= '9' && at - first < 19)
        number = number * 10 + (*at++ - '0');
    size = (size_t)(at - first);
    if (size == 0 || size > 18 || (*first == '0' && (size > 1 || negative)) || *at == '.' || *at == 'e' || *at == 'E')
        return 0;
    *value = negative ? -number : number;
    source->at = at;
    return 1;
}

static int getnet_stands(const getnet_source *source, const char *word, size_t size)
{
    return (size_t)(source->end - source->at) >= size && memcmp(source->at, word, size) == 0;
}

/* true, false or null. */
static inline PyObject *getnet_word(getnet_source *source)
{
    PyObject *value;

    if (getnet_stands(source, "false", 5))
        value = Py_False, source->at += 5;
    else if (getnet_stands(source, "true", 4))
        value = Py_True, source->at += 4;
    else if (getnet_stands(source, "null", 4))
        value = Py_None, source->at += 4;
    else
        return NULL;
    Py_INCREF(value);
    return value;
}

/* Any value that is no container, no float and no big integer. */
static PyObject *getnet_value(getnet_source *source, int shared)
{
    long long number;

    if (*source->at == '"')
        return getnet_string_value(source, shared);
    if (*source->at == '-' || (*source->at >= '0' && *source->at <= '9'))
        return getnet_integer(source, &number) ? PyLong_FromLongLong(number) : NULL;
    return getnet_word(source);
}

static inline void getnet_skip_spaces(getnet_source *source)
{
    while (source->at < source->end &&
           (*source->at == ' ' || *source->at == '\t' || *source->at == '\r' || *source->at == '\n'))
        source->at++;
}

/* -------------------------------------------------------------------------------------------------------- objects */

static PyObject *getnet_read_object(getnet_source *source, const getnet_layout *layout, long long *function_code,
                                    int *has_codes);

static PyObject *getnet_rows(getnet_source *source, const getnet_layout *row)
{
    PyObject *rows, *result;

    source->at++;
    if (*source->at == ']') {
        source->at++;
        return PyTuple_New(0);
    }
    rows = PyList_New(0);
    if (rows == NULL)
        return NULL;
    for (;;) {
        PyObject *item;
        int failed;
        getnet_skip_spaces(source);
        item = getnet_read_object(source, row, NULL, NULL);
        if (item == NULL)
            break;
        failed = PyList_Append(rows, item);
        Py_DECREF(item);
        if (failed)
            break;
        getnet_skip_spaces(source);
        if (*source->at == ',') {
            source->at++;
            continue;
        }
        if (*source->at != ']')
            break;
        source->at++;
        result = PyList_AsTuple(rows);
        Py_DECREF(rows);
        return result;
    }
    Py_DECREF(rows);
    return NULL;
}

static inline PyObject *getnet_number(const getnet_memory *memory, long long number)
{
    PyObject *value;

    if (number < 0 || number >= GETNET_NUMBERS)
        return PyLong_FromLongLong(number);
    value = memory->numbers[number];
    Py_INCREF(value);
    return value;
}

/* What an integer is in a field; NULL without an exception where the field cannot hold it. */
static inline PyObject *getnet_shown_integer(const getnet_memory *memory, int kind, long long number)
{
    PyObject *value;
    char digits[24];

    switch (kind) {
    case KIND_INTEGER:
        return getnet_number(memory, number);
    case KIND_SALE_TYPE:
        if (number < 0 || number >= memory->sale_type_count || memory->sale_types[number] == NULL)
            return PyLong_FromLongLong(number);
        value = memory->sale_types[number];
        Py_INCREF(value);
        return value;
    case KIND_TEXT:
        PyOS_snprintf(digits, sizeof digits, "%lld", number);
        return PyUnicode_FromString(digits);
    case KIND_LAST_DIGITS:
        if (number < 0)
            return NULL;
        PyOS_snprintf(digits, sizeof digits, "%04lld", number);
        return PyUnicode_FromString(digits);
    default:
        return NULL;
    }
}

/* Keep what a field cannot hold, or what has no field. 0 where the key is there already, or on an error. */
static int getnet_keep(PyObject *extra, PyObject *name, PyObject *value)
{
    const int there = PyDict_Contains(extra, name);

    return there == 0 && PyDict_SetItem(extra, name, value) == 0;
}

static PyObject *getnet_key_name(const getnet_key *key)
{
    return getnet_ascii(key->text + 1, key->size - 3);
}

/* A key that is not the expected one: find it, and step behind its colon. 0 where there is none that can be read;
   `*name` is set where the layout does not know it. */
static int getnet_other_key(getnet_source *source, const getnet_layout *layout, unsigned *found, PyObject **name)
{
    const uint8_t *start = source->at, *at;

    *name = NULL;
    if (*start != '"')
        return 0;
    at = getnet_skip_plain(start + 1, source->end);
    if (at < source->end && *at == '"' && at[1] == ':') {
        *found = getnet_find_key(layout, start, (size_t)(at + 2 - start));
        if (*found != GETNET_NO_KEY) {
            source->at = at + 2;
            return 1;
        }
    }
    *name = getnet_string_value(source, 1);
    if (*name == NULL)
        return 0;
    getnet_skip_spaces(source);
    if (*source->at == ':') {
        /* With spaces before the colon, or escapes, it may yet be a known one. */
        Py_ssize_t size;
        const char *utf8 = PyUnicode_AsUTF8AndSize(*name, &size);
        uint8_t quoted[GETNET_KEY_ROOM];
        source->at++;
        *found = GETNET_NO_KEY;
        if (utf8 != NULL && size + 3 <= GETNET_KEY_ROOM) {
            quoted[0] = '"';
            memcpy(quoted + 1, utf8, (size_t)size);
            memcpy(quoted + 1 + size, "\":", 2);
            *found = getnet_find_key(layout, quoted, (size_t)size + 3);
        }
        if (utf8 != NULL) {
            if (*found != GETNET_NO_KEY)
                Py_CLEAR(*name);
            return 1;
        }
    }
    Py_CLEAR(*name);
    return 0;
}

/* The object at the source's place, as the layout's type. */
static PyObject *getnet_read_object(getnet_source *source, const getnet_layout *layout, long long *function_code,
                                    int *has_codes)
{
    uint8_t *follows = getnet_follows(source->memory, layout);
    PyObject *result, *extra, *name = NULL;
    unsigned last = (unsigned)layout->keys;
    uint64_t seen = 0;
    int codes = 0;

    if (follows == NULL)
        return PyErr_NoMemory();
    if (*source->at != '{')
        return NULL;
    extra = PyDict_New();
    if (extra == NULL)
        return NULL;
    result = layout->type->tp_alloc(layout->type, 0);
    if (result == NULL) {
        Py_DECREF(extra);
        return NULL;
    }
    *getnet_slot(result, layout->extra) = extra;
    source->at++;
    if (*source->at == '}') {
        source->at++;
        goto whole;
    }
    for (;;) {
        unsigned key = follows[last];
        const getnet_field *field;
        PyObject *value;
        uint64_t bit;

        if (key != GETNET_NO_KEY && getnet_key_stands(&layout->key[key], source->at)) {
            source->at += layout->key[key].size;
        } else {
            getnet_skip_spaces(source);
            if (!getnet_other_key(source, layout, &key, &name))
                goto declined;
            if (name != NULL) {
                int kept;
                getnet_skip_spaces(source);
                value = getnet_value(source, 0);
                if (value == NULL)
                    goto declined;
                kept = getnet_keep(extra, name, value);
                Py_DECREF(value);
                Py_CLEAR(name);
                if (!kept)
                    goto declined;
                goto behind;
            }
            follows[last] = (uint8_t)key;
        }
        /* The processor hashes while it reads on: the rounds wait for each other and leave most of it idle. */
        getnet_hash_upto(source->string, source->text, source->at);
        last = key;
        field = &layout->field[layout->key[key].field];
        bit = (uint64_t)1 << layout->key[key].field;
        if (seen & bit)
            goto declined;
        seen |= bit;
    again:
        switch (*source->at) {
        case '"':
            value = getnet_string_value(source, field->shared);
            if (value == NULL)
                goto declined;
            if (field->kind != KIND_TEXT && field->kind != KIND_LAST_DIGITS)
                goto refused;
            break;
        case '-':
        case '0':
        case '1':
        case '2':
        case '3':
        case '4':
        case '5':
        case '6':
        case '7':
        case '8':
        case '9': {
            long long number;
            if (!getnet_integer(source, &number))
                goto declined;
            value = getnet_shown_integer(source->memory, field->kind, number);
            if (value == NULL) {
                if (PyErr_Occurred())
                    goto declined;
                value = PyLong_FromLongLong(number);
                if (value == NULL)
                    goto declined;
                goto refused;
            }
            if (layout->key[key].field == layout->function_code) {
                codes |= 1;
                if (function_code != NULL)
                    *function_code = number;
            } else if (layout->key[key].field == layout->response_code) {
                codes |= 2;
            }
            break;
        }
        case '[':
            if (field->kind != KIND_ROWS)
                goto declined;
            value = getnet_rows(source, field->row);
            if (value == NULL)
                goto declined;
            break;
        case ' ':
        case '\t':
        case '\r':
        case '\n':
            source->at++;
            goto again;
        default:
            value = getnet_word(source);
            if (value == NULL)
                goto declined;
            if (value == Py_None) {
                Py_INCREF(field->unset);
                Py_SETREF(value, field->unset);
            } else if (field->kind != KIND_BOOLEAN) {
                goto refused;
            }
        }
        *getnet_slot(result, field->offset) = value;
        goto behind;
    refused:
        /* A value of the wrong kind is kept under its wire name, the field stays unset. */
        name = getnet_key_name(&layout->key[key]);
        seen |= bit;
        if (name == NULL || !getnet_keep(extra, name, value)) {
            Py_DECREF(value);
            goto declined;
        }
        Py_CLEAR(name);
        Py_DECREF(value);
        Py_INCREF(field->unset);
        *getnet_slot(result, field->offset) = field->unset;
    behind:
        if (*source->at == ',') {
            source->at++;
            continue;
        }
        if (*source->at == '}') {
            source->at++;
            break;
        }
        getnet_skip_spaces(source);
        if (*source->at != ',' && *source->at != '}')
            goto declined;
        goto behind;
    }
whole:
    if (source->at > source->end)
        goto declined;
    for (seen = ~seen & layout->all; seen; seen &= seen - 1) {
        const getnet_field *field = &layout->field[getnet_first(seen)];
        Py_INCREF(field->unset);
        *getnet_slot(result, field->offset) = field->unset;
    }
    if (has_codes != NULL)
        *has_codes = codes == 3;
    return result;
declined:
    Py_XDECREF(name);
    Py_DECREF(result);
    return NULL;
}

/* The object at the source's place as a dict of plain values. */
static PyObject *getnet_read_dict(getnet_source *source)
{
    PyObject *result;

    if (*source->at != '{')
        return NULL;
    result = PyDict_New();
    if (result == NULL)
        return NULL;
    source->at++;
    getnet_skip_spaces(source);
    if (*source->at == '}') {
        source->at++;
        return result;
    }
    for (;;) {
        PyObject *name, *value;
        int kept;
        getnet_skip_spaces(source);
        name = *source->at == '"' ? getnet_string_value(source, 1) : NULL;
        if (name == NULL)
            break;
        getnet_skip_spaces(source);
        value = NULL;
        if (*source->at == ':') {
            source->at++;
            getnet_skip_spaces(source);
            value = getnet_value(source, 0);
        }
        kept = value != NULL && getnet_keep(result, name, value);
        Py_DECREF(name);
        Py_XDECREF(value);
        if (!kept)
            break;
        getnet_skip_spaces(source);
        if (*source->at == ',') {
            source->at++;
            continue;
        }
        if (*source->at != '}' || source->at >= source->end)
            break;
        source->at++;
        return result;
    }
    Py_DECREF(result);
    return NULL;
}

/* The number behind "FunctionCode": in a text, as a guess at its type; -1 where there is none to be seen. */
static long long getnet_guess(const getnet_source *source, const char *pascal, const char *camel, size_t size)
{
    const uint8_t *at = source->at + 1;

    if (source->end - at <= (Py_ssize_t)size)
        return -1;
    if (memcmp(at, pascal, size) != 0) {
        for (;; at++) {
            const size_t left = (size_t)(source->end - at);
            at = left > size ? (const uint8_t *)memchr(at, '"', left - size) : NULL;
            if (at == NULL)
                return -1;
            if (memcmp(at, pascal, size) == 0 || memcmp(at, camel, size) == 0)
                break;
        }
    }
    {
        getnet_source number = *source;
        long long value;
        number.at = at + size;
        getnet_skip_spaces(&number);
        return getnet_integer(&number, &value) ? value : -1;
    }
}

/* ---------------------------------------------------------------------------------------------- simplified frames */

static inline uint8_t getnet_lrc(const uint8_t *data, size_t size)
{
    uint64_t folded = 0, word;
    uint8_t result = 0;

    for (; size >= 8; data += 8, size -= 8) {
        memcpy(&word, data, 8);
        folded ^= word;
    }
    for (; size; size--)
        result ^= *data++;
    folded ^= folded >> 32;
    folded ^= folded >> 16;
    folded ^= folded >> 8;
    return (uint8_t)(result ^ (uint8_t)folded);
}

/* A part as text; NULL without an exception where it is not UTF-8. */
static PyObject *getnet_part(getnet_memory *memory, const uint8_t *part, size_t size, int shared)
{
    PyObject *string;
    uint8_t all = 0;

    for (size_t i = 0; i < size; i++)
        all |= part[i];
    if (all < 0x80)
        return shared && size >= 8 ? getnet_shared_ascii(memory, part, size) : getnet_ascii(part, size);
    string = PyUnicode_DecodeUTF8((const char *)part, (Py_ssize_t)size, NULL);
    if (string == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        PyErr_Clear();
    return string;
}

enum { PART_NONE, PART_INTEGER, PART_TEXT, PART_BIG };

/* What a part is where an integer belongs; an integer of more than 18 digits is left to others. */
static int getnet_part_integer(const uint8_t *part, size_t size, long long *number)
{
    const int negative = size > 1 && *part == '-';
    long long value = 0;

    if (size == 0)
        return PART_NONE;
    for (size_t i = (size_t)negative; i < size; i++) {
        if (part[i] < '0' || part[i] > '9')
            return PART_TEXT;
        if (i < 19)
            value = value * 10 + (part[i] - '0');
    }
    if (size - (size_t)negative > 18)
        return PART_BIG;
    *number = negative ? -value : value;
    return PART_INTEGER;
}

/* 1 or 0 where the part says true or false in any case, else -1. */
static int getnet_part_boolean(const uint8_t *part, size_t size)
{
    uint8_t lower[5] = {0, 0, 0, 0, 0};

    if (size != 4 && size != 5)
        return -1;
    for (size_t i = 0; i < size; i++)
        lower[i] = part[i] >= 'A' && part[i] <= 'Z' ? (uint8_t)(part[i] + 32) : part[i];
    if (size == 4)
        return memcmp(lower, "true", 4) == 0 ? 1 : -1;
    return memcmp(lower, "false", 5) == 0 ? 0 : -1;
}

/* Where a part behind the message goes: its key, and what it is there. */
typedef struct {
    uint8_t key, kind;
} getnet_place;

/* What a simplified reply of so many parts (response code, message, and as many as there are places) is. */
static PyObject *getnet_read_parts(getnet_memory *memory, const getnet_layout *layout, long long code,
                                   const uint8_t *const *part, const size_t *length, const getnet_place *places,
                                   int count)
{
    PyObject *result, *extra, *value;
    long long number;
    uint64_t unset = layout->all;

    if (getnet_part_integer(part[0], length[0], &number) != PART_INTEGER)
        return NULL;
    extra = PyDict_New();
    if (extra == NULL)
        return NULL;
    result = layout->type->tp_alloc(layout->type, 0);
    if (result == NULL) {
        Py_DECREF(extra);
        return NULL;
    }
    *getnet_slot(result, layout->extra) = extra;
    *getnet_slot(result, layout->field[layout->function_code].offset) = value = PyLong_FromLongLong(code);
    if (value == NULL)
        goto declined;
    *getnet_slot(result, layout->field[layout->response_code].offset) = value = PyLong_FromLongLong(number);
    if (value == NULL)
        goto declined;
    unset &= ~((uint64_t)1 << layout->function_code | (uint64_t)1 << layout->response_code);
    for (int i = 0; i < count; i++) {
        const getnet_key *key = &layout->key[places[i].key];
        const getnet_field *field = &layout->field[key->field];
        const uint8_t *text = part[i + 1];
        const size_t size = length[i + 1];
        int fits = 0;
        if (places[i].kind == KIND_INTEGER) {
            const int read = getnet_part_integer(text, size, &number);
            if (read == PART_NONE)
                continue;
            if (read == PART_BIG)
                goto declined;
            fits = read == PART_INTEGER;
            value = fits ? getnet_shown_integer(memory, field->kind, number) : NULL;
            if (fits && value == NULL)
                goto declined;
        } else if (places[i].kind == KIND_BOOLEAN) {
            const int said = getnet_part_boolean(text, size);
            fits = said >= 0;
            if (fits && field->kind != KIND_BOOLEAN)
                goto declined;
            if (fits) {
                value = said ? Py_True : Py_False;
                Py_INCREF(value);
            }
        }
        if (!fits) {
            value = getnet_part(memory, text, size, field->shared);
            if (value == NULL)
                goto declined;
            if (field->kind != KIND_TEXT && field->kind != KIND_LAST_DIGITS) {
                PyObject *name = getnet_key_name(key);
                const int kept = name != NULL && getnet_keep(extra, name, value);
                Py_XDECREF(name);
                Py_DECREF(value);
                if (!kept)
                    goto declined;
                continue;
            }
        }
        *getnet_slot(result, field->offset) = value;
        unset &= ~((uint64_t)1 << key->field);
    }
    for (; unset; unset &= unset - 1) {
        const getnet_field *field = &layout->field[getnet_first(unset)];
        Py_INCREF(field->unset);
        *getnet_slot(result, field->offset) = field->unset;
    }
    return result;
declined:
    Py_DECREF(result);
    return NULL;
}

/* The result, None for one that was declined, or the exception that was raised. */
static inline PyObject *getnet_given(PyObject *result)
{
    if (result == NULL && !PyErr_Occurred()) {
        result = Py_None;
        Py_INCREF(result);
    }
    return result;
}

/* An object of two slots. */
static PyObject *getnet_pair(PyObject *object, Py_ssize_t first, PyObject *one, Py_ssize_t second, PyObject *other)
{
    PyTypeObject *type = (PyTypeObject *)object;
    PyObject *result = type->tp_alloc(type, 0);

    if (result != NULL) {
        Py_INCREF(one);
        Py_INCREF(other);
        *getnet_slot(result, first) = one;
        *getnet_slot(result, second) = other;
    }
    return result;
}

/* --------------------------------------------------------------------------------------------------------- output */

/* A place to write, known to have room. */
static inline uint8_t *getnet_put(uint8_t *to, const void *bytes, size_t size)
{
    memcpy(to, bytes, size);
    return to + size;
}

/* The decimal digits of a number; at most 20 bytes. */
static inline uint8_t *getnet_put_number(uint8_t *to, long long number)
{
    unsigned long long left = number < 0 ? 0 - (unsigned long long)number : (unsigned long long)number;
    uint8_t digits[20], *at = digits + 20;

    do {
        *--at = (uint8_t)('0' + left % 10);
        left /= 10;
    } while (left);
    if (number < 0)
        *to++ = '-';
    return getnet_put(to, at, (size_t)(digits + 20 - at));
}

/* The text of a string of plain ASCII: no quote, no backslash, no control character. 0 for any other object. */
static inline int getnet_plain_ascii(PyObject *object, const uint8_t **text, size_t *size)
{
    const uint8_t *at;
    size_t length;
    uint8_t odd = 0;

    if (!PyUnicode_CheckExact(object) || !PyUnicode_IS_COMPACT_ASCII(object))
        return 0;
    at = getnet_characters(object);
    length = (size_t)PyUnicode_GET_LENGTH(object);
    for (size_t i = 0; i < length; i++)
        odd |= (uint8_t)((at[i] < 0x20) | (at[i] == '"') | (at[i] == '\\'));
    *text = at;
    *size = length;
    return !odd;
}

/* The value of an int that fits; 0 for any other object. */
static inline int getnet_long(PyObject *object, long long *number)
{
    int overflow;

    if (!PyLong_Check(object))
        return 0;
    *number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return overflow == 0;
}

#endif
