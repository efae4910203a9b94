//! `study report --check`: every number of the page and of the files beside it, computed again from `results.csv`.
//!
//! The page is made again with the rows of `results.csv` in the place of the runs' results, and all that both print is compared
//! by name: a number that has a name by it, one of a table by its section, row and column, a plot by its title, a text by its
//! section. Texts without a digit count, too: “none helps” is a number in words.

use super::findings::Findings;
use super::read::Study;
use super::{beside, page};
use crate::base::{Error, Result, files};
use crate::study::folder::kept_config;
use crate::study::grid::{Cell, cells};
use crate::study::results::{CellResult, Gathered, gather, read_csv};
use std::collections::BTreeMap;
use std::path::Path;

/// How many differences an error names.
const NAMED: usize = 8;

/// Compares the report in the study's folder with its `results.csv`, and says how many numbers were. An error names those that
/// differ.
pub fn check_report(dir: &Path) -> Result<usize> {
    let table = dir.join("results.csv");
    let page_text = files::read_text(&dir.join("report.html"))?;
    let mut gathered = of_table(dir, gather(dir)?, read_csv(&table)?)?;
    gathered.together = page_text.contains("data-name=\"together\"");
    let study = Study::read(dir, &gathered)?;
    let found = Findings::of(&study)?;
    let mut due = numbers(&page::page(&study, &found)?);
    let mut got = numbers(&page_text);
    for (name, bytes) in beside::files(&study, &found)? {
        let path = dir.join(beside::FOLDER).join(&name);
        due.insert(name.clone(), vec!["there".to_string()]);
        if files::exists(&path)? {
            got.insert(name.clone(), vec!["there".to_string()]);
            add_file(&mut due, &name, &String::from_utf8_lossy(&bytes));
            add_file(&mut got, &name, &files::read_text(&path)?);
        }
    }
    let differences = differences(&due, &got);
    if differences.is_empty() {
        let number = |text: &&String| text.contains(|c: char| c.is_ascii_digit());
        return Ok(due.values().flatten().filter(number).count());
    }
    let (n, named) = (differences.len(), differences.len().min(NAMED));
    let rest = if n > named { format!("; and {} more", n - named) } else { String::new() };
    Err(Error::Data(format!(
        "the report in {} does not say what {} says: {}{rest}; if nobody changed either, the report is older than the table or \
         of another version of the program: `wgslab study report {}` writes both anew from the runs",
        dir.display(),
        table.display(),
        differences[..named].join("; "),
        dir.display()
    )))
}

/// What was gathered with the rows of the table in the place of the runs' own results. Cells that the table lacks are left out.
fn of_table(dir: &Path, mut gathered: Gathered, rows: Vec<CellResult>) -> Result<Gathered> {
    let key = |r: &CellResult| {
        let rate = r.noise_rate.to_bits();
        let texts = [&r.dataset, &r.backbone, &r.pretraining, &r.noise_kind, &r.method].map(String::clone);
        (texts, r.protocol.name(), rate, r.seed)
    };
    let mut of_key: BTreeMap<_, CellResult> = rows.into_iter().map(|r| (key(&r), r)).collect();
    let all = std::mem::take(&mut gathered.cells).into_iter();
    let cells = all.filter_map(|(name, r)| Some((name, of_key.remove(&key(&r))?))).collect();
    if let Some((_, r)) = of_key.pop_first() {
        return Err(without_a_run(dir, &r, &gathered.left_out)?);
    }
    Ok(Gathered { cells, ..gathered })
}

