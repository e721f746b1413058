package dev.tollkeeper;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Times as seconds since 1970, and how they are written. Android has java.time from level 26 only. */
final class Times {
    static final long SLOT_SECONDS = 180;
    static final long DAY_SECONDS = 86_400;
    static final long REPORT_MAX_AGE_SECONDS = 30 * DAY_SECONDS;

    private static final Pattern RFC3339 =
        Pattern.compile("(\\d{4})-(\\d\\d)-(\\d\\d)[Tt ](\\d\\d):(\\d\\d):(\\d\\d)(?:\\.\\d+)?(?:[Zz]|([+-])(\\d\\d):(\\d\\d))");
    private static final int[] MONTH_DAYS = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    private Times() {}

    /** Seconds since 1970 of an RFC 3339 time; {@code null} when it is none. */
    static Long parse(String text) {
        Matcher found = text == null ? null : RFC3339.matcher(text);
        if (found == null || !found.matches()) return null;
        int[] parts = new int[6];
        for (int at = 0; at < 6; at++) parts[at] = Integer.parseInt(found.group(at + 1));
        int year = parts[0];
        boolean isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        boolean isMonth = parts[1] >= 1 && parts[1] <= 12;
        boolean isDay = isMonth && parts[2] >= 1 && parts[2] <= MONTH_DAYS[parts[1] - 1] && (isLeap || parts[1] != 2 || parts[2] < 29);
        if (!isDay || parts[3] > 23 || parts[4] > 59 || parts[5] > 59) return null;
        long offset = 0;
        if (found.group(7) != null) {
            int hours = Integer.parseInt(found.group(8));
            int minutes = Integer.parseInt(found.group(9));
            if (hours > 23 || minutes > 59) return null;
            offset = (hours * 60L + minutes) * (found.group(7).equals("+") ? 60 : -60);
        }
        return dayOf(year, parts[1], parts[2]) * DAY_SECONDS + parts[3] * 3_600L + parts[4] * 60L + parts[5] - offset;
    }

    static String text(long seconds) {
        long rest = floorMod(seconds, DAY_SECONDS);
        return String.format(Locale.ROOT, "%sT%02d:%02d:%02dZ", dateOf(floorDiv(seconds, DAY_SECONDS)), rest / 3_600, rest / 60 % 60, rest % 60);
    }

    /** Start of the 3-minute slot (UTC) that holds this moment. */
    static long slotOf(long seconds) {
        return floorDiv(seconds, SLOT_SECONDS) * SLOT_SECONDS;
    }

    static long dayNumberOf(long seconds) {
        return floorDiv(seconds, DAY_SECONDS);
    }

    /** Such as 2026-11-22, of a day that is numbered from 1970. */
    static String dateOf(long day) {
        // Years begin in March here, so that the day of a leap year is the last.
        long shifted = day + 719_468;
        long era = floorDiv(shifted, 146_097);
        long ofEra = shifted - era * 146_097;
        long yearOfEra = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365;
        long ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
        long month = (5 * ofYear + 2) / 153;
        long inMonth = ofYear - (153 * month + 2) / 5 + 1;
        long year = yearOfEra + era * 400 + (month < 10 ? 0 : 1);
        return String.format(Locale.ROOT, "%04d-%02d-%02d", year, month < 10 ? month + 3 : month - 9, inMonth);
    }

    private static long dayOf(int year, int month, int day) {
        long marchYear = month > 2 ? year : year - 1;
        long era = floorDiv(marchYear, 400);
        long yearOfEra = marchYear - era * 400;
        long ofYear = (153L * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + ofYear - 719_468;
    }

    private static long floorDiv(long number, long by) {
        return (number - floorMod(number, by)) / by;
    }

    private static long floorMod(long number, long by) {
        return (number % by + by) % by;
    }
}
