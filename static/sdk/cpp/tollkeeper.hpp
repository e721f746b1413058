// Tollkeeper for C++17: gets an application its license from a Tollkeeper server, keeps it while there is no network,
// and reports use. A face over the C interface in one header: link the library of ../c.
//
// Whatever fails throws tollkeeper::LicenseError. Every call may be made on any thread. What waits for a server has a
// sibling whose name ends in Async and gives a std::future. README.md says more.

#ifndef TOLLKEEPER_HPP
#define TOLLKEEPER_HPP

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tollkeeper.h"

namespace tollkeeper {

/// A moment by the device's clock.
using Time = std::chrono::system_clock::time_point;

/// Why there is no license, or why something that was asked for was not done. what() is for the developer: what
/// happened, which value, what to do.
class LicenseError : public std::runtime_error {
public:
    /// With the number of the table of errors.
    LicenseError(int code, const std::string &message, std::string userMessage)
        : std::runtime_error(message), code_(code), userMessage_(std::move(userMessage)) {}

    /// The number of the table of errors, such as 120.
    int code() const noexcept { return code_; }
    /// The number that applications show: -(20000 + code).
    int sdkCode() const noexcept { return -(20000 + code_); }
    /// What to tell the end user.
    const std::string &userMessage() const noexcept { return userMessage_; }

private:
    int code_;
    std::string userMessage_;
};

/// The kind of machine an application runs on.
enum class DeploymentType { Browser, Mobile, Server, Desktop, Embedded };
/// How a license item is charged.
enum class ChargeWay { Scan, Page, Device, ConcurrentDevice, ConcurrentInstance, Server, Domain };
/// How the device is named: at random and kept in the data folder, or as it follows from the machine.
enum class UuidMethod { Random, Hardware };
/// What closing gives back to the server, when no other process of the machine uses the license: the instances of a
/// floating license, whatever the license is charged by, or nothing.
enum class ReleaseOnClose { Instances, Seat, Nothing };
/// What is counted.
enum class Unit { Scan, Page };
/// Where a license comes from: a server in this session, what was kept while none serves, a file carried by hand, product keys.
enum class Origin { Server, Kept, Carried, ProductKey };

/// What an application sets: a license key, or fields, or product keys. Set at least vendorPublicKey, product, and
/// licenseKey. Fields beside a license key override it; what is empty or 0 is not set.
struct Settings {
    /// The vendor's public key: PEM, several may follow each other; or the base64 of one alone.
    std::string vendorPublicKey;
    /// The product that runs, such as "dbr".
    std::string product;
    /// "TK1.…" from the handshake code's page.
    std::string licenseKey;
    /// Such as "https://license.example.com:48443".
    std::string mainServerURL;
    /// Asked when the main server does not serve.
    std::string standbyServerURL;
    /// Such as "216998": its default handshake code serves.
    std::string organizationId;
    /// Such as "216998-vehicleCode".
    std::string handshakeCode;
    /// Of the handshake code, if it has one.
    std::string sessionPassword;
    /// The site's certificate authority, PEM or "sha256:" and its fingerprint, when the license key does not name it.
    std::string certificateAuthority;
    /// Offline licenses, separated by ";". Not together with a handshake code.
    std::string productKey;
    /// Such as "9.6.30".
    std::string productVersion;
    /// Such as "mobile".
    std::string edition;
    /// The kind of machine.
    std::optional<DeploymentType> deploymentType;
    /// The modules it needs, all of them.
    std::vector<std::string> limitedModules;
    /// The charge way it insists on.
    std::optional<ChargeWay> chargeWay;
    /// How many instances it wants at most; 1 when not set.
    std::uint32_t instances = 0;
    /// The longest it wants to work offline, 1 to 365 days.
    std::uint32_t maxBufferDays = 0;
    /// How the device is named. All applications that share a data folder set the same.
    UuidMethod uuidMethod = UuidMethod::Random;
    /// Where the cache is kept; ".tollkeeper" in the user's home when not set.
    std::string dataFolder;
    /// Such as "com.example.scanner", where the handshake code asks for it.
    std::string applicationId;
    /// Such as "scanner.exe"; the name of this program when not set.
    std::string processName;
    /// Encrypts every request to the server itself, for sites where a proxy ends TLS.
    bool sealed = false;
    /// Seconds of counts that a crash may cost; 10 when not set.
    std::uint32_t flushSeconds = 0;
    /// What closing gives back to the server. Named seats are kept unless it is Seat: they last for their period, and the
    /// device must be able to start again with no network.
    ReleaseOnClose releaseOnClose = ReleaseOnClose::Instances;
};

/// Why one server did not serve.
struct Failure {
    /// Its URL.
    std::string server;
    /// The number of the table of errors.
    int code = 0;
    /// For the developer.
    std::string message;
};

/// What an application may do now.
struct Status {
    /// Whether it may work.
    bool isLicensed = false;
    /// Why not, if it may not.
    std::optional<LicenseError> error;
    /// Where the license comes from, if there is one.
    std::optional<Origin> origin;
    /// The server that gave it, if one did in this session.
    std::string server;
    /// When it ends unless it is renewed.
    std::optional<Time> expiresAt;
    /// The handshake code that serves.
    std::string handshakeCode;
    /// The device.
    std::string clientUuid;
    /// Instances that are granted to this device.
    std::uint32_t instances = 0;
    /// Why servers did not serve before the one that does, or before what was kept.
    std::vector<Failure> failures;
};

/// What a server made of usage reports.
struct Submitted {
    /// Reports that are on its disk now.
    std::uint64_t accepted = 0;
    /// Reports that were there before.
    std::uint64_t duplicate = 0;
    /// Reports that no server takes; they are forgotten.
    std::uint64_t rejected = 0;
};

/// What an application wants to hear of. Called on a thread of the license's own, one at a time. They may call
/// everything, and must not throw.
struct Listeners {
    /// The license is another than before.
    std::function<void(const Status &)> onChange;
    /// A server answered to usage reports.
    std::function<void(const Submitted &)> onReport;
    /// Something is wrong that does not stop the application: its code, and what it is.
    std::function<void(int code, const std::string &message)> onWarning;
};

/// More about a use than its kind and count.
struct Use {
    /// What the license is about when not set.
    std::optional<Unit> unit;
    /// The module that processed the pages.
    std::string module;
    /// When it was done, if not just now.
    std::optional<Time> at;
};

/// What applications have no business with.
namespace detail {

inline const char *nameOf(DeploymentType type) {
    static const char *const names[] = {"browser", "mobile", "server", "desktop", "embedded"};
    return names[static_cast<std::size_t>(type)];
}

inline const char *nameOf(ChargeWay way) {
    static const char *const names[] = {"scan", "page", "device", "concurrent_device", "concurrent_instance", "server", "domain"};
    return names[static_cast<std::size_t>(way)];
}

inline const char *nameOf(ReleaseOnClose what) {
    static const char *const names[] = {"instances", "seat", "nothing"};
    return names[static_cast<std::size_t>(what)];
}

/// As C takes it.
inline const char *textOf(const std::string &text) {
    if (text.find('\0') != std::string::npos) throw std::invalid_argument("a text for the license library holds a zero");
    return text.c_str();
}

/// The same; what is empty is NULL.
inline const char *optionalTextOf(const std::string &text) { return text.empty() ? nullptr : textOf(text); }

/// Calls a function of C that may fail, whose last argument is the place for the error.
template <typename Function, typename... Arguments> void call(Function function, Arguments... arguments) {
    tk_error *error = nullptr;
    if (function(arguments..., &error) == 0) return;
    const std::unique_ptr<tk_error, decltype(&tk_error_free)> owned(error, tk_error_free);
    throw LicenseError(tk_error_code(error), tk_error_message(error), tk_error_user_message(error));
}

/// Calls a function of C that gives a text, or none.
template <typename Function, typename... Arguments> std::optional<std::string> callForText(Function function, Arguments... arguments) {
    char *text = nullptr;
    call(function, arguments..., &text);
    if (text == nullptr) return std::nullopt;
    const std::unique_ptr<char, decltype(&tk_string_free)> owned(text, tk_string_free);
    return std::string(text);
}

/// Settings as C has them.
class OpenSettings {
public:
    explicit OpenSettings(const Settings &from) : handle_(tk_settings_new(), tk_settings_free) {
        set("vendorPublicKey", from.vendorPublicKey);
        set("product", from.product);
        set("licenseKey", from.licenseKey);
        set("mainServerURL", from.mainServerURL);
        set("standbyServerURL", from.standbyServerURL);
        set("organizationId", from.organizationId);
        set("handshakeCode", from.handshakeCode);
        set("sessionPassword", from.sessionPassword);
        set("certificateAuthority", from.certificateAuthority);
        set("productKey", from.productKey);
        set("productVersion", from.productVersion);
        set("edition", from.edition);
        if (from.deploymentType) set("deploymentType", nameOf(*from.deploymentType));
        std::string modules;
        for (const std::string &module : from.limitedModules) modules += module + ",";
        set("limitedModules", modules);
        if (from.chargeWay) set("chargeWay", nameOf(*from.chargeWay));
        set("instances", std::to_string(from.instances));
        set("maxBufferDays", std::to_string(from.maxBufferDays));
        if (from.uuidMethod == UuidMethod::Hardware) set("uuidMethod", "hardware");
        set("dataFolder", from.dataFolder);
        set("applicationId", from.applicationId);
        set("processName", from.processName);
        if (from.sealed) set("sealed", "true");
        set("flushSeconds", std::to_string(from.flushSeconds));
        set("releaseOnClose", nameOf(from.releaseOnClose));
    }

