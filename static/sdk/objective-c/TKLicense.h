/* Tollkeeper for Objective-C and Swift: gets an application its license from a Tollkeeper server, keeps it while there
 * is no network, and reports use. Classes over the C interface: link the library of ../c, and compile the two
 * .m files, with or without ARC.
 *
 * Whatever fails gives an NSError of TKLicenseErrorDomain. Every call may be made on any thread; what waits for a
 * server says so. README.md says more. */

#import <Foundation/Foundation.h>

#ifdef __clang__
#define TK_NULLABLE _Nullable
#define TK_STRINGS NSArray<NSString *>
#define TK_FAILURES NSArray<TKServerFailure *>
#else
#define TK_NULLABLE
#define TK_STRINGS NSArray
#define TK_FAILURES NSArray
#endif

NS_ASSUME_NONNULL_BEGIN

/** The domain of all errors here. Their code is the number of the table of errors, such as 120; their localized
 *  description is what to tell the end user. */
extern NSString *const TKLicenseErrorDomain;
/** In an error's userInfo, for the developer: what happened, which value, what to do. */
extern NSString *const TKLicenseErrorMessageKey;
/** In an error's userInfo: the number that applications show, -(20000 + code). */
extern NSString *const TKLicenseErrorSDKCodeKey;

/** What an application sets: a license key, or fields, or product keys. Set at least vendorPublicKey, product, and
 *  licenseKey. Fields beside a license key override it; what is nil, 0 or NO is not set. */
@interface TKLicenseSettings : NSObject <NSCopying> {
@private
    NSString *TK_NULLABLE vendorPublicKey, *TK_NULLABLE product, *TK_NULLABLE licenseKey, *TK_NULLABLE mainServerURL, *TK_NULLABLE standbyServerURL;
    NSString *TK_NULLABLE organizationId, *TK_NULLABLE handshakeCode, *TK_NULLABLE sessionPassword, *TK_NULLABLE certificateAuthority;
    NSString *TK_NULLABLE productKey, *TK_NULLABLE productVersion, *TK_NULLABLE edition, *TK_NULLABLE deploymentType, *TK_NULLABLE chargeWay;
    NSString *TK_NULLABLE uuidMethod, *TK_NULLABLE dataFolder, *TK_NULLABLE applicationId, *TK_NULLABLE processName, *TK_NULLABLE releaseOnClose;
    TK_STRINGS *TK_NULLABLE limitedModules;
    NSUInteger instances, maxBufferDays, flushSeconds;
    BOOL sealed;
}
/** The vendor's public key: PEM, several may follow each other; or the base64 of one alone. */
@property (nonatomic, copy) NSString *TK_NULLABLE vendorPublicKey;
/** The product that runs, such as "dbr". */
@property (nonatomic, copy) NSString *TK_NULLABLE product;
/** "TK1.…" from the handshake code's page. */
@property (nonatomic, copy) NSString *TK_NULLABLE licenseKey;
/** Such as "https://license.example.com:48443". */
@property (nonatomic, copy) NSString *TK_NULLABLE mainServerURL;
/** Asked when the main server does not serve. */
@property (nonatomic, copy) NSString *TK_NULLABLE standbyServerURL;
/** Such as "216998": its default handshake code serves. */
@property (nonatomic, copy) NSString *TK_NULLABLE organizationId;
/** Such as "216998-vehicleCode". */
@property (nonatomic, copy) NSString *TK_NULLABLE handshakeCode;
/** Of the handshake code, if it has one. */
@property (nonatomic, copy) NSString *TK_NULLABLE sessionPassword;
/** The site's certificate authority, PEM or "sha256:" and its fingerprint, when the license key does not name it. */
@property (nonatomic, copy) NSString *TK_NULLABLE certificateAuthority;
/** Offline licenses, separated by ";". Not together with a handshake code. */
@property (nonatomic, copy) NSString *TK_NULLABLE productKey;
/** Such as "9.6.30". */
@property (nonatomic, copy) NSString *TK_NULLABLE productVersion;
/** Such as "mobile". */
@property (nonatomic, copy) NSString *TK_NULLABLE edition;
/** "browser", "mobile", "server", "desktop" or "embedded". */
@property (nonatomic, copy) NSString *TK_NULLABLE deploymentType;
/** The modules it needs, all of them. */
@property (nonatomic, copy) TK_STRINGS *TK_NULLABLE limitedModules;
/** The charge way it insists on: "scan", "page", "device", "concurrent_device", "concurrent_instance", "server", "domain". */
@property (nonatomic, copy) NSString *TK_NULLABLE chargeWay;
/** How many instances it wants at most; 1 when not set. */
@property (nonatomic) NSUInteger instances;
/** The longest it wants to work offline, 1 to 365 days. */
@property (nonatomic) NSUInteger maxBufferDays;
/** "random" (kept in the data folder) or "hardware" (follows from the machine, where its system tells). */
@property (nonatomic, copy) NSString *TK_NULLABLE uuidMethod;
/** Where the cache is kept; ".tollkeeper" in the home directory when not set. On iOS name a folder of Application Support. */
@property (nonatomic, copy) NSString *TK_NULLABLE dataFolder;
/** Such as "com.example.scanner", where the handshake code asks for it. */
@property (nonatomic, copy) NSString *TK_NULLABLE applicationId;
/** Such as "scanner"; the name of this program when not set. */
@property (nonatomic, copy) NSString *TK_NULLABLE processName;
/** Encrypts every request to the server itself, for sites where a proxy ends TLS. */
@property (nonatomic) BOOL sealed;
/** Seconds of counts that a crash may cost; 10 when not set. */
@property (nonatomic) NSUInteger flushSeconds;
/** What closing gives back to the server, when no other process of the machine uses the license: "instances" of a floating
 *  license, when not set; "seat", whatever the license is charged by; "nothing". */
