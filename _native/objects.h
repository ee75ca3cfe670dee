/* Reads flat JSON objects into the library's frozen types. Anything unusual is declined: NULL without an exception. */
#ifndef GETNET_OBJECTS_H
#define GETNET_OBJECTS_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>
#include <structmember.h>

#include "sha256.h"
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
    PyObject *unset; /* its value if it was not sent: None or () */
    struct getnet_layout *row;
    int kind;
    int shared;  /* whether its strings may be cached and reused for any field */
    int repeats; /* whether its values may be cached and reused for this field */
} getnet_field;

/* A key as in the text, with its quotes and its colon. */
typedef struct {
    uint8_t text[GETNET_KEY_ROOM];
    uint32_t size;
    uint32_t bits; /* one for each of its first 32 bytes */
    uint8_t field;
    uint8_t next; /* the key that is expected after it at first */
} getnet_key;

/* How an object becomes one type. It never changes after it is made. */
typedef struct getnet_layout {
    PyTypeObject *type;
    Py_ssize_t extra;
    uint64_t all; /* one bit for each field */
    int index;    /* its number in this process */
    int function_code, response_code;
    int fields, keys;
    getnet_field field[GETNET_MAX_FIELDS];
    getnet_key key[GETNET_MAX_KEYS];
    uint8_t slot[GETNET_SLOTS];
} getnet_layout;

/* The last content of a field: the text from its value to the next value, and the value. */
typedef struct {
    uint8_t text[32];
    uint32_t bits; /* one for each byte of the text */
    uint8_t size;
    uint8_t next; /* the key at the end of the text */
    PyObject *value;
} getnet_seen;

/* The cache for the objects of one type: the last content of each field, and which key followed which. */
typedef struct {
    int fields;
    getnet_seen seen[GETNET_MAX_FIELDS]; /* as many as the type has */
} getnet_habit;

/* The cache of a decoder. Messages are the same without it. */
typedef struct {
    getnet_habit **habits; /* by layout */
    int room;
    PyObject *string[GETNET_STRINGS];
    PyObject **sale_types; /* by number */
    int sale_type_count;
    PyObject **numbers; /* the most frequent ints, from 0 */
} getnet_memory;

#define GETNET_NUMBERS 1024

/* The text that is being read, with GETNET_SLACK bytes after its end. */
typedef struct {
    const uint8_t *at, *end;
    getnet_memory *memory;
    /* Its hash, computed along the way as far as there are complete blocks. */
    const getnet_sha256 *sha;
    getnet_sha256_run run;
} getnet_source;

/* Hashing runs along with reading, because its rounds depend on each other and leave most of the processor idle.
   Keeping both at the same pace uses the processor best. */
static inline void getnet_hash_on(getnet_source *source, const uint8_t *at)
{
    if (source->end - source->run.at >= 64 && at - source->run.at >= 32 * source->run.half)
        source->sha->half(&source->run);
}

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

/* Whether the type's objects only need to be allocated, and are read by their slots. */
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

/* 0 if there is no room for it. */
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

/* The key of the layout at `at`, `size` bytes with quotes and colon. */
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

/* The last entry of `follows` is the first key. */
static inline uint8_t *getnet_follows(getnet_habit *habit)
{
    return (uint8_t *)(habit->seen + habit->fields);
}

static getnet_habit *getnet_find_habit(getnet_memory *memory, const getnet_layout *layout)
{
    getnet_habit *habit;
    size_t size;

    if (layout->index < memory->room && memory->habits[layout->index] != NULL)
        return memory->habits[layout->index];
    if (layout->index >= memory->room) {
        const int room = layout->index + 16;
        getnet_habit **grown = (getnet_habit **)PyMem_Realloc(memory->habits, (size_t)room * sizeof *grown);
        if (grown == NULL)
            return NULL;
        memset(grown + memory->room, 0, (size_t)(room - memory->room) * sizeof *grown);
        memory->habits = grown;
        memory->room = room;
    }
    size = offsetof(getnet_habit, seen) + (size_t)layout->fields * sizeof(getnet_seen) + (size_t)layout->keys + 1;
    habit = (getnet_habit *)PyMem_Calloc(1, size);
    if (habit == NULL)
        return NULL;
    habit->fields = layout->fields;
    for (int i = 0; i < layout->keys; i++)
        getnet_follows(habit)[i] = layout->key[i].next;
    memory->habits[layout->index] = habit;
    return habit;
}

