# cython: language_level=3, boundscheck=False, wraparound=False, binding=False, embedsignature=False
# cython: freethreading_compatible=True
"""Bytes <-> messages, compiled: the same answers as codec/_pure.py, which is the definition, and sooner.

Whatever is unusual is declined, and the pure codec decides on the same bytes; nothing here judges the peer. The framing
alone is written twice, since it has to go on in the middle of a frame.

Threads: layouts, sealers and tables never change once they are made. What does change belongs to one decoder, and a
decoder does one thing at a time under its own lock, with the interpreter lock or without one.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

from dataclasses import fields as dataclass_fields

from getnet_pos.codec import _pure
from getnet_pos.errors import InvalidValue
from getnet_pos.messages import (
    REPLY_TYPES,
    Ack,
    BadFrame,
    CloseBatch,
    CommandMessage,
    DetailsReport,
    Duplicate,
    FrameFault,
    GenericReply,
    Progress,
    Refund,
    Sale,
    SaleType,
    Void,
)
from getnet_pos.messages._fields import Kind, wire_fields
from getnet_pos.messages.commands import GenericCommand, sent_fields

cdef extern from "sha256.h":
    ctypedef struct getnet_sha256:
        const char *name
        uint32_t start[8]
        void blocks(uint32_t *, const uint8_t *, size_t) noexcept nogil
    const getnet_sha256 *getnet_sha256_best() noexcept nogil
    const getnet_sha256 *getnet_sha256_named(const char *) noexcept nogil
    void getnet_sha256_finish(
        const getnet_sha256 *, uint32_t *, const uint8_t *, size_t, uint64_t, uint8_t *
    ) noexcept nogil
    void getnet_sha256_whole(const getnet_sha256 *, const uint8_t *, size_t, uint8_t *) noexcept nogil
    void getnet_hex(const uint8_t *, char *) noexcept nogil

cdef extern from "text.h":
    ctypedef struct getnet_text:
        uint8_t *bytes
        size_t size
        size_t room
    ctypedef struct getnet_string:
        const getnet_sha256 *sha
        uint32_t state[8]
        size_t hashed
        int foreign
    ctypedef int (*getnet_unescape)(const uint8_t **, const uint8_t *, getnet_text *, getnet_string *) noexcept nogil
    int GETNET_READ, GETNET_NOT_PLAIN, GETNET_NO_MEMORY, GETNET_SLACK
    getnet_unescape getnet_unescape_named(const char *) noexcept nogil
    int getnet_text_reserve(getnet_text *, size_t) noexcept nogil
    void getnet_text_free(getnet_text *) noexcept nogil
    void getnet_fill_orders() noexcept nogil

cdef extern from "grammar.h":
    ctypedef struct getnet_json:
        pass
    ctypedef struct getnet_simplified:
        int digits
        int in_text
    int GETNET_BAD, GETNET_MORE, GETNET_WHOLE
    void getnet_json_begin(getnet_json *) noexcept nogil
    int getnet_json_read(getnet_json *, const uint8_t *, size_t *, size_t) noexcept nogil
    int getnet_simplified_read(getnet_simplified *, const uint8_t *, size_t *, size_t) noexcept nogil

cdef extern from "objects.h":
    int GETNET_MAX_FIELDS, GETNET_NO_KEY, GETNET_SLOTS
    int KIND_INTEGER, KIND_TEXT, KIND_BOOLEAN, KIND_LAST_DIGITS, KIND_SALE_TYPE, KIND_ROWS
    ctypedef struct getnet_field:
        Py_ssize_t offset
        PyObject *unset
        getnet_layout *row
        int kind
        int shared
    ctypedef struct getnet_key:
        uint8_t field
        uint8_t next
    ctypedef struct getnet_layout:
        PyTypeObject *type
        Py_ssize_t extra
        uint64_t all
        int index
        int function_code
        int response_code
        int fields
        int keys
        getnet_field field[64]
        getnet_key key[254]
        uint8_t slot[512]
    ctypedef struct getnet_memory:
        PyObject **sale_types
        int sale_type_count
    ctypedef struct getnet_source:
        const uint8_t *at
        const uint8_t *end
        getnet_memory *memory
    Py_ssize_t getnet_member_offset(object, object)
    int getnet_made_plainly(object)
    int getnet_add_key(getnet_layout *, const char *, size_t, int)
    PyObject **getnet_slot(object, Py_ssize_t)
    void getnet_forget(getnet_memory *)
    PyObject *getnet_read_object(getnet_source *, const getnet_layout *, long long *, int *)
    PyObject *getnet_read_dict(getnet_source *)
    long long getnet_guess(const getnet_source *, const char *, const char *, size_t)
    PyObject *getnet_part(getnet_memory *, const uint8_t *, size_t, int)
    int PART_NONE, PART_INTEGER, PART_TEXT, PART_BIG
    int getnet_part_integer(const uint8_t *, size_t, long long *) nogil
    PyObject *getnet_shown_integer(const getnet_memory *, int, long long)
    int getnet_part_boolean(const uint8_t *, size_t)
    uint8_t getnet_lrc(const uint8_t *, size_t) nogil
    int getnet_plain_ascii(object, const uint8_t **, size_t *)
    int getnet_long(object, long long *)
    uint8_t *getnet_put(uint8_t *, const void *, size_t) nogil
    uint8_t *getnet_put_number(uint8_t *, long long) nogil

cdef extern from *:
    """
    /* A decoder's lock. Its owner is written only by whoever holds it, so a thread that reads itself there holds it. */
    #if PY_VERSION_HEX >= 0x030D00A1
    typedef PyMutex getnet_lock;
    #define getnet_lock_make(lock) (memset((lock), 0, sizeof *(lock)), 1)
    #define getnet_lock_free(lock) ((void)(lock))
    #define getnet_lock_take(lock) PyMutex_Lock(lock)
    #define getnet_lock_give(lock) PyMutex_Unlock(lock)
    #else
    typedef PyThread_type_lock getnet_lock;
    #define getnet_lock_make(lock) ((*(lock) = PyThread_allocate_lock()) != NULL)
    #define getnet_lock_free(lock) do { if (*(lock)) PyThread_free_lock(*(lock)); } while (0)
    #define getnet_lock_give(lock) PyThread_release_lock(*(lock))
    static void getnet_lock_take(getnet_lock *lock)
    {
        if (PyThread_acquire_lock(*lock, NOWAIT_LOCK))
            return;
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(*lock, WAIT_LOCK);
        Py_END_ALLOW_THREADS
    }
    #endif
    """
    ctypedef struct getnet_lock:
        pass
    int getnet_lock_make(getnet_lock *)
    void getnet_lock_free(getnet_lock *)
    void getnet_lock_take(getnet_lock *)
    void getnet_lock_give(getnet_lock *)
    unsigned long PyThread_get_thread_ident() nogil
    PyObject *PyErr_Occurred()
    PyObject *PyDict_GetItem(object, object)
    const char *PyUnicode_AsUTF8AndSize(object, Py_ssize_t *) except NULL
    void Py_DECREF(PyObject *)

__all__ = [
    "BACKEND",
    "Decoder",
    "decode_many",
    "encode_simplified",
    "envelope",
    "frame_simplified",
    "lrc",
    "seal",
    "signature",
]

BACKEND = "native"


# ---------------------------------------------------------------------------------------------------------------- hash

cdef const getnet_sha256 *_sha = getnet_sha256_best()
cdef getnet_unescape _unescape_best = NULL

getnet_fill_orders()
_unescape_best = getnet_unescape_named("ssse3")
if _unescape_best == NULL:
    _unescape_best = getnet_unescape_named("portable")


cdef object _taken(PyObject *result):
    """What C made and gave away."""
    taken = <object>result
    Py_DECREF(result)
    return taken


def signature(str text):
    cdef Py_ssize_t size
    cdef uint8_t digest[32]
    cdef char hexadecimal[64]
    cdef const char *utf8 = PyUnicode_AsUTF8AndSize(text, &size)
    getnet_sha256_whole(_sha, <const uint8_t *>utf8, size, digest)
    getnet_hex(digest, hexadecimal)
    return hexadecimal[:64].decode("ascii")


def _implementations():
    """The names of the ways to hash and to unescape that run here, for the tests."""
    return {
        "sha256": [name for name in (b"portable", b"sha-ni", b"armv8") if getnet_sha256_named(name) != NULL],
        "unescape": [name for name in (b"portable", b"ssse3") if getnet_unescape_named(name) != NULL],
        "chosen": _sha.name,
    }


def _sha256(const uint8_t[::1] data, bytes implementation, size_t times=1):
    """The digest by one implementation, for the tests; `times` over in C, for the benches."""
    cdef const getnet_sha256 *sha = getnet_sha256_named(implementation)
    cdef uint8_t digest[32]
    cdef const uint8_t *start = &data[0] if data.shape[0] else NULL
    cdef size_t size = data.shape[0]
    cdef uint8_t nothing = 0
    if sha == NULL:
        raise ValueError(f"{implementation} does not run here")
    if size == 0:
        start = &nothing
    with nogil:
        for _ in range(times):
            getnet_sha256_whole(sha, start, size, digest)
    return digest[:32]


def _unescape(bytes data, bytes implementation):
    """The string at the start of `data`, behind its quote, and the place of its end; None where it is not plain."""
    cdef getnet_unescape way = getnet_unescape_named(implementation)
    cdef getnet_text text
    cdef getnet_string read
    cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef const uint8_t *at = start
    memset(&text, 0, sizeof text)
    read.sha = _sha
    try:
        if way(&at, start + PyBytes_GET_SIZE(data), &text, &read) != GETNET_READ:
            return None
        return PyBytes_FromStringAndSize(<char *>text.bytes, text.size), at - start
    finally:
        getnet_text_free(&text)


# ------------------------------------------------------------------------------------------------------------- layouts

cdef dict _KINDS = {
    Kind.INTEGER: KIND_INTEGER,
    Kind.TEXT: KIND_TEXT,
    Kind.BOOLEAN: KIND_BOOLEAN,
    Kind.LAST_DIGITS: KIND_LAST_DIGITS,
    Kind.SALE_TYPE: KIND_SALE_TYPE,
    Kind.ROWS: KIND_ROWS,
}
cdef object _NOTHING = ()
cdef dict _layouts = {}
cdef int _layout_count = 0

# A ticket, a code or a date seldom comes twice; what must not be shown must not be kept either.
cdef frozenset _SELDOM_TWICE = frozenset({"ticket", "authorization_code", "last4_digits"})


cdef class _Layout:
    """How a wire object becomes one message type, as C reads it; made once from the type's own description."""

    cdef getnet_layout *c
    cdef object kept

    def __dealloc__(self):
        PyMem_Free(self.c)


