# cython: language_level=3, boundscheck=False, wraparound=False, binding=False, embedsignature=False
# cython: freethreading_compatible=True
"""The compiled codec: the same results as codec/pure.py, which is the definition, but faster.

Anything unusual is declined, and the pure codec decides on the same bytes; nothing here judges the peer. Only the
framing is implemented twice, because it must be able to continue in the middle of a frame.

Threads: layouts, sealers and tables never change after they are made. Everything that changes belongs to one decoder,
which does one thing at a time under its own lock, with or without the interpreter lock.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

from dataclasses import fields as dataclass_fields

from getnet_pos.codec import messages as _messages
from getnet_pos.codec import signed as _signed_wire
from getnet_pos.codec import simplified as _simplified_wire
from getnet_pos.codec import stream as _stream
from getnet_pos.codec._native_terminals import read_terminals
from getnet_pos.errors import InvalidValue
from getnet_pos.messages import (
    CATALOGUE,
    Ack,
    BadFrame,
    CommandMessage,
    FrameFault,
    GenericReply,
    Progress,
    SaleType,
)
from getnet_pos.messages.declaring import sent_fields
from getnet_pos.messages.fields import Kind, wire_fields

cdef extern from "sha256.h":
    ctypedef struct getnet_sha256:
        const char *name
        uint32_t start[8]
        void blocks(uint32_t *, const uint8_t *, size_t) noexcept nogil
    const getnet_sha256 *getnet_sha256_best() noexcept nogil
    const getnet_sha256 *getnet_sha256_named(const char *) noexcept nogil
    ctypedef struct getnet_sha256_run:
        pass
    void getnet_sha256_begin(const getnet_sha256 *, getnet_sha256_run *, const uint8_t *) noexcept nogil
    void getnet_sha256_end(
        const getnet_sha256 *, getnet_sha256_run *, const uint8_t *, const uint8_t *, uint8_t *
    ) noexcept nogil
    void getnet_sha256_whole(const getnet_sha256 *, const uint8_t *, size_t, uint8_t *) noexcept nogil
    void getnet_hex(const uint8_t *, char *) noexcept nogil

cdef extern from "text.h":
    ctypedef struct getnet_text:
        uint8_t *bytes
        size_t size
        size_t room
    ctypedef int (*getnet_unescape)(const uint8_t **, const uint8_t *, getnet_text *) noexcept nogil
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
        int repeats
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
    ctypedef struct getnet_place:
        uint8_t key
        uint8_t kind
    int GETNET_NUMBERS
    ctypedef struct getnet_memory:
        PyObject **numbers
        PyObject **sale_types
        int sale_type_count
    ctypedef struct getnet_source:
        const uint8_t *at
        const uint8_t *end
        getnet_memory *memory
        const getnet_sha256 *sha
        getnet_sha256_run run
    Py_ssize_t getnet_member_offset(object, object)
    int getnet_made_plainly(object)
    int getnet_add_key(getnet_layout *, const char *, size_t, int)
    PyObject **getnet_slot(object, Py_ssize_t)
    void getnet_forget(getnet_memory *)
    PyObject *getnet_read_object(getnet_source *, const getnet_layout *)
    int getnet_has_codes(object, const getnet_layout *, long long)
    PyObject *getnet_read_dict(getnet_source *)
    long long getnet_guess(const getnet_source *, const char *, const char *, size_t)
    ctypedef struct getnet_parts:
        const uint8_t *part[40]
        size_t size[40]
        int count
        int foreign
    int getnet_take_apart(getnet_parts *, const uint8_t *, const uint8_t *) nogil
    PyObject *getnet_part(getnet_memory *, const getnet_parts *, int, int)
    int PART_NONE, PART_INTEGER, PART_TEXT, PART_BIG
    int getnet_part_integer(const uint8_t *, size_t, long long *) nogil
    unsigned getnet_find_key(const getnet_layout *, const uint8_t *, size_t) nogil
    PyObject *getnet_read_parts(
        getnet_memory *, const getnet_layout *, long long, const getnet_parts *, const getnet_place *, int, int
    )
    object getnet_given(PyObject *)
    object getnet_pair(object, Py_ssize_t, object, Py_ssize_t, object)
    int getnet_part_boolean(const uint8_t *, size_t)
    int getnet_part_padded(const uint8_t *, size_t)
    uint8_t getnet_lrc(const uint8_t *, size_t) nogil
    int getnet_plain_ascii(object, const uint8_t **, size_t *)
    int getnet_long(object, long long *)
    uint8_t *getnet_put(uint8_t *, const void *, size_t) nogil
    uint8_t *getnet_put_number(uint8_t *, long long) nogil

cdef extern from *:
    """
    /* The lock that makes a decoder do one thing at a time. With the interpreter lock, which every caller holds, a flag
       is enough while nobody waits. */
    #if PY_VERSION_HEX >= 0x030D00A1
    typedef struct {
        PyMutex mutex;
    } getnet_lock;
    #define getnet_lock_make(lock) (memset((lock), 0, sizeof *(lock)), 1)
    #define getnet_lock_free(lock) ((void)(lock))
    #define getnet_lock_take(lock) PyMutex_Lock(&(lock)->mutex)
    #define getnet_lock_give(lock) PyMutex_Unlock(&(lock)->mutex)
    #else
    typedef struct {
        PyThread_type_lock gate; /* held, except for the moment when a waiter is let through */
        int taken, waiting, open;
    } getnet_lock;
    static int getnet_lock_make(getnet_lock *lock)
    {
        memset(lock, 0, sizeof *lock);
        lock->gate = PyThread_allocate_lock();
        return lock->gate != NULL && PyThread_acquire_lock(lock->gate, NOWAIT_LOCK);
    }
    static void getnet_lock_free(getnet_lock *lock)
    {
        if (lock->gate == NULL)
            return;
        PyThread_release_lock(lock->gate);
        PyThread_free_lock(lock->gate);
    }
    static void getnet_lock_wait(getnet_lock *lock)
    {
        lock->waiting++;
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(lock->gate, WAIT_LOCK);
        Py_END_ALLOW_THREADS
        lock->waiting--;
        lock->open = 0;
    }
    static void getnet_lock_take(getnet_lock *lock)
    {
        while (lock->taken)
            getnet_lock_wait(lock);
        lock->taken = 1;
    }
    static void getnet_lock_give(getnet_lock *lock)
    {
        lock->taken = 0;
        if (lock->waiting && !lock->open) {
            lock->open = 1;
            PyThread_release_lock(lock->gate);
        }
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
    PyObject *TRUE "Py_True"
    PyObject *FALSE "Py_False"

__all__ = [
    "BACKEND",
    "Decoder",
    "decode_many",
    "encode_simplified",
    "envelope",
    "frame_simplified",
    "lrc",
    "read_terminals",
    "seal",
    "signature",
]

BACKEND = "native"


# ---------------------------------------------------------------------------------------------------------------- hash

cdef const getnet_sha256 *_sha = getnet_sha256_best()
cdef getnet_unescape _unescape_best = NULL

getnet_fill_orders()
for _way in (b"avx512", b"ssse3", b"portable"):
    if _unescape_best == NULL:
        _unescape_best = getnet_unescape_named(<bytes>_way)


def signature(str text):
    cdef Py_ssize_t size
    cdef uint8_t digest[32]
    cdef char hexadecimal[64]
    cdef const char *utf8 = PyUnicode_AsUTF8AndSize(text, &size)
    getnet_sha256_whole(_sha, <const uint8_t *>utf8, size, digest)
    getnet_hex(digest, hexadecimal)
    return hexadecimal[:64].decode("ascii")


def _implementations():
    """The names of the implementations of hashing and unescaping that run on this processor, for the tests."""
    return {
        "sha256": [name for name in (b"portable", b"sha-ni", b"armv8") if getnet_sha256_named(name) != NULL],
        "unescape": [name for name in (b"portable", b"ssse3", b"avx512") if getnet_unescape_named(name) != NULL],
        "chosen": _sha.name,
    }


def _sha256(bytes data not None, bytes implementation not None, size_t times=1):
    """The digest by one implementation, for the tests; repeated `times` in C, for the benchmarks."""
    cdef const getnet_sha256 *sha = getnet_sha256_named(implementation)
    cdef uint8_t digest[32]
    if sha == NULL:
        raise ValueError(f"{implementation} does not run here")
    for _ in range(times):
        getnet_sha256_whole(sha, <const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), digest)
    return digest[:32]


