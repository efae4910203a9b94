//! Words of each format, which are put in unexpected places.

#[rustfmt::skip] // one word a line would be pages
pub const JSON: &[&str] = &[
    "{", "}", "[", "]", "[[[[", "{\"a\":", "null", "true", "\"", "\\u0000", "\\ud800", ",", ":", "1e999", "\n",
    "\u{feff}",
];

#[rustfmt::skip] // one word a line would be pages
pub const NPY: &[&str] = &[
    "{", "(", "}", ")", "'shape'", "'descr'", "True", "False", "'>u8'", "'|O'", "'<f4'", "PK\x05\x06", "L",
];

#[rustfmt::skip] // one word a line would be pages
pub const PICKLE: &[&str] = &[
    "(", "t", ")", "}", "]", "s", "u", "a", "e", "b", "R", "Q", "N", ".", "0", "2", "q\u{1}", "h\u{1}", "h\u{0}", "K\u{2}",
    "ctorch._utils\n_rebuild_tensor_v2\n", "ccollections\nOrderedDict\n", "ctorch\nFloatStorage\n", "cos\nsystem\n",
    "X\u{1}\u{0}\u{0}\u{0}a", "J\u{7f}\u{7f}\u{7f}\u{7f}", "\u{7}storage", "PK\u{5}\u{6}",
];

#[rustfmt::skip] // one word a line would be pages
pub const CSV: &[&str] = &[
    ",", "\"", "\n", "\r\n", ";", "path", "label", "split", "train", "test", "\u{feff}", "\0", "../", "NaN", "|",
    "Image_name", "Patient_num", "Plane", "Train",
];

#[rustfmt::skip] // one word a line would be pages
pub const SPEC: &[&str] = &[
    "phantom:", "covid", "?", "&", "=", "train=", "test=", "/", "..", ":", "%00", ".npz",
];

#[rustfmt::skip] // one word a line would be pages
pub const TOML: &[&str] = &[
    "[", "]", "[[", "]]", "{", "}", "=", ".", "\"", "'''", "\n", "#", "base = ", "nan", "inf", "true", "[data]\n",
    "[model]\n", "a = {a = {a = {", "[[[[[[[[", "1979-05-27", "\\U0010FFFF", "\u{feff}", "a.b.c.d = 1\n", "seeds = [",
    "width = ",
];

#[rustfmt::skip] // one word a line would be pages
pub const WGSL: &[&str] = &[
    "(", ")", "{", "}", "<", ">", "array<", "vec4<f32>", "u32", "@compute ", "@workgroup_size(1) ", "fn ",
    "var<workgroup> ", "loop {", "if (", "$", "//", "/*", "*/", ";", "0x", "f16", "&", "*", "struct ", "-", "!",
    "enable f16;", "for (;;) {", "1e99", "//@ for i in 0..9\n", "//@ end\n", "//@ let n = 3\n", "$i", "((((((((",
];
