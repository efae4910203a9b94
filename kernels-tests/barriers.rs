//! Reads from the text of a kernel whether all invocations of a workgroup reach each barrier. naga accepts a barrier
//! that only some invocations reach; drivers hang there, and browsers refuse it.
//!
//! A value differs between invocations when it comes from an invocation's own number. `let`, `var`, assignments and
//! arguments pass this on. So does an assignment that only some invocations reach. WGSL takes a private variable, workgroup
//! memory and a buffer that the kernel writes for something that differs, whatever is in it, and so do browsers; what
//! `workgroupUniformLoad` reads is the same for all, and its place must be, too. Control flow diverges at an
//! `if`, a loop or a `switch` on a value that differs. After a `return` there, the rest of the function is divergent;
//! after a `break` or `continue`, the rest of its loop. A call of a function that holds a barrier counts as a barrier.

use crate::harness::ensure;
use std::collections::{BTreeMap, BTreeSet};

/// Built-in values that differ between the invocations of a workgroup.
const OWN: [&str; 5] =
    ["local_invocation_index", "local_invocation_id", "global_invocation_id", "subgroup_invocation_id", "subgroup_id"];
/// Reads workgroup memory for all invocations together, after a barrier.
const UNIFORM_LOAD: &str = "workgroupUniformLoad";
const BARRIERS: [&str; 5] = ["workgroupBarrier", "storageBarrier", "textureBarrier", "subgroupBarrier", UNIFORM_LOAD];
const ASSIGNMENTS: [&str; 11] = ["=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "++", "--"];
/// Operators of two characters, which stay one token.
const PAIRS: [&str; 10] = ["==", "<=", ">=", "!=", "&&", "||", "->", "<<", "++", "--"];

type Tokens<'t> = &'t [&'t str];

struct Function<'t> {
    name: &'t str,
    parameters: Vec<&'t str>,
    /// The parameters that hold an invocation's own number.
    own: Vec<&'t str>,
    body: Tokens<'t>,
}

/// The functions of a text, the address space of each of its variables, and those that WGSL takes for differing.
struct Module<'t> {
    functions: Vec<Function<'t>>,
    spaces: BTreeMap<&'t str, &'t str>,
    shared: Vec<&'t str>,
}

/// A block of a function, in braces.
struct Block {
    divergent: bool,
    is_loop: bool,
    /// Whether it holds a barrier.
    waits: bool,
    /// Whether some invocations, but not all, leave it early.
    left: bool,
}

struct Flow<'t> {
    module: &'t Module<'t>,
    /// Names whose values differ between invocations. Each has the index of its function; a private variable has none.
    differing: BTreeSet<(Option<usize>, &'t str)>,
    found: Option<String>,
}

/// The first barrier that only some invocations of a workgroup may reach.
pub fn divergent(text: &str) -> Option<String> {
    let tokens = tokens(text);
    let module = Module::new(&tokens);
    let mut flow = Flow { module: &module, differing: BTreeSet::new(), found: None };
    for (f, function) in module.functions.iter().enumerate() {
        flow.differing.extend(function.own.iter().map(|name| (Some(f), *name)));
    }
    flow.differing.extend(module.shared.iter().map(|name| (None, *name)));
    loop {
        let before = flow.differing.len();
        flow.found = None;
        (0..module.functions.len()).for_each(|f| flow.walk(f));
        if flow.differing.len() == before {
            return flow.found;
        }
    }
}

/// The text with a `return` for one invocation at the head of `main`. None where no barrier follows or where `main`
/// takes no number of the invocation.
pub fn with_early_return(text: &str) -> Option<String> {
    let tokens = tokens(text);
    let module = Module::new(&tokens);
    let main = module.functions.iter().find(|f| f.name == "main" && module.waits(f.body))?;
    let own = main.own.first()?;
    let begin = text.find("fn main(")?;
    let at = begin + text[begin..].find('{')? + 1;
    Some(format!("{} if ({own} == 1u) {{ return; }} {}", &text[..at], &text[at..]))
}

fn tokens(text: &str) -> Vec<&str> {
    let mut list = Vec::new();
    for line in text.lines() {
        let mut rest = line.split("//").next().unwrap_or_default().trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let pair = rest.get(..2).filter(|p| PAIRS.contains(p) || ASSIGNMENTS.contains(p));
            let length = match pair {
                Some(_) => 2,
                None if is_word(first) => rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()),
                None => first.len_utf8(),
            };
            list.push(&rest[..length]);
            rest = rest[length..].trim_start();
        }
    }
    list
}

