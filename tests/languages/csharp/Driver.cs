// Does what it is told, one line at a time, through the .NET library: what tests/c/driver.c does in C.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using System.Threading;
using Tollkeeper;

/// A thread that does what is posted to it, as those of user interfaces do.
internal sealed class Pump : SynchronizationContext
{
    private readonly BlockingCollection<Action> posted = new BlockingCollection<Action>();
    private readonly Thread thread;
    internal int Count;

    internal Pump()
    {
        thread = new Thread(() => { foreach (var work in posted.GetConsumingEnumerable()) work(); }) { IsBackground = true };
        thread.Start();
    }

    internal bool IsCurrent => Thread.CurrentThread == thread;

    public override void Post(SendOrPostCallback work, object state)
    {
        Interlocked.Increment(ref Count);
        posted.Add(() => work(state));
    }
}

internal static class Driver
{
    private static readonly Pump UserInterface = new Pump();
    private static bool isOfUserInterface;

    private static readonly LicenseSettings Settings = new LicenseSettings();
    private static readonly Deduplicator Deduplicator = new Deduplicator();
    private static License license;

    private static void Say(string text) => Console.WriteLine(text);

    private static void Put(string name, string value)
    {
        var property = typeof(LicenseSettings).GetProperty(char.ToUpperInvariant(name[0]) + name.Substring(1));
        object given = value;
        if (value == "") given = null;
        else if (name == "limitedModules") given = value.Split(',');
        else if (name == "sealed") given = value == "true";
        else if (name == "instances") given = int.Parse(value);
        else if (name == "releaseOnClose") given = Enum.Parse(typeof(ReleaseOnClose), value, true);
        else if (name == "deploymentType") given = Enum.Parse(typeof(DeploymentType), value, true);
        property.SetValue(Settings, given);
    }

    private static void Attach(License made)
    {
        made.Changed += (sender, status) => Say($"event changed {status.Error?.SdkCode ?? 0}");
        made.Reported += (sender, sent) => Say($"event report {sent.Accepted} {sent.Duplicate} {sent.Rejected}");
        made.Warned += (sender, warning) => Say($"event warning {-20000 - warning.Code} {warning.Message}");
    }

    private static void CloseAtTheEnd(License made)
    {
        Attach(made);
        made.Changed += (sender, status) =>
        {
            if (status.IsLicensed) return;
            ((License)sender).Dispose();
            Say("event closed");
        };
    }

    /// As a user interface starts one: its events must come where it was made.
    private static void StartInUserInterface()
    {
        isOfUserInterface = true;
        UserInterface.Count = 0;
        SynchronizationContext.SetSynchronizationContext(UserInterface);
        license = License.Start(Settings, made =>
        {
            Attach(made);
            made.Changed += (sender, status) => { if (!UserInterface.IsCurrent) throw new InvalidOperationException("an event on another thread"); };
        });
        SynchronizationContext.SetSynchronizationContext(null);
    }

    private static void Close()
    {
        license.DisposeAsync().GetAwaiter().GetResult();
        if (isOfUserInterface && UserInterface.Count == 0) throw new InvalidOperationException("no event was posted");
        isOfUserInterface = false;
    }

    private static string Quoted(string text) => text == null ? "null" : "\"" + text.Replace("\\", "\\\\").Replace("\"", "\\\"") + "\"";