static void getnet_forget(getnet_memory *memory)
{
    for (int i = 0; i < memory->room; i++) {
        getnet_habit *habit = memory->habits[i];
        for (int j = 0; habit != NULL && j < habit->fields; j++)
            Py_CLEAR(habit->seen[j].value);
        PyMem_Free(habit);
    }
    PyMem_Free(memory->habits);
    memory->habits = NULL;
    memory->room = 0;
    for (int i = 0; i < GETNET_STRINGS; i++)
        Py_CLEAR(memory->string[i]);
}

static inline int getnet_stands_masked(const uint8_t *text, uint32_t bits, const uint8_t *at)
{
#if defined(GETNET_SSE2)
    const __m128i *one = (const __m128i *)text, *other = (const __m128i *)at;
    const uint32_t same =
        (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(one), _mm_loadu_si128(other))) |
        (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(one + 1), _mm_loadu_si128(other + 1))) << 16;
    return (~same & bits) == 0;
#else
    size_t size = 0;
    while (size < 32 && bits >> size & 1)
        size++;
    return getnet_same(text, at, size);
#endif
}

static inline int getnet_key_stands(const getnet_key *key, const uint8_t *at)
{
#if defined(GETNET_SSE2)
    return getnet_stands_masked(key->text, key->bits, at) &&
           (key->size <= 32 || memcmp(key->text + 32, at + 32, key->size - 32) == 0);
#else
    return getnet_same(key->text, at, key->size);
#endif
}

static inline void getnet_remember(getnet_seen *seen, const uint8_t *text, size_t size, unsigned next, PyObject *value)
{
    memcpy(seen->text, text, sizeof seen->text); /* that many bytes are always readable */
    seen->bits = size == 32 ? 0xffffffffu : ((uint32_t)1 << size) - 1;
    seen->size = (uint8_t)size;
    seen->next = (uint8_t)next;
    Py_INCREF(value);
    Py_XSETREF(seen->value, value);
}

/* --------------------------------------------------------------------------------------------------------- values */

/* The characters of a string that is compact and ASCII. */
static inline uint8_t *getnet_characters(PyObject *string)
{
    return (uint8_t *)((PyASCIIObject *)string + 1);
}

static inline PyObject *getnet_ascii(const uint8_t *text, size_t size)
{
    PyObject *string = PyUnicode_New((Py_ssize_t)size, 127);

    /* Strings of zero or one character are shared objects, which must not be written to. */
    if (string != NULL && size > 1)
        memcpy(getnet_characters(string), text, size);
    else if (string != NULL && size == 1)
        Py_SETREF(string, PyUnicode_FromOrdinal(*text));
    return string;
}

