using System;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Threading;

namespace Tollkeeper
{
    /// <summary>A license of the C library: ended once, and not while a call of another thread is under way.</summary>
    internal sealed class Handle
    {
        private readonly object gate = new object();
        private readonly SynchronizationContext context;
        private readonly Native.Listeners listeners;
        private IntPtr license;
        private int busy;
        private int listener;

        /// <summary>No handler is called any more.</summary>
        private bool isSilent;

        /// <summary>Keeps what C calls from being collected while it may call.</summary>
        private GCHandle root;

        internal Handle(SynchronizationContext context)
        {
            this.context = context;
            listeners = new Native.Listeners { LicenseChanged = HearChange, ReportSent = HearReport, Warning = HearWarning };
        }

        internal Action<LicenseStatus> Changed { get; set; }
        internal Action<SubmittedReports> Reported { get; set; }
        internal Action<LicenseWarning> Warned { get; set; }

        internal void Begin(Native.Beginning function, LicenseSettings settings)
        {
            root = GCHandle.Alloc(this);
            try
            {
                settings.Use(opened =>
                {
                    var heard = listeners;
                    Native.Demand(function(opened, ref heard, out var made, out var error), error);
                    lock (gate) license = made;
                    return made;
                });
            }
            catch
            {
                root.Free();
                throw;
            }
        }

        /// <summary>Gives the license to <paramref name="work"/>, unless it was ended.</summary>
        internal T Use<T>(Func<IntPtr, T> work)
        {
            IntPtr used;
            lock (gate)
            {
                if (license == IntPtr.Zero)
                {
                    const string message = "this license was closed: initialize again to take one";
                    throw new LicenseException(302, message, "The application has closed its license. Please start it again.");
                }
                used = license;
                busy++;
            }
            try
            {
                return work(used);
            }
            finally
            {
                lock (gate)
                {
                    busy--;
                    Monitor.PulseAll(gate);
                }
            }
        }

        /// <summary>A function that gives its error.</summary>
        internal delegate int Doing(IntPtr license, out IntPtr error);

        /// <summary>The same for what may fail.</summary>
        internal void Do(Doing function) => Use(used =>
        {
            Native.Demand(function(used, out var error), error);
            return 0;
        });

        /// <summary>Ends it with <paramref name="how"/>, after the calls that are under way.</summary>
        internal void End(Action<IntPtr> how)
        {
            IntPtr ended;
            bool isListener;
            lock (gate)
            {
                ended = license;
                license = IntPtr.Zero;
                isListener = listener == Thread.CurrentThread.ManagedThreadId;
                // A handler that closes is the last one; where handlers are posted, none that waits there is called any more.
                isSilent |= ended != IntPtr.Zero && (isListener || context != null);
            }
            if (ended == IntPtr.Zero) return;
            if (!isListener)
            {
                Finish(ended, how);
                return;
            }
            // A call that is under way may be waiting for this very listener.
            Native.tk_flush(ended, out _);
            new Thread(() =>
            {
                try
                {
                    Finish(ended, how);
                }
                catch (LicenseException)
                {
                    // The seat is held as before: whoever released it in a listener is not there any more.
                }
            }).Start();
        }

        private void Finish(IntPtr ended, Action<IntPtr> how)
        {
            lock (gate)
            {
                while (busy > 0) Monitor.Wait(gate);
            }
            try
            {
                how(ended);
            }
            finally
            {
                root.Free();
            }
        }

        internal LicenseStatus Status() =>
            LicenseStatus.Of(Use(used => Native.Tell((out IntPtr text, out IntPtr error) => Native.tk_status(used, out text, out error))));

        private void HearChange(IntPtr unused, int sdkCode, IntPtr message, long expiresAt)
        {
            LicenseStatus status;
            try
            {
                status = Status();
            }
            catch (LicenseException)
            {
                // It has not begun, and whoever begins it will look for himself; or it is closed already.
                return;
            }
            Tell(() => Changed?.Invoke(status));
        }

        private void HearReport(IntPtr unused, ulong accepted, ulong duplicate, ulong rejected) =>
            Tell(() => Reported?.Invoke(new SubmittedReports((long)accepted, (long)duplicate, (long)rejected)));

        private void HearWarning(IntPtr unused, int sdkCode, IntPtr message)
        {
            var warning = new LicenseWarning(-sdkCode - 20000, Native.Text(message));
            Tell(() => Warned?.Invoke(warning));
        }

        private bool IsSilent
        {
            get
            {
                lock (gate) return isSilent;
            }
        }

        private void Tell(Action listen)
        {
            if (context != null)
            {
                context.Post(_ => { if (!IsSilent) listen(); }, null);
                return;
            }
            lock (gate)
            {
                if (isSilent) return;
                listener = Thread.CurrentThread.ManagedThreadId;
            }
            try
            {
                listen();
            }
            catch (Exception exception)
            {
                // It must not go through C: it ends the program as it would on any thread.
                ThreadPool.QueueUserWorkItem(_ => ExceptionDispatchInfo.Capture(exception).Throw());
            }
            finally
            {
                lock (gate) listener = 0;
            }
        }
    }
}
