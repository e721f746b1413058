"""The five lines, with what belongs around them: python3 example.py LICENSE_KEY VENDOR_PUBLIC_KEY_FILE PRODUCT"""

import sys
from pathlib import Path

from tollkeeper import License, LicenseError, Settings


def main() -> int:
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    license_key, vendor_file, product = sys.argv[1:]
    settings = Settings(license_key=license_key, vendor_public_key=Path(vendor_file).read_text(), product=product)
    try:
        with License.initialize(settings) as license:
            license.check()
            license.record("QR Code")  # at every scan
            print(license.status)
    except LicenseError as error:
        print(f"{error.sdk_code}: {error}\nFor the end user: {error.user_message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
