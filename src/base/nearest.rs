//! Guesses which known name a user meant by an unknown one.

/// The known name that is close enough: at most a third of its letters differ.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|k| (distance(name, k), *k)).min()?;
    (near.0 <= 1.max(near.1.len() / 3)).then_some(near.1)
}

/// The `most` known names that are nearest, the nearest first, however far they are.
pub fn nearest_few<'a>(name: &str, known: &[&'a str], most: usize) -> Vec<&'a str> {
    let mut all: Vec<(usize, &str)> = known.iter().map(|k| (distance(name, k), *k)).collect();
    all.sort_unstable();
    all.into_iter().take(most).map(|(_, name)| name).collect()
}

/// Edit distance (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{nearest, nearest_few};

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        assert_eq!(nearest("conv2", &["conv2d", "matmul"]), Some("conv2d"));
        assert_eq!(nearest("warmup_epoch", &["epochs", "warmup_epochs"]), Some("warmup_epochs"));
        assert_eq!(nearest("quack", &["conv2d", "matmul"]), None);
        assert_eq!(nearest("x", &[]), None);
        assert_eq!(nearest_few("conv2", &["matmul", "conv2d", "conv"], 2), ["conv", "conv2d"]);
    }
}