    const tk_settings *get() const noexcept { return handle_.get(); }

private:
    void set(const char *name, const std::string &value) { call(tk_settings_set, handle_.get(), name, textOf(value)); }

    std::unique_ptr<tk_settings, decltype(&tk_settings_free)> handle_;
};

/// Reads the JSON that tk_status gives, from front to back.
class Reader {
public:
    explicit Reader(const std::string &json) : at_(json.c_str()) {}

    /// Calls `member` with each name of an object; it must read the value.
    template <typename Member> void object(Member member) {
        ++at_;
        while (*at_ != '}') {
            const std::string name = text();
            ++at_;
            member(name);
            if (*at_ == ',') ++at_;
        }
        ++at_;
    }

    /// Calls `element` for each element of a list; it must read the value.
    template <typename Element> void list(Element element) {
        ++at_;
        while (*at_ != ']') {
            element();
            if (*at_ == ',') ++at_;
        }
        ++at_;
    }

    /// A text; null is empty.
    std::string text() {
        std::string read;
        if (*at_ != '"') return word(), read;
        for (++at_; *at_ != '"'; ++at_) {
            if (*at_ != '\\') {
                read += *at_;
                continue;
            }
            switch (*++at_) {
            case 'n': read += '\n'; break;
            case 't': read += '\t'; break;
            case 'r': read += '\r'; break;
            case 'b': read += '\b'; break;
            case 'f': read += '\f'; break;
            case 'u':
                // Only control characters are written so.
                read += static_cast<char>(std::stoi(std::string(at_ + 1, 4), nullptr, 16));
                at_ += 4;
                break;
            default: read += *at_;
            }
        }
        ++at_;
        return read;
    }

