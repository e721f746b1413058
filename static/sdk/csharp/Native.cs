using System;
using System.Runtime.InteropServices;
using System.Text;

namespace Tollkeeper
{
    /// <summary>The C library below, and how its errors and texts become ours.</summary>
    internal static class Native
    {
        private const string Library = "tollkeeper";

        /// <summary>Texts that are none are refused rather than changed.</summary>
        private static readonly Encoding Utf8 = new UTF8Encoding(false, true);

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        internal delegate void Changed(IntPtr context, int sdkCode, IntPtr message, long expiresAt);

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        internal delegate void Reported(IntPtr context, ulong accepted, ulong duplicate, ulong rejected);

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        internal delegate void Warned(IntPtr context, int sdkCode, IntPtr message);

        [StructLayout(LayoutKind.Sequential)]
        internal struct Listeners
        {
            internal IntPtr Context;
            internal Changed LicenseChanged;
            internal Reported ReportSent;
            internal Warned Warning;
        }

        /// <summary>A function that begins a license.</summary>
        internal delegate int Beginning(IntPtr settings, ref Listeners listeners, out IntPtr license, out IntPtr error);

        /// <summary>A function that gives a text, with its error.</summary>
        internal delegate int Telling(out IntPtr text, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tk_version();

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tk_settings_new();

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern void tk_settings_free(IntPtr settings);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_settings_set(IntPtr settings, byte[] name, byte[] value, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_initialize(IntPtr settings, ref Listeners listeners, out IntPtr license, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_start(IntPtr settings, ref Listeners listeners, out IntPtr license, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern void tk_close(IntPtr license);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_release(IntPtr license, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_check(IntPtr license, byte[] module, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_record_at(IntPtr license, byte[] kind, ulong count, byte[] unit, byte[] module, long at, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_take_instances(IntPtr license, uint number, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_give_back_instances(IntPtr license, uint number, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern uint tk_idle_instances(IntPtr license);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_flush(IntPtr license, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_renew(IntPtr license, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_status(IntPtr license, out IntPtr json, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_request_file(IntPtr settings, int asLine, out IntPtr text, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_import_authorization(IntPtr settings, byte[] text, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_report_file(IntPtr license, out IntPtr text, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_import_receipt(IntPtr license, byte[] text, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_check_vector(byte[] kind, byte[] caseJson, out IntPtr resultJson, out IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        private static extern int tk_error_code(IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        private static extern IntPtr tk_error_message(IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        private static extern IntPtr tk_error_user_message(IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        private static extern void tk_error_free(IntPtr error);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        private static extern void tk_string_free(IntPtr text);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr tk_deduplicator_new(ulong pauseMilliseconds);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern int tk_deduplicator_is_new(IntPtr deduplicator, byte[] format, byte[] text, ulong atMilliseconds);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern void tk_deduplicator_free(IntPtr deduplicator);

        /// <summary>Throws what a function that did not give 0 says.</summary>
        internal static void Demand(int result, IntPtr error)
        {
            if (result == 0) return;
            try
            {
                throw new LicenseException(tk_error_code(error), Text(tk_error_message(error)), Text(tk_error_user_message(error)));
            }
            finally
            {
                tk_error_free(error);
            }
        }

        /// <summary>The text that a function gives, or null.</summary>
        internal static string Tell(Telling function)
        {
            Demand(function(out var text, out var error), error);
            if (text == IntPtr.Zero) return null;
            try
            {
                return Text(text);
            }
            finally
            {
                tk_string_free(text);
            }
        }

        /// <summary>A text of C's.</summary>
        internal static string Text(IntPtr text)
        {
            var length = 0;
            while (Marshal.ReadByte(text, length) != 0) length++;
            var bytes = new byte[length];
            Marshal.Copy(text, bytes, 0, length);
            return Utf8.GetString(bytes);
        }

        /// <summary>A text for C; null stays null.</summary>
        internal static byte[] Bytes(string text)
        {
            if (text == null) return null;
            if (text.IndexOf('\0') >= 0) throw new ArgumentException("a text for the license library holds a zero");
            return Utf8.GetBytes(text + '\0');
        }
    }
}
