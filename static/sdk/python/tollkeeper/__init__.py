"""Gets an application its license from a Tollkeeper server, keeps it while there is no network, and reports use.

>>> from tollkeeper import License, Settings
>>> settings = Settings(license_key="TK1.…", vendor_public_key="-----BEGIN PUBLIC KEY-----…", product="dbr")
>>> with License.initialize(settings) as license:
...     license.check()
...     license.record("QR Code")

Whatever fails raises `LicenseError`. Every call may be made on any thread. What waits for a server has a
sibling for asyncio whose name ends in ``_async``. README.md has the tables of settings and errors.
"""

import asyncio
import json
import sys
import threading
import time
import weakref
from contextlib import contextmanager
from ctypes import byref, c_void_p
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ._library import CHANGED, REPORTED, WARNED, LicenseError, Listeners, call, call_for_text, library, number, text_of

__all__ = ["Deduplicator", "Failure", "License", "LicenseError", "Settings", "Status", "Submitted", "__version__", "check_vector"]

#: The version of the library below, such as "1.2.0".
__version__: str = library.tk_version().decode()

_MOST_32, _MOST_64 = 2**32 - 1, 2**63 - 1

OnChange = Callable[["Status"], Any]
OnReport = Callable[["Submitted"], Any]
OnWarning = Callable[[int, str], Any]


@dataclass
class Settings:
    """What an application sets: a license key, or fields, or product keys.

    Set at least ``vendor_public_key``, ``product``, and ``license_key``. Fields beside a license key override it.
    """

    #: The vendor's public key: PEM, several may follow each other; or the base64 of one alone.
    vendor_public_key: Optional[str] = None
    #: The product that runs, such as "dbr".
    product: Optional[str] = None
    #: "TK1.…" from the handshake code's page.
    license_key: Optional[str] = None
    #: Such as "https://license.example.com:48443".
    main_server_url: Optional[str] = None
    #: Asked when the main server does not serve.
    standby_server_url: Optional[str] = None
    #: Such as "216998": its default handshake code serves.
    organization_id: Optional[str] = None
    #: Such as "216998-vehicleCode".
    handshake_code: Optional[str] = None
    #: Of the handshake code, if it has one.
    session_password: Optional[str] = None
    #: The site's certificate authority, PEM or "sha256:" and its fingerprint, when the license key does not name it.
    certificate_authority: Optional[str] = None
    #: Offline licenses, separated by ";". Not together with a handshake code.
    product_key: Optional[str] = None
    #: Such as "9.6.30".
    product_version: Optional[str] = None
    #: Such as "mobile".
    edition: Optional[str] = None
    #: "browser", "mobile", "server", "desktop" or "embedded".
    deployment_type: Optional[str] = None
    #: The modules it needs, all of them.
    limited_modules: Sequence[str] = ()
    #: The charge way it insists on: "scan", "page", "device", "concurrent_device", "concurrent_instance", "server", "domain".
    charge_way: Optional[str] = None
    #: How many instances it wants at most; 1 when not given.
    instances: Optional[int] = None
    #: The longest it wants to work offline, 1 to 365 days.
    max_buffer_days: Optional[int] = None
    #: "random" (kept in the data folder) or "hardware" (follows from the machine).
    uuid_method: Optional[str] = None
    #: Where the cache is kept; ".tollkeeper" in the user's home when not given.
    data_folder: Optional[str] = None
    #: Such as "com.example.scanner", where the handshake code asks for it.
    application_id: Optional[str] = None
    #: Such as "scanner.exe"; the name of the script when not given.
    process_name: Optional[str] = None
    #: Encrypts every request to the server itself, for sites where a proxy ends TLS.
    sealed: bool = False
    #: Seconds of counts that a crash may cost; 10 when not given.
    flush_seconds: Optional[int] = None
    #: What closing gives back to the server, when no other process of the machine uses the license: "instances" of a floating
    #: license, when not given; "seat", whatever the license is charged by; "nothing".
    release_on_close: Optional[str] = None

    @contextmanager
    def _open(self) -> Iterator[c_void_p]:
        """The C library's settings with these values."""
        handle = c_void_p(library.tk_settings_new())
        try:
            for field in fields(self):
                value = getattr(self, field.name)
                if field.name == "process_name" and value is None:
                    value = Path(sys.argv[0]).name
                if value is None or value is False:
                    continue
                if not isinstance(value, (str, bool, int)):
                    value = ",".join(value)
                text = str(value).lower() if isinstance(value, bool) else str(value)
                first, *words = field.name.split("_")
                name = first + "".join("URL" if word == "url" else word.capitalize() for word in words)
                call("tk_settings_set", handle, name.encode(), text_of(field.name, text))
            yield handle
        finally:
            library.tk_settings_free(handle)