    /// A number, true, false or null.
    std::string word() {
        std::string read;
        while (*at_ != ',' && *at_ != '}' && *at_ != ']') read += *at_++;
        return read;
    }

private:
    const char *at_;
};

/// A time such as 2026-11-22T05:03:00Z.
inline std::optional<Time> timeOf(const std::string &text) {
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    if (std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%d", &year, &month, &day, &hour, &minute, &second) != 6) return std::nullopt;
    // Years that begin in March have their leap day at the end.
    if (month <= 2) --year;
    const std::int64_t ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    const std::int64_t days = 365LL * year + year / 4 - year / 100 + year / 400 + ofYear - 719468;
    return Time(std::chrono::seconds(((days * 24 + hour) * 60 + minute) * 60 + second));
}

inline Status statusOf(const std::string &json) {
    Status status;
    int code = 0;
    std::string message, userMessage, origin;
    Reader reader(json);
    reader.object([&](const std::string &name) {
        if (name == "licensed") status.isLicensed = reader.word() == "true";
        else if (name == "origin") origin = reader.text();
        else if (name == "server") status.server = reader.text();
        else if (name == "expires_at") status.expiresAt = timeOf(reader.text());
        else if (name == "handshake_code") status.handshakeCode = reader.text();
        else if (name == "client_uuid") status.clientUuid = reader.text();
        else if (name == "instances") status.instances = static_cast<std::uint32_t>(std::stoul(reader.word()));
        else if (name == "code") code = std::stoi(reader.word());
        else if (name == "message") message = reader.text();
        else if (name == "user_message") userMessage = reader.text();
        else if (name == "failures") reader.list([&] {
            Failure failure;
            reader.object([&](const std::string &of) {
                if (of == "server") failure.server = reader.text();
                else if (of == "code") failure.code = std::stoi(reader.word());
                else if (of == "message") failure.message = reader.text();
                else reader.text();
            });
            status.failures.push_back(failure);
        });
        else reader.text();
    });
    if (!status.isLicensed) status.error.emplace(code, message, userMessage);
    if (origin == "server") status.origin = Origin::Server;
    else if (origin == "kept") status.origin = Origin::Kept;
    else if (origin == "carried") status.origin = Origin::Carried;
    else if (origin == "product_key") status.origin = Origin::ProductKey;
    return status;
}

/// A license of C: ended once, and not while a call of another thread is under way.
class Handle : public std::enable_shared_from_this<Handle> {
public:
    explicit Handle(Listeners listeners) : listeners_(std::move(listeners)) {}

    template <typename Function> void begin(Function function, const Settings &settings) {
        const OpenSettings opened(settings);
        const tk_listeners listeners = {this, changed, reported, warned};
        tk_license *license = nullptr;
        call(function, opened.get(), &listeners, &license);
        const std::lock_guard<std::mutex> lock(mutex_);
        license_ = license;
    }

    /// Gives the license to `work`, unless it was ended.
    template <typename Work> auto use(Work work) {
        const Visit visit(*this);
        return work(visit.license);
    }

    /// Ends it with `how`, after the calls that are under way.
    void end(void (*how)(tk_license *)) {
        std::unique_lock<std::mutex> lock(mutex_);
        tk_license *const license = std::exchange(license_, nullptr);
        if (license == nullptr) return;
        if (listener_ != std::this_thread::get_id()) {
            idle_.wait(lock, [this] { return busy_ == 0; });
            lock.unlock();
            return how(license);
        }
        // It is the last one that is called.
        isSilent_ = true;
        lock.unlock();
        // A call that is under way may be waiting for this very listener.
        tk_flush(license, nullptr);
        std::thread([self = shared_from_this(), license, how] {
            {
                std::unique_lock<std::mutex> waiting(self->mutex_);
                self->idle_.wait(waiting, [&self] { return self->busy_ == 0; });
            }
            try {
                how(license);
            } catch (const LicenseError &) {
                // The seat is held as before: whoever released it in a listener is not there any more.
            }
        }).detach();
    }

    Status status() {
        return statusOf(use([](tk_license *license) { return *callForText(tk_status, license); }));
    }

private:
    struct Visit {
        explicit Visit(Handle &to) : handle(to) {
            const std::lock_guard<std::mutex> lock(handle.mutex_);
            license = handle.license_;
            if (license == nullptr) {
                throw LicenseError(302, "this license was closed: initialize again to take one",
                                   "The application has closed its license. Please start it again.");
            }
            ++handle.busy_;
        }
        ~Visit() {
            const std::lock_guard<std::mutex> lock(handle.mutex_);
            --handle.busy_;
            handle.idle_.notify_all();
        }
        Visit(const Visit &) = delete;
        Visit &operator=(const Visit &) = delete;

        Handle &handle;
        tk_license *license = nullptr;
    };

    template <typename Listener> void tell(Listener listener) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (isSilent_) return;
            listener_ = std::this_thread::get_id();
        }
        listener();
        const std::lock_guard<std::mutex> lock(mutex_);
        listener_ = std::thread::id();
    }

