using System;
using System.Threading;
using System.Threading.Tasks;

namespace Tollkeeper
{
    /// <summary>What is counted.</summary>
    public enum UsageUnit
    {
        /// <summary>Barcodes.</summary>
        Scan,
        /// <summary>Pages.</summary>
        Page,
    }

    /// <summary>
    /// The license of an application: made by <see cref="Initialize"/> or <see cref="Start"/>, ended by <see cref="Close"/>,
    /// <see cref="Dispose"/> or <see cref="Release"/>. Whatever fails throws <see cref="LicenseException"/>. Every call may be made
    /// on any thread. What may wait has a sibling for user interfaces whose name ends in Async.
    /// </summary>
    /// <remarks>
    /// Events are raised where the license was made, if that thread has a <see cref="SynchronizationContext"/>, as those of
    /// user interfaces do; else on a thread of the license's own, one at a time. Their handlers may call everything here.
    /// </remarks>
    public sealed class License : IDisposable
    {
        private readonly Handle handle;

        private License(SynchronizationContext context, Action<License> prepare)
        {
            handle = new Handle(context);
            // The handle must not keep the license: one that is forgotten ends.
            var self = new WeakReference<License>(this);
            handle.Changed = status => { if (self.TryGetTarget(out var license)) license.Changed?.Invoke(license, status); };
            handle.Reported = reports => { if (self.TryGetTarget(out var license)) license.Reported?.Invoke(license, reports); };
            handle.Warned = warning => { if (self.TryGetTarget(out var license)) license.Warned?.Invoke(license, warning); };
            prepare?.Invoke(this);
        }

        /// <summary>Closes a license that was forgotten.</summary>
        ~License()
        {
            var forgotten = handle;
            // Whoever collects must not wait.
            ThreadPool.QueueUserWorkItem(_ => forgotten.End(Native.tk_close));
        }

        /// <summary>The license is another than before.</summary>
        public event EventHandler<LicenseStatus> Changed;
        /// <summary>A server answered to usage reports.</summary>
        public event EventHandler<SubmittedReports> Reported;
        /// <summary>Something is wrong that does not stop the application.</summary>
        public event EventHandler<LicenseWarning> Warned;

        /// <summary>The version of the native library, such as <c>1.2.0</c>.</summary>
        public static string Version => Native.Text(Native.tk_version());

        /// <summary>
        /// Runs one case of the test vectors that all client libraries share, for tests of a port or of a build: it needs no
        /// license and no network. What this library says about it is JSON, to be compared with the case.
        /// </summary>
        /// <param name="kind">The name of the vectors' file, such as <c>chains</c>.</param>
        /// <param name="json">The case, with what its file says beside the cases in it.</param>
        public static string CheckVector(string kind, string json)
        {
            byte[] name = Native.Bytes(kind), text = Native.Bytes(json);
            return Native.Tell((out IntPtr told, out IntPtr error) => Native.tk_check_vector(name, text, out told, out error));
        }

        /// <summary>
        /// Gets the license: asks the servers, else takes the authorization of before, or product keys. Waits for the servers,
        /// at most 20 seconds each.
        /// </summary>
        /// <param name="settings">What the application sets.</param>
        /// <param name="prepare">Called first, to add to the events whoever must not miss one.</param>
        public static License Initialize(LicenseSettings settings, Action<License> prepare = null) =>
            Begin(Native.tk_initialize, settings, prepare, SynchronizationContext.Current);

        /// <summary><see cref="Initialize"/> without waiting.</summary>
        /// <param name="settings">What the application sets.</param>
        /// <param name="prepare">Called first, to add to the events whoever must not miss one.</param>
        public static Task<License> InitializeAsync(LicenseSettings settings, Action<License> prepare = null)
        {
            var context = SynchronizationContext.Current;
            return Aside(() => Begin(Native.tk_initialize, settings, prepare, context));
        }

