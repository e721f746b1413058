"""The C library below: its functions, errors and texts. Not for applications."""

import ctypes
import os
import sys
from ctypes import POINTER, byref, c_char_p, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Optional


class LicenseError(Exception):
    """Why there is no license, or why something that was asked for was not done.

    ``str(error)`` is for the developer: what happened, which value, what to do.
    """

    #: The number of the table of errors, such as 120.
    code: int
    #: The number that applications show: −(20000 + code).
    sdk_code: int
    #: What to tell the end user.
    user_message: str

    def __init__(self, code: int, message: str, user_message: str) -> None:
        super().__init__(message)
        self.code = code
        self.sdk_code = -(20_000 + code)
        self.user_message = user_message

    def __reduce__(self) -> Any:
        return type(self), (self.code, str(self), self.user_message)


CHANGED = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p, c_int64)
REPORTED = ctypes.CFUNCTYPE(None, c_void_p, c_uint64, c_uint64, c_uint64)
WARNED = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p)


class Listeners(ctypes.Structure):
    """``tk_listeners``."""

    _fields_ = [("context", c_void_p), ("license_changed", CHANGED), ("report_sent", REPORTED), ("warning", WARNED)]


_ERROR = POINTER(c_void_p)
_TEXT = POINTER(c_void_p)
_FUNCTIONS = {
    "tk_version": (c_char_p, []),
    "tk_settings_new": (c_void_p, []),
    "tk_settings_free": (None, [c_void_p]),
    "tk_settings_set": (c_int32, [c_void_p, c_char_p, c_char_p, _ERROR]),
    "tk_initialize": (c_int32, [c_void_p, POINTER(Listeners), POINTER(c_void_p), _ERROR]),
    "tk_start": (c_int32, [c_void_p, POINTER(Listeners), POINTER(c_void_p), _ERROR]),
    "tk_close": (None, [c_void_p]),
    "tk_release": (c_int32, [c_void_p, _ERROR]),
    "tk_check": (c_int32, [c_void_p, c_char_p, _ERROR]),
    "tk_record_at": (c_int32, [c_void_p, c_char_p, c_uint64, c_char_p, c_char_p, c_int64, _ERROR]),
    "tk_take_instances": (c_int32, [c_void_p, c_uint32, _ERROR]),
    "tk_give_back_instances": (c_int32, [c_void_p, c_uint32, _ERROR]),
    "tk_idle_instances": (c_uint32, [c_void_p]),
    "tk_flush": (c_int32, [c_void_p, _ERROR]),
    "tk_renew": (c_int32, [c_void_p, _ERROR]),
    "tk_status": (c_int32, [c_void_p, _TEXT, _ERROR]),
    "tk_request_file": (c_int32, [c_void_p, c_int32, _TEXT, _ERROR]),
    "tk_import_authorization": (c_int32, [c_void_p, c_char_p, _ERROR]),
    "tk_report_file": (c_int32, [c_void_p, _TEXT, _ERROR]),
    "tk_import_receipt": (c_int32, [c_void_p, c_char_p, _ERROR]),
    "tk_check_vector": (c_int32, [c_char_p, c_char_p, _TEXT, _ERROR]),
    "tk_error_code": (c_int32, [c_void_p]),
    "tk_error_message": (c_char_p, [c_void_p]),
    "tk_error_user_message": (c_char_p, [c_void_p]),
    "tk_error_free": (None, [c_void_p]),
    "tk_string_free": (None, [c_void_p]),
    "tk_deduplicator_new": (c_void_p, [c_uint64]),
    "tk_deduplicator_is_new": (c_int32, [c_void_p, c_char_p, c_char_p, c_uint64]),
    "tk_deduplicator_free": (None, [c_void_p]),
}


def _load() -> ctypes.CDLL:
    name = {"win32": "tollkeeper.dll", "darwin": "libtollkeeper.dylib"}.get(sys.platform, "libtollkeeper.so")
    beside = Path(__file__).with_name(name)
    library = ctypes.CDLL(os.environ.get("TOLLKEEPER_LIBRARY") or (str(beside) if beside.exists() else name))
    for function, (result, arguments) in _FUNCTIONS.items():
        entry = getattr(library, function)
        entry.restype, entry.argtypes = result, arguments
    return library


#: The C library: the one that ``TOLLKEEPER_LIBRARY`` names, else beside this file, else the system's.
library = _load()


def call(function: str, *arguments: Any) -> None:
    """Calls a function that may fail, whose last argument is the place for the error."""
    error = c_void_p()
    if getattr(library, function)(*arguments, byref(error)) == 0:
        return
    try:
        message, user_message = library.tk_error_message(error), library.tk_error_user_message(error)
        raise LicenseError(library.tk_error_code(error), message.decode(), user_message.decode())
    finally:
        library.tk_error_free(error)


def call_for_text(function: str, *arguments: Any) -> Optional[str]:
    """Calls a function that gives a text."""
    text = c_void_p()
    call(function, *arguments, byref(text))
    if not text.value:
        return None
    try:
        return ctypes.string_at(text.value).decode()
    finally:
        library.tk_string_free(text)


def number(what: str, value: int, most: int) -> int:
    """A number as C takes it; ctypes would cut it off."""
    if not 0 <= value <= most:
        raise ValueError(f"{what} must be from 0 to {most}, and is {value}")
    return value


def text_of(what: str, value: Optional[str]) -> Optional[bytes]:
    """A text as C takes it."""
    if value is None:
        return None
    encoded = value.encode()
    if b"\0" in encoded:
        raise ValueError(f"{what} holds a zero, which no text may")
    return encoded