/* An ASCII string, from the cache if it was read before. */
static inline PyObject *getnet_shared_ascii(getnet_memory *memory, const uint8_t *text, size_t size)
{
    uint64_t hash;
    PyObject **kept, *string;

    if (size > GETNET_MAX_SHARED || size == 0)
        return getnet_ascii(text, size);
    {
        uint64_t first = 0, last = 0;
        if (size >= 8) {
            memcpy(&first, text, 8);
            memcpy(&last, text + size - 8, 8);
        } else if (size >= 4) {
            memcpy(&first, text, 4);
            memcpy(&last, text + size - 4, 4);
        } else {
            first = (uint64_t)text[0] << 16 | (uint64_t)text[size / 2] << 8 | text[size - 1];
        }
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

/* The string whose text begins at `at` and is not plain. */
static PyObject *getnet_odd_string(getnet_source *source, const uint8_t *at)
{
    const uint8_t *stop = at;
    uint8_t *copy, *out;
    PyObject *string;

    /* The copy is never longer than the original. */
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

/* 1; or 0 if it is not an integer of at most 18 digits in the usual form. */
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

/* Any value except a container, a float or a big integer. */
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

static PyObject *getnet_read_object(getnet_source *source, const getnet_layout *layout);

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
        item = getnet_read_object(source, row);
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

/* The value of an integer in a field; NULL without an exception if the field does not accept it. */
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

/* Keep a value that has no field, or that its field does not accept. 0 if the key is already there, or on an error. */
static int getnet_keep(PyObject *extra, PyObject *name, PyObject *value)
{
    const int there = PyDict_Contains(extra, name);

    return there == 0 && PyDict_SetItem(extra, name, value) == 0;
}

/* Find a key that is not the expected one, and read its colon. 0 if there is none that can be read; sets `*name` if the
   layout does not know it. */
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
        /* With spaces before the colon, or escapes, it may still be a known one. */
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

/* The object at the source's position, as the layout's type. */
static PyObject *getnet_read_object(getnet_source *source, const getnet_layout *layout)
{
    getnet_habit *habit = getnet_find_habit(source->memory, layout);
    uint8_t *follows;
    PyObject *result, *extra, *value, *name = NULL;
    const getnet_field *field;
    getnet_seen *seen, *news = NULL; /* where to cache the previous value */
    const uint8_t *at = source->at, *start = NULL;
    unsigned key, last = (unsigned)layout->keys;
    uint64_t unset = layout->all;

    if (habit == NULL)
        return PyErr_NoMemory();
    if (*at != '{')
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
    follows = getnet_follows(habit);
    at++;
    if (*at == '}') {
        at++;
        goto whole;
    }
next_key:
    key = follows[last];
    if (key != GETNET_NO_KEY && getnet_key_stands(&layout->key[key], at)) {
        at += layout->key[key].size;
    } else {
        source->at = at;
        getnet_skip_spaces(source);
        if (!getnet_other_key(source, layout, &key, &name))
            goto declined;
        at = source->at;
        if (name != NULL) {
            int kept;
            news = NULL;
            getnet_skip_spaces(source);
            value = getnet_value(source, 0);
            if (value == NULL)
                goto declined;
            kept = getnet_keep(extra, name, value);
            Py_DECREF(value);
            Py_CLEAR(name);
            if (!kept)
                goto declined;
            at = source->at;
            goto behind;
        }
        follows[last] = (uint8_t)key;
    }
    if (news != NULL && at - start <= 32)
        getnet_remember(news, start, (size_t)(at - start), key, value);
    news = NULL;
value:
    getnet_hash_on(source, at);
    field = &layout->field[layout->key[key].field];
    seen = &habit->seen[layout->key[key].field];
    if (!(unset >> layout->key[key].field & 1))
        goto declined;
    unset &= ~((uint64_t)1 << layout->key[key].field);
    last = key;
    if (seen->value != NULL && getnet_stands_masked(seen->text, seen->bits, at)) {
        Py_INCREF(seen->value);
        *getnet_slot(result, field->offset) = seen->value;
        at += seen->size;
        key = seen->next;
        goto value;
    }
    start = at;
again:
    if (*at == '"') {
        source->at = at;
        value = getnet_string_value(source, field->shared);
        at = source->at;
        if (value == NULL)
            goto declined;
        if (field->kind != KIND_TEXT && field->kind != KIND_LAST_DIGITS)
            goto foreign;
    } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
        long long number;
        source->at = at;
        if (!getnet_integer(source, &number))
            goto declined;
        at = source->at;
        value = getnet_shown_integer(source->memory, field->kind, number);
        if (value == NULL)
            goto declined;
    } else if (*at == '[') {
        if (field->kind != KIND_ROWS)
            goto declined;
        source->at = at;
        value = getnet_rows(source, field->row);
        at = source->at;
        if (value == NULL)
            goto declined;
    } else if (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n') {
        at++;
        goto again;
    } else {
        source->at = at;
        value = getnet_word(source);
        at = source->at;
        if (value == NULL)
            goto declined;
        if (value == Py_None) {
            Py_INCREF(field->unset);
            Py_SETREF(value, field->unset);
        } else if (field->kind != KIND_BOOLEAN) {
            goto foreign;
        }
    }
    *getnet_slot(result, field->offset) = value;
    if (field->repeats)
        news = seen;
behind:
    if (*at == ',') {
        at++;
        goto next_key;
    }
    if (*at == '}') {
        at++;
        goto whole;
    }
    source->at = at;
    getnet_skip_spaces(source);
    at = source->at;
    if (*at != ',' && *at != '}')
        goto declined;
    goto behind;
foreign:
    /* A value of another type, which may represent one that the field accepts. */
    Py_DECREF(value);
    goto declined;
whole:
    source->at = at;
    if (at > source->end)
        goto declined;
    for (; unset; unset &= unset - 1) {
        field = &layout->field[getnet_first(unset)];
        Py_INCREF(field->unset);
        *getnet_slot(result, field->offset) = field->unset;
    }
    return result;
declined:
    Py_XDECREF(name);
    Py_DECREF(result);
    return NULL;
}

/* Whether it is a reply with this function code and any response code. */
static int getnet_has_codes(PyObject *reply, const getnet_layout *layout, long long function_code)
{
    PyObject *code = *getnet_slot(reply, layout->field[layout->function_code].offset);

    return PyLong_CheckExact(code) && PyLong_AsLongLong(code) == function_code &&
           PyLong_CheckExact(*getnet_slot(reply, layout->field[layout->response_code].offset));
}

/* The object at the source's position, as a dict of plain values. */
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

/* The number after "FunctionCode": in a text, to guess its type; -1 if there is none. */
static long long getnet_guess(const getnet_source *source, const char *pascal, const char *camel, size_t size)
{
    const uint8_t *at = source->at + 1;

    if (source->end - at <= (Py_ssize_t)size)
        return -1;
    if (!getnet_same(at, (const uint8_t *)pascal, size)) {
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
        getnet_source number;
        long long value;
        number.end = source->end;
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

#define GETNET_PARTS 40

/* A frame's text, split at its bars. */
typedef struct {
    const uint8_t *part[GETNET_PARTS];
    size_t size[GETNET_PARTS];
    int count;
    int foreign; /* whether there is a byte that is not ASCII */
} getnet_parts;

/* 0 if there are too many. */
static int getnet_take_apart(getnet_parts *parts, const uint8_t *at, const uint8_t *end)
{
    int count = 0;
    uint8_t all = 0;

    parts->part[0] = at;
    while (at < end) {
        uint64_t bars = 0;
        size_t size = (size_t)(end - at);
#if defined(GETNET_SSE2)
        if (size >= 16) {
            const __m128i bytes = _mm_loadu_si128((const __m128i *)at);
            bars = (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('|')));
            all |= (uint8_t)(_mm_movemask_epi8(bytes) ? 0x80 : 0);
            size = 16;
        } else
#endif
        {
            size = size < 64 ? size : 64;
            for (size_t i = 0; i < size; i++) {
                bars |= (uint64_t)(at[i] == '|') << i;
                all |= at[i];
            }
        }
        for (; bars; bars &= bars - 1) {
            const uint8_t *bar = at + getnet_first(bars);
            if (count == GETNET_PARTS - 1)
                return 0;
            parts->size[count] = (size_t)(bar - parts->part[count]);
            parts->part[++count] = bar + 1;
        }
        at += size;
    }
    parts->size[count] = (size_t)(end - parts->part[count]);
    parts->count = count + 1;
    parts->foreign = all >= 0x80;
    return 1;
}

/* A part as text; NULL without an exception if it is not UTF-8. */
static inline PyObject *getnet_part(getnet_memory *memory, const getnet_parts *parts, int number, int shared)
{
    const uint8_t *part = parts->part[number];
    const size_t size = parts->size[number];
    PyObject *string;

    if (!parts->foreign)
        return shared ? getnet_shared_ascii(memory, part, size) : getnet_ascii(part, size);
    string = PyUnicode_DecodeUTF8((const char *)part, (Py_ssize_t)size, NULL);
    if (string == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        PyErr_Clear();
    return string;
}

enum { PART_NONE, PART_INTEGER, PART_TEXT, PART_BIG };

/* The value of a part in the place of an integer; the pure codec reads one of more than 18 digits. */
static inline int getnet_part_integer(const uint8_t *part, size_t size, long long *number)
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

/* Whether there are blanks around a part. */
static inline int getnet_part_padded(const uint8_t *part, size_t size)
{
    return size != 0 && (part[0] == ' ' || part[size - 1] == ' ');
}

/* 1 or 0 if the part is true or false, in upper or lower case; else -1. */
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

/* The field of a part after the message: its key and its kind. */
typedef struct {
    uint8_t key, kind;
} getnet_place;

/* Read a simplified reply: a code, a response code, and a part for each field. */
static PyObject *getnet_read_parts(getnet_memory *memory, const getnet_layout *layout, long long code,
                                   const getnet_parts *parts, const getnet_place *places, int count, int all)
{
    PyObject *result, *extra, *value;
    long long number;
    uint64_t unset = layout->all;

    /* Only a reply that is not approved may leave parts out. */
    if (getnet_part_integer(parts->part[1], parts->size[1], &number) != PART_INTEGER || (number == 0 && count != all))
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
        const uint8_t *text = parts->part[i + 2];
        const size_t size = parts->size[i + 2];
        if (places[i].kind == KIND_INTEGER) {
            const int read = getnet_part_integer(text, size, &number);
            if (read == PART_NONE)
                continue;
            value = read == PART_INTEGER ? getnet_shown_integer(memory, field->kind, number) : NULL;
        } else if (places[i].kind == KIND_BOOLEAN) {
            const int said = field->kind == KIND_BOOLEAN ? getnet_part_boolean(text, size) : -1;
            value = said < 0 ? NULL : said ? Py_True : Py_False;
            Py_XINCREF(value);
        } else if (field->kind == KIND_TEXT || field->kind == KIND_LAST_DIGITS) {
            value = getnet_part_padded(text, size) ? NULL : getnet_part(memory, parts, i + 2, field->shared);
        } else {
            value = NULL;
        }
        if (value == NULL)
            goto declined;
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

/* The result; None if it was declined; or the exception that was raised. */
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

/* Write to a place that has enough room. */
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
