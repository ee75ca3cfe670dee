# cython: language_level=3, boundscheck=False, wraparound=False, binding=False, embedsignature=False
# cython: freethreading_compatible=True
"""The compiled reader of a listing of terminals: the same results as codec/terminals.py, the definition, but faster.

Anything unusual is declined, and the pure reader decides on the same body; nothing here judges it.

Threads: the layout of a listing never changes after it is made; everything that changes belongs to one call.

Memory: besides the body, the result, some 320 bytes a terminal; and while it is made, 10 bytes a terminal and 30 KB.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from getnet_pos.codec import terminals as _terminals
from getnet_pos.messages.terminals import PaymentTerminal, TerminalList

cdef extern from "terminals.h":
    int GETNET_NO_KEY, GETNET_SLOTS, GETNET_TERMINAL_FIELDS, GETNET_TERMINAL_MODES
    int KIND_NAME, KIND_SERIAL_NUMBER, KIND_DATETIME, KIND_MODE, KIND_FLAG
    ctypedef struct getnet_field:
        Py_ssize_t offset
        int kind
    ctypedef struct getnet_key:
        uint8_t next
    ctypedef struct getnet_layout:
        PyTypeObject *type
        Py_ssize_t extra
        uint64_t all
        getnet_field field[64]
        getnet_key key[254]
        uint8_t slot[512]
    ctypedef struct getnet_mode_text:
        uint8_t text[16]
        size_t size
        PyObject *value
    ctypedef struct getnet_terminals:
        getnet_layout layout
        Py_ssize_t limit[11]
        uint64_t required
        int modes
        getnet_mode_text mode[8]
        PyObject *utc
    ctypedef struct getnet_listing:
        pass
    ctypedef struct getnet_found:
        PyObject *merchant_id
        PyObject *terminals
        PyObject *extra
        PyObject *unknown
    Py_ssize_t getnet_member_offset(object, object)
    int getnet_made_plainly(object)
    int getnet_only_slots(object, int)
    int getnet_add_key(getnet_layout *, const char *, size_t, int)
    object getnet_utc()
    void getnet_listing_begin(getnet_listing *, const getnet_terminals *, const uint8_t *, size_t)
    void getnet_listing_end(getnet_listing *)
    int getnet_read_listing(getnet_listing *, const getnet_terminals *, getnet_found *)

__all__ = ["read_terminals"]

cdef getnet_terminals _how
cdef list _kept = []


cdef bint _prepare() except *:
    """Prepare how a listing is read; false if the types are not the ones that this was written for."""
    cdef int number
    cdef getnet_field *field
    memset(&_how, 0, sizeof(getnet_terminals))
    memset(_how.layout.slot, GETNET_NO_KEY, GETNET_SLOTS)
    names = [name for name in PaymentTerminal.__slots__ if name != "extra"]
    special = {
        _terminals.SERIAL_NUMBER: KIND_SERIAL_NUMBER,
        "activation_datetime": KIND_DATETIME,
        "commercial_mode": KIND_MODE,
        "warranty_available": KIND_FLAG,
    }
    if len(names) != GETNET_TERMINAL_FIELDS or {*_terminals.TEXTS, *special} != {*names}:
        return False
    if not getnet_made_plainly(PaymentTerminal) or not getnet_only_slots(PaymentTerminal, len(names) + 1):
        return False
    _how.layout.type = <PyTypeObject *>PaymentTerminal
    _how.layout.extra = getnet_member_offset(PaymentTerminal.extra, PaymentTerminal)
    for number, name in enumerate(names):
        field = &_how.layout.field[number]
        field.offset = getnet_member_offset(getattr(PaymentTerminal, name), PaymentTerminal)
        field.kind = special.get(name, KIND_NAME)
        key = name.encode()
        if field.offset < 0 or not getnet_add_key(&_how.layout, PyBytes_AS_STRING(key), len(key), number):
            return False
        _how.layout.key[number].next = number + 1 if number + 1 < len(names) else GETNET_NO_KEY
        _how.layout.all |= <uint64_t>1 << number
        _how.limit[number] = _terminals.TEXTS.get(name, 0)
        if name == _terminals.SERIAL_NUMBER:
            _how.required = <uint64_t>1 << number
    for value, mode in _terminals._MODES.items():
        text = f'"{value}"'.encode()
        if _how.modes == GETNET_TERMINAL_MODES or len(text) > 16:
            return False
        memcpy(_how.mode[_how.modes].text, PyBytes_AS_STRING(text), len(text))
        _how.mode[_how.modes].size = len(text)
        _how.mode[_how.modes].value = <PyObject *>mode
        _how.modes += 1
    utc = getnet_utc()
    _how.utc = <PyObject *>utc
    _kept.extend((PaymentTerminal, *_terminals._MODES.values(), utc))
    return _how.layout.extra >= 0


cdef bint _ready = _prepare()


cdef object _read(bytes body):
    """The listing; None if the pure reader must read it."""
    cdef getnet_found found
    cdef getnet_listing *listing = <getnet_listing *>PyMem_Malloc(sizeof(getnet_listing))
    if listing == NULL:
        return None
    memset(&found, 0, sizeof(getnet_found))
    getnet_listing_begin(listing, &_how, <const uint8_t *>PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    try:
        if getnet_read_listing(listing, &_how, &found):
            return TerminalList(
                merchant_id=<object>found.merchant_id, terminals=<object>found.terminals, extra=<object>found.extra
            )
        PyErr_Clear()
        return None
    finally:
        Py_XDECREF(found.merchant_id)
        Py_XDECREF(found.terminals)
        Py_XDECREF(found.extra)
        Py_XDECREF(found.unknown)
        getnet_listing_end(listing)
        PyMem_Free(listing)


def read_terminals(body, *, strict=False):
    found = None
    if _ready and type(body) is bytes:
        found = _read(body)
    elif _ready and type(body) is bytearray:
        found = _read(bytes(body))  # it could change while it is read
    return _terminals.read_terminals(body, strict=strict) if found is None else found
