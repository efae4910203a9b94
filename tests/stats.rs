//! What RADV makes of the kernels, without an AMD GPU: `wgslab kernels stats` and `kernels show --language isa`.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first thing that is wrong")]

mod common;

use common::{adapter, has_radv, wgslab};
use std::io::Write;
use std::path::Path;
use wgslab::device::Tree;
use wgslab::kernels::listing;
use wgslab::lab::rows::kernels;
use wgslab::lab::statistics::asked::{Asked, Whose, radv};
use wgslab::lab::statistics::models::weighty;
use wgslab::lab::statistics::{Table, figures};
use wgslab::lab::{self, Figures, Set};

/// The family of the floors below.
const FAMILY: &str = "gfx1100";

/// The table of `wgslab kernels stats` with `words`, and what was printed.
fn stats(dir: &Path, words: &[&str]) -> (Table, String) {
    let all = [&["kernels", "stats"], words, &["--for", FAMILY, "--json", "t.json"]].concat();
    let output = wgslab(dir, &all).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    (Table::load(&dir.join("t.json")).unwrap(), said.into_owned())
}

#[test]
fn products_keep_their_share_of_multiply_adds_and_spill_nothing() {
    if !has_radv("products_keep_their_share_of_multiply_adds_and_spill_nothing") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let version = version(dir.path());
    // The least share in percent of multiply-adds in the vector cycles of the walk over k, staging included.
    let floors = [
        ("conv2d.forward", "tiled_64", 70.0),
        ("conv2d.forward", "tiled_128", 80.0),
        ("conv2d.grad_input", "tiled_64", 60.0),
        ("conv2d.forward", "tiled_taps", 85.0),
        ("conv2d.grad_input", "tiled_taps", 85.0),
        ("conv2d.grad_weight", "tiled_64", 70.0),
        ("matmul.forward", "tiled_128_vec4", 85.0),
    ];
    for (entry, variant, floor) in floors {
        let case = match (entry, variant) {
            ("matmul.forward", _) => "whole tiles, b transposed, a long sum",
            (_, "tiled_taps") => "3x3 stride 2, whole blocks",
            _ => "3x3 stride 2",
        };
        let (table, said) = stats(dir.path(), &[entry, "--variant", variant, "--case", case]);
        let row = table.rows.iter().find(|r| r.kernel == entry).unwrap();
        let walk = row.main_loop().unwrap_or_else(|| panic!("no walk in {row:?}")).counts;
        let share = 100.0 * walk.fma_share().unwrap();
        assert!(
            share >= floor,
            "{entry} [{variant}]: {share:.1} % of vector cycles, at least {floor} were reached\n{said}"
        );
        assert_eq!((row.spills, walk.scratch), (Some(0), 0), "{said}");
        // The walk itself jumps back; any other branch would stand around a load.
        assert!(entry == "matmul.forward" || walk.branches == 1, "{walk:?}");
        // Mesa 25.0.7 moves half of the loads of the aligned product behind its first wait; 22.3.6 leaves them together.
        let most = if entry == "matmul.forward" && !version.starts_with("mesa-22.") { 2 } else { 1 };
        assert!((1..=most).contains(&walk.round_trips), "all loads of a tile are on their way together: {walk:?}");
        assert!(said.contains(FAMILY) && said.contains("inverse throughput") && said.contains(variant), "{said}");
    }
}

/// The families of the committed tables of a driver, with the least waves of a kernel that a step spends its work in. A SIMD
/// unit of vega20 has a quarter of the registers of gfx1100, so that the tiles of products and attention leave room for few
/// there. Mesa 25.0 counts two thirds of them for
/// gfx1201, which 22.3 does not know.
fn families(version: &str) -> Vec<(&'static str, u64)> {
    let newer = if version.starts_with("mesa-22.") { None } else { Some(("gfx1201", 6)) };
    [("vega20", 2), ("navi21", 8), ("gfx1100", 8)].into_iter().chain(newer).collect()
}

/// The installed driver as the folder of its tables is called: `mesa-22.3.6`, without what a distribution adds.
fn version(dir: &Path) -> String {
    let (table, _) = stats(dir, &["relu.forward"]);
    let said = table.drivers[FAMILY].driver.to_lowercase().replace("radv", "").trim().replace(' ', "-");
    let end = said.match_indices('-').nth(1).map_or(said.len(), |(at, _)| at);
    said[..end].to_string()
}

