//! The page of an audit: one HTML file with small pictures inside.

use super::close::CloseInFeatures;
use super::found::{Audit, Close, Suspect};
use crate::base::Result;
use crate::base::plot::escape;
use crate::base::text::counted;
use crate::data::alike::{Alike, Set, places};
use crate::data::decode::{self, Resizer};
use crate::data::{self, DecodedData, Images, Split};
use crate::study::html::{document, picture, tile};

/// The most pixels on a side of a picture. Smaller pictures stay as they are.
const SIDE: usize = 96;
/// How many neighbours are shown beside a suspect.
const NEIGHBOURS: usize = 6;
/// How many pictures of a set are shown.
const OF_A_SET: usize = 12;

/// The pictures of a dataset.
struct Pictures<'a> {
    data: &'a DecodedData,
    places: Vec<(Split, usize)>,
}

impl<'a> Pictures<'a> {
    fn new(data: &'a DecodedData) -> Self {
        Pictures { data, places: places(data) }
    }

    /// The picture of an image over these lines of HTML, with its name under them: people look the file up. `class` may mark
    /// it.
    fn named(&self, index: usize, class: &str, lines: &str) -> Result<String> {
        let (split, at) = self.places[index];
        let name = self.data.parts[split as usize].as_ref().map_or("", |part| &part.images.names[at]);
        self.figure(index, class, &format!("{lines}<br><span class=\"soft name\">{}</span>", escape(name)))
    }

    /// The picture of an image over these lines of HTML; `class` may mark it.
    fn figure(&self, index: usize, class: &str, lines: &str) -> Result<String> {
        let (split, at) = self.places[index];
        let Some(part) = &self.data.parts[split as usize] else { return Ok(String::new()) };
        let side = part.images.height.min(SIDE);
        let pixels = decode::resized(&part.images, at, side, part.images.channels, &mut Resizer::new())?;
        let name = part.images.names[at].clone();
        let channels = part.images.channels;
        let pixels = pixels.into();
        let one = Images { height: side, width: side, channels, pixels, labels: vec![0], names: vec![name.clone()] };
        let image = picture(&data::png(&one, 0)?, &name);
        Ok(format!("<figure class=\"{class}\" title=\"{}\">{image}{lines}</figure>\n", escape(&name)))
    }

    fn class(&self, index: usize) -> String {
        let (split, at) = self.places[index];
        let label = self.data.parts[split as usize].as_ref().map(|p| p.images.labels[at] as usize);
        label.and_then(|l| self.data.classes.get(l)).map(|c| escape(c)).unwrap_or_default()
    }
}

impl Audit {
    /// The page, with the first `count` images of each list.
    pub fn page(&self, count: usize) -> Result<String> {
        let pictures = Pictures::new(&self.data);
        let s = &self.summary;
        let tiles = [
            tile(&s.images.to_string(), "images"),
            tile(&s.probably_wrong.to_string(), "labels are probably wrong"),
            tile(&s.alike.images.to_string(), "images are alike"),
            tile(&s.alike.with_another_label.to_string(), "of these with another label"),
            tile(&s.off_topic.len().to_string(), "images are off topic"),
        ];
        let body = [
            format!(
                "<p class=\"soft\">Labels that are probably wrong, found by comparing {}. A label is judged by a \
                 linear classifier that did not learn from it ({} folds) and by its {} nearest neighbours. The classifier \
                 agrees with {:.0} % of the labels: the weaker it is, the more right labels are counted as wrong, and then only \
                 their order helps. Look at the image before you change a label: a rare image is suspicious, too.</p>\n<div class=\"tiles\">\n{}</div>\n",
                escape(&s.features),
                s.folds,
                s.neighbours,
                100.0 * s.agreement,
                tiles.concat()
            ),
            self.classes(),
            self.suspects(&pictures, count)?,
            alike_sets(&pictures, &s.alike, count)?,
            close_pairs(&pictures, (&s.close, s.close_below), count)?,
            self.off_topic(&pictures, count)?,
        ];
        Ok(document(&format!("Audit of {}", s.name), &body.concat()))
    }

    fn classes(&self) -> String {
        let row = |c: &super::ClassSummary| {
            let share = 100.0 * c.probably_wrong as f64 / c.images.max(1) as f64;
            let name = escape(&c.class);
            format!(
                "<tr><td class=\"words\">{name}</td><td>{}</td><td>{}</td><td>{share:.1} %</td></tr>\n",
                c.images, c.probably_wrong
            )
        };
        let rows: String = self.summary.classes.iter().map(row).collect();
        format!(
            "<h2>Classes</h2>\n<div class=\"card scroll\"><table>\n<thead><tr><th class=\"words\">given label</th><th>images</th>\
             <th>probably wrong</th><th>share</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
        )
    }

    fn suspects(&self, pictures: &Pictures<'_>, count: usize) -> Result<String> {
        let shown: Vec<&Suspect> = self.rows.iter().filter(|r| r.score.is_some()).take(count).collect();
        let mut cards = String::new();
        for row in &shown {
            let (given, likely) = (escape(&row.given), escape(&row.likely));
            let mark = if row.suspect { "wrong" } else { "" };
            let own = pictures.figure(row.index, mark, "")?;
            let mut near = String::new();
            for &(cos, i) in self.near[row.index].iter().take(NEIGHBOURS) {
                near += &pictures.figure(
                    i,
                    "",
                    &format!("{}<br><span class=\"soft\">{cos:.2}</span>", pictures.class(i)),
                )?;
            }
            let share = |v: Option<f64>| v.map(|v| format!("{v:.3}")).unwrap_or_default();
            cards += &format!(
                "<div class=\"card suspect\"><div class=\"strip\">{own}</div><div><h3>{}. given {given}, likely {likely} \
                 <span>{}</span></h3>\n<p class=\"soft\">probability of the label {}, votes for it less those for another {}, score {}</p></div>\
                 <div class=\"strip\">\n{near}</div></div>\n",
                row.rank,
                escape(&row.path),
                share(row.self_confidence),
                share(row.neighbours),
                share(row.score)
            );
        }
        Ok(format!(
            "<h2>Suspicious labels</h2>\n<p class=\"soft\">The first {} of {}, the most suspicious first; a red frame marks \
             those that are counted as probably wrong. Beside each are its nearest neighbours with their labels and \
             cosines.</p>\n<div class=\"sets\">\n{cards}</div>\n",
            shown.len(),
            self.rows.len()
        ))
    }

