// The five lines, with what belongs around them:
//
//   mcs -r:Tollkeeper.dll example/Example.cs -out:Example.exe
//   mono Example.exe LICENSE_KEY vendor.pub PRODUCT
using System;
using System.IO;
using Tollkeeper;

internal static class Example
{
    private static int Main(string[] arguments)
    {
        if (arguments.Length != 3)
        {
            Console.Error.WriteLine("usage: Example LICENSE_KEY VENDOR_PUBLIC_KEY_FILE PRODUCT");
            return 2;
        }
        var settings = new LicenseSettings
        {
            LicenseKey = arguments[0],
            VendorPublicKey = File.ReadAllText(arguments[1]), // an SDK has it compiled in
            Product = arguments[2],
        };
        try
        {
            using (var license = License.Initialize(settings))
            {
                license.Check();
                license.Record("QR Code"); // at every scan
                Console.WriteLine($"licensed by {license.Status.Server} with handshake code {license.Status.HandshakeCode}");
            }
            return 0;
        }
        catch (LicenseException error)
        {
            Console.Error.WriteLine($"{error.SdkCode}: {error.Message}\nFor the end user: {error.UserMessage}");
            return 1;
        }
    }
}