cdef _Layout _layout(message):
    """The layout of a type, or None where its objects have to be made by the pure codec."""
    if message not in _layouts:
        made = _make_layout(message)
        _layouts.setdefault(message, made)
    return _layouts[message]


cdef _Layout _make_layout(message):
    global _layout_count
    cdef _Layout layout = _Layout.__new__(_Layout)
    cdef _Layout row
    cdef getnet_field *field
    cdef int number, spelling, first
    cdef list described = list(wire_fields(message))
    if not isinstance(message, type) or not getnet_made_plainly(message) or len(described) > GETNET_MAX_FIELDS:
        return None
    layout.c = <getnet_layout *>PyMem_Calloc(1, sizeof(getnet_layout))
    if layout.c == NULL:
        raise MemoryError()
    memset(layout.c.slot, GETNET_NO_KEY, GETNET_SLOTS)
    shown = {item.name: item.repr for item in dataclass_fields(message)}
    rows = []
    layout.c.type = <PyTypeObject *>message
    layout.c.extra = getnet_member_offset(message.extra, message)
    layout.c.function_code = layout.c.response_code = -1
    layout.c.fields = len(described)
    if layout.c.extra < 0:
        return None
    for number, item in enumerate(described):
        field = &layout.c.field[number]
        field.offset = getnet_member_offset(getattr(message, item.name), message)
        if field.offset < 0:
            return None
        field.kind = _KINDS[item.kind]
        field.unset = <PyObject *>(_NOTHING if item.kind is Kind.ROWS else None)
        field.shared = shown[item.name] and item.name not in _SELDOM_TWICE
        layout.c.all |= <uint64_t>1 << number
        if item.row is not None:
            row = _layout(item.row)
            # A row of rows could nest without end.
            if row is None or any(inner.row is not None for inner in wire_fields(item.row)):
                return None
            rows.append(row)
            field.row = row.c
        if item.spellings == ("FunctionCode", "functionCode") and item.kind is Kind.INTEGER:
            layout.c.function_code = number
        elif item.spellings == ("ResponseCode", "responseCode") and item.kind is Kind.INTEGER:
            layout.c.response_code = number
    # The spellings of one place in their tuples stand together, each expected behind the one before it.
    for spelling in range(max((len(item.spellings) for item in described), default=0)):
        first = layout.c.keys
        for number, item in enumerate(described):
            if spelling < len(item.spellings):
                name = item.spellings[spelling].encode()
                if not getnet_add_key(layout.c, name, len(name), number):
                    return None
                if layout.c.keys - 1 > first:
                    layout.c.key[layout.c.keys - 2].next = layout.c.keys - 1
    layout.c.index = _layout_count
    _layout_count += 1
    layout.kept = (message, rows)
    return layout


