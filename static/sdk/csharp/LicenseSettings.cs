using System;
using System.Collections.Generic;
using System.Globalization;

namespace Tollkeeper
{
    /// <summary>The kind of machine an application runs on.</summary>
    public enum DeploymentType
    {
        /// <summary>A page in a browser.</summary>
        Browser,
        /// <summary>A phone or tablet.</summary>
        Mobile,
        /// <summary>A server.</summary>
        Server,
        /// <summary>A desktop computer.</summary>
        Desktop,
        /// <summary>A device that is something else first.</summary>
        Embedded,
    }

    /// <summary>How a license item is charged.</summary>
    public enum ChargeWay
    {
        /// <summary>By barcode.</summary>
        Scan,
        /// <summary>By page.</summary>
        Page,
        /// <summary>By device in a period.</summary>
        Device,
        /// <summary>By devices at work in the same three minutes.</summary>
        ConcurrentDevice,
        /// <summary>By instances in the same three minutes.</summary>
        ConcurrentInstance,
        /// <summary>By server.</summary>
        Server,
        /// <summary>By domain, without limit on it.</summary>
        Domain,
    }

    /// <summary>How the device is named.</summary>
    public enum UuidMethod
    {
        /// <summary>At random, kept in the data folder.</summary>
        Random,
        /// <summary>As it follows from the machine: survives a lost data folder.</summary>
        Hardware,
    }

    /// <summary>What closing gives back to the server, when no other process of the machine uses the license.</summary>
    public enum ReleaseOnClose
    {
        /// <summary>
        /// The instances of a floating license, so that another machine may have them at once. Named seats are kept: they last
        /// for their period, and the device must be able to start again with no network.
        /// </summary>
        Instances,
        /// <summary>Whatever the license is charged by.</summary>
        Seat,
        /// <summary>Nothing: all is kept until the authorization ends.</summary>
        Nothing,
    }

    /// <summary>
    /// What an application sets: a license key, or fields, or product keys. Set at least VendorPublicKey, Product, and
    /// LicenseKey. Fields beside a license key override it; what is null is not set.
    /// </summary>
    public sealed class LicenseSettings
    {
        /// <summary>The vendor's public key: PEM, several may follow each other; or the base64 of one alone.</summary>
        public string VendorPublicKey { get; set; }
        /// <summary>The product that runs, such as <c>dbr</c>.</summary>
        public string Product { get; set; }
        /// <summary><c>TK1.…</c> from the handshake code's page.</summary>
        public string LicenseKey { get; set; }
        /// <summary>Such as <c>https://license.example.com:48443</c>.</summary>
        public string MainServerURL { get; set; }
        /// <summary>Asked when the main server does not serve.</summary>
        public string StandbyServerURL { get; set; }
        /// <summary>Such as <c>216998</c>: its default handshake code serves.</summary>
        public string OrganizationId { get; set; }
        /// <summary>Such as <c>216998-vehicleCode</c>.</summary>
        public string HandshakeCode { get; set; }
        /// <summary>Of the handshake code, if it has one.</summary>
        public string SessionPassword { get; set; }
        /// <summary>The site's certificate authority, PEM or <c>sha256:</c> and its fingerprint, when the license key does not name it.</summary>
        public string CertificateAuthority { get; set; }
        /// <summary>Offline licenses, separated by <c>;</c>. Not together with a handshake code.</summary>
        public string ProductKey { get; set; }
        /// <summary>Such as <c>9.6.30</c>.</summary>
        public string ProductVersion { get; set; }
        /// <summary>Such as <c>mobile</c>.</summary>
        public string Edition { get; set; }
        /// <summary>The kind of machine.</summary>
        public DeploymentType? DeploymentType { get; set; }
        /// <summary>The modules it needs, all of them.</summary>
        public IEnumerable<string> LimitedModules { get; set; }
        /// <summary>The charge way it insists on.</summary>
        public ChargeWay? ChargeWay { get; set; }
        /// <summary>How many instances it wants at most; 1 when not set.</summary>
        public int? Instances { get; set; }
        /// <summary>The longest it wants to work offline, 1 to 365 days.</summary>
        public int? MaxBufferDays { get; set; }
        /// <summary>How the device is named. All applications that share a data folder set the same.</summary>
        public UuidMethod UuidMethod { get; set; }
        /// <summary>Where the cache is kept; <c>.tollkeeper</c> in the user's home when not set.</summary>
        public string DataFolder { get; set; }
        /// <summary>Such as <c>com.example.scanner</c>, where the handshake code asks for it.</summary>
        public string ApplicationId { get; set; }
        /// <summary>Such as <c>scanner.exe</c>; the name of the running program when not set.</summary>
        public string ProcessName { get; set; }
        /// <summary>Encrypts every request to the server itself, for sites where a proxy ends TLS.</summary>
        public bool Sealed { get; set; }
        /// <summary>Seconds of counts that a crash may cost; 10 when not set.</summary>
        public int? FlushSeconds { get; set; }
        /// <summary>What closing gives back to the server.</summary>
        public ReleaseOnClose ReleaseOnClose { get; set; }

        /// <summary>Gives the C library's settings with these values to <paramref name="work"/>.</summary>
        internal T Use<T>(Func<IntPtr, T> work)
        {
            var settings = Native.tk_settings_new();
            try
            {
                foreach (var setting in All())
                {
                    if (setting.Value == null) continue;
                    Native.Demand(Native.tk_settings_set(settings, Native.Bytes(setting.Key), Native.Bytes(setting.Value), out var error), error);
                }
                return work(settings);
            }
            finally
            {
                Native.tk_settings_free(settings);
            }
        }

        private Dictionary<string, string> All() => new Dictionary<string, string>
        {
            ["vendorPublicKey"] = VendorPublicKey,
            ["product"] = Product,
            ["licenseKey"] = LicenseKey,
            ["mainServerURL"] = MainServerURL,
            ["standbyServerURL"] = StandbyServerURL,
            ["organizationId"] = OrganizationId,
            ["handshakeCode"] = HandshakeCode,
            ["sessionPassword"] = SessionPassword,
            ["certificateAuthority"] = CertificateAuthority,
            ["productKey"] = ProductKey,
            ["productVersion"] = ProductVersion,
            ["edition"] = Edition,
            ["deploymentType"] = DeploymentType?.ToString().ToLowerInvariant(),
            ["limitedModules"] = LimitedModules == null ? null : string.Join(",", LimitedModules),
            ["chargeWay"] = NameOf(ChargeWay),
            ["instances"] = NumberOf(Instances),
            ["maxBufferDays"] = NumberOf(MaxBufferDays),
            ["uuidMethod"] = UuidMethod == UuidMethod.Hardware ? "hardware" : null,
            ["dataFolder"] = DataFolder,
            ["applicationId"] = ApplicationId,
            ["processName"] = ProcessName ?? AppDomain.CurrentDomain.FriendlyName,
            ["sealed"] = Sealed ? "true" : null,
            ["flushSeconds"] = NumberOf(FlushSeconds),
            ["releaseOnClose"] = ReleaseOnClose.ToString().ToLowerInvariant(),
        };

        private static string NumberOf(int? number) => number?.ToString(CultureInfo.InvariantCulture);

        private static string NameOf(ChargeWay? way)
        {
            switch (way)
            {
                case Tollkeeper.ChargeWay.ConcurrentDevice: return "concurrent_device";
                case Tollkeeper.ChargeWay.ConcurrentInstance: return "concurrent_instance";
                default: return way?.ToString().ToLowerInvariant();
            }
        }
    }
}