@dataclass(frozen=True)
class Failure:
    """Why one server did not serve."""

    #: Its URL.
    server: str
    #: The number of the table of errors.
    code: int
    #: For the developer.
    message: str


@dataclass(frozen=True)
class Status:
    """What an application may do now."""

    #: Whether it may work.
    is_licensed: bool
    #: Why not, if it may not.
    error: Optional[LicenseError]
    #: Where the license comes from: "server" in this session, "kept" from before while none serves, "carried" by hand, "product_key".
    origin: Optional[str]
    #: The server that gave it.
    server: Optional[str]
    #: When it ends unless it is renewed.
    expires_at: Optional[datetime]
    #: The handshake code that serves.
    handshake_code: Optional[str]
    #: The device.
    client_uuid: Optional[str]
    #: Instances that are granted to this device.
    instances: int
    #: Why servers did not serve before the one that does, or before what was kept.
    failures: Tuple[Failure, ...]


@dataclass(frozen=True)
class Submitted:
    """What a server made of usage reports."""

    #: Reports that are on its disk now.
    accepted: int
    #: Reports that were there before.
    duplicate: int
    #: Reports that no server takes; they are forgotten.
    rejected: int


class _Handle:
    """A license of the C library: ended once, and not while a call of another thread is under way."""

    def __init__(self, on_change: Optional[OnChange], on_report: Optional[OnReport], on_warning: Optional[OnWarning]) -> None:
        self.pointer = c_void_p()
        self._idle = threading.Condition()
        self._busy = 0
        self._is_ended = True
        self._listener_thread: Optional[int] = None
        self._is_silent = False

        def changed(_context: Any, _code: int, _message: bytes, _expires_at: int) -> None:
            if on_change is None:
                return
            try:
                status = self.status()
            except LicenseError:
                # It has not begun, and whoever begins it will look for himself; or it is closed already.
                return
            self._tell(lambda: on_change(status))

        def reported(_context: Any, accepted: int, duplicate: int, rejected: int) -> None:
            if on_report is not None:
                self._tell(lambda: on_report(Submitted(accepted, duplicate, rejected)))

        def warned(_context: Any, sdk_code: int, message: bytes) -> None:
            if on_warning is not None:
                self._tell(lambda: on_warning(-sdk_code - 20_000, message.decode()))

        self.listeners = Listeners(None, CHANGED(changed), REPORTED(reported), WARNED(warned))

    def _tell(self, listener: Callable[[], Any]) -> None:
        if self._is_silent:
            return
        self._listener_thread = threading.get_ident()
        try:
            listener()
        finally:
            self._listener_thread = None

    def begin(self, function: str, settings: Settings) -> None:
        with settings._open() as opened:
            call(function, opened, byref(self.listeners), byref(self.pointer))
        self._is_ended = False

    @contextmanager
    def use(self) -> Iterator[c_void_p]:
        with self._idle:
            if self._is_ended:
                message = "this license was closed: initialize again to take one"
                raise LicenseError(302, message, "The application has closed its license. Please start it again.")
            self._busy += 1
        try:
            yield self.pointer
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def end(self, how: Callable[[c_void_p], None]) -> None:
        with self._idle:
            if self._is_ended:
                return
            self._is_ended = True
        if self._listener_thread == threading.get_ident():
            # It is the last one that is called.
            self._is_silent = True
            # A call that is under way may be waiting for this very listener.
            library.tk_flush(self.pointer, None)
            threading.Thread(target=self._finish, args=(how,)).start()
        else:
            self._finish(how)

    def _finish(self, how: Callable[[c_void_p], None]) -> None:
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0)
        how(self.pointer)

    def status(self) -> Status:
        with self.use() as pointer:
            told = json.loads(call_for_text("tk_status", pointer) or "{}")
        return Status(
            is_licensed=told["licensed"],
            error=None if told["licensed"] else LicenseError(told["code"], told["message"], told["user_message"]),
            origin=told["origin"],
            server=told["server"],
            expires_at=None if told["expires_at"] is None else datetime.fromisoformat(told["expires_at"].replace("Z", "+00:00")),
            handshake_code=told["handshake_code"],
            client_uuid=told["client_uuid"],
            instances=told["instances"],
            failures=tuple(Failure(failure["server"], failure["code"], failure["message"]) for failure in told["failures"]),
        )