/// How a token changes the depth of brackets.
fn deeper(token: &str) -> i32 {
    match token {
        "(" | "[" => 1,
        ")" | "]" => -1,
        _ => 0,
    }
}

/// Cuts the tokens where `ends` says so, outside of brackets. Gives each part with the token that ended it.
fn parts<'t>(tokens: Tokens<'t>, ends: impl Fn(&str) -> bool) -> Vec<(Tokens<'t>, &'t str)> {
    let (mut list, mut from, mut depth) = (Vec::new(), 0, 0);
    for (i, token) in tokens.iter().enumerate() {
        depth += deeper(token);
        if depth == 0 && ends(token) {
            list.push((&tokens[from..i], *token));
            from = i + 1;
        }
    }
    list.push((&tokens[from..], ""));
    list
}

/// The tokens within the brackets that open at the head of `tokens`.
fn bracketed<'t>(tokens: Tokens<'t>, open: &str, close: &str) -> Tokens<'t> {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate() {
        depth += i32::from(*token == open) - i32::from(*token == close);
        if depth == 0 {
            return &tokens[1..i];
        }
    }
    &[]
}

/// The indices of tokens that are no part of what a [`UNIFORM_LOAD`] is given.
fn apart(tokens: Tokens<'_>) -> impl Iterator<Item = usize> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let i = next;
        let load = *tokens.get(i)? == UNIFORM_LOAD;
        next += if load { 1 + bracketed(&tokens[i + 1..], "(", ")").len() } else { 1 };
        Some(i)
    })
}

impl<'t> Module<'t> {
    fn new(tokens: Tokens<'t>) -> Self {
        let (mut functions, mut spaces, mut shared, mut i) = (Vec::new(), BTreeMap::new(), Vec::new(), 0);
        while i < tokens.len() {
            match &tokens[i..] {
                ["fn", name, rest @ ..] => {
                    let inside = bracketed(rest, "(", ")");
                    let list = parts(inside, |t| t == ",");
                    let named = list.iter().filter_map(|(p, _)| Some((p[p.iter().position(|t| *t == ":")? - 1], *p)));
                    let named: Vec<(&str, Tokens<'t>)> = named.collect();
                    let own = named.iter().filter(|p| p.1.iter().any(|t| OWN.contains(t))).map(|p| p.0).collect();
                    let begin = rest.iter().position(|t| *t == "{").unwrap_or(0);
                    let body = bracketed(&rest[begin..], "{", "}");
                    functions.push(Function { name, parameters: named.iter().map(|p| p.0).collect(), own, body });
                    i += begin + body.len() + 4;
                }
                ["var", "<", space, rest @ ..] => {
                    let end = rest.iter().position(|t| *t == ">").unwrap_or(0);
                    let name = rest.get(end + 1);
                    spaces.extend(name.map(|n| (*n, *space)));
                    let differs = matches!(*space, "private" | "workgroup") || rest[..end].contains(&"read_write");
                    shared.extend(name.filter(|_| differs));
                    i += 3;
                }
                _ => i += 1,
            }
        }
        Module { functions, spaces, shared }
    }

    /// The function that is called at token `i`, if any.
    fn called(&self, tokens: Tokens<'t>, i: usize) -> Option<usize> {
        tokens.get(i + 1).filter(|t| **t == "(")?;
        self.functions.iter().position(|f| f.name == tokens[i])
    }

    /// Whether the tokens hold a barrier or call a function that holds one.
    fn waits(&self, tokens: Tokens<'t>) -> bool {
        (0..tokens.len()).any(|i| {
            let call = self.called(tokens, i);
            BARRIERS.contains(&tokens[i]) || call.is_some_and(|f| self.waits(self.functions[f].body))
        })
    }
}

impl<'t> Flow<'t> {
    fn has(&self, f: usize, name: &'t str) -> bool {
        self.differing.contains(&(Some(f), name)) || self.differing.contains(&(None, name))
    }

    /// Whether an expression of a function differs between invocations.
    fn differs(&self, f: usize, tokens: Tokens<'t>) -> bool {
        apart(tokens).any(|i| {
            let is_member = i > 0 && tokens[i - 1] == ".";
            let call = self.module.called(tokens, i);
            !is_member && (self.has(f, tokens[i]) || call.is_some_and(|g| self.reads_differing(g)))
        })
    }

    /// Whether a function, or one that it calls, names a variable of the module that differs.
    fn reads_differing(&self, f: usize) -> bool {
        let body = self.module.functions[f].body;
        let is_member = |i: usize| i > 0 && body[i - 1] == ".";
        let named = |i: usize| !is_member(i) && self.differing.contains(&(None, body[i]));
        apart(body).any(|i| named(i) || self.module.called(body, i).is_some_and(|g| self.reads_differing(g)))
    }

