//! Makes text safe for a terminal. Names and lines of files may hold anything, and a user must be able to read what
//! is printed.

/// The most characters of a line on a terminal. A longer line loses its middle, because the way out is at the end of an
/// error.
pub const LINE: usize = 2000;

/// The most characters of a table's cell. All rows are padded to the widest one.
pub const CELL: usize = 120;

/// The most characters of a name within a sentence.
pub const NAME: usize = 200;

/// A number with what it counts, whose plural ends in s: `1 epoch`, `2 epochs`.
pub fn counted(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// Bytes as base64 (RFC 4648).
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63] as char;
            text.push(if i <= three.len() { digit } else { '=' });
        }
    }
    text
}

/// `line` as one line of at most `most` characters. Characters that a terminal would act on instead of showing
/// (escapes, line ends, marks that turn the direction of writing) are written as `\u{1b}`. A longer text loses its
/// middle, and the number of characters left out is shown instead. Tabs stay.
pub fn visible(line: &str, most: usize) -> String {
    spelled(line, most, obeyed)
}

/// A name as [`visible`] shows it. Characters that make two names look the same (combining marks, letters without
/// width, unusual spaces) are written as codes as well.
pub fn distinct(name: &str, most: usize) -> String {
    let alike = |c: char| matches!(c, '\u{300}'..='\u{36f}') || c.is_whitespace() && c != ' ' || is_without_width(c);
    spelled(name, most, |c| obeyed(c) || alike(c))
}

/// Whether a character has no width and is not a space.
pub fn is_without_width(c: char) -> bool {
    is_joiner(c) || obeyed(c) && !c.is_whitespace()
}

/// The two joiners are part of the spelling of some languages.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// `line` with the characters that `hidden` selects written as codes. A longer line loses its middle; the number of
/// characters left out is shown.
fn spelled(line: &str, most: usize, hidden: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    let push = |c: char, out: &mut String| match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c if hidden(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    };
    // Only the characters that are shown are processed further.
    let count = if line.len() <= most { line.len() } else { line.chars().count() };
    if count <= most {
        line.chars().for_each(|c| push(c, &mut out));
        return out;
    }
    let (head, tail) = (most * 2 / 3, most / 3);
    line.chars().take(head).for_each(|c| push(c, &mut out));
    out.push_str(&format!(" … ({} characters are left out) … ", count - head - tail));
    let mut end: Vec<char> = line.chars().rev().take(tail).collect();
    end.reverse();
    end.into_iter().for_each(|c| push(c, &mut out));
    out
}

/// Whether [`visible`] shows `line` as it is, by a look that is quick and may say no where it does.
pub fn is_plain(line: &str, most: usize) -> bool {
    line.len() <= most && line.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// Each line of `text` as [`visible`] shows it.
pub fn visible_lines(text: &str) -> String {
    // A list may have a million lines, so that a line is copied once where it is shown as it is.
    let mut out = String::with_capacity(text.len());
    for (i, line) in text.split('\n').enumerate() {
        out.push_str(if i == 0 { "" } else { "\n" });
        match is_plain(line, LINE) {
            true => out.push_str(line),
            false => out.push_str(&visible(line, LINE)),
        }
    }
    out
}

/// Whether a terminal would act on a character, or show nothing of it.
fn obeyed(c: char) -> bool {
    match c {
        '\t' => false,
        c if is_joiner(c) => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' => true,
        // Characters without width, other line ends, marks and overrides of direction, tags.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|t| base64(t.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        assert_eq!(visible("a\u{1b}[31mb\r\n\tc", LINE), "a\\u{1b}[31mb\\r\\n\tc");
        assert_eq!(visible("left\u{202e}right\u{9b}\u{7f}\u{2028}", LINE), "left\\u{202e}right\\u{9b}\\u{7f}\\u{2028}");
        for plain in ["Größe, 子宮, صورة, क्ष, 🩻", "می\u{200c}خواهم", ""] {
            assert_eq!(visible(plain, LINE), plain);
        }
        assert_eq!(
            distinct("می\u{200c}a\t\u{a0}e\u{301}\u{202e} b", CELL),
            "می\\u{200c}a\\u{9}\\u{a0}e\\u{301}\\u{202e} b"
        );
        assert_eq!(visible_lines("a\u{7}\nb\n"), "a\\u{7}\nb\n");
        // For any text, nothing that is shown makes a terminal act.
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        let shown = visible(&all, usize::MAX);
        assert!(!shown.chars().any(|c| c != '\t' && (obeyed(c) || c.is_control())));
    }

    #[test]
    fn a_long_line_is_shown_from_both_ends() {
        let long = format!("{}{}end", "ü".repeat(5_000_000), "\u{1b}".repeat(3));
        let shown = visible(&long, 90);
        assert!(shown.starts_with(&"ü".repeat(60)) && shown.ends_with("\\u{1b}\\u{1b}\\u{1b}end"), "{shown}");
        assert!(shown.contains(" (4999916 characters are left out) ") && shown.len() < 300, "{shown}");
        assert_eq!(visible("ü".repeat(90).as_str(), 90), "ü".repeat(90));
        assert!(visible(&"\u{1b}".repeat(3_000_000), LINE).len() < 8 * LINE);
    }
}