/// Why a row of the table has no run: its run is damaged, or is no longer there.
fn without_a_run(dir: &Path, r: &CellResult, left_out: &[String]) -> Result<Error> {
    let config = kept_config(dir)?;
    let same = |c: &&Cell| {
        // In one grid backbones differ in the first word, the architecture.
        let arch = |told: &str| told.split(' ').next().map(str::to_string);
        let model = c.model(&config).is_ok_and(|m| arch(&m.to_string()) == arch(&r.backbone));
        let rate = c.noise_kind.is_some_and(|k| !k.has_rate()) || c.noise_rate == r.noise_rate;
        let kind = c.kind_name();
        let texts = [&*c.dataset, &*c.pretraining, kind.as_str(), &*c.method];
        rate && model
            && texts == [&r.dataset, &r.pretraining, &r.noise_kind, &r.method]
            && (c.protocol, c.seed) == (r.protocol, r.seed)
    };
    let grid = cells(&config);
    let name = grid.iter().find(same).map(|c| c.name.as_str());
    let damage = name.and_then(|name| left_out.iter().find(|sentence| names(sentence, name)));
    let row = format!(
        "{} with {} and {} at {} {}, seed {}",
        r.dataset, r.pretraining, r.method, r.noise_rate, r.noise_kind, r.seed
    );
    let dir = dir.display();
    Ok(Error::Data(match damage {
        Some(why) => format!("the run of a row of results.csv ({row}) cannot be read: {why}"),
        None => format!(
            "results.csv has a row that no run of the study has: {row}; bring its folder below {dir}/runs back, or leave the row \
             out: `wgslab study report {dir}` writes table and report anew from the runs that are there"
        ),
    }))
}

/// Whether a sentence names a cell, and not one whose name only begins or ends as it does: `seed-1` is no `seed-10`.
fn names(sentence: &str, cell: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let whole = |at: usize| !sentence[..at].ends_with(goes_on) && !sentence[at + cell.len()..].starts_with(goes_on);
    sentence.match_indices(cell).any(|(at, _)| whole(at))
}

/// All texts, by name.
type Numbers = BTreeMap<String, Vec<String>>;

fn add_file(to: &mut Numbers, file: &str, text: &str) {
    for (i, line) in text.lines().enumerate() {
        to.entry(format!("{file}, line {}", i + 1)).or_default().push(line.to_string());
    }
}

/// A sentence for each name whose texts differ.
fn differences(due: &Numbers, got: &Numbers) -> Vec<String> {
    let none = Vec::new();
    let names: std::collections::BTreeSet<&String> = due.keys().chain(got.keys()).collect();
    let one = |name: &String| {
        let (due, got) = (due.get(name).unwrap_or(&none), got.get(name).unwrap_or(&none));
        if due == got {
            return None;
        }
        let at = due.iter().zip(got).position(|(d, g)| d != g).unwrap_or(due.len().min(got.len()));
        let text = |all: &[String]| all.get(at).map_or("missing".to_string(), |t| short(t));
        if [due, got].iter().all(|all| all.get(at).is_some_and(|t| t.starts_with(DRAWING))) {
            return Some(format!("{name} is another drawing"));
        }
        Some(format!("{name} is {} and not {}", text(got), text(due)))
    };
    names.into_iter().filter_map(one).collect()
}

/// How the text of a drawing begins.
const DRAWING: &str = "<svg";

fn short(text: &str) -> String {
    const MOST: usize = 60;
    match text.starts_with(DRAWING) {
        true => "a drawing".to_string(),
        false if text.chars().count() > MOST => text.chars().take(MOST).collect::<String>() + "…",
        false => text.to_string(),
    }
}

/// Where in a page a text stands.
#[derive(Default)]
struct Place {
    heading: String,
    /// The element with a name and that name.
    named: Option<(String, String)>,
    /// Headings of a table's columns, words of the row, and the column.
    heads: Vec<String>,
    row: String,
    column: usize,
    in_head: bool,
    in_cell: bool,
    tag: String,
    words: bool,
}

/// The texts of a page and its drawings, by name.
fn numbers(page: &str) -> Numbers {
    let (mut all, mut at) = (Numbers::new(), Place::default());
    let mut rest = page;
    while let Some(open) = rest.find('<') {
        let (text, from) = rest.split_at(open);
        at.text(text, &mut all);
        let Some(close) = from.find('>') else { break };
        let tag = &from[..=close];
        rest = &from[close + 1..];
        if tag.starts_with("<style") {
            rest = rest.find("</style>").map_or("", |end| &rest[end..]);
        }
        // The date of the last run is that of its file, and a copied study has other dates.
        if tag == "<time>" {
            rest = rest.find("</time>").map_or("", |end| &rest[end..]);
        }
        if tag.starts_with("<svg") {
            let whole = from.find("</svg>").map_or(from, |end| &from[..end]);
            let title = attribute(tag, "aria-label").map_or("a drawing".to_string(), |t| format!("the plot “{t}”"));
            all.entry(format!("{}: {title}", at.heading)).or_default().push(whole.to_string());
        }
        at.tag(tag);
    }
    all
}