def _unescape(bytes data, bytes implementation):
    """The string at the start of `data`, after its quote, and the position of its end; None if it is not plain."""
    cdef getnet_unescape way = getnet_unescape_named(implementation)
    cdef getnet_text text
    cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(data)
    cdef const uint8_t *at = start
    memset(&text, 0, sizeof(getnet_text))
    try:
        if way(&at, start + PyBytes_GET_SIZE(data), &text) != GETNET_READ:
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

# Fields that rarely have the same value in two messages in a row, and those that rarely have the same one at all.
cdef frozenset _CHANGING = frozenset({"accounting_date", "amount", "date_time", "operation_id", "real_date"})
cdef frozenset _UNIQUE = frozenset({"authorization_code", "last4_digits", "ticket"})


cdef class _Layout:
    """How C reads the objects of one message type; made once, from the type's own description."""

    cdef getnet_layout *c
    cdef object kept

    def __dealloc__(self):
        PyMem_Free(self.c)


cdef _Layout _layout(message):
    """The layout of a type, or None if the pure codec must make its objects."""
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
        # A value that must not be shown must not be cached either.
        field.shared = shown[item.name] and item.name not in _UNIQUE and item.kind is not Kind.ROWS
        field.repeats = field.shared and item.name not in _CHANGING
        layout.c.all |= <uint64_t>1 << number
        if item.row is not None:
            row = _layout(item.row)
            # Rows within rows could nest without limit.
            if row is None or any(inner.row is not None for inner in wire_fields(item.row)):
                return None
            rows.append(row)
            field.row = row.c
        if item.spellings == ("FunctionCode", "functionCode") and item.kind is Kind.INTEGER:
            layout.c.function_code = number
        elif item.spellings == ("ResponseCode", "responseCode") and item.kind is Kind.INTEGER:
            layout.c.response_code = number
    # The first spellings of all fields come first, then the second ones, and so on; each key is expected after the one
    # before it. A stand-in key counts as one more spelling if it comes alone; a message with both is declined.
    spellings = [item.spellings + item.stand_ins for item in described]
    for spelling in range(max(map(len, spellings), default=0)):
        first = layout.c.keys
        for number in range(len(spellings)):
            if spelling < len(spellings[number]):
                name = spellings[number][spelling].encode()
                if not getnet_add_key(layout.c, name, len(name), number):
                    return None
                if layout.c.keys - 1 > first:
                    layout.c.key[layout.c.keys - 2].next = layout.c.keys - 1
    # Decoders use it as a key, so each layout needs its own, even if several threads make layouts.
    with cython.critical_section(_layouts):
        layout.c.index = _layout_count
        _layout_count += 1
    layout.kept = (message, rows)
    return layout