cdef class _Place:
    """Where a part of a simplified reply goes."""

    cdef str name
    cdef int integer, boolean, field


cdef list _places(_Layout layout, tuple names, list described):
    """Where the parts behind the message go; None where a name has no field."""
    cdef _Place place
    cdef list result = []
    for name in names:
        place = _Place.__new__(_Place)
        place.name = name
        place.integer = name in _pure._INTEGERS
        place.boolean = name in ("Success", "PrintOnPos")
        place.field = -1
        for number, item in enumerate(described):
            if name in item.spellings:
                place.field = number
        if place.field < 0:
            return None
        result.append(place)
    return result


cdef enum:
    CODES = 1000


cdef class _Table:
    """The layouts of the replies by function code, and the places of the simplified ones."""

    cdef PyObject *by_code[CODES]
    cdef dict types
    cdef dict places
    cdef list kept

    def __init__(self, dict types):
        cdef _Layout layout
        cdef int code
        self.types = types
        self.places = {}
        self.kept = []
        generic = _reply_layout(GenericReply)
        for code in range(CODES):
            message = types.get(code, GenericReply)
            layout = generic if message is GenericReply else _reply_layout(message)
            if layout is not None:
                self.kept.append(layout)
                self.by_code[code] = <PyObject *>layout
                if code in _pure._POSITIONS:
                    described = list(wire_fields(message))
                    common = _places(layout, ("ResponseMessage", *_pure._POSITIONS[code]), described)
                    if common is not None and common[0].field >= 0:
                        self.places[code] = common


cdef _Layout _reply_layout(message):
    """The layout of a reply type, which has to hold both of its codes."""
    cdef _Layout layout = _layout(message)
    if layout is None or layout.c.function_code < 0 or layout.c.response_code < 0:
        return None
    return layout


cdef _Table _usual = _Table(dict(REPLY_TYPES))

cdef Py_ssize_t _PROGRESS_CODE = getnet_member_offset(Progress.code, Progress)
cdef Py_ssize_t _PROGRESS_TEXT = getnet_member_offset(Progress.text, Progress)
cdef Py_ssize_t _COMMAND_CODE = getnet_member_offset(CommandMessage.code, CommandMessage)
cdef Py_ssize_t _COMMAND_FIELDS = getnet_member_offset(CommandMessage.fields, CommandMessage)
cdef object _received = Ack(True)
cdef object _not_received = Ack(False)

cdef PyObject *_sale_types[32]
cdef int _sale_type_count = 0
cdef object _item
for _item in SaleType:
    if 0 <= int(_item) < 32:
        _sale_types[int(_item)] = <PyObject *>_item
        _sale_type_count = max(_sale_type_count, int(_item) + 1)