impl Place {
    fn tag(&mut self, tag: &str) {
        let closes = tag.starts_with("</");
        let name = tag.trim_start_matches(['<', '/']);
        let name: String = name.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        match (name.as_str(), closes) {
            ("h2" | "h3", false) => self.heading.clear(),
            ("thead", false) => (self.heads, self.in_head) = (Vec::new(), true),
            ("thead", true) => self.in_head = false,
            ("table", true) => (self.heads, self.row, self.in_cell) = (Vec::new(), String::new(), false),
            ("tr", false) => (self.row, self.column) = (String::new(), 0),
            ("th", false) if self.in_head => self.heads.push(String::new()),
            ("td", false) => {
                (self.column, self.in_cell) = (self.column + 1, true);
                self.words = tag.contains("class=\"words\"");
            }
            ("td", true) => self.in_cell = false,
            _ => {}
        }
        match (&self.named, attribute(tag, "data-name")) {
            (_, Some(of)) if !closes => self.named = Some((name.clone(), of)),
            (Some((element, _)), _) if closes && *element == name => self.named = None,
            _ => {}
        }
        self.tag = if closes { String::new() } else { name };
    }

    fn text(&mut self, text: &str, all: &mut Numbers) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        match self.tag.as_str() {
            "h2" | "h3" => self.heading = text.to_string(),
            _ if self.in_head => self.heads.iter_mut().last().into_iter().for_each(|h| *h = format!("{h} {text}")),
            _ if self.in_cell && self.words => self.row = format!("{} {text}", self.row),
            _ => {}
        }
        all.entry(self.name()).or_default().push(text.to_string());
    }

    fn name(&self) -> String {
        match (&self.named, self.in_cell) {
            (Some((_, name)), _) => name.clone(),
            (None, true) => {
                let head = self.heads.get(self.column.saturating_sub(1)).map_or("", |h| h.trim());
                format!("{}, {}, {head}", self.heading, self.row.trim())
            }
            (None, false) => format!("“{}”", self.heading),
        }
    }
}

