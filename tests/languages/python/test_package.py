"""What is Python's own, from the installed wheel, against a real server. TOLLKEEPER_PROGRAM names the binary."""

import asyncio
import copy
import inspect
import pickle
import subprocess
import sys
import threading
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Iterator

import pytest
import tollkeeper
from tollkeeper import Deduplicator, License, LicenseError, Settings

sys.path.insert(0, str(Path(__file__).parent.parent))
from support import Sandbox, until  # noqa: E402


@pytest.fixture
def site() -> Iterator[Sandbox]:
    with ExitStack() as stack:
        yield Sandbox(stack)


@pytest.fixture
def settings(site: Sandbox, tmp_path: Path) -> Settings:
    return Settings(license_key=site.license_key("216998-scan"), vendor_public_key=site.vendor, product="dbr", data_folder=str(tmp_path / "cache"))


def test_the_package_is_the_wheel_alone() -> None:
    home = Path(tollkeeper.__file__).parent
    assert "site-packages" in home.parts
    assert (home / "libtollkeeper.so").exists() and (home / "py.typed").exists()
    assert tollkeeper.__version__.count(".") == 2


def test_everything_public_is_documented() -> None:
    for name in tollkeeper.__all__:
        thing = getattr(tollkeeper, name)
        if inspect.isclass(thing):
            assert thing.__doc__, name
            for own, member in vars(thing).items():
                if not own.startswith("_") and (callable(member) or isinstance(member, (property, classmethod, staticmethod))):
                    assert inspect.getdoc(member), f"{name}.{own}"


def test_a_context_manager_closes_and_counts_are_kept(site: Sandbox, settings: Settings) -> None:
    with License.initialize(settings) as license:
        assert license.is_licensed()
        license.record("QR Code", 2)
        license.record("QR Code", at=datetime.now(timezone.utc) - timedelta(minutes=10))
        assert license.status.expires_at is not None and license.status.expires_at > datetime.now(timezone.utc)
    for call in (license.check, license.renew, license.flush, lambda: license.status):
        with pytest.raises(LicenseError, match="was closed") as raised:
            call()
        assert raised.value.code == 302
    license.close()
    site.advance("6m")
    with License.initialize(settings) as license:
        license.renew()
    assert site.total() == 3


def test_errors_carry_their_codes(settings: Settings) -> None:
    settings.product = "dwt"
    with pytest.raises(LicenseError) as raised:
        License.initialize(settings)
    error = raised.value
    assert error.code == 106 and error.sdk_code == -20106 and error.user_message and "dwt" in str(error)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (twin.code, str(twin), twin.user_message) == (106, str(error), error.user_message)


def test_values_that_c_cannot_hold_are_refused(settings: Settings) -> None:
    with License.initialize(settings) as license:
        for count in (-1, 2**64):
            with pytest.raises(ValueError, match="count must be from 0"):
                license.record("QR Code", count)
        with pytest.raises(ValueError, match="holds a zero"):
            license.record("QR\0Code")
        with pytest.raises(LicenseError) as raised:
            license.record("QR Code", 0)
        assert raised.value.code == 200


def test_asyncio_goes_on_while_a_server_is_silent(site: Sandbox, settings: Settings) -> None:
    async def live() -> int:
        async with await License.initialize_async(settings) as license:
            site.faults(delay_ms=400)
            renewal = asyncio.ensure_future(license.renew_async())
            turns = 0
            while not renewal.done():
                await asyncio.sleep(0.01)
                turns += 1
            await renewal
            await license.flush_async()
            site.faults(delay_ms=0)
            license.record("QR Code", 4)
            await license.release_async()
        return turns

    assert asyncio.run(live()) > 5
    assert site.total() == 4


def test_listeners_hear_and_may_call_everything(site: Sandbox, settings: Settings) -> None:
    changes, reports, warnings, done = [], [], [], threading.Event()
    with License.initialize(settings) as license:
        license.record("QR Code", 2)
    site.advance("6m")

    def changed(status: tollkeeper.Status) -> None:
        changes.append((status, license.is_licensed()))
        if status.error is not None:
            license.close()
            done.set()

    license = License.initialize(settings, on_change=changed, on_report=reports.append, on_warning=lambda code, message: warnings.append(code))
    license.renew()
    until("report", lambda: reports)
    assert (reports[0].accepted, reports[0].duplicate, reports[0].rejected) == (1, 0, 0)
    site.faults(refuse=113)
    with pytest.raises(LicenseError) as raised:
        license.renew()
    assert raised.value.code in (113, 302)
    assert done.wait(60)
    status, was_licensed = changes[-1]
    assert status.error is not None and status.error.code == 113 and not was_licensed
    with pytest.raises(LicenseError, match="was closed"):
        license.check()


def test_many_threads_use_and_close_one_license(site: Sandbox, settings: Settings) -> None:
    settings.license_key, settings.product = site.license_key("216998-fleet"), "load"
    license = License.initialize(settings)
    counted = []

    def count() -> None:
        mine = 0
        try:
            while True:
                license.record("QR Code")
                mine += 1
                license.check()
                if mine == 5:
                    license.flush()
        except LicenseError as error:
            counted.append((mine, error.code))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    until("use", lambda: license.status.is_licensed)
    license.close()
    for thread in threads:
        thread.join(60)
    assert [code for _, code in counted] == [302] * 4
    site.advance("6m")
    with License.initialize(settings) as license:
        license.renew()
    assert site.total("216998-fleet") == sum(mine for mine, _ in counted)


def test_a_program_that_just_ends_keeps_its_counts(site: Sandbox, settings: Settings) -> None:
    program = f"from tollkeeper import *\nlicense = License.initialize({settings!r})\nlicense.record('QR Code', 9)\n"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    site.advance("6m")
    with License.initialize(settings) as license:
        license.renew()
    assert site.total() == 9


def test_a_barcode_counts_once_in_three_seconds() -> None:
    seen = Deduplicator()
    assert [seen.is_new("QR", "a", at) for at in (0, 1, 2.999, 3)] == [True, False, False, True]
    assert seen.is_new("QR", "b", 3) and Deduplicator(0.5).is_new("QR", "a")