@property (nonatomic, copy) NSString *TK_NULLABLE releaseOnClose;
@end

/** Why one server did not serve. */
@interface TKServerFailure : NSObject {
@private
    NSString *server, *message;
    NSInteger code;
}
/** Its URL. */
@property (nonatomic, readonly, copy) NSString *server;
/** The number of the table of errors. */
@property (nonatomic, readonly) NSInteger code;
/** For the developer. */
@property (nonatomic, readonly, copy) NSString *message;
@end

/** What an application may do now. */
@interface TKLicenseStatus : NSObject {
@private
    BOOL isLicensed;
    NSUInteger instances;
    NSError *TK_NULLABLE error;
    NSString *TK_NULLABLE origin, *TK_NULLABLE server, *TK_NULLABLE handshakeCode, *TK_NULLABLE clientUuid;
    NSDate *TK_NULLABLE expiresAt;
    TK_FAILURES *failures;
}
/** Whether it may work. */
@property (nonatomic, readonly) BOOL isLicensed;
/** Why not, if it may not. */
@property (nonatomic, readonly, copy) NSError *TK_NULLABLE error;
/** Where the license comes from: "server" in this session, "kept" from before while none serves, "carried" by hand, "product_key". */
@property (nonatomic, readonly, copy) NSString *TK_NULLABLE origin;
/** The server that gave it. */
@property (nonatomic, readonly, copy) NSString *TK_NULLABLE server;
/** When it ends unless it is renewed. */
@property (nonatomic, readonly, copy) NSDate *TK_NULLABLE expiresAt;
/** The handshake code that serves. */
@property (nonatomic, readonly, copy) NSString *TK_NULLABLE handshakeCode;
/** The device. */
@property (nonatomic, readonly, copy) NSString *TK_NULLABLE clientUuid;
/** Instances that are granted to this device. */
@property (nonatomic, readonly) NSUInteger instances;
/** Why servers did not serve before the one that does, or before what was kept: of TKServerFailure. */
@property (nonatomic, readonly, copy) TK_FAILURES *failures;
@end

/** Hears whether there is a license. Called on a thread that is not the main one, one at a time. */
@protocol TKLicenseVerificationDelegate <NSObject>
/** There is a license, or why not: first when the servers were asked, then whenever that changes. */
- (void)licenseVerificationCallback:(BOOL)isSuccess error:(NSError *TK_NULLABLE)error;
@optional
/** A server answered to usage reports: how many it took, had before, and will never take. */
- (void)licenseReportsAccepted:(uint64_t)accepted duplicate:(uint64_t)duplicate rejected:(uint64_t)rejected;
/** Something is wrong that does not stop the application. */
- (void)licenseWarning:(NSError *)warning;
@end

@class TKHandle;

/** The license of an application, ended by close, releaseLicense, or when it is deallocated, which closes it. */
@interface TKLicense : NSObject {
@private
    TKHandle *_handle;
}

/** The version of the library below, such as "1.2.0". */
+ (NSString *)libraryVersion;

/** Runs one case of the test vectors that all client libraries share, for tests of a port or of a build: it needs no
 *  license and no network. The kind is the name of the vectors' file, such as "chains"; the case is JSON with what its file
 *  says beside the cases in it. What this library says about it is JSON, to be compared with the case. */
+ (NSString *TK_NULLABLE)checkVector:(NSString *)kind withCase:(NSString *)json error:(NSError *TK_NULLABLE *TK_NULLABLE)error;

/** Gets the license: asks the servers, else takes the authorization of before, or product keys. Waits for the servers, at
 *  most 20 seconds each: on the main thread use the one with a delegate. nil when there is none. */
- (instancetype TK_NULLABLE)initWithSettings:(TKLicenseSettings *)settings error:(NSError *TK_NULLABLE *TK_NULLABLE)error;

/** Does not wait: the delegate hears whether there is a license. When there is none, it is asked for again and again. */
- (instancetype)initWithSettings:(TKLicenseSettings *)settings verificationDelegate:(id<TKLicenseVerificationDelegate> TK_NULLABLE)delegate;

