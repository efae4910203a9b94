//! Numbers and times in the report's text.

use crate::study::statistics::Summary;

/// A number with its sign and one digit: +3.1, −0.4, 0.0.
pub(super) fn signed(value: f64) -> String {
    let text = format!("{:.1}", value.abs());
    match (text.as_str(), value < 0.0) {
        ("0.0", _) => text,
        (_, true) => format!("−{text}"),
        (_, false) => format!("+{text}"),
    }
}

/// The mean of gains with half its 95 % confidence interval, where there are two that differ: +3.1 ± 0.4.
pub(super) fn spread(values: &[f64]) -> String {
    let s = Summary::of(values);
    let ci = s.ci95.filter(|ci| *ci > 0.0).map(|ci| format!(" ± {ci:.1}")).unwrap_or_default();
    format!("{}{ci}", signed(s.mean))
}

/// A length of time, to its two largest units.
pub(super) fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

/// Seconds since 1970 as a date in UTC, by Hinnant's algorithm for the civil calendar.
pub(super) fn date(seconds: u64) -> String {
    let days = (seconds / 86_400) as i64 + 719_468; // days since 1 March of year 0
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (seconds % 86_400 / 3600, seconds % 3600 / 60);
    format!("{year}-{month:02}-{day_of_month:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_writers_know_their_answers() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400 + 3661), "2000-02-29 01:01 UTC");
        assert_eq!(date(1_767_225_599), "2025-12-31 23:59 UTC");
        assert_eq!([duration(59.6), duration(3599.0), duration(7260.0)], ["1 min 0 s", "59 min 59 s", "2 h 1 min"]);
        assert_eq!([signed(3.12), signed(-0.44), signed(-0.01)], ["+3.1", "−0.4", "0.0"]);
    }
}
