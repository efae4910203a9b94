//! No text and no chain of files takes the program long, fills its memory or ends it.

use super::*;

/// Each text is refused within seconds, in memory that grows with the length of the text, and the process does not end.
#[test]
fn a_hostile_text_is_refused_soon() {
    let n = 100_000;
    let many = |each: &dyn Fn(usize) -> String| (0..n).map(each).collect::<String>();
    for (what, text) in [
        ("brackets", format!("seeds = {}", "[".repeat(n))),
        ("closed brackets", format!("seeds = {}1{}", "[".repeat(n), "]".repeat(n))),
        ("inline tables", format!("data = {}1{}", "{a = ".repeat(n), "}".repeat(n))),
        ("dotted key", format!("{}b = 1", "a.".repeat(n))),
        ("dotted header", format!("[{}b]", "a.".repeat(n))),
        ("dotted array header", format!("[[{}b]]", "a.".repeat(n))),
        ("dots and tables", format!("x = {}1{}", "{a.b.c.d.e.f.g.h = ".repeat(n), "}".repeat(n))),
        ("headers", many(&|i| format!("[a{i}]\n"))),
        ("the same header", "[data]\n".repeat(n)),
        ("keys", many(&|i| format!("k{i} = 1\n"))),
        ("dotted keys", many(&|i| format!("data.k{i} = 1\n"))),
        ("open text", format!("name = \"\"\"{}", "\\\\\n".repeat(n))),
        ("escapes", format!("name = \"{}", "\\u12".repeat(n))),
        ("not text", "\u{1}".repeat(n)),
        ("seeds", format!("seeds = [{}]", "1,".repeat(n))),
        ("signs", format!("[training.optimizer]\nlr = {}1", "-".repeat(n))),
        ("a long number", format!("[training.optimizer]\nlr = {}", "9".repeat(n))),
        ("a long key", format!("{} = 1", "k".repeat(n))),
    ] {
        let begun = std::time::Instant::now();
        let e = error(&text);
        assert!(e.starts_with("my.toml:"), "{what}: {:.300}", e);
        assert!(begun.elapsed().as_secs() < 10, "{what} took {:?}", begun.elapsed());
    }
}

#[test]
fn a_large_grid_is_one_that_fits() {
    let seeds = |n: usize| format!("seeds = [{}]\n", (0..n).map(|i| format!("{i},")).collect::<String>());
    let begun = std::time::Instant::now();
    assert_eq!(Config::parse("t", &seeds(200_000)).unwrap().seeds.len(), 200_000);
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    let e = error(&seeds(300_000));
    assert!(e.starts_with("my.toml:1: seeds has 300000 values and makes a grid of 1200000 cells; use at most"), "{e}");
    let e = error(&(seeds(100_000) + &format!("[data]\nspecs = [\"{}\"]", "x".repeat(4000))));
    assert!(e.starts_with("my.toml:3: data.specs holds a name of 4000 bytes for 400000 cells"), "{e}");
    assert!(error(&(seeds(100_000) + "[noise]\nrates = [0.1, 0.2, 0.1]")).contains("names 0.1 twice"));
}

#[test]
fn a_chain_of_configs_has_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let fails = |name: &str, says: &str| {
        let e = Config::load(&path(name)).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains(says), "{e}");
    };
    // The same file under several names is a circle, however long it is.
    let padding = format!("# {}\n", "x".repeat(100_000));
    std::fs::write(
        path("self.toml"),
        format!("base = \"../{}/./self.toml\"\n{padding}", dir.path().file_name().unwrap().to_string_lossy()),
    )
    .unwrap();
    fails("self.toml", "self.toml:1: base: the `base` keys of the configs form a circle");
    std::fs::write(path("a.toml"), "base = \"b.toml\"").unwrap();
    std::fs::write(path("b.toml"), "base = \"a.toml\"").unwrap();
    fails("a.toml", "b.toml:1: base: the `base` keys of the configs form a circle");
    for i in 0..40 {
        std::fs::write(path(&format!("{i}.toml")), format!("base = \"{}.toml\"", i + 1)).unwrap();
    }
    fails("0.toml", "15.toml:1: base: more than 16 configs are based on each other");
    std::fs::write(path("39.toml"), "seeds = [5]").unwrap();
    assert_eq!(Config::load(&path("30.toml")).unwrap().seeds, [5]);
    // The bound is for all files together, and a file that is too long is not read to its end.
    std::fs::write(path("39.toml"), "# \n".repeat(MAX_BYTES / 3 + 1)).unwrap();
    fails("30.toml", "39.toml and the configs that are based on it hold more than 4 MiB");
    std::fs::File::create(path("39.toml")).unwrap().set_len(1 << 40).unwrap();
    fails("39.toml", "hold more than 4 MiB");
}