cdef int _place(_Layout layout, str name, getnet_place *place) except -1:
    """Find the field of that name; 0 if the layout has none."""
    quoted = f'"{name}":'.encode()
    place.key = getnet_find_key(layout.c, <const uint8_t *>PyBytes_AS_STRING(quoted), len(quoted))
    place.kind = KIND_TEXT
    if name in _simplified_wire.INTEGERS:
        place.kind = KIND_INTEGER
    elif name in _simplified_wire.FLAGS:
        place.kind = KIND_BOOLEAN
    return place.key != GETNET_NO_KEY


cdef enum:
    CODES = 1000
    FIRST_SIMPLIFIED = 100
    LAST_SIMPLIFIED = 109
    PLACES = 24


cdef class _Table:
    """The layouts of the replies by function code, and the order of the fields of the simplified ones."""

    cdef PyObject *by_code[CODES]
    cdef getnet_place place[10][PLACES]
    cdef int places[10]
    cdef dict types
    cdef list kept

    def __init__(self, dict types):
        cdef _Layout layout
        cdef int code
        self.types = types
        self.kept = []
        generic = _reply_layout(GenericReply)
        for code in range(CODES):
            message = types.get(code, GenericReply)
            layout = generic if message is GenericReply else _reply_layout(message)
            if layout is not None:
                self.kept.append(layout)
                self.by_code[code] = <PyObject *>layout
                if FIRST_SIMPLIFIED <= code <= LAST_SIMPLIFIED and code in _simplified_wire.POSITIONS:
                    self.find_places(code - FIRST_SIMPLIFIED, layout, ("ResponseMessage", *_simplified_wire.POSITIONS[code]))

    cdef int find_places(self, int row, _Layout layout, tuple names) except -1:
        cdef int number
        if len(names) > PLACES:
            return 0
        for number in range(len(names)):
            if not _place(layout, names[number], &self.place[row][number]):
                return 0
        self.places[row] = len(names)
        return 0


cdef _Layout _reply_layout(message):
    """The layout of a reply type; None unless it has both codes."""
    cdef _Layout layout = _layout(message)
    if layout is None or layout.c.function_code < 0 or layout.c.response_code < 0:
        return None
    return layout


cdef _Table _usual = _Table(dict(CATALOGUE.reply_types))

cdef Py_ssize_t _PROGRESS_CODE = getnet_member_offset(Progress.code, Progress)
cdef Py_ssize_t _PROGRESS_TEXT = getnet_member_offset(Progress.text, Progress)
cdef Py_ssize_t _COMMAND_CODE = getnet_member_offset(CommandMessage.code, CommandMessage)
cdef Py_ssize_t _COMMAND_FIELDS = getnet_member_offset(CommandMessage.fields, CommandMessage)
cdef object _received = Ack(True)
cdef object _not_received = Ack(False)

cdef PyObject *_numbers[1024]
cdef list _kept_numbers = list(range(GETNET_NUMBERS))
cdef int _number
for _number in range(GETNET_NUMBERS):
    _numbers[_number] = <PyObject *>_kept_numbers[_number]

cdef PyObject *_sale_types[32]
cdef int _sale_type_count = 0
cdef object _item
for _item in SaleType:
    if 0 <= int(_item) < 32:
        _sale_types[int(_item)] = <PyObject *>_item
        _sale_type_count = max(_sale_type_count, int(_item) + 1)


# ------------------------------------------------------------------------------------------------------------- decoder

cdef enum:
    NONE = 0
    JSON = 1
    SIMPLIFIED = 2

cdef size_t _MAX_FRAME = _stream.MAX_FRAME
cdef uint64_t _RESCAN = _stream.RESCAN
cdef object _SaleType = SaleType
cdef object _Progress = Progress
cdef object _CommandMessage = CommandMessage
cdef object _BadFrame = BadFrame
cdef object _MALFORMED = FrameFault.MALFORMED
cdef object _TOO_LARGE = FrameFault.TOO_LARGE
cdef object _CHECKSUM = FrameFault.CHECKSUM
cdef object _read_signed = _signed_wire.read_signed
cdef object _read_simplified = _simplified_wire.read_simplified
cdef dict _PROGRESS = _messages.PROGRESS_CODES
cdef dict _REQUESTS = _simplified_wire.REQUESTS
cdef object _INTEGERS = _simplified_wire.INTEGERS
cdef object _FLAGS = _simplified_wire.FLAGS
cdef int _request_parts[10]
cdef int _row
for _row in range(10):
    _request_parts[_row] = len(_REQUESTS[FIRST_SIMPLIFIED + _row]) if FIRST_SIMPLIFIED + _row in _REQUESTS else -1

