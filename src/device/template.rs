//! The templater of shader text: it unrolls as text what WGSL cannot unroll.
//!
//! It has two features. `$NAME` stands for a number: a constant of the kernel or a loop counter. Names are letters and
//! digits, so `acc_$m_$n` holds two of them; write `${m}u` if a letter follows. Lines between `//@ for i in A..B` and
//! `//@ end` are repeated for each i, and `//@ let n = A` gives a name to a number until the end of its block. A and B
//! are whole-number expressions of constants and counters with + - * / % and parentheses. Loops may nest. Unrolling as
//! text matters, because naga emits no loop that a driver can unroll, and function-local arrays that are indexed by a
//! loop counter are spilled to memory.

use crate::base::{Error, Result, text};

/// The most bytes of a kernel's text. A loop of a million rounds is a typing mistake, not a kernel. Compilers need a
/// thousand times the memory of a text, and seconds for one of this length.
const MOST_BYTES: usize = 1 << 20;

/// The most rounds of all loops together, including lines that give no text.
const MOST_ROUNDS: usize = 1 << 20;

/// The most nested loops and parentheses, and the most names.
const MOST_DEPTH: usize = 32;
const MOST_NAMES: usize = 1000;

/// Expanded text and, for each of its lines, the file and line it came from.
#[derive(Default)]
pub struct ExpandedWgsl {
    /// The WGSL.
    pub text: String,
    files: Vec<String>,
    /// For each line: which of `files`, and its line there.
    origin: Vec<(usize, usize)>,
    /// Rounds of loops, and the lines in them that only give a name to a number.
    rounds: usize,
}

impl ExpandedWgsl {
    /// A text that needs no expansion. Its lines are those of `file`.
    pub(super) fn of(file: &str, text: &str) -> ExpandedWgsl {
        let origin = (1..=text.lines().count()).map(|line| (0, line)).collect();
        ExpandedWgsl { text: text.to_string(), files: vec![file.to_string()], origin, rounds: 0 }
    }

    /// `file:line` of a 1-based line of the expanded text.
    pub fn place(&self, line: usize) -> String {
        match self.origin.get(line.wrapping_sub(1)) {
            Some(&(file, at)) => format!("{}:{at}", self.files[file]),
            None => format!("{}: unknown line", self.files.join(", ")),
        }
    }
}