    bool isOpen() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return license_ != nullptr;
    }

    static void changed(void *context, std::int32_t, const char *, std::int64_t) noexcept {
        auto *const self = static_cast<Handle *>(context);
        // Before it has begun, whoever began it will look for himself.
        if (!self->listeners_.onChange || !self->isOpen()) return;
        self->tell([self] {
            std::optional<Status> status;
            try {
                status = self->status();
            } catch (const LicenseError &) {
                return; // It was closed just now.
            }
            self->listeners_.onChange(*status);
        });
    }

    static void reported(void *context, std::uint64_t accepted, std::uint64_t duplicate, std::uint64_t rejected) noexcept {
        auto *const self = static_cast<Handle *>(context);
        if (self->listeners_.onReport) self->tell([&] { self->listeners_.onReport(Submitted{accepted, duplicate, rejected}); });
    }

    static void warned(void *context, std::int32_t sdkCode, const char *message) noexcept {
        auto *const self = static_cast<Handle *>(context);
        if (self->listeners_.onWarning) self->tell([&] { self->listeners_.onWarning(-sdkCode - 20000, message); });
    }

    const Listeners listeners_;
    std::mutex mutex_;
    std::condition_variable idle_;
    tk_license *license_ = nullptr;
    unsigned busy_ = 0;
    bool isSilent_ = false;
    std::thread::id listener_;
};

} // namespace detail

