using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Text;

namespace Tollkeeper
{
    /// <summary>
    /// Why there is no license, or why something that was asked for was not done. <see cref="Exception.Message"/> is for the
    /// developer: what happened, which value, what to do.
    /// </summary>
    public sealed class LicenseException : Exception
    {
        internal LicenseException(int code, string message, string userMessage) : base(message)
        {
            Code = code;
            UserMessage = userMessage;
        }

        /// <summary>The number of the table of errors, such as 120.</summary>
        public int Code { get; }
        /// <summary>The number that applications show: −(20000 + code).</summary>
        public int SdkCode => -(20000 + Code);
        /// <summary>What to tell the end user.</summary>
        public string UserMessage { get; }
    }

    /// <summary>Where a license comes from.</summary>
    public enum LicenseOrigin
    {
        /// <summary>There is none.</summary>
        None,
        /// <summary>A server that answered in this session.</summary>
        Server,
        /// <summary>Kept from before; no server serves now.</summary>
        Kept,
        /// <summary>A file that was carried here by hand.</summary>
        Carried,
        /// <summary>Product keys, which need no server.</summary>
        ProductKey,
    }

    /// <summary>Why one server did not serve.</summary>
    public sealed class ServerFailure
    {
        internal ServerFailure(string server, int code, string message)
        {
            Server = server;
            Code = code;
            Message = message;
        }

        /// <summary>Its URL.</summary>
        public string Server { get; }
        /// <summary>The number of the table of errors.</summary>
        public int Code { get; }
        /// <summary>For the developer.</summary>
        public string Message { get; }
    }

    /// <summary>What an application may do now.</summary>
    public sealed class LicenseStatus
    {
        private LicenseStatus(Told told)
        {
            IsLicensed = told.licensed;
            Error = told.licensed ? null : new LicenseException(told.code, told.message, told.user_message);
            Origin = told.origin == null ? LicenseOrigin.None : (LicenseOrigin)Enum.Parse(typeof(LicenseOrigin), told.origin.Replace("_", ""), true);
            Server = told.server;
            if (told.expires_at != null) ExpiresAt = DateTimeOffset.Parse(told.expires_at, CultureInfo.InvariantCulture);
            HandshakeCode = told.handshake_code;
            ClientUuid = told.client_uuid;
            Instances = told.instances;
            Failures = told.failures.Select(failure => new ServerFailure(failure.server, failure.code, failure.message)).ToList();
        }

        /// <summary>Whether it may work.</summary>
        public bool IsLicensed { get; }
        /// <summary>Why not, if it may not; else null.</summary>
        public LicenseException Error { get; }
        /// <summary>Where the license comes from.</summary>
        public LicenseOrigin Origin { get; }
        /// <summary>The server that gave it, or null.</summary>
        public string Server { get; }
        /// <summary>When it ends unless it is renewed.</summary>
        public DateTimeOffset? ExpiresAt { get; }
        /// <summary>The handshake code that serves, or null.</summary>
        public string HandshakeCode { get; }
        /// <summary>The device, or null.</summary>
        public string ClientUuid { get; }
        /// <summary>Instances that are granted to this device.</summary>
        public int Instances { get; }
        /// <summary>Why servers did not serve before the one that does, or before what was kept.</summary>
        public IReadOnlyList<ServerFailure> Failures { get; }

        internal static LicenseStatus Of(string json)
        {
            using (var stream = new MemoryStream(Encoding.UTF8.GetBytes(json)))
            {
                return new LicenseStatus((Told)new DataContractJsonSerializer(typeof(Told)).ReadObject(stream));
            }
        }

        // What the C library writes, under its names.
#pragma warning disable 0649
        [DataContract]
        private sealed class Told
        {
            [DataMember] internal bool licensed;
            [DataMember] internal string origin;
            [DataMember] internal string server;
            [DataMember] internal string expires_at;
            [DataMember] internal string handshake_code;
            [DataMember] internal string client_uuid;
            [DataMember] internal int instances;
            [DataMember] internal int code;
            [DataMember] internal string message;
            [DataMember] internal string user_message;
            [DataMember] internal ToldFailure[] failures;
        }

        [DataContract]
        private sealed class ToldFailure
        {
            [DataMember] internal string server;
            [DataMember] internal int code;
            [DataMember] internal string message;
        }
#pragma warning restore 0649
    }

    /// <summary>What a server made of usage reports.</summary>
    public sealed class SubmittedReports
    {
        internal SubmittedReports(long accepted, long duplicate, long rejected)
        {
            Accepted = accepted;
            Duplicate = duplicate;
            Rejected = rejected;
        }

        /// <summary>Reports that are on its disk now.</summary>
        public long Accepted { get; }
        /// <summary>Reports that were there before.</summary>
        public long Duplicate { get; }
        /// <summary>Reports that no server takes; they are forgotten.</summary>
        public long Rejected { get; }
    }

    /// <summary>Something that does not stop the application.</summary>
    public sealed class LicenseWarning
    {
        internal LicenseWarning(int code, string message)
        {
            Code = code;
            Message = message;
        }

        /// <summary>The number of the table of errors.</summary>
        public int Code { get; }
        /// <summary>For the developer.</summary>
        public string Message { get; }
    }
}
