//! Measures how deep WGSL nests. naga, its writers and drivers process a text with recursive functions, and a stack
//! overflow ends the process without a message. So edited text is measured before any of them reads it. These nest:
//! brackets, the operators of one expression (`a + b + c`, `--x`, `a.b.c`), template lists (`array<array<…`), the `else
//! if`s of one statement, and declarations, each of which may need the next.

/// The deepest nesting that a kernel may have. The committed kernels reach a quarter of it.
pub(super) const MOST_DEPTH: usize = 400;

/// The most declarations of a kernel.
pub(super) const MOST_DECLARATIONS: usize = 2000;

/// The text between two brackets, or the whole text.
#[derive(Default)]
struct Level {
    /// The brackets around it, and the links of the expressions that contain them.
    around: usize,
    /// The links of the expression or statement so far: operators, calls, indices, members, `else`s.
    chain: usize,
    /// The deepest pair of brackets in it.
    inner: usize,
    /// The deepest expression or statement before it.
    before: usize,
    /// Open template lists, unless their `<` turns out to be a comparison.
    angles: usize,
    /// A `}` may have ended the statement. The next token decides.
    closed: bool,
}

impl Level {
    fn depth(&self) -> usize {
        self.before.max(self.chain + self.inner)
    }

    /// Ends the expression or statement.
    fn next(&mut self) {
        *self = Level { around: self.around, before: self.depth(), ..Level::default() };
    }
}

/// The depth of a text, and the number of its declarations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nesting {
    pub depth: usize,
    pub declarations: usize,
    /// The 1-based line at which a limit was passed.
    pub too_much_at: Option<usize>,
}

/// Measures `text`, up to the first line that is too much.
pub(super) fn nesting(text: &str) -> Nesting {
    let (mut outer, mut level, mut found) = (Vec::new(), Level::default(), Nesting::default());
    let (mut line, mut rest) = (1, text);
    while let Some(first) = rest.chars().next() {
        let (word, after) = rest.split_at(token(rest, first));
        if !blank(first) && !word.starts_with("//") && !word.starts_with("/*") {
            if level.closed && word != "else" {
                level.next();
            }
            level.closed = false;
            match first {
                '(' | '[' | '{' => {
                    level.chain += usize::from(first != '{');
                    let around = level.around + level.chain + 1;
                    outer.push(std::mem::replace(&mut level, Level { around, ..Level::default() }));
                }
                ')' | ']' | '}' => {
                    if let Some(o) = outer.pop() {
                        let within = std::mem::replace(&mut level, o).depth() + 1;
                        level.inner = level.inner.max(within);
                        level.closed = first == '}';
                    }
                }
                ';' => level.next(),
                // In an open template list a comma ends an argument, not the list.
                ',' if level.angles == 0 => level.next(),
                '<' | '>' if word.len() == 1 => {
                    level.chain += 1;
                    level.angles = if first == '<' { level.angles + 1 } else { level.angles.saturating_sub(1) };
                }
                _ if word == "else" => level.chain += 1,
                _ if DECLARES.contains(&word) => found.declarations += usize::from(outer.is_empty()),
                c if c.is_ascii_punctuation() && !matches!(c, '_' | ',') => level.chain += 1,
                _ => {}
            }
        }
        line += word.matches('\n').count();
        rest = after;
        found.depth = found.depth.max(level.around + level.depth());
        if found.depth > MOST_DEPTH || found.declarations > MOST_DECLARATIONS {
            return Nesting { too_much_at: Some(line), ..found };
        }
    }
    found
}

/// Words that begin a declaration.
const DECLARES: [&str; 6] = ["fn", "const", "alias", "struct", "var", "override"];

/// WGSL's white space.
fn blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200e}' | '\u{200f}')
}

