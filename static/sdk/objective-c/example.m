/* The five lines, with what belongs around them:
 *
 *   ./example LICENSE_KEY vendor.pub PRODUCT
 */
#import "TKLicense.h"

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s LICENSE_KEY VENDOR_PUBLIC_KEY_FILE PRODUCT\n", argv[0]);
        return 2;
    }
    NSError *error = nil;
    TKLicenseSettings *settings = [[TKLicenseSettings alloc] init];
    settings.licenseKey = [NSString stringWithUTF8String:argv[1]];
    /* An app has it compiled in. */
    NSString *vendor = [NSString stringWithUTF8String:argv[2]];
    settings.vendorPublicKey = [NSString stringWithContentsOfFile:vendor encoding:NSUTF8StringEncoding error:NULL];
    settings.product = [NSString stringWithUTF8String:argv[3]];
    TKLicense *license = [[TKLicense alloc] initWithSettings:settings error:&error];
    if (license == nil || ![license checkAndReturnError:&error] || ![license record:@"QR Code" error:&error]) {
        NSLog(@"%ld: %@", (long)error.code, [error.userInfo objectForKey:TKLicenseErrorMessageKey]);
        NSLog(@"For the end user: %@", error.localizedDescription);
        return 1;
    }
    NSLog(@"licensed by %@ with handshake code %@", license.status.server, license.status.handshakeCode);
    [license close];
    return 0;
}
