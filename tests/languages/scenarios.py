"""Has every language live through the same scenarios, and prints the table of who did.

    python3 scenarios.py FOLDER [LANGUAGE...]

FOLDER holds a folder for each language with a program `driver` in it: `run` makes them. The first line of a
cell that fails is told, and then the status is 1.
"""

import base64
import json
import ssl
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path

from support import Broken, Cell, Driver, Pair, decode, decode_file, equal, issue_certificate, must, tollkeeper, until

VECTORS = Path(__file__).parent.parent / "vectors"


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def time_of(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def by_license_key(cell):
    site = cell.sandbox()
    driver = cell.by_key(site)
    driver.done("initialize")
    status = driver.status
    equal([status[name] for name in ("licensed", "origin", "server", "handshake_code")], [True, "server", site.https, "216998-scan"], "status")
    equal(status["client_uuid"], site.devices()[0]["client_uuid"], "the device")
    driver.done("check")
    driver.done("record", 3, "QR Code")
    driver.refused(200, "record", 0, "QR Code")
    driver.done("close")
    driver.end()


def by_fields(cell):
    site = cell.sandbox()
    settings = {"organizationId": "216998", "limitedModules": "core,ocr", "deploymentType": "desktop", "product": "dwt", "productVersion": "9.6.30"}
    driver = cell.by_fields(site, "216998-page", **settings)
    driver.done("initialize")
    equal(driver.status["handshake_code"], "216998-page", "the code")
    driver.done("check", "ocr")
    must("'dpm'" in driver.refused(204, "check", "dpm")[0], "the message names the module")
    driver.done("record-page", 5, "ocr")
    driver.done("release")
    equal(site.total("216998-page"), 5, "pages")
    driver.done("set", "deploymentType", "server")
    driver.done("set", "handshakeCode", "216998-nobody")
    driver.refused(101, "initialize")
    driver.end()


def offline(cell):
    site = cell.sandbox()
    folder = cell.folder()
    driver = cell.by_fields(site, folder=folder)
    driver.done("initialize")
    driver.done("close")
    site.process.stop()
    driver.done("initialize")
    status = driver.status
    equal([status["licensed"], status["origin"], status["failures"][0]["code"]], [True, "kept", 302], "status")
    must(site.https in status["failures"][0]["server"], "the server that failed", status)
    driver.done("check")
    driver.done("close")
    driver.done("set", "dataFolder", cell.folder())
    driver.refused(302, "initialize")
    # An application that waits has its license when the server is there again.
    driver.done("start")
    equal([driver.status["licensed"], driver.status["code"]], [False, 302], "waiting")
    driver.refused(302, "check")
    site.process.begin()
    driver.done("renew")
    driver.done("check")
    driver.done("close")
    driver.end()


def count_and_report(cell):
    site = cell.sandbox()
    driver = cell.by_key(site)
    driver.done("initialize")
    driver.done("record", 3, "QR Code")
    driver.done("close")
    site.process.stop()
    driver.done("initialize")
    driver.done("record", 4, "Code 128")
    driver.done("flush")
    driver.done("record", 5, "QR Code")
    driver.done("close")
    site.process.begin()
    site.advance("6m")
    driver.done("initialize")
    driver.done("renew")
    driver.done("close")
    equal(site.total(), 12, "the server's total")
    heard = [event.split()[1:] for event in driver.events if event.startswith("report ")]
    equal({tuple(report[1:]) for report in heard}, {("0", "0")}, "reports that were there before, and rejected")
    driver.done("initialize")
    driver.done("renew")
    driver.done("close")
    equal(site.total(), 12, "the server's total, asked again")
    driver.end()


def renewal(cell):
    site = cell.sandbox()
    driver = cell.by_key(site)
    driver.done("initialize")
    ends = time_of(driver.status["expires_at"])
    site.advance("2d")
    driver.done("renew")
    equal(time_of(driver.status["expires_at"]), ends + timedelta(days=2), "its end")
    site.faults(refuse=111)
    driver.refused(111, "renew")
    driver.refused(111, "check")
    site.faults(refuse=None)
    driver.done("renew")
    driver.done("check")
    driver.done("close")
    driver.end()


def wrong_password(cell):
    site = cell.sandbox()
    driver = cell.by_fields(site, "216998-locked", applicationId="com.example.scanner")
    user_message = next(case["user_message"] for case in vectors("errors")["cases"] if case["code"] == 102)
    for password in ("", "close sesame"):
        driver.done("set", "sessionPassword", password)
        message, told = driver.refused(102, "initialize")
        must("session password" in message, message)
        equal(told, user_message, "what the end user is told")
    driver.done("set", "sessionPassword", "open sesame")
    driver.done("initialize")
    driver.done("close")
    driver.done("set", "applicationId", "com.example.other")
    driver.refused(114, "initialize")
    driver.end()


def forged(cell):
    site, stranger, forger = cell.sandbox(), cell.sandbox(), cell.forger()
    forger.upstream = site.http
    driver = cell.by_fields(site, mainServerURL=forger.https, certificateAuthority=forger.authority)
    driver.done("initialize")
    driver.done("close")
    kept = []

    def changed(answer):
        head, body, signature = answer["authorization"].split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        claims["exp"] += 86_400
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return {**answer, "authorization": f"{head}.{body}.{signature}"}

    def resigned(answer):
        head, body, signature = answer["authorization"].split(".")
        return {**answer, "authorization": f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"}

    def repeated(answer):
        kept.append(answer)
        return kept[0]

    forgeries = {"changed": changed, "signed anew": resigned, "cut off": lambda answer: {**answer, "authorization": "x"}}
    for name, forge in forgeries.items():
        forger.change = forge
        driver.done("set", "dataFolder", cell.folder())
        equal(driver.tell("initialize").split()[0], "-20304", f"what was {name}")
    # The same device asks again, and hears what it heard before.
    forger.change = repeated
    driver.done("initialize")
    driver.done("renew")
    equal([driver.status["origin"], driver.status["failures"][0]["code"]], ["kept", 304], "what was repeated is not taken")
    driver.done("close")
    forger.change, forger.upstream = (lambda answer: answer), stranger.http
    driver.done("set", "dataFolder", cell.folder())
    driver.refused(304, "initialize")
    # Another authority than the one that is pinned, and none at all.
    driver.done("set", "mainServerURL", site.https)
    driver.refused(303, "initialize")
    driver.done("set", "mainServerURL", site.http)
    driver.refused(301, "initialize")
    driver.end()


def sealed(cell):
    site, proxy = cell.sandbox(), cell.forger()
    proxy.upstream = site.http
    driver = cell.by_fields(site, mainServerURL=proxy.https, certificateAuthority=proxy.authority, sealed="true")
    driver.done("initialize")
    driver.done("record", 2, "QR Code")
    driver.done("release")
    equal(site.total(), 2, "the server's total")
    kinds = {path: kind for path, kind in proxy.asked if not path.endswith("/server")}
    must(len(kinds) == 3 and "application/json" not in kinds.values(), "everything that was asked was sealed", kinds)
    driver.end()


def own_certificate(cell):
    """The site shows browsers a certificate of its company; devices go on by the authority in their license key."""
    site = cell.sandbox()
    authority, certificate, key = issue_certificate(cell.folder())
    chain = cell.file(certificate.read_text() + authority.read_text())
    tollkeeper("certificate", "set", "--data", site.data, "--cert", chain, "--key", key)
    host, port = site.https.removeprefix("https://").split(":")
    equal(ssl.get_server_certificate((host, int(port))).strip(), certificate.read_text().strip(), "what browsers see")
    driver = cell.by_key(site)
    driver.done("initialize")
    driver.done("record", 2, "QR Code")
    driver.done("release")
    equal(site.total(), 2, "the server's total")
    driver.end()


def product_key(cell):
    site = cell.sandbox()
    permitted = ("--product", "dbr", "--module", "core", "--valid-to", "2099-12-31")
    key = tollkeeper("vendor", "product-key", "--key", site.state["vendor_key_file"], *permitted).strip()
    driver = cell.driver(site.vendor, productKey=key)
    driver.done("initialize")
    equal([driver.status["licensed"], driver.status["origin"]], [True, "product_key"], "status")
    driver.done("check", "core")
    driver.refused(204, "check", "ocr")
    driver.done("record", 1, "QR Code")
    driver.done("close")
    driver.done("set", "handshakeCode", "216998-scan")
    must("productKey cannot be used together with a handshake code" in driver.refused(301, "initialize")[0], "the message")
    driver.done("set", "handshakeCode")
    driver.done("set", "product", "dwt")
    driver.refused(106, "initialize")
    driver.done("set", "productKey", key[:-4])
    driver.refused(307, "initialize")
    driver.end()


def two_processes(cell):
    site = cell.sandbox()
    folder = cell.folder()
    one, two = (cell.by_key(site, folder=folder) for _ in range(2))
    for driver in (one, two):
        driver.done("initialize")
    for number in range(1, 6):
        one.done("record", number, "QR Code")
        two.done("record", number, "QR Code")
        one.done("flush")
    one.done("close")
    two.done("check")
    two.done("close")
    site.advance("6m")
    # Both report at once.
    with ThreadPoolExecutor() as pool:
        for command in ("initialize", "renew", "close"):
            list(pool.map(lambda driver: driver.done(command), (one, two)))
    equal(site.total(), 30, "the server's total")
    equal(len(site.devices()), 1, "devices")
    one.end()
    two.end()


def seats_and_instances(cell):
    site = cell.sandbox()
    first, second, third = (cell.by_key(site, "216998-quarter") for _ in range(3))
    first.done("initialize")
    second.done("initialize")
    told = third.refused(120, "initialize")
    must("All licenses are in use" in told[1], told)
    # The seat is kept at the end, and free when it is given back.
    first.done("close")
    third.refused(120, "initialize")
    second.done("release")
    third.done("initialize")
    instances = cell.by_key(site, "216998-instances")
    instances.done("set", "instances", 3)
    instances.done("initialize")
    equal(instances.status["instances"], 3, "granted")
    instances.done("take", 2)
    equal(instances.tell("idle"), "1", "idle")
    instances.refused(120, "take", 2)
    instances.done("give", 1)
    equal(instances.tell("idle"), "2", "idle")
    for driver in (first, second, third, instances):
        driver.end()


def closing(cell):
    site = cell.sandbox()
    none = {"tolerance": 0, "growth_per_day": 0}
    site.sell("216998-floating", charge_way="concurrent_instance", quota=3, grace=none)
    site.sell("216998-single", charge_way="device", period="quarter", quota=1, grace={"percent": 0})
    folder = cell.folder()
    one, same, other = (cell.by_fields(site, "216998-floating", folder=place) for place in (folder, folder, cell.folder()))
    for driver in (one, same, other):
        driver.done("set", "instances", 3)
    # The instances of a floating license are free when the last application of the device closes.
    one.done("initialize")
    same.done("initialize")
    other.refused(120, "initialize")
    one.done("record", 5, "QR Code")
    one.done("close")
    other.refused(120, "initialize")
    same.done("close")
    equal(site.total("216998-floating"), 5, "what was done is reported first")
    other.done("initialize")
    other.done("close")
    one.done("set", "releaseOnClose", "nothing")
    one.done("initialize")
    one.done("close")
    other.refused(120, "initialize")
    # The seat of a device is kept, unless the application gives it back.
    seat, second = (cell.by_fields(site, "216998-single") for _ in range(2))
    seat.done("set", "releaseOnClose", "seat")
    seat.done("initialize")
    seat.done("close")
    second.done("initialize")
    second.done("close")
    seat.refused(120, "initialize")
    # With a server that is silent it takes a short time only, and all stays as it was.
    one.done("set", "releaseOnClose", "instances")
    one.done("initialize")
    one.done("record", 2, "QR Code")
    site.faults(silent=True)
    began = time.monotonic()
    one.done("close")
    must(time.monotonic() - began < 10, "closing took", time.monotonic() - began, "s")
    site.process.stop()
    # What is kept starts with no network, and what was given back does not.
    for driver in (one, second):
        driver.done("initialize")
        equal(driver.status["origin"], "kept", "origin")
        driver.done("close")
    for driver in (other, seat):
        driver.refused(302, "initialize")
    for driver in (one, same, other, seat, second):
        driver.end()


def threads(cell):
    site = cell.sandbox()
    driver = cell.driver(site.vendor, licenseKey=site.license_key("216998-fleet"), product="load")
    driver.done("initialize")
    # Many threads count until one closes the license under them.
    counted = int(driver.done("race"))
    must(counted > 0, "nothing was counted")
    driver.refused(302, "check")
    site.advance("6m")
    driver.done("initialize")
    driver.done("renew")
    driver.done("close")
    equal(site.total("216998-fleet"), counted, "the server's total")
    driver.end()


def closed_by_a_listener(cell):
    site = cell.sandbox()
    driver = cell.by_key(site)
    driver.done("initialize-closing")
    for _ in range(2):
        driver.done("record-at", int(time.time()) - 600, "QR Code")
    driver.done("flush")
    tollkeeper("handshake", "edit", "216998-scan", "--session-password-stdin", "--data", site.data, input="open sesame")
    # Refused, which closes; the reports that are on their way are taken, and nobody hears of it.
    driver.tell("renew")
    until("listener that closes", lambda: driver.tell("idle") and "closed" in driver.events)
    must("was closed" in driver.refused(302, "check")[0], "told so")
    until("reports that arrive", lambda: site.total() == 2)
    driver.end()
    equal(driver.events[driver.events.index("closed") + 1 :], [], "what was heard after the listener that closed")


def by_hand(cell):
    site = cell.sandbox()
    driver = cell.driver(site.vendor, handshakeCode="216998-scan")
    driver.refused(302, "initialize")
    equal(decode(driver.done("request-line"))["handshake_code"], "216998-scan", "the request")
    request, answer, reports, receipt = (cell.file("") for _ in range(4))
    request.write_text(driver.done("request").replace("~", "\n"))
    tollkeeper("device", "authorize-file", "--data", site.data, request, "--out", answer)
    driver.done("import", answer)
    driver.done("initialize")
    equal(driver.status["origin"], "carried", "origin")
    equal(driver.done("report-file"), "", "nothing to report")
    for _ in range(3):
        # The slot that goes on is not carried yet.
        driver.done("record-at", int(time.time()) - 600, "QR Code")
    driver.done("flush")
    reports.write_text(driver.done("report-file").replace("~", "\n"))
    for _ in range(2):
        tollkeeper("device", "import-reports", "--data", site.data, reports, "--out", receipt)
    driver.done("import-receipt", receipt)
    equal(site.total(), 3, "the server's total")
    driver.done("close")
    driver.end()


def check_vectors(cell, kind):
    """Every case is what the library says of it; a program that needs neither license nor network asks it."""
    file = vectors(kind)
    wanted = [{"result": "ok", **case} for name in ("cases", "good") for case in file.get(name, [])]
    wanted += [{**case, "result": 301} for case in file.get("bad", [])]
    must(len(wanted) >= 5, f"there are vectors of {kind}")
    beside = {name: value for name, value in file.items() if name not in ("cases", "good", "bad")}
    driver = Driver(cell.stack, cell.program)
    for case in wanted:
        given = {**beside, **case}
        told = json.loads(driver.done("vector", kind, json.dumps(given)))
        equal(told, {name: given[name] for name in told}, f"{kind}, {case.get('name', case)}")
        must(told["result"] != "ok" or len(told) > 1, kind, told)
    driver.end()


def vectors_of_chains(cell):
    check_vectors(cell, "chains")


def vectors_of_sealed_bodies(cell):
    check_vectors(cell, "sealed")


def vectors_of_license_keys(cell):
    check_vectors(cell, "license_keys")
    keys = vectors("license_keys")
    driver = cell.driver(vectors("chains")["vendor_public_key"])
    for key in keys["good"]:
        driver.done("set", "licenseKey", key["text"])
        request = decode(driver.done("request-line"))
        names = ("organization_id", "handshake_code", "session_password")
        equal([request.get(name) for name in names], [key[name] for name in names], "the request")
    for key in keys["bad"]:
        # An empty one is not set.
        if key["text"]:
            driver.done("set", "licenseKey", key["text"])
            must("licenseKey" in driver.refused(301, "request-line")[0], key["why"])
    driver.end()


def vectors_of_product_keys(cell):
    check_vectors(cell, "product_keys")
    told = vectors("product_keys")
    names = {"version": "productVersion", "deployment_type": "deploymentType", "modules": "limitedModules"}
    names |= {"product": "product", "edition": "edition"}
    drivers = {}
    for case in told["cases"]:
        # Pages of a browser and other machines than this one have the tests of their own.
        if case["request"]["host"] or case["request"]["machine"]:
            continue
        if case["now"] not in drivers:
            drivers[case["now"]] = cell.driver(told["vendor_public_key"], now=time_of(case["now"]))
        driver = drivers[case["now"]]
        for field, name in names.items():
            value = case["request"][field]
            driver.done("set", name, ",".join(value) if isinstance(value, list) else value or "")
        driver.done("set", "productKey", case["text"])
        if case["result"] == "ok":
            driver.done("initialize")
            driver.done("check")
            driver.done("close")
        else:
            driver.refused(case["result"], "initialize")
    must(len(drivers) >= 4, "there are vectors of several times")
    for driver in drivers.values():
        driver.end()


def vectors_of_errors(cell):
    check_vectors(cell, "errors")
    site = cell.sandbox()
    driver = cell.by_key(site)
    for case in vectors("errors")["cases"]:
        # The client's own have their scenarios.
        if case["code"] >= 300:
            continue
        site.faults(refuse=case["code"])
        driver.done("set", "dataFolder", cell.folder())
        equal(driver.refused(case["code"], "initialize")[1], case["user_message"], case["code"])
    driver.end()


def vectors_of_slots(cell):
    check_vectors(cell, "slots")
    site = cell.sandbox()
    driver = cell.by_key(site)
    # The clock of a sandbox stands still: the device's is ahead of it, by less than this.
    slack = 3
    site.set_clock(datetime.now(timezone.utc))
    driver.done("initialize")
    # The vectors' times of day, two days ago: much older use is not taken.
    midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    wanted = {}
    for number, case in enumerate(vectors("slots")["cases"]):
        at, slot = time_of(case["at"]), time_of(case["slot"])
        of_day = at.replace(microsecond=0) - at.replace(hour=0, minute=0, second=0, microsecond=0)
        seconds = int((midnight + of_day).timestamp())
        driver.done("record-at", max(seconds, seconds // 180 * 180 + slack), f"case {number}")
        wanted[f"case {number}"] = (midnight + (slot - slot.replace(hour=0, minute=0, second=0))).strftime("%Y-%m-%dT%H:%M:%SZ")
    driver.done("flush")
    reports = decode_file(driver.done("report-file").split("~"))["reports"]
    equal({kind: report["slot"] for report in reports for kind in report["counts"]}, wanted, "slots")
    driver.done("close")
    driver.end()


def vectors_of_carried_files(cell):
    check_vectors(cell, "carried")
    site = cell.sandbox()
    driver = cell.by_key(site)
    driver.done("initialize")
    for case in vectors("carried")["cases"]:
        for text in (case["line"], case["file"]):
            path = cell.file(text)
            if case["kind"] != "authorization":
                driver.refused(304, "import", path)
            if case["kind"] == "receipt":
                driver.done("import-receipt", path)
            else:
                driver.refused(304, "import-receipt", path)
    driver.done("close")
    driver.end()


class Failover:
    """Two servers of one site for all languages: all are authorized by the first, which dies; half a minute later the second serves."""

    def __init__(self, stack, languages):
        self.codes = {language: f"216998-{language}" for language in languages}
        self.pair = Pair(stack, self.codes.values())

    def begin(self, cell, language):
        driver = cell.driver(self.pair.vendor, licenseKey=self.pair.license_keys[self.codes[language]])
        driver.done("initialize")
        equal(driver.status["server"], self.pair.urls[0], "the server")
        driver.done("record", 7, "QR Code")
        return driver

    def end(self, driver, language):
        driver.done("renew")
        status = driver.status
        equal([status["server"], status["failures"][0]["server"]], [self.pair.urls[1], self.pair.urls[0]], "servers")
        driver.done("record", 8, "QR Code")
        driver.done("release")
        equal(self.pair.total(self.codes[language]), 15, "the standby's total")
        driver.end()


SCENARIOS = {
    "authorize by license key": by_license_key,
    "authorize by fields": by_fields,
    "offline": offline,
    "count offline, report later": count_and_report,
    "failover": Failover,
    "renewal": renewal,
    "wrong password": wrong_password,
    "forged authorization": forged,
    "sealed requests": sealed,
    "the site's own certificate": own_certificate,
    "product key": product_key,
    "two processes, one cache": two_processes,
    "seats and instances": seats_and_instances,
    "what closing gives back": closing,
    "many threads": threads,
    "closed by a listener": closed_by_a_listener,
    "carried by hand": by_hand,
    "vectors: chains": vectors_of_chains,
    "vectors: sealed bodies": vectors_of_sealed_bodies,
    "vectors: license keys": vectors_of_license_keys,
    "vectors: product keys": vectors_of_product_keys,
    "vectors: errors": vectors_of_errors,
    "vectors: slots": vectors_of_slots,
    "vectors: carried files": vectors_of_carried_files,
}

#: What a language cannot do, and need not.
ABSENT = {
    ("many threads", "c"): "whoever closes a handle of C sees to it that nobody uses it",
    ("closed by a listener", "c"): "the same",
    ("many threads", "javascript"): "there is one",
}


class Table:
    """What became of every cell."""

    def __init__(self, languages):
        self.languages, self.cells, self.failures = languages, {}, []

    def attempt(self, scenario, language, work, *arguments):
        """Does it; a failure is noted, and is None."""
        began = time.monotonic()
        try:
            done = work(*arguments)
            self.cells[scenario, language] = f"{time.monotonic() - began:.1f} s"
            return done
        except Exception as failure:
            self.cells[scenario, language] = "FAILED"
            told = str(failure) if isinstance(failure, Broken) else traceback.format_exc()
            self.failures.append(f"{language}, {scenario}: {told}")
            return None

    def show(self):
        width = max(map(len, SCENARIOS)) + 2
        columns = {language: max(len(language), 6) + 2 for language in self.languages}
        print("".ljust(width) + "".join(language.ljust(columns[language]) for language in self.languages))
        for scenario in SCENARIOS:
            absent = {language: "–" for language in self.languages if (scenario, language) in ABSENT}
            cells = {language: absent.get(language) or self.cells.get((scenario, language), "MISSING") for language in self.languages}
            print(scenario.ljust(width) + "".join(cell.ljust(columns[language]) for language, cell in cells.items()))
        for failure in self.failures:
            print(failure, file=sys.stderr)
        cells = {(scenario, language) for scenario in SCENARIOS for language in self.languages}
        return not self.failures and cells <= self.cells.keys() | ABSENT.keys()


def play(table, language, program):
    for scenario, work in SCENARIOS.items():
        if work is not Failover and (scenario, language) not in ABSENT:
            cell = Cell(program)
            with cell.stack:
                table.attempt(scenario, language, work, cell)


def main():
    folder, *languages = sys.argv[1:]
    languages = languages or sorted(path.parent.name for path in Path(folder).glob("*/driver"))
    programs = {language: Path(folder) / language / "driver" for language in languages}
    table = Table(languages)
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        failover = Failover(stack, languages)
        cells = {language: Cell(programs[language]) for language in languages}
        for cell in cells.values():
            stack.enter_context(cell.stack)
        begun = pool.map(lambda language: table.attempt("failover", language, failover.begin, cells[language], language), languages)
        drivers = dict(zip(languages, begun))
        failover.pair.lose_primary()
        list(pool.map(lambda language: play(table, language, programs[language]), languages))
        failover.pair.wait_for_standby()
        for language, driver in drivers.items():
            if driver is not None:
                table.attempt("failover", language, failover.end, driver, language)
    sys.exit(0 if table.show() else 1)


if __name__ == "__main__":
    main()