/// The bytes of the token, comment or white space that `rest` begins with.
fn token(rest: &str, first: char) -> usize {
    let until = |end: &dyn Fn(char) -> bool| rest.find(end).unwrap_or(rest.len());
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    match first {
        // Any of WGSL's line breaks ends a comment.
        '/' if rest.starts_with("//") => {
            until(&|c| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'))
        }
        '/' if rest.starts_with("/*") => block_comment(rest.as_bytes()),
        // The sign in 1.5e-3 counts as an operator. That is one too many, which does no harm.
        c if c.is_ascii_digit() => until(&|c| !in_word(c) && c != '.'),
        c if in_word(c) => until(&|c| !in_word(c)),
        '<' if rest.starts_with("<<") || rest.starts_with("<=") => 2,
        '-' if rest.starts_with("->") => 2,
        c => c.len_utf8(),
    }
}

/// The bytes of a comment. Comments nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut at, mut open) = (0, 0usize);
    while at < rest.len() {
        let (step, change) = match &rest[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        open = open.saturating_add_signed(change);
        if open == 0 {
            break;
        }
    }
    at
}

/// Every kind of nesting that the tests try, at depth `n`. The text is valid except for its depth.
#[cfg(test)]
pub(super) fn ways(n: usize) -> Vec<(&'static str, String)> {
    let body = |text: String| format!("@compute @workgroup_size(1)\nfn main() {{ {text} }}\n");
    let around = |open: &str, middle: &str, close: &str| format!("{}{middle}{}", open.repeat(n), close.repeat(n));
    let numbered = |each: &dyn Fn(usize) -> String| (0..n).map(each).collect::<String>();
    vec![
        ("parentheses", body(format!("var x = {};", around("(", "1", ")")))),
        ("calls", body(format!("var x = {};", around("abs(", "1.0", ")")))),
        ("indices", body(format!("var a = array<u32, 2>(0u, 0u); var x = {};", around("a[", "0u", "]")))),
        ("blocks", body(around("{", "", "}"))),
        ("ifs", body(around("if (true) {", "", "}"))),
        ("loops", body(around("loop { ", "break;", " break; }"))),
        ("else ifs", body(format!("if (true) {{}} {}", "else if (true) {} ".repeat(n)))),
        ("else ifs apart", body(format!("if (true) {{}} {}", "/**/\u{2028}else if (true) {}\u{85}// \r".repeat(n)))),
        ("switches", body(around("switch 1u { default { ", "", " } }"))),
        ("minus", body(format!("var x = {}1;", "- ".repeat(n)))),
        ("not", body(format!("var x = {}true;", "!".repeat(n)))),
        ("references", body(format!("var y = 1; var x = {}y;", "*&".repeat(n)))),
        ("sums", body(format!("var x = 1{};", " + 1".repeat(n)))),
        ("products on the right", body(format!("var x = {};", around("1 * (1 + ", "1", ")")))),
        ("ands", body(format!("var x = true{};", " && true".repeat(n)))),
        ("members", body(format!("var v = vec4<f32>(); var x = v{};", ".xyzw".repeat(n)))),
        ("indices in a row", body(format!("var v = vec4<f32>(); var x = v{};", "[0]".repeat(n)))),
        ("arrays", body(format!("var x: {};", around("array<", "f32", ", 1>")))),
        ("pointers", format!("fn f(x: {}) {{}}\n{}", around("ptr<function, ", "f32", ">"), body(String::new()))),
        ("constants", numbered(&|i| format!("const c{i} = c{};\n", i + 1)) + &format!("const c{n} = 1;\n")),
        (
            "structs",
            numbered(&|i| format!("struct S{i} {{ a: S{} }}\n", i + 1)) + &format!("struct S{n} {{ a: u32 }}\n"),
        ),
        ("functions", numbered(&|i| format!("fn g{i}() {{ g{}(); }}\n", i + 1)) + &format!("fn g{n}() {{}}\n")),
        ("comments", format!("{}{}", around("/*", " ", "*/"), body(String::new()))),
        ("open brackets", "(".repeat(n)),
        ("open braces", "fn f() ".to_string() + &"{".repeat(n)),
        ("open comments", "/*".repeat(n)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_of_what_calls_itself() {
        let depth = |text: &str| nesting(text).depth;
        assert_eq!(depth("f(a, b, c, d)"), 2);
        assert_eq!(depth("x = ((1));"), depth("x = ((1)); x = ((1)); x = ((1));"));
        assert_eq!(depth("1 + 2 + 3") + 4, depth("1 + 2 + 3 + 4 - 5 * 6 % 7"));
        assert_eq!(depth("{ if (a) {} if (b) {} }"), depth("{ if (a) {} }"));
        assert!(depth("{ if (a) {} else if (b) {} else if (c) {} }") > depth("{ if (a) {} else {} }"));
        // What follows a deep operand is still deeper.
        assert!(depth("((((1)))) + 1") > depth("((((1))))"));
        assert_eq!(depth("// ((((\n/* (((( /* (( */ ((( */ 1.5"), 0);
        assert_eq!(depth("a<b<c, d<e, f>>>"), depth("a<b<c>>") + 2);
        assert_eq!(nesting("a\n((\n").too_much_at, None);
        assert_eq!(nesting(&format!("a\n\n{}", "(".repeat(300))).too_much_at, Some(3));
        assert_eq!(nesting("const a = 1; fn f() { var x: u32; const b = 2; } struct S { v: u32 }").declarations, 3);
    }

    /// All nesting must be found, in time and memory that grow with the length of the text.
    #[test]
    fn every_way_of_nesting_is_measured() {
        for ((name, shallow), (_, deep)) in ways(100).into_iter().zip(ways(100_000)) {
            let (shallow, deep) = (nesting(&shallow), nesting(&deep));
            if name.contains("comments") {
                assert_eq!((deep.too_much_at, deep.depth), (None, shallow.depth), "{name}");
                continue;
            }
            assert!(shallow.depth >= 100 || shallow.declarations >= 100, "{name}: {shallow:?}");
            assert!(deep.too_much_at.is_some(), "{name}: {deep:?}");
        }
    }

    /// The committed kernels must be far enough from the limit to allow edits.
    #[test]
    fn committed_text_nests_little() {
        let kernels = crate::device::tree::pieces().map(|(path, text)| (path, nesting(text)));
        for (path, found) in kernels {
            assert!(found.depth <= MOST_DEPTH / 4 && found.declarations <= MOST_DECLARATIONS / 4, "{path}: {found:?}");
        }
    }
}