/// What `wgslab kernels stats` says with `words`, beside the committed table `name` of this driver. Where there is none, this
/// prints on the terminal that the comparison is skipped.
fn expect_committed(test: &str, dir: &Path, version: &str, name: &str, words: &[&str]) -> Table {
    let all = [&["kernels", "stats"], words, &["--csv", "now.csv", "--json", "t.json"]].concat();
    let output = wgslab(dir, &all).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let place = Path::new("kernels-tests/statistics").join(version).join(format!("{name}.csv"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(&place);
    if !file.exists() {
        let line = format!("{test} SKIPPED for {name}: there is no {}.\n", place.display());
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    } else {
        let committed = std::fs::read_to_string(file).unwrap();
        let now = std::fs::read_to_string(dir.join("now.csv")).unwrap();
        let only = |of: &str, other: &str, mark: &str| {
            of.lines().filter(|l| !other.lines().any(|o| o == *l)).map(|l| format!("{mark} {l}\n")).collect::<String>()
        };
        assert!(
            now == committed,
            "the kernels of {name} have other figures:\n{}{}if they should, `wgslab kernels stats {} --csv {}` writes the table \
             anew; commit it with the change",
            only(&committed, &now, "-"),
            only(&now, &committed, "+"),
            words.join(" "),
            place.display()
        );
    }
    Table::load(&dir.join("t.json")).unwrap()
}

/// The kernels of whole training steps are those of `kernels-tests/statistics/`, which a change of a kernel changes with it,
/// so that it is read in review. No kernel keeps registers in memory, and those that do the first 95 % of a step's
/// operations, or move the first 95 % of its bytes, leave room for enough waves to hide each other's waits.
#[test]
fn kernels_of_models_are_those_of_the_committed_table() {
    const TEST: &str = "kernels_of_models_are_those_of_the_committed_table";
    if !has_radv(TEST) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let version = version(dir.path());
    let families = families(&version);
    let named = families.iter().map(|f| f.0).collect::<Vec<_>>().join(",");
    for (model, precision) in [("resnet18", "f32"), ("vit_tiny", "f32"), ("resnet18", "f16"), ("vit_tiny", "f16")] {
        let name = if precision == "f32" { model.to_string() } else { format!("{model}_{precision}") };
        let words = ["--model", model, "--precision", precision, "--for", &named];
        let table = expect_committed(TEST, dir.path(), &version, &name, &words);
        let heavy = |family: &str| {
            let rows: Vec<_> = table.rows.iter().filter(|r| r.family == family).collect();
            let shares: Vec<_> = rows.iter().map(|r| r.share.unwrap()).collect();
            weighty(&shares, 95.0)
                .into_iter()
                .zip(rows)
                .filter_map(|(heavy, row)| heavy.then_some(row))
                .collect::<Vec<_>>()
        };
        for row in &table.rows {
            assert_eq!((row.spills, &row.failed), (Some(0), &None), "{model}: {:?}", row.key());
        }
        for (family, least) in &families {
            let rows = heavy(family);
            assert!(rows.len() > 5, "{model} on {family}: {}", rows.len());
            for row in rows {
                assert!(row.waves.unwrap() >= *least, "{model}: {:?} has {:?} waves", row.key(), row.waves);
            }
        }
    }
}

/// The kernels that the steps of all pretraining methods launch, with their heads and views, and those of a training step, are in a
/// table, too, and keep no registers in memory.
#[test]
fn kernels_of_methods_are_those_of_the_committed_table() {
    const TEST: &str = "kernels_of_methods_are_those_of_the_committed_table";
    if !has_radv(TEST) || !adapter(TEST) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let version = version(dir.path());
    let named = families(&version).iter().map(|f| f.0).collect::<Vec<_>>().join(",");
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/methods.toml");
    let table = expect_committed(TEST, dir.path(), &version, "methods", &["--config", config, "--for", &named]);
    for row in &table.rows {
        assert_eq!((row.spills, &row.failed), (Some(0), &None), "{:?}", row.key());
        assert!(row.share.is_none(), "each step would have another: {row:?}");
    }
    for method in ["rotation", "simclr", "bigbigan", "mae", "dino", "cross_entropy"] {
        let own = format!("{method}: ");
        assert!(table.rows.iter().any(|r| r.case.starts_with(&own)), "no kernel is {method}'s");
    }
    let with = |kernel: &str| table.rows.iter().any(|r| r.kernel == kernel);
    assert!(["color_jitter.forward", "nt_xent.forward", "ema.forward", "adam.step"].into_iter().all(with));
}

/// Cooperative matrices have run on no hardware, but RADV compiles them. Where a family's
/// driver lists no matrices of a kernel's shape, the row says so, and the compiler, which stops on such a kernel, is not asked.
#[test]
fn cooperative_matrices_are_compiled_for_families_that_list_them() {
    const TEST: &str = "cooperative_matrices_are_compiled_for_families_that_list_them";
    if !has_radv(TEST) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let version = version(dir.path());
    let named = families(&version).iter().map(|f| f.0).collect::<Vec<_>>().join(",");
    for (variant, needed) in [("coop_16x16", "16x16x16 F16 to F32"), ("coop_8x8", "8x8x8 F32 to F32")] {
        let table = expect_committed(TEST, dir.path(), &version, variant, &["--variant", variant, "--for", &named]);
        for row in &table.rows {
            let listed = table.drivers[&row.family].cooperative.iter();
            let listed = listed.filter(|shape| shape.starts_with(needed)).count();
            match &row.failed {
                None => {
                    let walk = row.main_loop().unwrap_or_else(|| panic!("no walk in {row:?}")).counts;
                    assert!(listed > 0 && row.spills == Some(0) && walk.matrix > 0, "{row:?}");
                }
                Some(why) => assert!(listed == 0 && why.contains("cooperative matrices of"), "{row:?}"),
            }
        }
        let compiled = table.rows.iter().filter(|r| r.failed.is_none()).count();
        // Mesa 25.0 lists them for gfx11 alone, 22.3 for none, and nothing of AMD multiplies 8 × 8.
        let due = usize::from(variant == "coop_16x16" && !version.starts_with("mesa-22."));
        assert!(compiled >= due && (due > 0 || compiled == 0), "{variant} on {version}: {compiled} compiled");
    }
}

/// What adds within subgroups spills nothing, and needs the least workgroup memory that there is (512 bytes, for 256 moments 1,024)
/// and one barrier for 256 lanes. RADV runs 64 lanes as one subgroup, which waits for nobody.
#[test]
fn sums_within_subgroups_need_little_of_a_workgroup() {
    const TEST: &str = "sums_within_subgroups_need_little_of_a_workgroup";
    if !has_radv(TEST) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let version = version(dir.path());
    let named = families(&version).iter().map(|f| f.0).collect::<Vec<_>>().join(",");
    let table = expect_committed(TEST, dir.path(), &version, "subgroups", &["--variant", "subgroups", "--for", &named]);
    for row in &table.rows {
        assert_eq!((row.spills, &row.failed), (Some(0), &None), "{:?}", row.key());
        let wide = ["batch_norm", "group_norm", "reduce", "broadcast"].iter().any(|op| row.kernel.starts_with(*op));
        let (bytes, barriers) = (row.workgroup_bytes.unwrap(), row.counts.unwrap().barriers);
        let most = if wide { (1024, 1) } else { (512, 0) };
        assert!(bytes <= most.0 && barriers <= most.1, "{:?}: {bytes} bytes, {barriers} barriers", row.key());
    }
    let with = |kernel: &str| table.rows.iter().any(|r| r.kernel == kernel);
    assert!(
        ["softmax.forward", "layer_norm.grad", "batch_norm.statistics", "cross_entropy.forward", "reduce.forward"]
            .into_iter()
            .all(with)
    );
}

/// A GPU has `shader-f16`: the products of an f16 step run in it, and the step in f32 has no kernel of halves.
#[test]
fn the_kernels_of_a_step_in_halves_are_those_of_halves() {
    if !has_radv("the_kernels_of_a_step_in_halves_are_those_of_halves") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let of = |precision| {
        let words = ["conv2d", "--model", "resnet18", "--batch", "2", "--size", "32", "--precision", precision];
        let variants: Vec<String> = stats(dir.path(), &words).0.rows.into_iter().map(|r| r.variant).collect();
        assert!(variants.len() > 3, "{variants:?}");
        variants.iter().filter(|v| v.as_str() == "tiled_f16").count()
    };
    assert_eq!(of("f32"), 0);
    assert!(of("f16") > 3);
    let output = wgslab(dir.path(), &["kernels", "stats", "conv2d", "--precision", "f16"]).output().unwrap();
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("--model"));
    std::fs::write(dir.path().join("none.toml"), "[data]\nspecs = []\n").unwrap();
    let output = wgslab(dir.path(), &["kernels", "stats", "--config", "none.toml", "--for", FAMILY]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("none.toml") && said.contains("data.specs"), "{said}");
}

#[test]
fn an_edit_is_judged_by_its_figures() {
    if !has_radv("an_edit_is_judged_by_its_figures") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let words = ["scale.forward", "--variant", "portable"];
    let (base, _) = stats(dir.path(), &words);
    assert_eq!(base.rows.len(), 1, "{base:?}");
    std::fs::rename(dir.path().join("t.json"), dir.path().join("base.json")).unwrap();
    let judge = |more: &[&str]| {
        let all = [&["kernels", "stats"][..], &words, &["--for", FAMILY, "--compare", "base.json"], more].concat();
        let output = wgslab(dir.path(), &all).output().unwrap();
        let said = [output.stdout, output.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
        (output.status.code(), said)
    };
    let (code, said) = judge(&[]);
    assert!(code == Some(0) && said.contains("0 worse, 0 better, 1 same"), "{code:?} {said}");
    let path = "elementwise/scale/forward.wgsl";
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders").join(path)).unwrap();
    let slow = text.replace("p.factor * x[i]", "p.factor * x[i] / (x[i] + 3.0)");
    assert_ne!(text, slow, "the text to edit is another one");
    let edited = dir.path().join("mine").join(path);
    std::fs::create_dir_all(edited.parent().unwrap()).unwrap();
    std::fs::write(&edited, slow).unwrap();
    let (code, said) = judge(&["--shaders", "mine"]);
    assert!(code == Some(5) && said.contains("1 worse"), "{code:?} {said}");
}

#[test]
fn assembly_is_shown_and_mistakes_are_named() {
    if !has_radv("assembly_is_shown_and_mistakes_are_named") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let output = wgslab(dir.path(), words).output().unwrap();
        let said = [output.stdout, output.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
        (output.status.code(), said)
    };
    let (code, said) = run(&["kernels", "show", "relu.forward", "--language", "isa", "--for", FAMILY]);
    assert!(code == Some(0) && said.contains("s_endpgm") && said.contains("BB0:"), "{code:?} {said}");
    // A GPU's text, whatever adapter is here: the walk through a tile is no loop.
    let of = ["kernels", "show", "matmul.forward", "--variant", "tiled_128_vec4", "--language", "isa", "--for", FAMILY];
    let (code, said) = run(&of);
    assert!(code == Some(0) && said.contains("BK = 16") && said.contains("UNROLL = 16"), "{code:?} {said}");
    let (code, said) = run(&["kernels", "show", "relu.forward", "--for", FAMILY]);
    assert!(code == Some(2) && said.contains("--language isa"), "{code:?} {said}");
    let (code, said) = run(&["kernels", "stats", "no_such_kernel", "--for", FAMILY]);
    assert!(code == Some(2) && said.contains("kernels list"), "{code:?} {said}");
    let (code, said) = run(&["kernels", "stats", "relu.forward", "--for", "gfx9999"]);
    assert!(matches!(code, Some(2 | 3)) && said.contains("gfx9999"), "{code:?} {said}");
    let (code, said) = run(&["kernels", "stats", "relu.forward", "--for", FAMILY, "--driver", "nowhere.json"]);
    assert!(code == Some(2) && said.contains("nowhere.json"), "{code:?} {said}");
}

/// The kernels of a bench's rows, asked of a GPU's compiler as `wgslab bench` asks that of the driver in use, have the
/// figures that `wgslab kernels stats` prints.
#[test]
fn a_bench_s_rows_have_the_figures_of_stats() {
    if !has_radv("a_bench_s_rows_have_the_figures_of_stats") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_wgslab"));
    let mut compiler = Asked::start(program, Whose::Family(FAMILY.into(), radv().unwrap())).unwrap();
    let (entry, variant, case) = ("conv2d.forward", "tiled_64", "3x3 stride 2");
    let mut set = Set::built_in("cases").unwrap().unwrap();
    set.cases.retain(|s| s.op == "conv2d" && s.name == case);
    let asked = lab::Asked { variants: vec![variant.into()], direction: Some("forward".into()), ..Default::default() };
    let all = kernels(&listing::gpu(), &set, &asked);
    let [(name, own)] = &all.iter().collect::<Vec<_>>()[..] else { panic!("one row: {:?}", all.keys()) };
    assert_eq!(**name, ("conv2d".into(), case.into(), entry.into(), variant.into()));
    let told = figures(&mut compiler, own, &Tree::default()).unwrap();
    let (table, said) = stats(dir.path(), &[entry, "--variant", variant, "--case", case]);
    let due: Vec<Figures> = table.rows.iter().map(Figures::from).collect();
    assert_eq!(told, due, "{said}");
    let shown = Figures::shown(&told).unwrap();
    assert!(shown.kernel == entry && shown.registers.unwrap() > 32 && shown.fma_share.unwrap() > 0.7, "{told:?}");
}
