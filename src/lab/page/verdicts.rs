//! The verdicts of `--compare` and `--ab` as a section of the page: a table, and a chart of ratios with their intervals.

use crate::base::Result;
use crate::base::plot::escape;
use crate::lab::chart::{Interval, intervals};
use crate::lab::compare::{Compared, Comparison, Verdict};
use crate::lab::spread::figures;

/// The section.
pub(super) fn section(c: &Comparison) -> Result<String> {
    let [base, new] = c.names.each_ref().map(|n| escape(n));
    let count = |v: Verdict| format!("<b>{}</b> {}", c.count(v), v.name());
    let all = [Verdict::Faster, Verdict::Slower, Verdict::Same, Verdict::TooNoisy].map(count).join(", ");
    let drift = c.drift.map_or(String::new(), |d| {
        format!(" The reference kernel took {} times what it took there, which is cancelled.", figures(d, 3))
    });
    let head = format!(
        "<h2>{new} against {base}</h2>\n<p class=\"soft\">At a threshold of {:.0} %: {all}.{drift}</p>\n",
        100.0 * c.threshold
    );
    let about = format!(
        "<p class=\"soft\">Time over the time in {base}: above 1 is slower. A line is the interval of a ratio, the band \
         the threshold.</p>\n"
    );
    let lists = [
        list("No longer run", c.stopped.iter().map(|s| format!("{}: {}", s.name, s.why))),
        list(&format!("Only in {}", c.names[0]), c.only_base.iter().cloned()),
        list(&format!("Only in {}", c.names[1]), c.only_new.iter().cloned()),
    ];
    let (table, charts) = (table(c), charts(c)?);
    Ok(format!(
        "{head}{table}<details><summary>ratios with their intervals</summary>\n{about}{charts}</details>\n{}",
        lists.concat()
    ))
}

/// A chart for each op.
fn charts(c: &Comparison) -> Result<String> {
    let mut ops: Vec<&str> = c.rows.iter().map(op).collect();
    ops.dedup();
    let mut text = String::new();
    for name in ops {
        let lines: Vec<Interval> = c.rows.iter().filter(|r| op(r) == name).map(interval).collect();
        let svg = intervals(&format!("{name}: {} over {}", c.names[1], c.names[0]), c.threshold, &lines)?;
        text += &format!("<h3>{}</h3>\n<div class=\"card chart\"><figure>{svg}</figure></div>\n", escape(name));
    }
    Ok(text)
}

/// The op of a row: the first part of its entry.
fn op(row: &Compared) -> &str {
    row.name.split(['.', ' ']).next().unwrap_or_default()
}

fn interval(row: &Compared) -> Interval {
    let j = row.judgement;
    let colour = match j.verdict {
        Verdict::Same => 0,
        Verdict::TooNoisy => 6,
        Verdict::Faster => 3,
        Verdict::Slower => 2,
    };
    Interval { label: format!("{} · {}", row.name, row.variants()), colour, low: j.low, middle: j.ratio, high: j.high }
}

fn table(c: &Comparison) -> String {
    let words = |h: &str| format!("<th class=\"words\">{h}</th>");
    let mut text = format!(
        "<div class=\"card scroll\">\n<table>\n<thead><tr>{}{}<th>{}, ms</th><th>{}, ms</th><th>ratio</th>\
         <th>from, to</th>{}</tr></thead>\n<tbody>\n",
        words("kernel and case"),
        words("variant"),
        escape(&c.names[0]),
        escape(&c.names[1]),
        words("verdict")
    );
    for (i, r) in c.rows.iter().enumerate() {
        let (j, new) = (r.judgement, i == 0 || op(&c.rows[i - 1]) != op(r));
        text += &format!(
            "<tr{}><td class=\"words\">{}</td><td class=\"words\">{}</td><td>{}</td><td>{}</td><td>{:.3}</td>\
             <td>{:.3} to {:.3}</td><td class=\"words{}\">{}{}</td></tr>\n",
            if new { " class=\"group\"" } else { "" },
            escape(&r.name),
            escape(&r.variants()),
            figures(r.base_ms, 4),
            figures(r.ms, 4),
            j.ratio,
            j.low,
            j.high,
            if j.verdict == Verdict::Slower { " bad" } else { "" },
            j.verdict.name(),
            if r.steady { "" } else { ", drift not cancelled" }
        );
    }
    text + "</tbody>\n</table>\n</div>\n"
}

fn list(what: &str, items: impl Iterator<Item = String>) -> String {
    let items: String = items.map(|i| format!("<li>{}</li>\n", escape(&i))).collect();
    match items.is_empty() {
        true => String::new(),
        false => format!("<p><b>{}</b></p>\n<ul>\n{items}</ul>\n", escape(what)),
    }
}
