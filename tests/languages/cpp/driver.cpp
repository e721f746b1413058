// Does what it is told, one line at a time, through the C++ face: what tests/c/driver.c does in C.
#include <atomic>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>

#include "tollkeeper.hpp"

using namespace tollkeeper;

namespace {

Settings settings;
std::optional<License> license;
Deduplicator deduplicator;
std::mutex output;

void say(const std::string &text) {
    const std::lock_guard<std::mutex> lock(output);
    std::cout << text << std::endl;
}

std::string read(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string joined(std::string text) {
    for (char &c : text) {
        if (c == '\n') c = '~';
    }
    return text;
}

std::string quoted(const std::string &text) {
    std::ostringstream out;
    out << std::quoted(text);
    return text.empty() ? "null" : out.str();
}

std::string jsonOf(const Status &status) {
    static const char *const origins[] = {"server", "kept", "carried", "product_key"};
    std::ostringstream out;
    out << "{\"licensed\":" << (status.isLicensed ? "true" : "false");
    out << ",\"origin\":" << quoted(status.origin ? origins[static_cast<int>(*status.origin)] : "") << ",\"server\":" << quoted(status.server);
    std::string ends;
    if (status.expiresAt) {
        const std::time_t time = std::chrono::system_clock::to_time_t(*status.expiresAt);
        std::ostringstream formatted;
        formatted << std::put_time(std::gmtime(&time), "%Y-%m-%dT%H:%M:%SZ");
        ends = formatted.str();
    }
    out << ",\"expires_at\":" << quoted(ends) << ",\"handshake_code\":" << quoted(status.handshakeCode);
    out << ",\"client_uuid\":" << quoted(status.clientUuid);
    out << ",\"instances\":" << status.instances << ",\"code\":" << (status.error ? status.error->code() : 0);
    out << ",\"message\":" << quoted(status.error ? status.error->what() : "") << ",\"failures\":[";
    for (std::size_t i = 0; i < status.failures.size(); i++) {
        const Failure &failure = status.failures[i];
        out << (i == 0 ? "" : ",") << "{\"server\":" << quoted(failure.server) << ",\"code\":" << failure.code;
        out << ",\"message\":" << quoted(failure.message) << "}";
    }
    out << "]}";
    return out.str();
}

void put(const std::string &name, const std::string &value) {
    const std::map<std::string, std::string *> texts = {
        {"vendorPublicKey", &settings.vendorPublicKey}, {"product", &settings.product}, {"licenseKey", &settings.licenseKey},
        {"mainServerURL", &settings.mainServerURL}, {"standbyServerURL", &settings.standbyServerURL}, {"organizationId", &settings.organizationId},
        {"handshakeCode", &settings.handshakeCode}, {"sessionPassword", &settings.sessionPassword}, {"productKey", &settings.productKey},
        {"certificateAuthority", &settings.certificateAuthority}, {"productVersion", &settings.productVersion}, {"edition", &settings.edition},
        {"dataFolder", &settings.dataFolder}, {"applicationId", &settings.applicationId}, {"processName", &settings.processName},
    };
    const auto text = texts.find(name);
    if (text != texts.end()) {
        *text->second = value;
    } else if (name == "limitedModules") {
        std::istringstream modules(value);
        settings.limitedModules.clear();
        for (std::string module; std::getline(modules, module, ',');) settings.limitedModules.push_back(module);
    } else if (name == "deploymentType") {
        const std::map<std::string, DeploymentType> types = {
            {"browser", DeploymentType::Browser}, {"mobile", DeploymentType::Mobile}, {"server", DeploymentType::Server},
            {"desktop", DeploymentType::Desktop}, {"embedded", DeploymentType::Embedded},
        };
        settings.deploymentType.reset();
        if (!value.empty()) settings.deploymentType = types.at(value);
    } else if (name == "sealed") {
        settings.sealed = value == "true";
    } else if (name == "releaseOnClose") {
        const std::map<std::string, ReleaseOnClose> choices = {
            {"", ReleaseOnClose::Instances}, {"instances", ReleaseOnClose::Instances}, {"seat", ReleaseOnClose::Seat}, {"nothing", ReleaseOnClose::Nothing},
        };
        settings.releaseOnClose = choices.at(value);
    } else if (name == "instances") {
        settings.instances = static_cast<std::uint32_t>(std::stoul(value));
    } else {
        throw std::invalid_argument(name);
    }
}

Listeners listeners() {
    Listeners made;
    made.onChange = [](const Status &status) { say("event changed " + std::to_string(status.error ? status.error->sdkCode() : 0)); };
    made.onReport = [](const Submitted &sent) {
        say("event report " + std::to_string(sent.accepted) + " " + std::to_string(sent.duplicate) + " " + std::to_string(sent.rejected));
    };
    made.onWarning = [](int code, const std::string &message) { say("event warning " + std::to_string(-20000 - code) + " " + message); };
    return made;
}

std::string race() {
    std::atomic<std::uint64_t> counted{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([&counted] {
            try {
                for (;;) {
                    license->record("QR Code");
                    counted++;
                    license->status();
                }
            } catch (const LicenseError &) {
                // It is closed.
            }
        });
    }
    license->renew();
    license->close();
    for (std::thread &thread : threads) thread.join();
    return std::to_string(counted);
}

std::optional<std::string> obey(const std::string &command, const std::string &rest) {
    const std::size_t space = rest.find(' ');
    const std::string first = rest.substr(0, space), more = space == std::string::npos ? "" : rest.substr(space + 1);
    if (command == "set") put(first, more);
    else if (command == "set-file") put(first, read(more));
    else if (command == "initialize") license = License::initializeAsync(settings, listeners()).get();
    else if (command == "initialize-closing") {
        Listeners closing = listeners();
        closing.onChange = [](const Status &status) {
            if (status.isLicensed) return;
            license->close();
            say("event closed");
        };
        license = License::initialize(settings, closing);
    }
    else if (command == "start") license = License::start(settings, listeners());
    else if (command == "close") license->closeAsync().get();
    else if (command == "release") license->releaseAsync().get();
    else if (command == "check") license->check(rest);
    else if (command == "record") license->record(more, std::stoull(first));
    else if (command == "record-page") license->record("scanned", std::stoull(first), {Unit::Page, more, {}});
    else if (command == "record-at") license->record(more, 1, {{}, "", Time(std::chrono::seconds(std::stoll(first)))});
    else if (command == "take") license->takeInstances(static_cast<std::uint32_t>(std::stoul(rest)));
    else if (command == "give") license->giveBackInstances(static_cast<std::uint32_t>(std::stoul(rest)));
    else if (command == "race") return race();
    else if (command == "flush") license->flushAsync().get();
    else if (command == "renew") license->renewAsync().get();
    else if (command == "status") return jsonOf(license->status());
    else if (command == "request") return License::requestFile(settings);
    else if (command == "request-line") return License::requestFile(settings, true);
    else if (command == "import") License::importAuthorization(settings, read(rest));
    else if (command == "report-file") return license->reportFile();
    else if (command == "vector") return checkVector(first, more);
    else if (command == "import-receipt") license->importReceipt(read(rest));
    else throw std::invalid_argument(command);
    return std::nullopt;
}

} // namespace

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        const std::size_t space = line.find(' ');
        const std::string command = line.substr(0, space), rest = space == std::string::npos ? "" : line.substr(space + 1);
        try {
            if (command == "idle") {
                say(std::to_string(license->idleInstances()));
            } else if (command == "seen") {
                const std::size_t cut = rest.find(' ');
                const std::chrono::steady_clock::time_point at{std::chrono::milliseconds(std::stoll(rest))};
                say(deduplicator.isNew("QR", rest.substr(cut + 1), at) ? "1" : "0");
            } else {
                const std::optional<std::string> text = obey(command, rest);
                say(text ? "0 " + joined(*text) : "0");
            }
        } catch (const LicenseError &error) {
            say(std::to_string(error.sdkCode()) + " " + error.what() + " | " + error.userMessage());
        }
    }
    license.reset();
    return 0;
}