cdef enum:
    KEPT = 65536


@cython.final
cdef class Decoder:
    """The compiled form of ``pure.Decoder``.

    Examples:
        >>> from getnet_pos.codec import Decoder
        >>> Decoder().feed(b'{"Received":true}')
        [Ack(received=True)]
    """

    cdef getnet_lock lock
    cdef unsigned long owner
    cdef _Table table
    cdef getnet_memory memory
    cdef getnet_text text
    cdef size_t max_frame
    cdef uint8_t *buffer
    cdef size_t size, room
    cdef int grammar
    cdef getnet_json json
    cdef getnet_simplified simplified
    cdef size_t at
    cdef bint torn
    cdef uint64_t base, horizon, region, work
    cdef uint64_t skipped_bytes
    cdef readonly uint64_t _declined
    """The number of complete frames that the pure codec had to read, for the tests."""
    cdef list places

    def __cinit__(self):
        if not getnet_lock_make(&self.lock):
            raise MemoryError()

    def __init__(self, max_frame=_MAX_FRAME, *, reply_types=None):
        if max_frame < 64:
            raise InvalidValue("max_frame must be at least 64 bytes")
        types = {**CATALOGUE.reply_types, **(reply_types or {})}
        self.take()
        try:
            # No frame can be longer than the address space.
            self.max_frame = min(max_frame, <size_t>-1 >> 2)
            self.table = _usual if types == _usual.types else _Table(types)
            self.memory.numbers = _numbers
            self.memory.sale_types = _sale_types
            self.memory.sale_type_count = _sale_type_count
            self.skipped_bytes = 0
            self.forget()
        finally:
            self.give()

    def __dealloc__(self):
        getnet_forget(&self.memory)
        getnet_text_free(&self.text)
        free(self.buffer)
        getnet_lock_free(&self.lock)

    cdef int take(self) except -1:
        if self.owner == PyThread_get_thread_ident():
            raise RuntimeError("a reply type must not use the decoder that makes it")
        getnet_lock_take(&self.lock)
        self.owner = PyThread_get_thread_ident()
        return 0

    cdef int give(self) except -1:
        self.owner = 0
        getnet_lock_give(&self.lock)
        return 0

    cdef int forget(self) except -1:
        free(self.buffer)
        self.buffer = NULL
        self.size = self.room = 0
        self.grammar = NONE
        self.at = 0
        self.torn = False
        self.base = self.horizon = self.region = self.work = 0
        return 0

    def reset(self):
        self.take()
        try:
            self.forget()
        finally:
            self.give()

    @property
    def pending(self):
        return self.size

    @property
    def skipped(self):
        return self.skipped_bytes

    def feed(self, data):
        return self.fed(data, None)

    cdef list fed(self, data, list places):
        """Like ``feed``; adds the position of each message in the stream to ``places``."""
        cdef Py_buffer view
        cdef list messages
        if type(data) is not bytes:
            try:
                PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
            except BufferError:
                return self.fed(bytes(data), places)
        self.take()
        try:
            if type(data) is bytes and places is None and self.size == 0:
                message = self.read_whole(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
                if message is not None:
                    return [message]
            messages = []
            self.places = places
            if type(data) is bytes:
                self.feed_bytes(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), messages)
            else:
                self.feed_bytes(<const uint8_t *>view.buf, view.len, messages)
        finally:
            self.places = None
            self.give()
            if type(data) is not bytes:
                PyBuffer_Release(&view)
        return messages

    cdef object read_whole(self, const uint8_t *data, size_t size):
        """The message in data that is exactly one complete frame, which is the usual case; None for any other."""
        cdef getnet_simplified frame
        cdef size_t end = 1
        if size > self.max_frame or size < 4:
            return None
        if data[0] == 0x02:
            frame.digits = frame.in_text = 0
            if getnet_simplified_read(&frame, data, &end, size) != GETNET_WHOLE or end != size:
                return None
            message = self.read_parts(data, size)
        else:
            message = self.read_envelope(data, size, &end)
        if message is None or end != size:
            return None
        self.torn = False
        self.base += size
        return message

    cdef int feed_bytes(self, const uint8_t *data, size_t size, list messages) except -1:
        cdef size_t done
        if self.size:
            self.append(data, size)
            done = self.read(self.buffer, self.size, messages)
            if done:
                memmove(self.buffer, self.buffer + done, self.size - done)
                self.size -= done
                self.shrink()
        else:
            done = self.read(data, size, messages)
            if done < size:
                self.append(data + done, size - done)
        self.base += done
        return 0

    cdef int append(self, const uint8_t *data, size_t size) except -1:
        cdef size_t room = self.room or 1024
        cdef uint8_t *grown
        if self.size + size > self.room:
            while room < self.size + size:
                room *= 2
            grown = <uint8_t *>realloc(self.buffer, room)
            if grown == NULL:
                raise MemoryError()
            self.buffer = grown
            self.room = room
        memcpy(self.buffer + self.size, data, size)
        self.size += size
        return 0

    cdef int shrink(self) except -1:
        """Free the memory that a long frame needed."""
        if self.room > KEPT and self.size == 0:
            free(self.buffer)
            self.buffer = NULL
            self.room = 0
        if self.text.room > KEPT:
            getnet_text_free(&self.text)
        return 0

    cdef size_t read(self, const uint8_t *data, size_t size, list messages) except? <size_t>-1:
        """Read ``data``, which begins with the incomplete frame if there is one. Returns how many bytes are done."""
        cdef size_t start = 0, begin, limit, at, end
        cdef int verdict
        while True:
            if self.grammar == NONE:
                begin = start
                while begin < size and data[begin] != 0x7B and data[begin] != 0x02:
                    begin += 1
                self.skipped_bytes += begin - start
                start = begin
                if start == size:
                    return size
                if self.base + start >= self.horizon:
                    self.region, self.work = self.base + start, 0
                if data[start] == 0x7B:
                    end = self.read_plain(data, start, size, messages)
                    if end:
                        start = end
                        continue
                    getnet_json_begin(&self.json)
                    self.grammar = JSON
                else:
                    self.simplified.digits = self.simplified.in_text = 0
                    self.grammar = SIMPLIFIED
                self.at = 1
            limit = size if size - start < self.max_frame else start + self.max_frame
            at = start + self.at
            if self.grammar == JSON:
                verdict = getnet_json_read(&self.json, data, &at, limit)
            else:
                verdict = getnet_simplified_read(&self.simplified, data, &at, limit)
            if verdict == GETNET_WHOLE:
                start = self.whole(data, start, at, messages)
            elif verdict == GETNET_BAD:
                bad = BadFrame(_MALFORMED, "bytes that are not a frame", at - start)
                start = self.fault(bad, at - start, start, messages)
            elif limit < size:
                bad = BadFrame(_TOO_LARGE, f"a frame is longer than the limit of {self.max_frame} bytes (max_frame)", limit - start)
                start = self.fault(bad, limit - start, start, messages)
            else:
                self.at = at - start
                return start
            self.grammar = NONE

    cdef size_t read_plain(self, const uint8_t *data, size_t start, size_t size, list messages) except? <size_t>-1:
        """Read a frame in the usual form without the grammar; 0 if it is not complete or not in that form."""
        cdef const uint8_t *frame = data + start
        cdef size_t left = size - start, end
        if left >= 17 and memcmp(frame, b'{"Received":true}', 17) == 0:
            self.take_message(_received, start, messages)
            return start + 17
        if left >= 18 and memcmp(frame, b'{"Received":false}', 18) == 0:
            self.take_message(_not_received, start, messages)
            return start + 18
        message = self.read_envelope(frame, left if left < self.max_frame else self.max_frame, &end)
        if message is None:
            return 0
        self.take_message(message, start, messages)
        return start + end

    cdef object read_envelope(self, const uint8_t *frame, size_t left, size_t *end):
        """The message in a signed frame of the usual form; None if the pure codec must read it."""
        cdef const uint8_t *at = frame + 19
        cdef uint8_t digest[32]
        cdef char hexadecimal[64]
        cdef getnet_source source
        cdef int i, read
        if left < 96 or (
            memcmp(frame, b'{"JsonSerialized":"', 19) != 0 and memcmp(frame, b'{"jsonSerialized":"', 19) != 0
        ):
            return None
        read = _unescape_best(&at, frame + left, &self.text)
        if read == GETNET_NO_MEMORY:
            raise MemoryError()
        if read != GETNET_READ or <size_t>(frame + left - at) < 76:
            return None
        if memcmp(at, b'","Sign":"', 10) != 0 and memcmp(at, b'","sign":"', 10) != 0:
            return None
        if at[74] != 0x22 or at[75] != 0x7D:
            return None
        memset(self.text.bytes + self.text.size, 0, GETNET_SLACK)
        source.at = self.text.bytes
        source.end = self.text.bytes + self.text.size
        source.memory = &self.memory
        source.sha = _sha
        getnet_sha256_begin(_sha, &source.run, self.text.bytes)
        message = self.read_inner(&source)
        if message is None:
            return None
        getnet_sha256_end(_sha, &source.run, self.text.bytes, source.end, digest)
        getnet_hex(digest, hexadecimal)
        if memcmp(at + 10, hexadecimal, 64) != 0:
            for i in range(64):
                if (at[10 + i] - 32 if 97 <= at[10 + i] <= 102 else at[10 + i]) != <uint8_t>hexadecimal[i]:
                    return None
        end[0] = at + 76 - frame
        return message

    cdef object read_inner(self, getnet_source *source):
        """The message in the signed text. The caller must discard it if the signature does not match."""
        cdef getnet_layout *layout
        cdef long long guess
        guess = getnet_guess(source, b'"FunctionCode":', b'"functionCode":', 15)
        if 0 <= guess < CODES and guess != 112:
            if self.table.by_code[guess] == NULL:
                return None
            layout = (<_Layout>self.table.by_code[guess]).c
            message = getnet_given(getnet_read_object(source, layout))
            if message is None or source.at != source.end or not getnet_has_codes(message, layout, guess):
                return None
            return message
        message = getnet_given(getnet_read_dict(source))
        if message is None or source.at != source.end:
            return None
        return self.other_meaning(message)

    cdef object other_meaning(self, dict inner):
        """A progress message or a command; None if it could be something else."""
        cdef object code, text
        cdef PyObject *found
        if "functionCode" in inner or "responseCode" in inner or "messageCode" in inner or "ResponseCode" in inner:
            return None
        if "MessageCode" in inner or "FunctionCode" in inner:
            code = inner.get("MessageCode")
            text = inner.get("MessageText")
            if text is None or "Message" in inner or "messageText" in inner or "message" in inner:
                return None
            if inner.get("FunctionCode", 112) != 112 or type(inner.get("FunctionCode", 112)) is not int:
                return None
            if type(text) is not str or not (type(code) is int or (code is None and "FunctionCode" in inner)):
                return None
            if code is not None:
                code = _PROGRESS.get(code, code)
            return getnet_pair(_Progress, _PROGRESS_CODE, code, _PROGRESS_TEXT, text)
        found = PyDict_GetItem(inner, "Command")
        if found == NULL or "command" in inner:
            return None
        code = <object>found
        if type(code) is not int:
            return None
        del inner["Command"]
        return getnet_pair(_CommandMessage, _COMMAND_CODE, code, _COMMAND_FIELDS, inner)

    cdef size_t whole(self, const uint8_t *data, size_t start, size_t end, list messages) except? <size_t>-1:
        cdef size_t size = end - start, read
        cdef const uint8_t *frame = data + start
        message = None
        if frame[0] == 0x02:
            message = self.read_parts(frame, size)
        else:
            message = self.read_envelope(frame, size, &read)
            if message is not None and read != size:
                message = None
        if message is None:
            self._declined += 1
            cut = PyBytes_FromStringAndSize(<const char *>frame, size)
            message = (_read_signed if frame[0] == 0x7B else _read_simplified)(cut, self.table.types)
            if type(message) is _BadFrame and message.fault is _CHECKSUM:
                return self.fault(message, message.size, start, messages)
        self.take_message(message, start, messages)
        return end

    cdef object read_parts(self, const uint8_t *frame, size_t size):
        """The message in a simplified frame; None if the pure codec must read it."""
        cdef getnet_parts parts
        cdef int code = 0, i, row, count
        if getnet_lrc(frame + 1, size - 2) != frame[size - 1]:
            return None
        if not getnet_take_apart(&parts, frame + 1, frame + size - 2):
            return None
        for i in range(<int>parts.size[0]):
            code = code * 10 + parts.part[0][i] - 0x30
        row = code - FIRST_SIMPLIFIED
        if row < 0 or row > LAST_SIMPLIFIED - FIRST_SIMPLIFIED:
            return None
        if code == 105 and parts.count > 3:
            # The third field extends to the end.
            parts.size[3] = frame + size - 2 - parts.part[3]
            parts.count = 4
        elif parts.size[parts.count - 1] == 0:
            parts.count -= 1
        count = parts.count - 1
        if count == _request_parts[row]:
            return self.read_request(code, &parts)
        # With an unusual number of fields it may be refused, or the fields may have other names.
        if count < 2 or self.table.places[row] < count - 1 or (code == 103 and count == 4):
            return None
        return getnet_given(
            getnet_read_parts(
                &self.memory, (<_Layout>self.table.by_code[code]).c, code, &parts, self.table.place[row], count - 1,
                self.table.places[row],
            )
        )

    cdef object read_request(self, int code, getnet_parts *parts):
        """A command, by its number of fields; None if it may be a reply."""
        cdef dict fields = {}
        cdef long long number
        cdef int i, kind
        cdef tuple names = _REQUESTS[code]
        for i in range(1, parts.count):
            name = names[i - 1]
            if name in _INTEGERS:
                kind = getnet_part_integer(parts.part[i], parts.size[i], &number)
                if kind != PART_INTEGER:
                    return None
                fields[name] = number
            elif name in _FLAGS:
                kind = getnet_part_boolean(parts.part[i], parts.size[i])
                if kind < 0:
                    return None
                fields[name] = kind == 1
            else:
                if getnet_part_padded(parts.part[i], parts.size[i]):
                    return None
                text = getnet_given(getnet_part(&self.memory, parts, i, 0))
                if text is None:
                    return None
                fields[name] = text
        return getnet_pair(_CommandMessage, _COMMAND_CODE, code, _COMMAND_FIELDS, fields)

    cdef int take_message(self, message, size_t start, list messages) except -1:
        if type(message) is _BadFrame:
            if not message.sealed and (message.fault is _MALFORMED or message.fault is _TOO_LARGE):
                if self.torn:
                    return 0
                self.torn = True
        else:
            self.torn = False
        messages.append(message)
        if self.places is not None:
            self.places.append(self.base + start)
        return 0

    cdef size_t fault(self, bad, size_t size, size_t start, list messages) except? <size_t>-1:
        """Report a bad frame. Returns the position from which to search for the next one."""
        cdef size_t following = start + 1
        self.take_message(bad, start, messages)
        self.horizon = max(self.horizon, self.base + start + size)
        self.work += size
        if self.work > _RESCAN * (self.horizon - self.region):
            following = self.horizon - self.base
        self.skipped_bytes += following - start
        return following