    private static string JsonOf(LicenseStatus status)
    {
        var origins = new[] { null, "server", "kept", "carried", "product_key" };
        var failures = status.Failures.Select(failure =>
            $"{{\"server\":{Quoted(failure.Server)},\"code\":{failure.Code},\"message\":{Quoted(failure.Message)}}}");
        var members = new Dictionary<string, string>
        {
            ["licensed"] = status.IsLicensed ? "true" : "false",
            ["origin"] = Quoted(origins[(int)status.Origin]),
            ["server"] = Quoted(status.Server),
            ["expires_at"] = Quoted(status.ExpiresAt?.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'")),
            ["handshake_code"] = Quoted(status.HandshakeCode),
            ["client_uuid"] = Quoted(status.ClientUuid),
            ["instances"] = status.Instances.ToString(),
            ["code"] = (status.Error?.Code ?? 0).ToString(),
            ["message"] = Quoted(status.Error?.Message),
            ["failures"] = "[" + string.Join(",", failures) + "]",
        };
        return "{" + string.Join(",", members.Select(member => $"{Quoted(member.Key)}:{member.Value}")) + "}";
    }

    private static string Race()
    {
        long counted = 0;
        var threads = Enumerable.Range(0, 4).Select(_ => new Thread(() =>
        {
            try
            {
                while (true)
                {
                    license.Record("QR Code");
                    Interlocked.Increment(ref counted);
                    if (license.Status == null) return;
                }
            }
            catch (LicenseException)
            {
                // It is closed.
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        license.Renew();
        license.Close();
        threads.ForEach(thread => thread.Join());
        return counted.ToString();
    }

    private static string Obey(string command, string rest)
    {
        var cut = rest.IndexOf(' ');
        var first = cut < 0 ? rest : rest.Substring(0, cut);
        var more = cut < 0 ? "" : rest.Substring(cut + 1);
        switch (command)
        {
            case "set": Put(first, more); return null;
            case "set-file": Put(first, File.ReadAllText(more)); return null;
            case "initialize": license = License.InitializeAsync(Settings, Attach).GetAwaiter().GetResult(); return null;
            case "initialize-closing": license = License.Initialize(Settings, CloseAtTheEnd); return null;
            case "start": StartInUserInterface(); return null;
            case "close": Close(); return null;
            case "release": license.ReleaseAsync().GetAwaiter().GetResult(); return null;
            case "check": license.Check(rest == "" ? null : rest); return null;
            case "record": license.Record(more, long.Parse(first)); return null;
            case "record-page": license.Record("scanned", long.Parse(first), UsageUnit.Page, more); return null;
            case "record-at": license.Record(more, at: DateTimeOffset.FromUnixTimeSeconds(long.Parse(first))); return null;
            case "take": license.TakeInstances(int.Parse(rest)); return null;
            case "give": license.GiveBackInstances(int.Parse(rest)); return null;
            case "race": return Race();
            case "flush": license.FlushAsync().GetAwaiter().GetResult(); return null;
            case "renew": license.RenewAsync().GetAwaiter().GetResult(); return null;
            case "status": return JsonOf(license.Status);
            case "request": return License.RequestFile(Settings);
            case "request-line": return License.RequestFile(Settings, true);
            case "import": License.ImportAuthorization(Settings, File.ReadAllText(rest)); return null;
            case "report-file": return license.ReportFile();
            case "vector": return License.CheckVector(first, more);
            case "import-receipt": license.ImportReceipt(File.ReadAllText(rest)); return null;
            default: throw new ArgumentException(command);
        }
    }

    private static void Main()
    {
        var utf8 = new UTF8Encoding(false);
        Console.SetOut(TextWriter.Synchronized(new StreamWriter(Console.OpenStandardOutput(), utf8) { AutoFlush = true }));
        Console.SetIn(new StreamReader(Console.OpenStandardInput(), utf8));
        for (var line = Console.ReadLine(); line != null; line = Console.ReadLine())
        {
            var cut = line.IndexOf(' ');
            var command = cut < 0 ? line : line.Substring(0, cut);
            var rest = cut < 0 ? "" : line.Substring(cut + 1);
            try
            {
                if (command == "idle") Say(license.IdleInstances.ToString());
                else if (command == "seen")
                {
                    var at = TimeSpan.FromMilliseconds(long.Parse(rest.Split(' ')[0]));
                    Say(Deduplicator.IsNew("QR", rest.Substring(rest.IndexOf(' ') + 1), at) ? "1" : "0");
                }
                else
                {
                    var text = Obey(command, rest);
                    Say(text == null ? "0" : "0 " + text.Replace('\n', '~'));
                }
            }
            catch (LicenseException error)
            {
                Say($"{error.SdkCode} {error.Message} | {error.UserMessage}");
            }
        }
        license?.Dispose();
    }
}
