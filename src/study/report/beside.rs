//! The files beside the page, in the study's folder `report/`: its tables as CSV and LaTeX, and its plots as SVG.

use super::findings::Findings;
use super::gained::COLUMNS;
use super::names;
use super::profile;
use super::read::Study;
use super::{heat, missing, ranks};
use crate::base::plot::colour;
use crate::base::{Error, Result, files};
use crate::study::results::rows_as_csv;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};
use std::path::Path;

/// The folder of the files.
pub(super) const FOLDER: &str = "report";

/// A file's name and what it holds.
pub(super) type Beside = (String, Vec<u8>);

/// A table of both forms: a name, the columns, and the rows of a text and its numbers.
struct Table {
    name: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<(Vec<String>, Vec<Option<f64>>)>,
}

/// All files.
pub(super) fn files(study: &Study, found: &Findings) -> Result<Vec<Beside>> {
    let mut all: Vec<Beside> = missing::file(&study.missing)?.into_iter().collect();
    for table in tables(found).into_iter().filter(|t| !t.rows.is_empty()) {
        all.push((format!("{}.csv", table.name), table.csv()?));
        all.push((format!("{}.tex", table.name), table.latex().into_bytes()));
    }
    let datasets: Vec<&str> = study.datasets.iter().map(|(d, _)| d.as_str()).collect();
    let most = found.heats.iter().flat_map(|h| &h.gains).map(|g| g.mean.abs()).fold(1.0, f64::max);
    for h in &found.heats {
        let name = h.labels.replace(|c: char| !c.is_alphanumeric(), "-");
        all.push((format!("gain-{name}.svg"), heat::svg(h, &datasets, most).into_bytes()));
    }
    if let Ok(of) = &found.ranks {
        all.push(("ranks.svg".to_string(), ranks::svg(of).into_bytes()));
    }
    if found.profile.len() > 1 {
        // Alone it has no legend: a line's name stands at its colour.
        let lines = found.profile.iter().enumerate();
        let text = |(i, line): (usize, &profile::ProfileLine)| {
            let (y, name) = (26 + 14 * i, crate::base::plot::escape(names::pretraining(&line.pretraining)));
            format!(
                "<text x=\"270\" y=\"{y}\" font-size=\"11\" font-family=\"sans-serif\" fill=\"{}\">{name}</text>\n",
                colour(i)
            )
        };
        let names: String = lines.map(text).collect();
        let svg = profile::svg(&found.profile)?.replace("</svg>", &format!("{names}</svg>"));
        let svg = if svg.contains("xmlns=") {
            svg
        } else {
            svg.replacen("<svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"", 1)
        };
        all.push(("profile.svg".to_string(), svg.into_bytes()));
    }
    Ok(all)
}

/// Writes them. Files of an earlier report that this one does not have are removed: they would say what is no longer so.
pub(super) fn write(dir: &Path, all: &[Beside]) -> Result<()> {
    let folder = dir.join(FOLDER);
    all.iter().try_for_each(|(name, bytes)| files::write_atomic(&folder.join(name), bytes))?;
    if !files::exists(&folder)? {
        return Ok(());
    }
    for entry in std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, "list", e))? {
        let path = entry.map_err(|e| Error::io(&folder, "list", e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_ours(&name) && !all.iter().any(|(kept, _)| *kept == name) {
            std::fs::remove_file(&path).map_err(|e| Error::io(&path, "remove", e))?;
        }
    }
    Ok(())
}

/// Whether some report writes a file of this name; people may keep others beside them.
fn is_ours(name: &str) -> bool {
    let (stem, ending) = name.rsplit_once('.').unwrap_or_default();
    let table = ["gained", "gain-by-dataset", "ranks"].contains(&stem) && ["csv", "tex"].contains(&ending);
    let map = stem.strip_prefix("gain-").is_some_and(|of| of.ends_with("-noise") || of.ends_with("-labels"));
    name == missing::FILE || table || ending == "svg" && (["ranks", "profile"].contains(&stem) || map)
}

fn tables(found: &Findings) -> Vec<Table> {
    let texts = |name: &str| vec![names::pretraining(name).to_string()];
    let gained = found.gained.iter().map(|g| (texts(&g.pretraining), g.numbers().to_vec())).collect();
    let heats = found.heats.iter().flat_map(|h| h.gains.iter().map(move |g| (h, g)));
    let heat = |(h, g): (&heat::Heat, &heat::Gain)| {
        let texts = vec![h.labels.clone(), names::pretraining(&g.pretraining).to_string(), g.dataset.clone()];
        (texts, vec![Some(g.mean), g.interval.map(|i| i.low), g.interval.map(|i| i.high), Some(g.seeds as f64)])
    };
    let of_ranks = found.ranks.as_ref().map(|r| r.rows()).unwrap_or_default();
    let ranks = of_ranks.into_iter().map(|(name, n)| (texts(name), n.map(Some).to_vec())).collect();
    vec![
        Table { name: "gained", columns: [&["pretraining"][..], &COLUMNS].concat(), rows: gained },
        Table {
            name: "gain-by-dataset",
            columns: vec!["labels", "pretraining", "dataset", "gain", "gain_low", "gain_high", "seeds"],
            rows: heats.map(heat).collect(),
        },
        Table { name: "ranks", columns: vec!["pretraining", "mean_rank", "low", "high", "p_holm"], rows: ranks },
    ]
}

impl Table {
    fn csv(&self) -> Result<Vec<u8>> {
        let record = |(texts, numbers): &(Vec<String>, Vec<Option<f64>>)| {
            let values = texts.iter().map(|t| json!(t)).chain(numbers.iter().map(|n| json!(n)));
            Record(self.columns.iter().copied().zip(values).collect())
        };
        rows_as_csv(Path::new(self.name), &self.rows.iter().map(record).collect::<Vec<_>>())
    }

    /// A `tabular` with the rules of the package booktabs.
    fn latex(&self) -> String {
        let texts = self.rows.first().map_or(0, |r| r.0.len());
        let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
        let head = line(self.columns.iter().map(|c| tex(&c.replace('_', " "))).collect());
        let number = |(column, n): (&str, &Option<f64>)| match n {
            None => "--".to_string(),
            Some(p) if column.starts_with("p") && *p < 0.001 => "$<$0.001".to_string(),
            Some(v) if column == "seeds" => format!("${v}$"),
            Some(v) if column.contains("gain") || column.contains("iqm") => format!("${v:.1}$"),
            Some(v) if column.starts_with("p") => format!("${v:.3}$"),
            Some(v) => format!("${v:.2}$"),
        };
        let row = |(words, numbers): &(Vec<String>, Vec<Option<f64>>)| {
            let numbers = self.columns[texts..].iter().copied().zip(numbers).map(number);
            line(words.iter().map(|w| tex(w)).chain(numbers).collect())
        };
        let rows: String = self.rows.iter().map(row).collect();
        let columns = "l".repeat(texts) + &"r".repeat(self.columns.len() - texts);
        format!("\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head}\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n")
    }
}

/// Text for LaTeX.
fn tex(text: &str) -> String {
    text.chars().fold(String::new(), |mut all, c| {
        match c {
            '\\' => all.push_str("\\textbackslash{}"),
            '~' | '^' => all.push_str(&format!("\\{c}{{}}")),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => all.extend(['\\', c]),
            _ => all.push(c),
        }
        all
    })
}

/// A row of a table, its fields in order.
struct Record<'a>(Vec<(&'a str, Value)>);

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_worked_by_hand() {
        let rows = vec![
            (vec!["a_b & c".to_string()], vec![Some(1.25), None]),
            (vec!["d".into()], vec![Some(-2.0), Some(1e-5)]),
        ];
        let table = Table { name: "t", columns: vec!["pretraining", "gain", "p_holm"], rows };
        let csv = String::from_utf8(table.csv().unwrap()).unwrap();
        assert_eq!(csv, "pretraining,gain,p_holm\na_b & c,1.25,\nd,-2.0,0.00001\n");
        let latex = table.latex();
        assert!(
            latex.contains("pretraining & gain & p holm \\\\") && latex.contains("a\\_b \\& c & $1.2$ & -- \\\\"),
            "{latex}"
        );
        assert!(latex.contains("d & $-2.0$ & $<$0.001 \\\\") && latex.starts_with("\\begin{tabular}{lrr}"), "{latex}");
    }
}