/// Appends a piece's text with its loops unrolled and the kernel's constants filled in. An error names the line and
/// `file`, which is the place of the piece as a user knows it.
pub(super) fn expand(file: &str, text: &str, constants: &[(&'static str, u32)], out: &mut ExpandedWgsl) -> Result<()> {
    let lines: Vec<(usize, &str)> = text.lines().enumerate().collect();
    let mut values: Vec<(String, u32)> = constants.iter().map(|&(n, v)| (n.to_string(), v)).collect();
    out.files.push(file.to_string());
    block(&lines, &mut values, 0, out)
}

fn block(lines: &[(usize, &str)], values: &mut Vec<(String, u32)>, depth: usize, out: &mut ExpandedWgsl) -> Result<()> {
    let of = out.files.len() - 1;
    let mut i = 0;
    while i < lines.len() {
        let (at, line) = lines[i];
        let file = out.files[of].clone();
        let bad =
            || Error::Failed(format!("{file}:{}: cannot read '{}'", at + 1, text::visible(line.trim(), text::CELL)));
        let too = |what: String| Error::Failed(format!("{file}:{}: {what}", at + 1));
        if let Some(definition) = line.trim_start().strip_prefix("//@ let ") {
            let (name, value) = definition.split_once('=').ok_or_else(bad)?;
            values.push((name.trim().to_string(), number(value, values).ok_or_else(bad)?));
            out.rounds += 1;
            if values.len() > MOST_NAMES || out.rounds > MOST_ROUNDS {
                return Err(too(format!(
                    "more than {MOST_NAMES} numbers have a name, or {MOST_ROUNDS} were given one"
                )));
            }
            i += 1;
            continue;
        }
        if let Some(header) = line.trim_start().strip_prefix("//@ for ") {
            let (name, range) = header.split_once(" in ").ok_or_else(bad)?;
            let (from, to) = range.trim().split_once("..").ok_or_else(bad)?;
            let (from, to) = (number(from, values).ok_or_else(bad)?, number(to, values).ok_or_else(bad)?);
            let end = matching_end(&lines[i + 1..]).ok_or_else(bad)? + i + 1;
            if depth == MOST_DEPTH {
                return Err(too(format!("more than {MOST_DEPTH} loops are nested")));
            }
            for v in from..to {
                out.rounds += 1;
                if out.rounds > MOST_ROUNDS {
                    return Err(too(format!("the loops unroll to more than {MOST_ROUNDS} rounds")));
                }
                let outer = values.len();
                values.push((name.trim().to_string(), v));
                block(&lines[i + 1..end], values, depth + 1, out)?;
                values.truncate(outer);
            }
            i = end + 1;
            continue;
        }
        substitute(line, values, &mut out.text)
            .map_err(|n| Error::Failed(format!("{file}:{}: ${n} has no value", at + 1)))?;
        out.text.push('\n');
        if out.text.len() > MOST_BYTES {
            let place = format!("{}:{}", out.files[of], at + 1);
            return Err(Error::Failed(format!("{place}: the loops unroll to more than {MOST_BYTES} bytes of text")));
        }
        out.origin.push((of, at + 1));
        i += 1;
    }
    Ok(())
}

/// The index of the `//@ end` that closes a block whose body starts at `lines[0]`.
fn matching_end(lines: &[(usize, &str)]) -> Option<usize> {
    let mut depth = 0;
    for (i, (_, l)) in lines.iter().enumerate() {
        let l = l.trim_start();
        if l.starts_with("//@ for ") {
            depth += 1;
        } else if l.starts_with("//@ end") {
            if depth == 0 {
                return Some(i);
            }
            depth -= 1;
        }
    }
    None
}

/// The value of a whole-number expression, or `None` when it cannot be read.
fn number(text: &str, values: &[(String, u32)]) -> Option<u32> {
    if text.matches('(').count() > MOST_DEPTH {
        return None; // reading nested parentheses takes stack
    }
    let mut rest = text;
    let v = sum(&mut rest, values)?;
    rest.trim().is_empty().then_some(v)
}

fn sum(rest: &mut &str, values: &[(String, u32)]) -> Option<u32> {
    let mut v = product(rest, values)?;
    loop {
        *rest = rest.trim_start();
        match rest.bytes().next() {
            Some(b'+') => {
                *rest = &rest[1..];
                v = v.checked_add(product(rest, values)?)?;
            }
            Some(b'-') => {
                *rest = &rest[1..];
                v = v.checked_sub(product(rest, values)?)?;
            }
            _ => return Some(v),
        }
    }
}

fn product(rest: &mut &str, values: &[(String, u32)]) -> Option<u32> {
    let mut v = atom(rest, values)?;
    loop {
        *rest = rest.trim_start();
        let Some(op @ (b'*' | b'/' | b'%')) = rest.bytes().next() else { return Some(v) };
        *rest = &rest[1..];
        let w = atom(rest, values)?;
        v = match op {
            b'*' => v.checked_mul(w)?,
            b'/' => v.checked_div(w)?,
            _ => v.checked_rem(w)?,
        };
    }
}

fn atom(rest: &mut &str, values: &[(String, u32)]) -> Option<u32> {
    *rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('(') {
        *rest = inner;
        let v = sum(rest, values)?;
        *rest = rest.trim_start().strip_prefix(')')?;
        return Some(v);
    }
    let len = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (word, tail) = rest.split_at(len);
    *rest = tail;
    word.parse().ok().or_else(|| values.iter().rev().find(|(n, _)| n == word).map(|(_, v)| *v))
}

fn substitute(line: &str, values: &[(String, u32)], out: &mut String) -> Result<(), String> {
    let mut rest = line;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let braced = tail.strip_prefix('{').and_then(|t| t.split_once('}'));
        let (name, after) = match braced {
            Some(both) => both,
            None => tail.split_at(tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len())),
        };
        let value = values.iter().rev().find(|(n, _)| n == name).ok_or_else(|| name.to_string())?;
        out.push_str(&value.1.to_string());
        rest = after;
    }
    out.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str, constants: &[(&'static str, u32)]) -> Result<String> {
        let mut s = ExpandedWgsl::default();
        expand("t.wgsl", text, constants, &mut s)?;
        Ok(s.text)
    }

    #[test]
    fn loops_unroll_and_nest() {
        let text = "//@ for m in 0..TM\n//@ for n in 0..TN/4\nacc_$m_$n\n//@ end\n//@ end\nx$TM";
        assert_eq!(expanded(text, &[("TM", 2), ("TN", 8)]).unwrap(), "acc_0_0\nacc_0_1\nacc_1_0\nacc_1_1\nx2\n");
    }

    #[test]
    fn numbers_are_computed_and_named() {
        let text = "//@ for i in 0..(N+1)/2\n//@ let m = (i*3 + 1) % 4\na$i_$m\n//@ end\nb$N";
        assert_eq!(expanded(text, &[("N", 3)]).unwrap(), "a0_1\na1_0\nb3\n");
        assert!(expanded("//@ let m = 3 / 0", &[]).is_err());
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let e = expanded("a\nb $Q", &[]).unwrap_err().to_string();
        assert!(e.contains("t.wgsl:2") && e.contains("$Q"), "{e}");
        let e = expanded("//@ for i in 0..4\nno end", &[]).unwrap_err().to_string();
        assert!(e.contains("t.wgsl:1"), "{e}");
        let e = expanded("//@ for i in 0..4000000000\na long line of text\n//@ end", &[]).unwrap_err().to_string();
        assert!(e.contains("t.wgsl:2") && e.contains("unroll"), "{e}");
    }

    /// Any text is unrolled in little time and stack, or refused as too large.
    #[test]
    fn loops_and_numbers_without_end_are_refused() {
        let ways = [
            ("//@ for i in 0..4000000000\n//@ end".to_string(), "rounds"),
            ("//@ for i in 0..60000\n//@ for j in 0..60000\n//@ end\n//@ end".to_string(), "rounds"),
            ("//@ for i in 0..1\n".repeat(100_000) + &"//@ end\n".repeat(100_000), "loops are nested"),
            (format!("//@ let a = {}1{}", "(".repeat(100_000), ")".repeat(100_000)), "cannot read"),
            ("//@ let a = 1\n".repeat(100_000), "have a name"),
            (format!("//@ for i in 0..1000000\n{}//@ end", "//@ let a = 1\n".repeat(900)), "given one"),
        ];
        for (text, says) in ways {
            let e = expanded(&text, &[]).unwrap_err().to_string();
            assert!(e.starts_with("t.wgsl:") && e.contains(says), "{says}: {:.200}", e);
        }
    }
}