def _close(pointer: c_void_p) -> None:
    library.tk_close(pointer)


def _release(pointer: c_void_p) -> None:
    call("tk_release", pointer)


class License:
    """The license of an application: made by `initialize` or `start`, ended by `close` or `release`.

    As a context manager, ``with`` or ``async with``, it is closed at the end; a program that just ends closes it
    too. Listeners are called on a thread of the license's own, one at a time, and may call everything here.
    Raised exceptions of theirs go to `sys.unraisablehook`.
    """

    def __init__(self) -> None:
        raise TypeError("a license is made by License.initialize or License.start")

    @classmethod
    def _begin(
        cls, function: str, settings: Settings, on_change: Optional[OnChange], on_report: Optional[OnReport], on_warning: Optional[OnWarning]
    ) -> "License":
        handle = _Handle(on_change, on_report, on_warning)
        handle.begin(function, settings)
        license = object.__new__(cls)
        license._handle = handle
        # Also when the program ends: what was counted is on disk then.
        weakref.finalize(license, handle.end, _close)
        return license

    _handle: _Handle

    @classmethod
    def initialize(
        cls,
        settings: Settings,
        *,
        on_change: Optional[OnChange] = None,
        on_report: Optional[OnReport] = None,
        on_warning: Optional[OnWarning] = None,
    ) -> "License":
        """Gets the license: asks the servers, else takes the authorization of before, or product keys.

        Waits for the servers, at most 20 seconds each. ``on_change`` hears the `Status` when it is another than
        before, ``on_report`` that a server answered to usage reports, and ``on_warning`` the code and message of
        what is wrong and does not stop the application.
        """
        return cls._begin("tk_initialize", settings, on_change, on_report, on_warning)

    @classmethod
    def start(
        cls,
        settings: Settings,
        *,
        on_change: Optional[OnChange] = None,
        on_report: Optional[OnReport] = None,
        on_warning: Optional[OnWarning] = None,
    ) -> "License":
        """The same for an application that goes on without a license and waits: it is asked for again and again.

        ``on_change`` tells when there is one. Fails only for settings and the data folder.
        """
        return cls._begin("tk_start", settings, on_change, on_report, on_warning)

    @classmethod
    async def initialize_async(
        cls,
        settings: Settings,
        *,
        on_change: Optional[OnChange] = None,
        on_report: Optional[OnReport] = None,
        on_warning: Optional[OnWarning] = None,
    ) -> "License":
        """`initialize` for asyncio. Listeners are called on another thread than the loop's."""
        return await asyncio.to_thread(cls._begin, "tk_initialize", settings, on_change, on_report, on_warning)

    @classmethod
    async def start_async(
        cls,
        settings: Settings,
        *,
        on_change: Optional[OnChange] = None,
        on_report: Optional[OnReport] = None,
        on_warning: Optional[OnWarning] = None,
    ) -> "License":
        """`start` for asyncio. Listeners are called on another thread than the loop's."""
        return await asyncio.to_thread(cls._begin, "tk_start", settings, on_change, on_report, on_warning)

    @property
    def status(self) -> Status:
        """What the application may do now."""
        return self._handle.status()

    def check(self, module: Optional[str] = None) -> None:
        """Raises unless the product, or this module, is licensed now. Asks nobody: call it at every use."""
        with self._handle.use() as pointer:
            call("tk_check", pointer, text_of("module", module))

    def is_licensed(self, module: Optional[str] = None) -> bool:
        """Whether `check` would not raise."""
        try:
            self.check(module)
        except LicenseError:
            return False
        return True

    def record(self, kind: str, count: int = 1, *, unit: Optional[str] = None, module: Optional[str] = None, at: Optional[datetime] = None) -> None:
        """Counts use that was done just now, or ``at`` its own time.

        ``kind`` is the barcode's format, or "scanned", "captured", "imported" … of pages; ``unit`` is "scan" or "page",
        what the license is about when not given; ``module`` is the one that processed the pages.
        """
        seconds = 0 if at is None else int(at.timestamp())
        names = text_of("kind", kind), text_of("unit", unit), text_of("module", module)
        with self._handle.use() as pointer:
            call("tk_record_at", pointer, names[0], number("count", count, _MOST_64), *names[1:], seconds)

    def take_instances(self, count: int = 1) -> None:
        """Takes instances, as many as are granted to this device and not held by another of its processes."""
        with self._handle.use() as pointer:
            call("tk_take_instances", pointer, number("count", count, _MOST_32))

    def give_back_instances(self, count: int = 1) -> None:
        """Gives instances back; those that are held at the end are given back by it."""
        with self._handle.use() as pointer:
            call("tk_give_back_instances", pointer, number("count", count, _MOST_32))

    @property
    def idle_instances(self) -> int:
        """Instances that are granted to this device and that nobody holds."""
        with self._handle.use() as pointer:
            return int(library.tk_idle_instances(pointer))

    def flush(self) -> None:
        """Puts what was counted on disk now; waits for no server."""
        with self._handle.use() as pointer:
            call("tk_flush", pointer)

    async def flush_async(self) -> None:
        """`flush` for asyncio."""
        await asyncio.to_thread(self.flush)

    def renew(self) -> None:
        """Asks the servers now, as at the start, and sends what was not sent. Waits for them."""
        with self._handle.use() as pointer:
            call("tk_renew", pointer)

    async def renew_async(self) -> None:
        """`renew` for asyncio."""
        await asyncio.to_thread(self.renew)

    def release(self) -> None:
        """Reports what was done, then gives the seat or the instances back, and ends the license in any case.

        Raises when no server could be told: then the seat is held as before, and what was counted is kept.
        """
        self._handle.end(_release)

    async def release_async(self) -> None:
        """`release` for asyncio."""
        await asyncio.to_thread(self.release)

    def close(self) -> None:
        """Ends the license: what was counted is on disk, and what ``release_on_close`` says is given back.

        That is done if no other process of the machine uses the license. Waits 3 seconds for servers at most, and for
        calls of other threads; when none can be reached, everything stays as it was. If only its answer is lost, the
        server may have taken the license back all the same. No listener is called any more when it returns. Closing
        twice does nothing.
        """
        self._handle.end(_close)

    async def close_async(self) -> None:
        """`close` for asyncio."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> "License":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    async def __aenter__(self) -> "License":
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close_async()

    @staticmethod
    def request_file(settings: Settings, *, as_line: bool = False) -> str:
        """The request of a device without network, to be carried to the server; one line fits into a QR code."""
        with settings._open() as opened:
            return call_for_text("tk_request_file", opened, int(as_line)) or ""

    @staticmethod
    def import_authorization(settings: Settings, text: str) -> None:
        """Takes the authorization that was carried here; `initialize` with the same settings then finds it."""
        with settings._open() as opened:
            call("tk_import_authorization", opened, text_of("text", text))

    def report_file(self) -> Optional[str]:
        """Everything that was done and not acknowledged, to be carried to the server; None when there is nothing."""
        with self._handle.use() as pointer:
            return call_for_text("tk_report_file", pointer)

    def import_receipt(self, text: str) -> None:
        """Takes the receipt for carried reports: what the server has is not kept any more."""
        with self._handle.use() as pointer:
            call("tk_import_receipt", pointer, text_of("text", text))


def check_vector(kind: str, case: Mapping[str, Any]) -> Dict[str, Any]:
    """Runs one case of the test vectors that all client libraries share, for tests of a port or of a build.

    It needs no license and no network. ``kind`` is the name of the vectors' file, such as "chains"; ``case`` comes with
    what its file says beside the cases. What this library says about it is to be compared with the case.
    """
    told = call_for_text("tk_check_vector", text_of("kind", kind), text_of("case", json.dumps(case)))
    return dict(json.loads(told or "{}"))


class Deduplicator:
    """Which barcodes of a video stream count: the same one again within 3 seconds after it counted does not."""

    def __init__(self, pause_seconds: float = 3.0) -> None:
        self._lock = threading.Lock()
        # To C, 0 is what is usual.
        self._pointer = c_void_p(library.tk_deduplicator_new(max(1, number("pause_seconds", round(pause_seconds * 1_000), _MOST_64))))
        weakref.finalize(self, library.tk_deduplicator_free, self._pointer)

    def is_new(self, format: str, text: str, at: Optional[float] = None) -> bool:
        """Whether this barcode counts; ``at`` is in seconds of any clock that goes forward, `time.monotonic` when not given."""
        milliseconds = number("at", int((time.monotonic() if at is None else at) * 1_000), _MOST_64)
        with self._lock:
            return bool(library.tk_deduplicator_is_new(self._pointer, text_of("format", format), text_of("text", text), milliseconds) > 0)