    /// Marks the parameters of called functions whose arguments differ.
    fn pass(&mut self, f: usize, tokens: Tokens<'t>) {
        for i in 0..tokens.len() {
            let Some(called) = self.module.called(tokens, i) else { continue };
            let arguments = parts(bracketed(&tokens[i + 1..], "(", ")"), |t| t == ",");
            let parameters = &self.module.functions[called].parameters;
            for (name, (argument, _)) in parameters.iter().zip(arguments) {
                if self.differs(f, argument) {
                    self.differing.insert((Some(called), *name));
                }
            }
        }
    }

    /// Marks the name that a statement sets, where its value differs.
    fn set(&mut self, f: usize, tokens: Tokens<'t>, divergent: bool) {
        let at = parts(tokens, |t| ASSIGNMENTS.contains(&t))[0].0.len();
        if at == tokens.len() {
            return;
        }
        let (to, from) = (&tokens[..at], &tokens[at + 1..]);
        let (name, parts_here) = match to {
            ["let" | "var" | "const", name, ..] => (*name, false),
            [name, place @ ..] => (*name, divergent || self.differs(f, place)),
            [] => return,
        };
        let space = self.module.spaces.get(name).copied();
        if matches!(space, Some("workgroup" | "storage")) || !(parts_here || self.differs(f, from)) {
            return; // memory holds one value for all invocations at one index
        }
        self.differing.insert((space.is_none().then_some(f), name));
    }

    /// The block that a head opens. `before` says whether the block before an `else` was divergent.
    fn opened(&mut self, f: usize, head: Tokens<'t>, divergent: bool, before: bool) -> Block {
        let (inherited, head) = match head {
            ["else", rest @ ..] => (before, rest),
            head => (false, head),
        };
        let (own, is_loop) = match head {
            ["if" | "switch", on @ ..] => (self.differs(f, on), false),
            ["while", on @ ..] => (self.differs(f, on), true),
            ["for", "(", inside @ .., ")"] => {
                let list = parts(inside, |t| t == ";");
                list.iter().step_by(2).for_each(|(part, _)| self.set(f, part, divergent));
                (list.get(1).is_some_and(|(condition, _)| self.differs(f, condition)), true)
            }
            ["loop"] => (false, true),
            _ => (false, false),
        };
        Block { divergent: inherited || own, is_loop, waits: false, left: false }
    }

    /// Whether a [`UNIFORM_LOAD`] is given a place that differs. The memory itself is read for all together, so that only
    /// what says where in it may differ.
    fn loads_differing(&self, f: usize, tokens: Tokens<'t>) -> bool {
        (0..tokens.len()).filter(|i| tokens[*i] == UNIFORM_LOAD).any(|i| {
            let place = bracketed(&tokens[i + 1..], "(", ")");
            let index = place.iter().position(|t| *t == "[").unwrap_or(place.len());
            self.differs(f, &place[index..])
        })
    }

    fn report(&mut self, f: usize, what: &str) {
        self.found.get_or_insert_with(|| format!("{}: {what}", self.module.functions[f].name));
    }