def decode_many(source, *, max_frame=_MAX_FRAME, reply_types=None):
    # The interpreter lock is not released, because making the messages takes most of the time and needs it.
    cdef Decoder decoder = Decoder(max_frame, reply_types=reply_types)
    cdef list messages, places
    for chunk in _stream.chunks(source):
        places = []
        messages = decoder.fed(chunk, places)
        yield from zip(places, messages)


# ------------------------------------------------------------------------------------------------------------- writing

def lrc(data):
    cdef Py_buffer view
    try:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    except (TypeError, BufferError):
        return _simplified_wire.lrc(data)
    result = getnet_lrc(<const uint8_t *>view.buf, view.len)
    PyBuffer_Release(&view)
    return result


cdef bytes _signed(const uint8_t *inner, size_t size, const uint8_t *escaped, size_t escaped_size):
    """The envelope of a text that is already escaped."""
    cdef uint8_t digest[32]
    cdef bytes result = PyBytes_FromStringAndSize(NULL, escaped_size + 95)
    cdef uint8_t *to = <uint8_t *>PyBytes_AS_STRING(result)
    getnet_sha256_whole(_sha, inner, size, digest)
    to = getnet_put(to, b'{"JsonSerialized":"', 19)
    to = getnet_put(to, escaped, escaped_size)
    to = getnet_put(to, b'","Sign":"', 10)
    getnet_hex(digest, <char *>to)
    getnet_put(to + 64, b'"}', 2)
    return result