/** There is no license without settings. */
- (instancetype)init NS_UNAVAILABLE;

/** It is not retained: take it away before it goes. Once it is another, the one before is not called any more, nor is
 *  it being called. */
@property (atomic, assign) id<TKLicenseVerificationDelegate> TK_NULLABLE verificationDelegate;

/** What the application may do now; nil before the servers were asked, and after the end. */
@property (atomic, readonly) TKLicenseStatus *TK_NULLABLE status;

/** Whether the product is licensed now. Asks nobody: call it at every use. */
- (BOOL)checkAndReturnError:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Whether this module is licensed now. Asks nobody: call it at every use. */
- (BOOL)checkModule:(NSString *)module error:(NSError *TK_NULLABLE *TK_NULLABLE)error;

/** Counts one use: the barcode's format, or "scanned", "captured", "imported" … of pages. */
- (BOOL)record:(NSString *)kind error:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Counts so much use. */
- (BOOL)record:(NSString *)kind count:(uint64_t)count error:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Counts use: unit is "scan" or "page", nil for what the license is about; module processed the pages, may be nil; date is
 *  when it was done, nil for just now. */
- (BOOL)record:(NSString *)kind
         count:(uint64_t)count
          unit:(NSString *TK_NULLABLE)unit
        module:(NSString *TK_NULLABLE)module
            at:(NSDate *TK_NULLABLE)date
         error:(NSError *TK_NULLABLE *TK_NULLABLE)error;

/** Takes instances, as many as are granted to this device and not held by another of its processes. */
- (BOOL)takeInstances:(uint32_t)number error:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Gives instances back; those that are held at the end are given back by it. */
- (BOOL)giveBackInstances:(uint32_t)number error:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Instances that are granted to this device and that nobody holds. */
@property (atomic, readonly) NSUInteger idleInstances;

/** Puts what was counted on disk now; waits for no server. */
- (BOOL)flushAndReturnError:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Asks the servers now, as at the start, and sends what was not sent. Waits for them, except within the delegate. */
- (BOOL)renewAndReturnError:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Reports what was done, then gives the seat or the instances back, and ends the license in any case. Waits for the servers.
 *  When none could be told, the seat is held as before, and what was counted is kept. */
- (BOOL)releaseLicenseAndReturnError:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Ends the license: what was counted is on disk, and what releaseOnClose says is given back if no other process of the
 *  machine uses the license. Waits 3 seconds for servers at most, and for calls of other threads; when none can be reached,
 *  everything stays as it was. If only its answer is lost, the server may have taken the license back all the same. The
 *  delegate is not called any more when it returns. Closing twice does nothing. On the main
 *  thread use the one with a handler, also before the license is deallocated. */
- (void)close;

#ifdef __BLOCKS__
/** Gets the license without waiting. The handler is called on another thread, as those below are. */
+ (void)initializeWithSettings:(TKLicenseSettings *)settings
             completionHandler:(void (^)(TKLicense *TK_NULLABLE license, NSError *TK_NULLABLE error))handler;
/** flushAndReturnError: without waiting. */
- (void)flushWithCompletionHandler:(void (^)(NSError *TK_NULLABLE error))handler;
/** renewAndReturnError: without waiting. */
- (void)renewWithCompletionHandler:(void (^)(NSError *TK_NULLABLE error))handler;
/** releaseLicenseAndReturnError: without waiting. */
- (void)releaseLicenseWithCompletionHandler:(void (^)(NSError *TK_NULLABLE error))handler;
/** close without waiting. */
- (void)closeWithCompletionHandler:(void (^)(void))handler;
#endif

/** The request of a device without network, to be carried to the server; one line fits into a QR code. */
+ (NSString *TK_NULLABLE)requestFileWithSettings:(TKLicenseSettings *)settings asLine:(BOOL)asLine error:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Takes the authorization that was carried here; a license with the same settings then finds it. */
+ (BOOL)importAuthorization:(NSString *)text settings:(TKLicenseSettings *)settings error:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Everything that was done and not acknowledged, to be carried to the server; empty when there is nothing. */
- (NSString *TK_NULLABLE)reportFileAndReturnError:(NSError *TK_NULLABLE *TK_NULLABLE)error;
/** Takes the receipt for carried reports: what the server has is not kept any more. */
- (BOOL)importReceipt:(NSString *)text error:(NSError *TK_NULLABLE *TK_NULLABLE)error;

@end

/** Which barcodes of a video stream count: the same one again within 3 seconds after it counted does not. */
@interface TKDeduplicator : NSObject {
@private
    NSLock *_lock;
    struct tk_deduplicator *_deduplicator;
}
/** With another pause than 3 seconds. */
- (instancetype)initWithPause:(NSTimeInterval)pause;
/** Whether this barcode counts; time is in seconds of any clock that goes forward, the same for all of one frame. */
- (BOOL)isNewBarcode:(NSString *)text format:(NSString *)format at:(NSTimeInterval)time;
@end

NS_ASSUME_NONNULL_END