    fn walk(&mut self, f: usize) {
        let (mut blocks, mut left, mut before) = (Vec::<Block>::new(), false, false);
        for (part, end) in parts(self.module.functions[f].body, |t| ["{", "}", ";"].contains(&t)) {
            let divergent = left || blocks.iter().any(|b| b.divergent);
            self.pass(f, part);
            if self.module.waits(part) {
                blocks.iter_mut().for_each(|b| b.waits = true);
                if divergent || self.loads_differing(f, part) {
                    self.report(f, &part.join(" "));
                }
            }
            if end == "}" {
                let Some(closed) = blocks.pop() else { continue };
                if closed.is_loop && closed.left && closed.waits {
                    self.report(f, "a loop that some invocations leave early");
                }
                before = closed.divergent;
                continue;
            }
            match part.first().copied() {
                _ if end == "{" => blocks.push(self.opened(f, part, divergent, before)),
                Some("return") if divergent => {
                    left = true;
                    blocks.iter_mut().for_each(|b| b.left = true);
                }
                Some("break" | "continue") if divergent || self.differs(f, &part[1..]) => {
                    if let Some(block) = blocks.iter_mut().rev().find(|b| b.is_loop) {
                        (block.left, block.divergent) = (true, true);
                    }
                }
                _ => self.set(f, part, divergent),
            }
            before = false;
        }
    }
}

/// Bodies of a kernel, and whether some invocations miss a barrier in them.
const BODIES: &[(&str, bool)] = &[
    ("workgroupBarrier();", false),
    ("if (wid.x >= n) { return; } workgroupBarrier();", false),
    ("let row = lane / 8u; if (row < 3u) { t[row] = 1.0; } workgroupBarrier();", false),
    ("for (var i = lane; i < n; i += 64u) { t[i] = 0.0; } workgroupBarrier();", false),
    ("for (var i = wid.x; i < n; i += 64u) { workgroupBarrier(); t[lane] = 1.0; }", false),
    ("for (var i = lane; i < n; i++) { if (t[i] > 1.0) { break; } } workgroupBarrier();", false),
    ("part(wid.x); meet(lane);", false),
    ("var lane_sum = 0.0; lane_sum += t[lane]; meet(wid.x); t[lane] = lane_sum;", false),
    ("if (workgroupUniformLoad(&t[wid.x]) > 0.5) { workgroupBarrier(); }", false),
    ("let all = workgroupUniformLoad(&t[0]); if (all > 0.5) { return; } workgroupBarrier();", false),
    ("for (var i = 0.0; i < agreed(); i += 1.0) { workgroupBarrier(); }", false),
    ("if (lane < 3u) { workgroupBarrier(); }", true),
    ("if (lane < 3u) { t[0] = workgroupUniformLoad(&t[1]); }", true),
    ("if (workgroupUniformLoad(&t[0]) > t[1]) { workgroupBarrier(); }", true),
    ("let mixed = workgroupUniformLoad(&t[0]) + f32(lane); if (mixed > 0.5) { workgroupBarrier(); }", true),
    ("let other = workgroupUniformLoad(&t[lane]);", true),
    ("if (lane < 3u) { mine = u32(agreed()); }", true),
    ("if (lane < 3u) { t[0] = 1.0; } else { workgroupBarrier(); }", true),
    ("if (lane == 0u) { return; } workgroupBarrier();", true),
    ("let row = lane / 8u; let last = row == 7u; if (last) { workgroupBarrier(); }", true),
    ("var i = wid.x; i += lane; while (i < n) { workgroupBarrier(); i++; }", true),
    ("var i = 0u; if (lane < 3u) { i = 1u; } if (i == 1u) { workgroupBarrier(); }", true),
    ("for (var i = lane; i < n; i += 64u) { workgroupBarrier(); }", true),
    ("for (var i = 0u; i < n; i++) { workgroupBarrier(); if (t[lane] > 1.0) { break; } }", true),
    ("for (var i = 0u; i < n; i++) { if (lane == i) { continue; } workgroupBarrier(); }", true),
    ("loop { workgroupBarrier(); if (lane == 2u) { return; } }", true),
    ("t[lane] = 1.0; if (t[lane] > 0.5) { workgroupBarrier(); }", true),
    ("if (lane < 3u) { meet(lane); }", true),
    ("if (lane < 3u) { through(lane); }", true),
    ("part(lane / 2u);", true),
    ("mine = lane; if (own() < 3u) { workgroupBarrier(); }", true),
    ("mine = wid.x; if (mine < 3u) { workgroupBarrier(); }", true),
    ("for (var i = 0u; i < through_own(); i++) { workgroupBarrier(); }", true),
    ("t[lane] = 1.0; workgroupBarrier(); if (t[0] > 0.5) { workgroupBarrier(); }", true),
];

/// The check judges each body as the list says.
pub fn bodies() -> Result<(), String> {
    for (body, missed) in BODIES {
        let text = format!(
            "var<workgroup> t: array<f32, 64>; var<private> mine: u32; const n = 7u;
             fn meet(i: u32) {{ t[i] = 1.0; workgroupBarrier(); }}
             fn through(i: u32) {{ meet(i); }}
             fn part(i: u32) {{ if (i < 4u) {{ workgroupBarrier(); }} }}
             fn own() -> u32 {{ return mine; }}
             fn agreed() -> f32 {{ return workgroupUniformLoad(&t[0]); }}
             fn through_own() -> u32 {{ return own() + 1u; }}
             @compute @workgroup_size(64)
             fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{ {body} }}"
        );
        naga::front::wgsl::parse_str(&text).map_err(|e| format!("'{body}': {}", e.message()))?;
        let found = divergent(&text);
        ensure(found.is_some() == *missed, format!("'{body}': found {found:?}"))?;
    }
    Ok(())
}