def envelope(str text):
    cdef Py_ssize_t size, i
    cdef const uint8_t *inner
    cdef uint8_t *escaped
    cdef uint8_t *to
    try:
        inner = <const uint8_t *>PyUnicode_AsUTF8AndSize(text, &size)
    except UnicodeEncodeError:
        return _signed_wire.envelope(text)
    escaped = to = <uint8_t *>PyMem_Malloc(2 * size + 1)
    if escaped == NULL:
        raise MemoryError()
    try:
        for i in range(size):
            if inner[i] < 0x20:
                return _signed_wire.envelope(text)
            if inner[i] == 0x22 or inner[i] == 0x5C:
                to[0] = 0x5C
                to += 1
            to[0] = inner[i]
            to += 1
        return _signed(inner, size, escaped, to - escaped)
    finally:
        PyMem_Free(escaped)


cdef enum:
    SENT = 24
    PREFIX = 48
    LONGEST = 64
    ROOM = 4096

cdef struct sent_field:
    Py_ssize_t offset
    uint8_t prefix[PREFIX]
    uint8_t escaped[PREFIX]
    size_t size
    size_t escaped_size
    bint nullable

cdef dict _sealers = {}


cdef class _Sealer:
    """How C writes the commands of one type as signed frames."""

    cdef sent_field field[SENT]
    cdef int fields
    cdef sent_field code
    """The beginning of each frame: the code, which is the same for all commands of the type."""

    cdef bytes seal(self, command):
        """The signed frame; None if the pure codec must write one of the values."""
        cdef uint8_t inner[ROOM]
        cdef uint8_t escaped[ROOM]
        cdef uint8_t *to = inner + self.code.size
        cdef uint8_t *also = escaped + self.code.escaped_size
        cdef uint8_t *value
        cdef const uint8_t *text
        cdef size_t size
        cdef long long number
        cdef sent_field *field
        cdef PyObject *held
        cdef int i
        memcpy(inner, self.code.prefix, PREFIX)
        memcpy(escaped, self.code.escaped, PREFIX)
        for i in range(self.fields):
            field = &self.field[i]
            held = getnet_slot(command, field.offset)[0]
            if held == NULL:
                return None
            if held == <PyObject *>None and not field.nullable:
                continue
            memcpy(to, field.prefix, PREFIX)
            memcpy(also, field.escaped, PREFIX)
            to += field.size
            also += field.escaped_size
            if held == <PyObject *>None:
                to = getnet_put(to, b"null", 4)
                also = getnet_put(also, b"null", 4)
            elif held == TRUE:
                to = getnet_put(to, b"true", 4)
                also = getnet_put(also, b"true", 4)
            elif held == FALSE:
                to = getnet_put(to, b"false", 5)
                also = getnet_put(also, b"false", 5)
            elif type(<object>held) is int or type(<object>held) is _SaleType:
                if not getnet_long(<object>held, &number):
                    return None
                value = to
                to = getnet_put_number(to, number)
                also = getnet_put(also, value, to - value)
            elif getnet_plain_ascii(<object>held, &text, &size) and size <= LONGEST:
                to[0] = 0x22
                to = getnet_put(to + 1, text, size)
                to[0] = 0x22
                to += 1
                also[0] = 0x5C
                also[1] = 0x22
                also = getnet_put(also + 2, text, size)
                also[0] = 0x5C
                also[1] = 0x22
                also += 2
            else:
                return None
            to[0] = also[0] = 0x2C
            to += 1
            also += 1
        (to - 1)[0] = (also - 1)[0] = 0x7D
        return _signed(inner, to - inner, escaped, also - escaped)