/// The version of the library below, such as "1.2.0".
inline std::string version() { return tk_version(); }

/// Runs one case of the test vectors that all client libraries share, for tests of a port or of a build: it needs no
/// license and no network. `kind` is the name of the vectors' file, such as "chains"; `json` is the case, with what its file
/// says beside the cases in it. What this library says about it is JSON, to be compared with the case.
inline std::string checkVector(const std::string &kind, const std::string &json) {
    return *detail::callForText(tk_check_vector, detail::textOf(kind), detail::textOf(json));
}

/// The license of an application: made by initialize or start, ended by close, release, or its destructor, which closes.
class License {
public:
    /// Gets the license: asks the servers, else takes the authorization of before, or product keys. Waits for the
    /// servers, at most 20 seconds each.
    static License initialize(const Settings &settings, Listeners listeners = {}) { return License(tk_initialize, settings, std::move(listeners)); }

    /// The same for an application that goes on without a license and waits: it is asked for again and again, and
    /// onChange tells when there is one. Fails only for settings and the data folder.
    static License start(const Settings &settings, Listeners listeners = {}) { return License(tk_start, settings, std::move(listeners)); }

    /// initialize on a thread of its own. As with every future of std::async, its destructor waits.
    static std::future<License> initializeAsync(Settings settings, Listeners listeners = {}) {
        return std::async(std::launch::async, initialize, std::move(settings), std::move(listeners));
    }

    /// start on a thread of its own.
    static std::future<License> startAsync(Settings settings, Listeners listeners = {}) {
        return std::async(std::launch::async, start, std::move(settings), std::move(listeners));
    }

    License(License &&) noexcept = default;
    /// Closes the license that is replaced.
    License &operator=(License &&other) noexcept {
        if (this != &other) {
            end(closeIt);
            handle_ = std::move(other.handle_);
        }
        return *this;
    }
    License(const License &) = delete;
    License &operator=(const License &) = delete;
    ~License() { end(closeIt); }

    /// What the application may do now.
    Status status() const { return handle_->status(); }

    /// Throws unless the product, or this module, is licensed now. Asks nobody: call it at every use.
    void check(const std::string &module = {}) const {
        handle_->use([&](tk_license *license) { detail::call(tk_check, license, detail::optionalTextOf(module)); });
    }

    /// Whether check would not throw.
    bool isLicensed(const std::string &module = {}) const {
        try {
            check(module);
            return true;
        } catch (const LicenseError &) {
            return false;
        }
    }

    /// Counts use: kind is the barcode's format, or "scanned", "captured", "imported" … of pages.
    void record(const std::string &kind, std::uint64_t count = 1, const Use &use = {}) const {
        const char *const unit = !use.unit ? nullptr : *use.unit == Unit::Page ? "page" : "scan";
        const auto at = use.at ? std::chrono::duration_cast<std::chrono::seconds>(use.at->time_since_epoch()).count() : 0;
        handle_->use([&](tk_license *license) {
            detail::call(tk_record_at, license, detail::textOf(kind), count, unit, detail::optionalTextOf(use.module), static_cast<std::int64_t>(at));
        });
    }

    /// Takes instances, as many as are granted to this device and not held by another of its processes.
    void takeInstances(std::uint32_t number = 1) const {
        handle_->use([&](tk_license *license) { detail::call(tk_take_instances, license, number); });
    }

    /// Gives instances back; those that are held at the end are given back by it.
    void giveBackInstances(std::uint32_t number = 1) const {
        handle_->use([&](tk_license *license) { detail::call(tk_give_back_instances, license, number); });
    }

    /// Instances that are granted to this device and that nobody holds.
    std::uint32_t idleInstances() const {
        return handle_->use([](tk_license *license) { return tk_idle_instances(license); });
    }

