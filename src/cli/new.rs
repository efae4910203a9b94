//! `wgslab new`: the config of a study, written by asking.

use super::data::which_images;
use super::list::expect_usable;
use super::options::Options;
use super::output::{complain, print};
use crate::base::{Error, Result, files};
use crate::study::cells;
use crate::study::config::Draft;
use clap::Args;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

/// Write the config of a study, by asking
///
/// Asks on a terminal for what no option says: images, sizes, network, pretraining methods, kinds and
/// rates of noise, methods and seeds. Elsewhere what no option says has its default, and --data is
/// needed. Each answer is checked at once as `wgslab study run` would. Writes NAME.toml, with the
/// meaning of each key beside it, and prints the command that comes next. A file that is there is
/// never replaced.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  wgslab new xrays
  wgslab new xrays --data my_images/ phantom:covid --image-size 64 --pretraining none,simclr,moco --noise-rate 0,0.2,0.4"
)]
pub(super) struct New {
    /// The file to write, with or without .toml; the report is titled by it
    name: PathBuf,
    #[arg(long, value_name = "SPEC", num_args = 1.., help = which_images())]
    data: Vec<String>,
    /// Side in pixels of the square that the network sees
    #[arg(long, value_name = "N")]
    image_size: Option<String>,
    /// 1 gray or 3 RGB
    #[arg(long, value_name = "N")]
    channels: Option<String>,
    /// The network: a ResNet or a ViT, as `model.arch` names it
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// Pretraining methods, apart by commas; `none` is random weights
    #[arg(long, value_name = "METHOD,…", value_delimiter = ',')]
    pretraining: Vec<String>,
    /// Noise kinds, apart by commas
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    noise_kind: Vec<String>,
    /// Noise rates from 0 to 1, apart by commas
    #[arg(long, value_name = "R,…", value_delimiter = ',')]
    noise_rate: Vec<String>,
    /// Methods that learn from the labels, apart by commas
    #[arg(long, value_name = "METHOD,…", value_delimiter = ',')]
    method: Vec<String>,
    /// Seeds, apart by commas: the grid is repeated for each
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    seed: Vec<String>,
}

/// What is asked: the key, and the question.
const QUESTIONS: [(&str, &str); 9] = [
    (
        "data.specs",
        "Which images? Folders, files or phantom:NAME, apart by commas (`wgslab data inspect --help` lists what is read)",
    ),
    ("data.image_size", "How many pixels has a side of the square that the network sees?"),
    ("data.channels", "Gray (1) or RGB (3)?"),
    ("model.arch", "Which network?"),
    ("pretraining.methods", "Which pretraining methods? `none` is random weights, which gains are over"),
    ("noise.kinds", "How do labels go wrong?"),
    ("noise.rates", "At which rates, from 0 to 1? 0 is clean labels"),
    ("training.methods", "Which methods learn from the wrong labels?"),
    ("seeds", "Which seeds? The grid is repeated for each; tests need several"),
];

impl New {
    pub fn run(&self, options: &Options) -> Result<()> {
        let path = match self.name.extension() {
            Some(end) if end == "toml" => self.name.clone(),
            _ => PathBuf::from(format!("{}.toml", self.name.display())),
        };
        expect_new(&path)?;
        let title = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut draft = Draft::new(&title)?;
        let there = |draft: &Draft| expect_usable(&draft.config()?, &options.data_root);
        let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
        if stdin.is_terminal() && stderr.is_terminal() {
            ask(&mut draft, &self.given(), &there, &mut stdin.lock(), &mut stderr.lock())?;
        } else {
            if self.data.is_empty() {
                return Err(Error::Usage(
                    "say with --data which images: there is no terminal to ask on, and all else has defaults".into(),
                ));
            }
            let given = self.given();
            given
                .iter()
                .filter(|(_, answer)| !answer.is_empty())
                .try_for_each(|(key, answer)| draft.set(key, answer))?;
            there(&draft)?;
        }
        expect_new(&path)?; // while it was asked, another may have written it
        files::write_atomic(&path, draft.text().as_bytes())?;
        print(&self.next(options, &path, cells(&draft.config()?).len()))
    }

    /// What the options say, by question; empty where nothing is said.
    fn given(&self) -> Vec<(&'static str, Vec<String>)> {
        let one = |o: &Option<String>| o.iter().cloned().collect::<Vec<_>>();
        let said = [
            self.data.clone(),
            one(&self.image_size),
            one(&self.channels),
            one(&self.arch),
            self.pretraining.clone(),
            self.noise_kind.clone(),
            self.noise_rate.clone(),
            self.method.clone(),
            self.seed.clone(),
        ];
        QUESTIONS.iter().map(|(key, _)| *key).zip(said).collect()
    }