    fn off_topic(&self, pictures: &Pictures<'_>, count: usize) -> Result<String> {
        let s = &self.summary;
        let mut figures = String::new();
        for image in s.off_topic.iter().take(count) {
            let lines = format!("{}<br><span class=\"soft\">{:.2}</span>", escape(&image.given), image.distance);
            figures += &pictures.named(image.index, "", &lines)?;
        }
        if figures.is_empty() {
            return Ok(figures);
        }
        Ok(format!(
            "<h2>Off topic</h2>\n<p class=\"soft\">The first {} of {} images that are farther from their nearest neighbours \
             (mean distance above {:.2}) than nearly all others.</p>\n<div class=\"card\"><div class=\"strip\">\n{figures}</div></div>\n",
            s.off_topic.len().min(count),
            s.off_topic.len(),
            s.off_topic_above
        ))
    }
}

/// A page of the images of a dataset that are alike, and of the pairs that are close in features where these were looked for,
/// the first `count` of each.
pub fn alike_page(data: &DecodedData, alike: &Alike, close: Option<&CloseInFeatures>, count: usize) -> Result<String> {
    let pictures = Pictures::new(data);
    let tiles = [
        tile(&pictures.places.len().to_string(), "images"),
        tile(&alike.images.to_string(), "images are alike"),
        tile(&alike.with_another_label.to_string(), "of these with another label"),
        tile(&alike.train_in_test.to_string(), "of train are alike to one of test"),
        tile(&alike.train_in_val.to_string(), "of train are alike to one of val"),
    ];
    let close =
        close.map(|c| close_pairs(&pictures, (&c.pairs, c.close_below), count)).transpose()?.unwrap_or_default();
    let sets = alike_sets(&pictures, alike, count)?;
    let body = format!("<div class=\"tiles\">\n{}</div>\n{sets}{close}", tiles.concat());
    Ok(document(&format!("Images of {} that are alike", data.name), &body))
}

/// Pairs whose features are close, the first `count` of them.
fn close_pairs(pictures: &Pictures<'_>, (close, below): (&[Close], f64), count: usize) -> Result<String> {
    let mut cards = String::new();
    for pair in close.iter().take(count) {
        let [a, b] = pair.indices;
        let figures = pictures.named(a, "", &pictures.class(a))? + &pictures.named(b, "", &pictures.class(b))?;
        cards += &format!(
            "<div class=\"card\"><h3>cosine {:.4}</h3><div class=\"strip\">\n{figures}</div></div>\n",
            pair.cosine
        );
    }
    if cards.is_empty() {
        return Ok(cards);
    }
    Ok(format!(
        "<h2>Close in features</h2>\n<p class=\"soft\">The first {} of {} whose features are closer (1 − cosine below \
         {below:.4}) than images here usually are to their nearest.</p>\n<div class=\"pairs\">\n{cards}</div>\n",
        close.len().min(count),
        counted(close.len(), "pair"),
    ))
}

fn alike_sets(pictures: &Pictures<'_>, alike: &Alike, count: usize) -> Result<String> {
    let mut cards = String::new();
    for set in alike.sets.iter().take(count) {
        cards += &alike_set(pictures, set)?;
    }
    let said = if cards.is_empty() { "There are none." } else { "" };
    Ok(format!(
        "<h2>Images that are alike</h2>\n<p class=\"soft\">The first {} of {} sets: equal pixels, or hashes that differ in at \
         most {} of 64 bits and details with a correlation of at least {:.2}. Sets with several labels come first, then \
         those in several splits. {said}</p>\n<div class=\"pairs\">\n{cards}</div>\n",
        alike.sets.len().min(count),
        alike.sets.len(),
        alike.hamming,
        alike.correlation
    ))
}

fn alike_set(pictures: &Pictures<'_>, set: &Set) -> Result<String> {
    let mut figures = String::new();
    for member in set.images.iter().take(OF_A_SET) {
        let mark = if set.several_labels { "wrong" } else { "" };
        let lines = format!("{}<br><span class=\"soft\">{}</span>", escape(&member.class), member.split);
        figures += &pictures.named(member.index, mark, &lines)?;
    }
    let copies = set.images.iter().skip(1).all(|m| m.copy);
    let how = if copies { "equal".to_string() } else { format!("correlation {:.2}", set.least_correlation) };
    let told: Vec<&str> = [(set.several_labels, "several labels"), (set.several_splits, "several splits")]
        .into_iter()
        .filter_map(|(holds, words)| holds.then_some(words))
        .collect();
    let told = if told.is_empty() { String::new() } else { format!(", {}", told.join(", ")) };
    let n = set.images.len();
    let n = counted(n, "image");
    Ok(format!(
        "<div class=\"card\"><h3>{n} <span>{how}{told}</span></h3><div class=\"strip\">\n{figures}</div></div>\n"
    ))
}