        /// <summary>
        /// The same for an application that goes on without a license and waits: it is asked for again and again, and
        /// <see cref="Changed"/> tells when there is one. Fails only for settings and the data folder.
        /// </summary>
        /// <param name="settings">What the application sets.</param>
        /// <param name="prepare">Called first, to add to the events whoever must not miss one.</param>
        public static License Start(LicenseSettings settings, Action<License> prepare = null) =>
            Begin(Native.tk_start, settings, prepare, SynchronizationContext.Current);

        /// <summary><see cref="Start"/> without waiting.</summary>
        /// <param name="settings">What the application sets.</param>
        /// <param name="prepare">Called first, to add to the events whoever must not miss one.</param>
        public static Task<License> StartAsync(LicenseSettings settings, Action<License> prepare = null)
        {
            var context = SynchronizationContext.Current;
            return Aside(() => Begin(Native.tk_start, settings, prepare, context));
        }

        /// <summary>
        /// On a thread of its own: what waits for servers must not keep those of the pool from others. Mono, besides, may let a
        /// program that ends just after a task of its pool wait a minute for the pool.
        /// </summary>
        private static Task<T> Aside<T>(Func<T> work) =>
            Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach, TaskScheduler.Default);

        private static Task Aside(Action work) =>
            Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach, TaskScheduler.Default);

        private static License Begin(Native.Beginning function, LicenseSettings settings, Action<License> prepare, SynchronizationContext context)
        {
            if (settings == null) throw new ArgumentNullException(nameof(settings));
            var license = new License(context, prepare);
            license.handle.Begin(function, settings);
            return license;
        }

        /// <summary>What the application may do now.</summary>
        public LicenseStatus Status => handle.Status();

        /// <summary>Throws unless the product, or this module, is licensed now. Asks nobody: call it at every use.</summary>
        /// <param name="module">The module; null for the product.</param>
        public void Check(string module = null)
        {
            var name = Native.Bytes(module);
            handle.Do((IntPtr license, out IntPtr error) => Native.tk_check(license, name, out error));
        }

        /// <summary>Whether <see cref="Check"/> would not throw.</summary>
        /// <param name="module">The module; null for the product.</param>
        public bool IsLicensed(string module = null)
        {
            try
            {
                Check(module);
                return true;
            }
            catch (LicenseException)
            {
                return false;
            }
        }

        /// <summary>Counts use.</summary>
        /// <param name="kind">The barcode's format, or <c>scanned</c>, <c>captured</c>, <c>imported</c> … of pages.</param>
        /// <param name="count">How often.</param>
        /// <param name="unit">What the license is about when null.</param>
        /// <param name="module">The module that processed the pages.</param>
        /// <param name="at">When it was done, if not just now.</param>
        public void Record(string kind, long count = 1, UsageUnit? unit = null, string module = null, DateTimeOffset? at = null)
        {
            if (kind == null) throw new ArgumentNullException(nameof(kind));
            if (count < 0) throw new ArgumentOutOfRangeException(nameof(count));
            byte[] name = Native.Bytes(kind), unitName = Native.Bytes(unit?.ToString().ToLowerInvariant()), moduleName = Native.Bytes(module);
            var seconds = at?.ToUnixTimeSeconds() ?? 0;
            handle.Do((IntPtr license, out IntPtr error) =>
                Native.tk_record_at(license, name, (ulong)count, unitName, moduleName, seconds, out error));
        }

        /// <summary>Takes instances, as many as are granted to this device and not held by another of its processes.</summary>
        /// <param name="number">How many.</param>
        public void TakeInstances(int number = 1)
        {
            if (number < 0) throw new ArgumentOutOfRangeException(nameof(number));
            handle.Do((IntPtr license, out IntPtr error) => Native.tk_take_instances(license, (uint)number, out error));
        }

        /// <summary>Gives instances back; those that are held at the end are given back by it.</summary>
        /// <param name="number">How many.</param>
        public void GiveBackInstances(int number = 1)
        {
            if (number < 0) throw new ArgumentOutOfRangeException(nameof(number));
            handle.Do((IntPtr license, out IntPtr error) => Native.tk_give_back_instances(license, (uint)number, out error));
        }

        /// <summary>Instances that are granted to this device and that nobody holds.</summary>
        public int IdleInstances => handle.Use(license => (int)Native.tk_idle_instances(license));

        /// <summary>Puts what was counted on disk now; waits for no server.</summary>
        public void Flush() => handle.Do(Native.tk_flush);

        /// <summary><see cref="Flush"/> without waiting.</summary>
        public Task FlushAsync() => Aside(Flush);

        /// <summary>
        /// Asks the servers now, as at the start, and sends what was not sent. Waits for them; within a handler of an event
        /// on the license's own thread it returns at once and is done afterwards.
        /// </summary>
        public void Renew() => handle.Do(Native.tk_renew);

        /// <summary><see cref="Renew"/> without waiting.</summary>
        public Task RenewAsync() => Aside(Renew);

        /// <summary>
        /// Reports what was done, then gives the seat or the instances back, and ends the license in any case. Throws when no
        /// server could be told: then the seat is held as before, and what was counted is kept.
        /// </summary>
        public void Release()
        {
            GC.SuppressFinalize(this);
            handle.End(license => Native.Demand(Native.tk_release(license, out var error), error));
        }

        /// <summary><see cref="Release"/> without waiting.</summary>
        public Task ReleaseAsync() => Aside(Release);

        /// <summary>
        /// Ends the license: what was counted is on disk, and what <see cref="LicenseSettings.ReleaseOnClose"/> says is given back
        /// if no other process of the machine uses the license. Waits 3 seconds for servers at most, and for calls of other
        /// threads; when none can be reached, everything stays as it was. If only its answer is lost, the server may have taken the
        /// license back all the same. No event is raised any more when it returns. Closing twice does nothing.
        /// </summary>
        public void Close()
        {
            GC.SuppressFinalize(this);
            handle.End(Native.tk_close);
        }

        /// <summary><see cref="Close"/> without waiting.</summary>
        public Task CloseAsync() => Aside(Close);

        /// <summary>The same as <see cref="Close"/>; on the thread of a user interface use <see cref="DisposeAsync"/>.</summary>
        public void Dispose() => Close();

        /// <summary>The same as <see cref="CloseAsync"/>, for <c>await using</c>.</summary>
        public Task DisposeAsync() => CloseAsync();

        /// <summary>The request of a device without network, to be carried to the server.</summary>
        /// <param name="settings">What the application sets.</param>
        /// <param name="asLine">As one line, which fits into a QR code.</param>
        public static string RequestFile(LicenseSettings settings, bool asLine = false)
        {
            if (settings == null) throw new ArgumentNullException(nameof(settings));
            return settings.Use(opened =>
                Native.Tell((out IntPtr text, out IntPtr error) => Native.tk_request_file(opened, asLine ? 1 : 0, out text, out error)));
        }

        /// <summary>Takes the authorization that was carried here; <see cref="Initialize"/> with the same settings then finds it.</summary>
        /// <param name="settings">What the application sets.</param>
        /// <param name="text">The file, or its line.</param>
        public static void ImportAuthorization(LicenseSettings settings, string text)
        {
            if (settings == null) throw new ArgumentNullException(nameof(settings));
            settings.Use(opened =>
            {
                Native.Demand(Native.tk_import_authorization(opened, Native.Bytes(text), out var error), error);
                return 0;
            });
        }

        /// <summary>Everything that was done and not acknowledged, to be carried to the server; null when there is nothing.</summary>
        public string ReportFile() =>
            handle.Use(license => Native.Tell((out IntPtr text, out IntPtr error) => Native.tk_report_file(license, out text, out error)));

        /// <summary>Takes the receipt for carried reports: what the server has is not kept any more.</summary>
        /// <param name="text">The file, or its line.</param>
        public void ImportReceipt(string text)
        {
            var bytes = Native.Bytes(text);
            handle.Do((IntPtr license, out IntPtr error) => Native.tk_import_receipt(license, bytes, out error));
        }
    }
}