cdef void put_prefix(sent_field *field, str text):
    plain, escaped = text.encode(), text.replace('"', '\\"').encode()
    field.size, field.escaped_size = len(plain), len(escaped)
    memcpy(field.prefix, PyBytes_AS_STRING(plain), len(plain))
    memcpy(field.escaped, PyBytes_AS_STRING(escaped), len(escaped))


cdef _Sealer _make_sealer(command):
    """How C writes a type; None if the pure codec must do it."""
    cdef _Sealer sealer = _Sealer.__new__(_Sealer)
    cdef sent_field *field
    if not getnet_made_plainly(command) or hasattr(command, "fields"):
        return None
    described = [(item.name, item.wire, item.nullable) for item in sent_fields(command)]
    described.append(("date_time", "DateTime", False))
    if len(described) > SENT:
        return None
    put_prefix(&sealer.code, f'{{"Command":{command.code},')
    for name, wire, nullable in described:
        field = &sealer.field[sealer.fields]
        field.offset = getnet_member_offset(getattr(command, name, None), command)
        if field.offset < 0 or len(wire) > 40 or not wire.isalnum() or not wire.isascii():
            return None
        put_prefix(field, f'"{wire}":')
        field.nullable = nullable
        sealer.fields += 1
    return sealer


def seal(command):
    cdef PyObject *sealer = PyDict_GetItem(_sealers, type(command))
    if sealer == NULL:
        _sealers.setdefault(type(command), _make_sealer(type(command)))
        sealer = PyDict_GetItem(_sealers, type(command))
    if sealer != <PyObject *>None:
        sealed = (<_Sealer>sealer).seal(command)
        if sealed is not None:
            return sealed
    return _signed_wire.seal(command)


