using System;
using System.Diagnostics;

namespace Tollkeeper
{
    /// <summary>Which barcodes of a video stream count: the same one again within 3 seconds after it counted does not.</summary>
    public sealed class Deduplicator : IDisposable
    {
        private readonly object gate = new object();
        private readonly Stopwatch clock = Stopwatch.StartNew();
        private IntPtr handle;

        /// <summary>With the usual pause of 3 seconds.</summary>
        public Deduplicator() : this(TimeSpan.FromSeconds(3))
        {
        }

        /// <summary>With another pause.</summary>
        /// <param name="pause">After which a barcode counts again.</param>
        public Deduplicator(TimeSpan pause)
        {
            // To C, 0 is what is usual.
            handle = Native.tk_deduplicator_new((ulong)Math.Max(1, pause.TotalMilliseconds));
        }

        /// <summary>Frees what C holds.</summary>
        ~Deduplicator() => Dispose();

        /// <summary>Whether this barcode counts.</summary>
        /// <param name="format">Its format.</param>
        /// <param name="text">Its text.</param>
        /// <param name="at">Of its frame, since any beginning; since this was made when null.</param>
        public bool IsNew(string format, string text, TimeSpan? at = null)
        {
            lock (gate)
            {
                if (handle == IntPtr.Zero) throw new ObjectDisposedException(nameof(Deduplicator));
                var milliseconds = (ulong)Math.Max(0, (at ?? clock.Elapsed).TotalMilliseconds);
                return Native.tk_deduplicator_is_new(handle, Native.Bytes(format), Native.Bytes(text), milliseconds) > 0;
            }
        }

        /// <summary>Frees what C holds.</summary>
        public void Dispose()
        {
            lock (gate)
            {
                if (handle != IntPtr.Zero) Native.tk_deduplicator_free(handle);
                handle = IntPtr.Zero;
            }
            GC.SuppressFinalize(this);
        }
    }
}
