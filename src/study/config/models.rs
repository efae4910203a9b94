//! The keys of `[model]` and of `[pretraining.METHOD.model]`, of which each backbone reads its own. It is a mistake if
//! a file sets a key to another value than the default for a backbone that does not read it. The default itself is
//! allowed, so that a file may hold every key. Keys that a file further down set for another backbone are taken away,
//! and missing keys get the default.

use super::load::inner_mut;
use crate::nn::backbone::{self, ARCHS, Arch};
use toml::de::{DeTable, DeValue};

/// Leaves in each table of a backbone exactly the keys that the backbone reads. `built_in` is the built-in `[model]`.
/// `rank` says how near to the named file an offset is; 0 is built in. The error is an offset and a sentence.
pub(super) fn settle<'a>(
    config: &mut DeTable<'a>,
    built_in: &DeTable<'a>,
    rank: &dyn Fn(usize) -> usize,
) -> Result<(), (usize, String)> {
    let grid = grid(config);
    let Some(model) = inner_mut(config, "model") else { return Ok(()) };
    // A wrong type or an unknown name is reported elsewhere, when it is read.
    let Some(common) = named(model) else { return Ok(()) };
    let keep = |table: &mut DeTable<'a>, path: &str, of, others: &[_]| keep(table, path, of, others, (built_in, rank));
    keep(model, "model", common, &grid)?;
    let model = model.clone();
    let Some(stage) = inner_mut(config, "pretraining") else { return Ok(()) };
    let methods: Vec<String> = stage.keys().map(|key| key.get_ref().to_string()).collect();
    for method in methods {
        let Some(over) = inner_mut(stage, &method).and_then(|table| inner_mut(table, "model")) else { continue };
        let (own, has_own) = match over.contains_key("arch") {
            true => (named(over), true),
            false => (Some(common), false),
        };
        let Some(own) = own else { continue };
        keep(over, &format!("pretraining.{method}.model"), own, if has_own { &[] } else { &grid })?;
        for key in own.0.reads.iter().filter(|key| has_own && !model.contains_key(**key)) {
            if let Some((key, value)) = built_in.get_key_value(*key).filter(|_| !over.contains_key(*key)) {
                over.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(())
}

/// The backbones that the grid lists.
fn grid(config: &DeTable<'_>) -> Vec<&'static Arch> {
    let listed = config.get("backbones").and_then(|list| list.get_ref().as_array());
    let named = listed.into_iter().flat_map(|list| list.iter()).filter_map(|name| name.get_ref().as_str());
    named.filter_map(backbone::arch).collect()
}

/// The backbone that a table names, and the place of the name.
fn named(table: &DeTable<'_>) -> Option<(&'static Arch, usize)> {
    let arch = table.get("arch")?;
    Some((backbone::arch(arch.get_ref().as_str()?)?, arch.span().start))
}

/// Takes away the keys that neither the backbone nor the `others` of the grid read. It is an error if the file that names the backbone, or a file
/// above it, sets such a key to another value than the default.
fn keep(
    table: &mut DeTable<'_>,
    path: &str,
    (arch, at): (&Arch, usize),
    others: &[&Arch],
    (built_in, rank): (&DeTable<'_>, &dyn Fn(usize) -> usize),
) -> Result<(), (usize, String)> {
    let read =
        |key: &str| key == "arch" || arch.reads.contains(&key) || others.iter().any(|other| other.reads.contains(&key));
    let mut other: Vec<_> = table.iter().filter(|(key, _)| !read(key.get_ref())).collect();
    other.sort_by_key(|(_, value)| value.span().start);
    if let Some((key, value)) = other.iter().find(|(key, v)| {
        let wished = built_in.get(key.get_ref().as_ref()).is_none_or(|default| !same(default.get_ref(), v.get_ref()));
        wished && rank(v.span().start) >= rank(at).max(1)
    }) {
        let key = key.get_ref();
        let readers: Vec<&str> = ARCHS.iter().filter(|a| a.reads.contains(&key.as_ref())).map(|a| a.name).collect();
        let (name, reads, readers) = (arch.name, arch.reads.join(" and "), readers.join(" and "));
        let what =
            format!("{path}.{key} is read by {readers}, and {path}.arch is {name}, which reads {reads}; leave it out");
        return Err((value.span().start, what));
    }
    let other: Vec<String> = other.into_iter().map(|(key, _)| key.get_ref().to_string()).collect();
    other.iter().for_each(|key| drop(table.remove(key.as_str())));
    Ok(())
}

/// Whether two values are equal. 1 equals 1.0.
fn same(a: &DeValue<'_>, b: &DeValue<'_>) -> bool {
    let number = |v: &DeValue<'_>| match v {
        DeValue::Integer(i) if i.radix() == 10 => i.as_str().replace('_', "").parse::<f64>().ok(),
        DeValue::Float(f) => f.as_str().replace('_', "").parse().ok(),
        _ => None,
    };
    match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => a == b,
        _ => number(a).is_some_and(|a| Some(a) == number(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use crate::nn::{GlobalPool, Precision, Stem};

    fn config(text: &str) -> Config {
        Config::parse("my.toml", text).unwrap()
    }

    /// Every backbone has an f16 form, and so have micro-batches.
    #[test]
    fn a_precision_is_one_of_two() {
        let e = Config::parse("my.toml", "[training]\nprecision = \"f8\"").unwrap_err().to_string();
        assert!(e.starts_with("my.toml:2: training.precision"), "{e}");
        assert_eq!(config("[training]\nprecision = \"f16\"").training.optimization.precision, Precision::F16);
        assert_eq!(config("").pretraining.optimization.precision, Precision::F32);
        for text in ["backbones = [\"resnet18\", \"vit_tiny\"]\n", "[model]\narch = \"vit_tiny\"\n"] {
            let both = config(&format!(
                "{text}[pretraining]\nmicro_batch_size = 64\nprecision = \"f16\"\n[training]\nprecision = \"f16\""
            ));
            assert_eq!(both.pretraining.optimization.precision, Precision::F16);
            assert_eq!(both.training.optimization.precision, Precision::F16);
        }
    }

    /// A precision that is asked for beside the config holds for every method of the stage, and only for that stage.
    #[test]
    fn a_precision_overrides_those_of_all_methods() {
        let text = "[pretraining]\nmethods = [\"simclr\", \"byol\"]\n[pretraining.simclr]\nprecision = \"f16\"\n\
                    [training.elr]\nprecision = \"f32\"";
        let of = |c: &Config| {
            let pretrained = ["simclr", "byol"].map(|m| c.pretraining_of(m).unwrap().optimization.precision);
            let trained = ["cross_entropy", "elr"].map(|m| c.learning_of(m).unwrap().optimization.precision);
            (pretrained, trained)
        };
        let (f32, f16) = (Precision::F32, Precision::F16);
        assert_eq!(of(&config(text)), ([f16, f32], [f32; 2]));
        assert_eq!(of(&config(text).pretrained_in(f32).unwrap()), ([f32; 2], [f32; 2]));
        assert_eq!(of(&config(text).pretrained_in(f16).unwrap()), ([f16; 2], [f32; 2]));
        assert_eq!(of(&config(text).trained_in(f16).unwrap()), ([f16, f32], [f16; 2]));
    }

    #[test]
    fn views_of_too_few_pixels_are_refused() {
        let of = |image_size: usize| {
            let text = format!(
                "[data]\nimage_size = {image_size}\nstore_size = 64\n[pretraining]\nmethods = [\"jigmag\"]\n[pretraining.jigmag]\n\
                 magnifications = [1, 16]\neven_sharpness = true"
            );
            Config::parse("my.toml", &text)
        };
        let e = of(32).unwrap_err().to_string();
        assert!(
            e.starts_with("my.toml:7: pretraining.jigmag.magnifications ends with 16") && e.contains("2 of 32"),
            "{e}"
        );
        assert!(of(64).is_ok());
    }

    #[test]
    fn a_backbone_has_its_own_keys_and_no_other_s() {
        let resnet = config("[model]\nwidth = 0.5").model;
        assert_eq!((resnet.stem, resnet.width, resnet.patch_size), (Some(Stem::Small), Some(0.5), None));
        let vit = config("[model]\narch = \"vit_small\"\npatch_size = 8").model;
        assert_eq!((vit.stem, vit.width), (None, None));
        assert_eq!((vit.patch_size, vit.global_pool), (Some(8), Some(GlobalPool::Token)));
        assert_eq!(vit.to_string(), "vit_small with patches of 8 and global_pool token");
        assert_eq!(vit.backbone(1).unwrap().patch_size(), Some(8));
        let defaults = "[model]\nstem = \"3x3\"\nwidth = 1\narch = \"vit_tiny\"\npatch_size = 8";
        assert_eq!(config(defaults).model.width, None, "a default is no wish");
        let of_weights: Vec<String> = config("").pretraining.weights.into_keys().collect();
        let mut names = crate::nn::backbone::names();
        names.sort_unstable();
        assert_eq!(of_weights, names, "each backbone has a key in [pretraining.weights] of base.toml");
        let written = config("[model]\narch = \"vit_tiny\"").to_toml().unwrap();
        assert!(!written.contains("stem") && written.contains("patch_size = 4"), "{written}");
        assert_eq!(config(&written).to_toml().unwrap(), written);
    }

    #[test]
    fn a_method_may_have_another_backbone() {
        let of = |text: &str| config(text).pretraining_of("simclr").unwrap();
        let vit = of("[model]\nstem = \"7x7\"\n[pretraining.simclr.model]\narch = \"vit_tiny\"\nglobal_pool = \"avg\"");
        assert_eq!((vit.model.patch_size, vit.model.global_pool), (Some(4), Some(GlobalPool::Avg)));
        assert_eq!((vit.model.stem, vit.model.width), (None, None));
        assert_eq!(vit.overridden[..3], ["model.arch", "model.patch_size", "model.global_pool"]);
        let resnet = of("[model]\narch = \"vit_tiny\"\n[pretraining.simclr.model]\narch = \"resnet18\"\nwidth = 0.5");
        assert_eq!((resnet.model.stem, resnet.model.width), (Some(Stem::Small), Some(0.5)));
        let other =
            of("[model]\narch = \"vit_tiny\"\npatch_size = 8\n[pretraining.simclr.model]\narch = \"vit_small\"");
        assert_eq!(other.model.patch_size, Some(8), "what both read is the config's");
        let whole = "[model]\narch = \"vit_tiny\"\n[pretraining.simclr.model]\narch = \"resnet18\"";
        assert_eq!(config(&config(whole).to_toml().unwrap()), config(whole));
    }

    #[test]
    fn a_key_of_another_backbone_is_refused_where_it_stands() {
        for (text, line, words) in [
            (
                "[model]\npatch_size = 8",
                2,
                "model.patch_size is read by vit_tiny and vit_small, and model.arch is resnet18, which reads stem and width",
            ),
            (
                "[model]\narch = \"vit_tiny\"\nwidth = 2",
                3,
                "model.width is read by resnet18 and resnet50, and model.arch",
            ),
            ("[model]\nwidth = 0.5\narch = \"vit_tiny\"", 2, "model.width is read by"),
            (
                "[pretraining.simclr.model]\narch = \"vit_tiny\"\nstem = \"7x7\"",
                3,
                "pretraining.simclr.model.stem is read by resnet18 and resnet50",
            ),
            ("[model]\narch = \"vit_tiny\"\n[pretraining.simclr.model]\nwidth = 2", 4, "simclr.model.width is read by"),
            ("[model]\narch = \"vit_tiny\"\nglobal_pool = \"max\"", 3, "expected `token` or `avg`"),
            (
                "[model]\narch = \"vit_tiny\"\npatch_size = 5",
                3,
                "model.patch_size is 5, and patches of 5 pixels do not divide images of 32; use a divisor",
            ),
            ("[data]\nimage_size = 30\n[model]\narch = \"vit_tiny\"", 2, "model.patch_size is 4, and patches of 4"),
            // The error is at the key that a person wrote, whatever follows it.
            ("[model]\narch = \"vit_tiny\"\npatch_size = 5\n[data]\nimage_size = 32", 3, "model.patch_size is 5, and"),
            ("[model]\narch = \"vit_tiny\"\npatch_size = 0\n[data]\nimage_size = 32", 3, "model.patch_size is 0; use"),
            ("[model]\narch = \"vit_huge\"", 2, "known: resnet18, resnet50, vit_tiny, vit_small"),
            ("[pretraining]\nmethods = [\"mae\"]", 2, "model.arch is \"resnet18\", and mae works on the patches"),
            (
                "[model]\narch = \"vit_tiny\"\n[pretraining]\nmethods = [\"none\", \"jigsaw\"]",
                2,
                "model.arch is \"vit_tiny\", and jigsaw",
            ),
            (
                "[pretraining]\nmethods = [\"mae\"]\n[pretraining.mae.model]\narch = \"resnet50\"",
                4,
                "pretraining.mae.model.arch is \"resnet50\", and mae works",
            ),
            (
                "[data]\nimage_size = 28\n[pretraining]\nmethods = [\"bigbigan\"]",
                2,
                "pretraining.bigbigan.generator_dims has 3 widths, each of which doubles the sides of an image, so these are \
                 multiples of 8 and never 28 × 28; use such a data.image_size, or 2 widths",
            ),
            (
                "[pretraining]\nmethods = [\"bigbigan\"]\n[pretraining.bigbigan]\ngenerator_dims = [4, 4, 4, 4, 4, 4]",
                4,
                "multiples of 64 and never 32 × 32; use such a data.image_size, or 5 widths",
            ),
        ] {
            let e = Config::parse("my.toml", text).unwrap_err().to_string();
            assert!(e.starts_with(&format!("my.toml:{line}: ")) && e.contains(words), "{text}: {e}");
        }
    }

    /// If a file names another backbone than the file it is based on, the keys for the lower one are dropped.
    #[test]
    fn another_backbone_further_up_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("low.toml", "[model]\nstem = \"7x7\"\nwidth = 0.25\n");
        let high = |text: &str| {
            write("high.toml", &format!("base = \"low.toml\"\n{text}"));
            Config::load(&dir.path().join("high.toml"))
        };
        let vit = high("[model]\narch = \"vit_tiny\"").unwrap();
        assert_eq!((vit.model.stem, vit.model.patch_size), (None, Some(4)));
        assert_eq!(high("").unwrap().model.stem, Some(Stem::Large));
        let e = high("[model]\narch = \"vit_tiny\"\nstem = \"7x7\"").unwrap_err().to_string();
        assert!(e.contains("high.toml:4: model.stem is read by"), "{e}");
        write("low.toml", "[model]\narch = \"vit_tiny\"\n");
        let e = high("[model]\nstem = \"7x7\"").unwrap_err().to_string();
        assert!(e.contains("high.toml:3: model.stem is read by"), "{e}");
    }
}
