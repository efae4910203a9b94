//! Numbers of the page that have a name, so that `study report --check` can say which one differs.

use super::words::signed;
use crate::base::plot::escape;
use crate::study::statistics::Interval;

/// A number with its name, in full beside its text.
pub(super) fn number(name: &str, value: f64, text: &str) -> String {
    format!("<data data-name=\"{}\" value=\"{value}\">{}</data>", escape(name), escape(text))
}

/// A difference in points with its sign.
pub(super) fn points(name: &str, value: f64) -> String {
    number(name, value, &signed(value))
}

/// A size without a sign, to one digit.
pub(super) fn size(name: &str, value: f64) -> String {
    number(name, value, &format!("{value:.1}"))
}

/// An interval, its ends named after it.
pub(super) fn interval(name: &str, of: &Interval) -> String {
    ends(name, of, points)
}

/// An interval of a size whose sign the words say.
pub(super) fn size_interval(name: &str, of: &Interval) -> String {
    ends(name, of, size)
}

fn ends(name: &str, of: &Interval, shown: fn(&str, f64) -> String) -> String {
    let end = |end: &str, value: f64| shown(&format!("{name}.{end}"), value);
    format!("95 % interval {} to {}", end("low", of.low), end("high", of.high))
}

/// p as a reader expects it.
pub(super) fn p_words(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_string() } else { format!("p = {p:.3}") }
}

/// p with its name.
pub(super) fn p_value(name: &str, p: f64) -> String {
    number(name, p, &p_words(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_their_names() {
        assert_eq!(points("gain.a&b", -0.25), "<data data-name=\"gain.a&amp;b\" value=\"-0.25\">−0.2</data>");
        assert_eq!([p_words(0.0004), p_words(0.0126)], ["p < 0.001", "p = 0.013"]);
        let both = interval("i", &Interval { low: -1.0, high: 2.04 });
        assert!(both.contains("data-name=\"i.low\"") && both.contains(">+2.0<"), "{both}");
    }
}