    /// Puts what was counted on disk now; waits for no server.
    void flush() const {
        handle_->use([](tk_license *license) { detail::call(tk_flush, license); });
    }

    /// flush on a thread of its own.
    std::future<void> flushAsync() const {
        return std::async(std::launch::async, [handle = handle_] { handle->use([](tk_license *license) { detail::call(tk_flush, license); }); });
    }

    /// Asks the servers now, as at the start, and sends what was not sent. Waits for them; within a listener it
    /// returns at once and is done afterwards.
    void renew() const {
        handle_->use([](tk_license *license) { detail::call(tk_renew, license); });
    }

    /// renew on a thread of its own.
    std::future<void> renewAsync() const {
        return std::async(std::launch::async, [handle = handle_] { handle->use([](tk_license *license) { detail::call(tk_renew, license); }); });
    }

    /// Reports what was done, then gives the seat or the instances back, and ends the license in any case. Throws when
    /// no server could be told: then the seat is held as before, and what was counted is kept.
    void release() { end(releaseIt); }

    /// release on a thread of its own.
    std::future<void> releaseAsync() {
        return std::async(std::launch::async, [handle = handle_] { handle->end(releaseIt); });
    }

    /// Ends the license: what was counted is on disk, and what Settings::releaseOnClose says is given back if no other
    /// process of the machine uses the license. Waits 3 seconds for servers at most, and for calls of other threads; when none
    /// can be reached, everything stays as it was. If only its answer is lost, the server may have taken the license back all
    /// the same. No listener is called any more when it returns. Closing twice does nothing.
    void close() noexcept { end(closeIt); }

    /// close on a thread of its own: for user interfaces, whose thread must not wait.
    std::future<void> closeAsync() {
        return std::async(std::launch::async, [handle = handle_] { handle->end(closeIt); });
    }

    /// The request of a device without network, to be carried to the server; one line fits into a QR code.
    static std::string requestFile(const Settings &settings, bool asLine = false) {
        const detail::OpenSettings opened(settings);
        return *detail::callForText(tk_request_file, opened.get(), asLine ? 1 : 0);
    }

    /// Takes the authorization that was carried here; initialize with the same settings then finds it.
    static void importAuthorization(const Settings &settings, const std::string &text) {
        const detail::OpenSettings opened(settings);
        detail::call(tk_import_authorization, opened.get(), detail::textOf(text));
    }

    /// Everything that was done and not acknowledged, to be carried to the server; nothing when there is nothing.
    std::optional<std::string> reportFile() const {
        return handle_->use([](tk_license *license) { return detail::callForText(tk_report_file, license); });
    }

    /// Takes the receipt for carried reports: what the server has is not kept any more.
    void importReceipt(const std::string &text) const {
        handle_->use([&](tk_license *license) { detail::call(tk_import_receipt, license, detail::textOf(text)); });
    }

private:
    template <typename Function>
    License(Function function, const Settings &settings, Listeners listeners) : handle_(std::make_shared<detail::Handle>(std::move(listeners))) {
        handle_->begin(function, settings);
    }

    static void closeIt(tk_license *license) { tk_close(license); }
    static void releaseIt(tk_license *license) { detail::call(tk_release, license); }

    void end(void (*how)(tk_license *)) {
        if (handle_) handle_->end(how);
    }

    std::shared_ptr<detail::Handle> handle_;
};

/// Which barcodes of a video stream count: the same one again within 3 seconds after it counted does not.
class Deduplicator {
public:
    /// With another pause than 3 seconds.
    explicit Deduplicator(std::chrono::milliseconds pause = std::chrono::seconds(3))
        // To C, 0 is what is usual.
        : handle_(tk_deduplicator_new(pause.count() > 0 ? static_cast<std::uint64_t>(pause.count()) : 1), tk_deduplicator_free) {}

    /// Whether this barcode counts; `at` is the same for all barcodes of one frame.
    bool isNew(const std::string &format, const std::string &text, std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now()) {
        const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
        const std::lock_guard<std::mutex> lock(mutex_);
        return tk_deduplicator_is_new(handle_.get(), detail::textOf(format), detail::textOf(text), static_cast<std::uint64_t>(milliseconds)) > 0;
    }

private:
    std::mutex mutex_;
    std::unique_ptr<tk_deduplicator, decltype(&tk_deduplicator_free)> handle_;
};

} // namespace tollkeeper

#endif // TOLLKEEPER_HPP