def frame_simplified(str text):
    cdef Py_ssize_t size
    cdef const uint8_t *utf8 = <const uint8_t *>PyUnicode_AsUTF8AndSize(text, &size)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, size + 3)
    cdef uint8_t *to = <uint8_t *>PyBytes_AS_STRING(result)
    to[0] = 0x02
    memcpy(to + 1, utf8, size)
    to[size + 1] = 0x03
    to[size + 2] = getnet_lrc(to + 1, size + 1)
    return result


cdef dict _parters = {}


cdef class _Parter:
    """How C writes the commands of one type as simplified frames."""

    cdef Py_ssize_t offset[8]
    cdef int count
    cdef bytes head, yes, no

    cdef bytes write(self, command):
        """The simplified frame; None if the pure codec must write one of the values."""
        cdef uint8_t frame[1024]
        cdef uint8_t *to
        cdef const uint8_t *text
        cdef size_t size
        cdef long long number
        cdef PyObject *held
        cdef int i
        to = getnet_put(frame, PyBytes_AS_STRING(self.head), len(self.head))
        for i in range(self.count):
            held = getnet_slot(command, self.offset[i])[0]
            if held == NULL:
                return None
            if held == TRUE:
                to = getnet_put(to, PyBytes_AS_STRING(self.yes), len(self.yes))
            elif held == FALSE:
                to = getnet_put(to, PyBytes_AS_STRING(self.no), len(self.no))
            elif held == <PyObject *>None:
                pass
            elif type(<object>held) is int or type(<object>held) is _SaleType:
                if not getnet_long(<object>held, &number):
                    return None
                to = getnet_put_number(to, number)
            elif getnet_plain_ascii(<object>held, &text, &size) and size <= LONGEST:
                if memchr(text, 0x7C, size) != NULL:
                    return None
                to = getnet_put(to, text, size)
            else:
                return None
            to[0] = 0x7C
            to += 1
        to[0] = 0x03
        to[1] = getnet_lrc(frame + 1, to - frame)
        return PyBytes_FromStringAndSize(<char *>frame, to + 2 - frame)


cdef _Parter _make_parter(command):
    """How C writes a type; None if the pure codec must write or refuse it."""
    cdef _Parter parter = _Parter.__new__(_Parter)
    if not getnet_made_plainly(command) or hasattr(command, "fields") or command.simplified is None:
        return None
    names = {item.wire: item.name for item in sent_fields(command)}
    parter.head = f"\x02{command.code}|".encode()
    parter.no, parter.yes = (flag.encode() for flag in command.simplified.flags)
    if len(command.simplified.request) > 8:
        return None
    for name in command.simplified.request:
        parter.offset[parter.count] = getnet_member_offset(getattr(command, names[name]), command)
        if parter.offset[parter.count] < 0:
            return None
        parter.count += 1
    return parter


def encode_simplified(command):
    cdef PyObject *parter = PyDict_GetItem(_parters, type(command))
    if parter == NULL:
        _parters.setdefault(type(command), _make_parter(type(command)))
        parter = PyDict_GetItem(_parters, type(command))
    if parter != <PyObject *>None:
        frame = (<_Parter>parter).write(command)
        if frame is not None:
            return frame
    return _simplified_wire.encode_simplified(command)
