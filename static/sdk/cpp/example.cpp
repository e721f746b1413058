// The five lines, with what belongs around them:
//
//   c++ -std=c++17 example.cpp -ltollkeeper -o example
//   ./example LICENSE_KEY vendor.pub PRODUCT
#include <fstream>
#include <iostream>
#include <iterator>

#include "tollkeeper.hpp"

int main(int argc, char **argv) {
    if (argc != 4) {
        std::cerr << "usage: " << argv[0] << " LICENSE_KEY VENDOR_PUBLIC_KEY_FILE PRODUCT\n";
        return 2;
    }
    std::ifstream vendor(argv[2]);
    tollkeeper::Settings settings;
    settings.licenseKey = argv[1];
    settings.vendorPublicKey.assign(std::istreambuf_iterator<char>(vendor), {}); // an SDK has it compiled in
    settings.product = argv[3];
    try {
        const tollkeeper::License license = tollkeeper::License::initialize(settings);
        license.check();
        license.record("QR Code"); // at every scan
        const tollkeeper::Status status = license.status();
        std::cout << "licensed by " << status.server << " with handshake code " << status.handshakeCode << '\n';
    } catch (const tollkeeper::LicenseError &error) {
        std::cerr << error.sdkCode() << ": " << error.what() << "\nFor the end user: " << error.userMessage() << '\n';
        return 1;
    }
    return 0;
}