/// The value of an attribute of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let from = tag.split_once(&format!(" {name}=\""))?.1;
    Some(from.split_once('"')?.0.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_not_taken_for_one_of_a_longer_name() {
        assert!(names("s/runs/isic__seed-1/result.json is damaged", "isic__seed-1"));
        assert!(!names("s/runs/isic__seed-10/result.json is damaged", "isic__seed-1"));
        assert!(!names("s/runs/my-isic__seed-1/result.json is damaged", "isic__seed-1"));
    }

    #[test]
    fn numbers_have_the_names_of_their_places() {
        let page = "<style>a > b { top: 1px }</style><h2>Gains</h2><p>of <data data-name=\"x.y\" value=\"1.5\">+1.5</data> in 3 \
                    sets</p><table><thead><tr><th class=\"words\">set</th><th>20 %<br>noise</th></tr></thead><tbody><tr>\
                    <td class=\"words\">isic</td><td>+3.1 ± 2</td></tr></tbody></table><svg aria-label=\"t\"><path d=\"M1 2\"/></svg>";
        let found = numbers(page);
        assert_eq!(found["x.y"], ["+1.5"]);
        assert_eq!(found["Gains, isic, 20 % noise"], ["+3.1 ± 2"]);
        assert_eq!(found["“Gains”"], ["Gains", "of", "in 3 sets", "set", "20 %", "noise"]);
        let dated = |day: &str| numbers(&page.replace("sets", &format!("sets, <time>2026-11-{day}</time>")));
        assert_eq!(differences(&dated("29"), &dated("30")), Vec::<String>::new());
        let words = numbers(&page.replace("<p>of", "<p>all but one of"));
        assert_eq!(differences(&found, &words), ["“Gains” is all but one of and not of"]);
        let other = numbers(&page.replace("M1 2", "M1 3").replace("+3.1", "+3.2"));
        let named = differences(&found, &other);
        assert_eq!(named.len(), 2, "{named:?}");
        assert_eq!(named[0], "Gains, isic, 20 % noise is +3.2 ± 2 and not +3.1 ± 2");
        assert!(named[1].ends_with("the plot “t” is another drawing"), "{named:?}");
        assert!(differences(&found, &Numbers::new()).len() == found.len());
    }

    /// A report is what its table says, until one number of either is changed; that one is named.
    #[test]
    fn a_changed_number_is_named() {
        use crate::study::report::{report, testing};
        use crate::study::results::write_csv;
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let accuracy = |cell: &crate::study::Cell| {
            let helped = if *cell.pretraining == *"moco" && cell.noise_rate > 0.0 { 0.06 } else { 0.0 };
            0.8 - 0.3 * cell.noise_rate + helped + 0.02 * testing::wobble(cell)
        };
        testing::write(dir, &testing::text("[0, 1]"), &accuracy);
        let gathered = gather(dir).unwrap();
        let table = write_csv(dir, &gathered).unwrap();
        let page = report(dir, &gathered).unwrap().0;
        let compared = check_report(dir).unwrap();
        assert!(compared > 300, "{compared} numbers");
        let changes = |path: &Path, from: &str, to: &str| {
            let text = files::read_text(path).unwrap();
            assert!(text.contains(from), "{from} is not in {}", path.display());
            std::fs::write(path, text.replacen(from, to, 1)).unwrap();
            let said = check_report(dir).unwrap_err();
            std::fs::write(path, text).unwrap();
            assert_eq!(said.exit_code(), 4);
            said.to_string()
        };
        let whole = files::read_text(&page).unwrap();
        let gain =
            whole.split_once("data-name=\"gained.moco.gain\"").unwrap().1.split_once("</data>").unwrap().0.to_string();
        let said = changes(&page, &gain, &gain.replace(">+", ">+9"));
        assert!(said.contains("gained.moco.gain is +9") && !said.contains("and 1 more"), "{said}");
        let said = changes(&page, "<td class=\"good\">+", "<td class=\"good\">+7");
        assert!(said.contains(": Gain over random weights, ") && said.contains(" is +7"), "{said}");
        let row = format!("{}", gathered.cells[0].1.test_accuracy);
        let said = changes(&table, &row, "0.5");
        assert!(said.contains("Gain over random weights, MoCo v2 phantom-fetal, clean labels is "), "{said}");
        let said = changes(&dir.join("report/ranks.csv"), "MoCo v2,1", "MoCo v2,2");
        assert!(said.contains("ranks.csv, line 2 is MoCo v2,2"), "{said}");
        assert!(said.contains("`wgslab study report "), "{said}");
        std::fs::remove_file(dir.join("report/profile.svg")).unwrap();
        assert!(check_report(dir).unwrap_err().to_string().contains("profile.svg is missing"));
    }

    /// A page that names a damaged run is right wherever its folder lies, and a run that is damaged later is blamed itself.
    #[test]
    fn a_damaged_run_is_named_and_a_moved_folder_is_as_right() {
        use crate::study::report::{report, testing};
        use crate::study::results::{run_folder, write_csv};
        let (all, here) = (tempfile::tempdir().unwrap(), "here");
        let dir = all.path().join(here);
        testing::write(&dir, &testing::text("[0]"), &|cell| 0.8 - 0.3 * cell.noise_rate);
        let written = |dir: &Path| {
            let gathered = gather(dir).unwrap();
            write_csv(dir, &gathered).unwrap();
            report(dir, &gathered).unwrap();
        };
        written(&dir);
        let names: Vec<String> = gather(&dir).unwrap().cells.into_iter().map(|c| c.0).collect();
        std::fs::write(run_folder(&dir, &names[3]).join("result.json"), "{}").unwrap();
        let said = check_report(&dir).unwrap_err().to_string();
        assert!(said.contains(&names[3]) && said.contains("is damaged") && said.contains("--redo-damaged"), "{said}");
        assert!(!said.contains("no run of the study has"), "{said}");
        written(&dir);
        check_report(&dir).unwrap();
        let moved = all.path().join("there");
        std::fs::rename(&dir, &moved).unwrap();
        check_report(&moved).unwrap();
        let page = files::read_text(&moved.join("report.html")).unwrap();
        assert!(page.contains(&names[3]) && !page.contains(&*all.path().to_string_lossy()), "a path of this machine");
        std::fs::remove_dir_all(run_folder(&moved, &names[4])).unwrap();
        let said = check_report(&moved).unwrap_err().to_string();
        assert!(said.contains("no run of the study has") && said.contains("`wgslab study report "), "{said}");
    }
}