    /// What was written, and the commands that come next.
    fn next(&self, options: &Options, path: &std::path::Path, cells: usize) -> String {
        let quoted = |p: &std::path::Path| {
            let text = p.display().to_string();
            if text.contains(|c: char| !(c.is_alphanumeric() || "._-/".contains(c))) {
                format!("'{text}'")
            } else {
                text
            }
        };
        let root = match options.data_root.as_os_str() == "." {
            true => String::new(),
            false => format!(" --data-root {}", quoted(&options.data_root)),
        };
        let file = quoted(path);
        let cells = crate::base::text::counted(cells, "cell");
        format!(
            "{file} describes {cells}. Look at them, at what they take, then run them:\n  wgslab study list {file}{root}\n  wgslab study run {file}{root} --dry-run    whether it fits \
             the adapter, hours, disk and memory\n  wgslab study run {file}{root}"
        )
    }
}

fn expect_new(path: &std::path::Path) -> Result<()> {
    if !files::exists(path)? {
        return Ok(());
    }
    Err(Error::Usage(format!("{} is there already and is not replaced; take another name", path.display())))
}

/// Asks for each key that is not given until the answer is right; an empty line takes what stands in brackets.
/// `there` says whether the images can be trained on.
fn ask(
    draft: &mut Draft,
    given: &[(&str, Vec<String>)],
    there: &dyn Fn(&Draft) -> Result<()>,
    from: &mut dyn BufRead,
    to: &mut dyn Write,
) -> Result<()> {
    let lost = |e: std::io::Error| Error::Failed(format!("cannot ask on this terminal: {e}"));
    for (key, question) in QUESTIONS {
        if key == "noise.rates" && !draft.takes_rates() {
            continue;
        }
        // A wrong option ends the command: whoever wrote it can write it again.
        if let Some((_, answer)) = given.iter().find(|g| g.0 == key && !g.1.is_empty()) {
            draft.set(key, answer)?;
            if key == "data.specs" {
                there(draft)?;
            }
            continue;
        }
        writeln!(to, "{question}").map_err(lost)?;
        loop {
            write!(to, "  [{}] ", draft.shown(key)).and_then(|()| to.flush()).map_err(lost)?;
            let mut line = String::new();
            if from.read_line(&mut line).map_err(lost)? == 0 {
                return Err(Error::Usage("the answers ended before the questions; nothing was written".into()));
            }
            let mut tried = draft.clone();
            let answer: Vec<String> = line.split(',').map(|part| part.trim().to_string()).collect();
            let set = if line.trim().is_empty() { Ok(()) } else { tried.set(key, &answer) };
            match set.and_then(|()| if key == "data.specs" { there(&tried) } else { Ok(()) }) {
                Ok(()) => {
                    *draft = tried;
                    break;
                }
                Err(e) => complain(&format!("  {e}")),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: &str, given: &[(&str, Vec<String>)]) -> (Result<Draft>, String) {
        let (mut draft, mut said) = (Draft::new("t").unwrap(), Vec::new());
        let there = |d: &Draft| match d.shown("data.specs").contains("gone") {
            true => Err(Error::Data("gone".into())),
            false => Ok(()),
        };
        let ended = ask(&mut draft, given, &there, &mut answers.as_bytes(), &mut said);
        (ended.map(|()| draft), String::from_utf8(said).unwrap())
    }

    #[test]
    fn a_wrong_answer_is_asked_again_and_an_empty_one_keeps_the_default() {
        let answers = "gone\nphantom:covid, phantom:mura\n5\n64\n\n\nnone, simclrr\nnone, byol\n\n0, 0.2\nelr\n0, 1\n";
        let (draft, said) = asked(answers, &[]);
        let config = draft.unwrap().config().unwrap();
        assert_eq!(config.data.specs, ["phantom:covid", "phantom:mura"]);
        assert_eq!((config.data.image_size, config.data.channels), (64, 1));
        assert_eq!(
            (config.pretraining.methods, config.noise.rates),
            (vec!["none".into(), "byol".into()], vec![0.0, 0.2])
        );
        assert_eq!((config.training.methods, config.seeds), (vec!["elr".to_string()], vec![0, 1]));
        assert_eq!(said.matches("[phantom:covid] ").count(), 2, "{said}");
        assert_eq!(said.matches("[none, simclr] ").count(), 2, "{said}");
    }

    #[test]
    fn what_an_option_says_is_not_asked_and_answers_that_end_write_nothing() {
        let given: Vec<_> = QUESTIONS.iter().map(|(key, _)| *key).map(|key| (key, vec![])).collect();
        let (ended, said) = asked("\n", &given);
        assert!(ended.unwrap_err().to_string().contains("nothing was written"));
        assert!(said.contains("Which images?"));
        let all = [
            ("data.specs", vec!["phantom:covid".to_string()]),
            ("data.image_size", vec!["32".into()]),
            ("data.channels", vec!["1".into()]),
            ("model.arch", vec!["resnet18".into()]),
            ("pretraining.methods", vec!["none".into(), "simclr".into()]),
            ("noise.kinds", vec!["given".into()]),
            ("training.methods", vec!["cross_entropy".into()]),
            ("seeds", vec!["3".into()]),
        ];
        let (draft, said) = asked("", &all);
        assert_eq!((draft.unwrap().config().unwrap().seeds, said.as_str()), (vec![3], ""));
    }
}
