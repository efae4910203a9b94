//! Each mistake in a config is an error that names the file, the line, the key and the way out. No value is read and
//! then lost.

use super::*;

#[test]
fn an_unknown_key_names_file_line_and_the_likely_key() {
    let e = error("name = \"x\"\n[training]\nepochs = 3\nwarmup_epoch = 2\n");
    assert_eq!(e, "my.toml:4: there is no key `training.warmup_epoch`; did you mean `training.warmup_epochs`?");
    let e = error("\n\n[nose]\nrates = [0]\n");
    assert!(e.starts_with("my.toml:3: there is no key `nose`; did you mean `noise`?"), "{e}");
    let e = error("[run]\nquack = 1\n");
    assert!(e.contains("my.toml:2:") && e.contains("known here: checkpoint_seconds, loss_every"), "{e}");
}

#[test]
fn a_wrong_type_or_value_names_file_line_and_key() {
    for (text, line, words) in [
        ("seeds = 3", 1, "seeds: invalid type: integer `3`, expected a list"),
        ("[training]\n\nepochs = \"ten\"", 3, "training.epochs: invalid type: string \"ten\", expected a whole number"),
        (
            "[training.optimizer]\nlr = true",
            2,
            "training.optimizer.lr: invalid type: boolean `true`, expected a number",
        ),
        (
            "[training.optimizer]\nnesterov = 1",
            2,
            "training.optimizer.nesterov: invalid type: integer `1`, expected true or false",
        ),
        (
            "[pretraining.optimizer]\nname = \"adm\"",
            2,
            "pretraining.optimizer.name is \"adm\"; known: sgd, adam, adamw, lars",
        ),
        (
            "[pretraining]\nepochs = 4\noptimizer = \"adam\"",
            3,
            "`pretraining.optimizer` is a table of keys, not a value; write [pretraining.optimizer] with name = \"adam\"",
        ),
        ("[pretraining]\ntemperature = 1", 2, "`pretraining.temperature` is `pretraining.simclr.temperature` now"),
        ("\n[training]\nlr = 1", 3, "`training.lr` is `training.optimizer.lr` now"),
        (
            "[pretraining]\nmethods = [\"simclr\", \"byoll\"]",
            2,
            "pretraining.methods holds \"byoll\"; known: none, rotation, jigsaw, jigmag, simclr,",
        ),
        ("[training]\nmethods = [\"cross_entrop\"]", 2, "did you mean \"cross_entropy\"?"),
        ("[pretraining.simclr]\ntemperature = 0", 2, "pretraining.simclr.temperature is 0; use a number above 0"),
        ("[pretraining.simclr]\ntemprature = 1", 2, "did you mean `pretraining.simclr.temperature`?"),
        (
            "[pretraining.simclr]\n\nlr = 1",
            3,
            "there is no key `pretraining.simclr.lr`; did you mean `pretraining.simclr.optimizer.lr`?",
        ),
        ("image_size = 20", 1, "there is no key `image_size`; did you mean `data.image_size`?"),
        (
            "[pretraining.simclr]\ntemperature = \"hot\"",
            2,
            "pretraining.simclr.temperature: invalid type: string \"hot\"",
        ),
        (
            "[pretraining.simclr]\nepochs = 3\ntemperature = 0.1",
            2,
            "pretraining.simclr.warmup_epochs is 10; use at most epochs, which is 3",
        ),
        ("\n[pretraining]\nepochs = 3", 3, "pretraining.warmup_epochs is 10; use at most epochs, which is 3"),
        ("[pretraining.simclr.optimizer]\n\nlr = 0", 3, "pretraining.simclr.optimizer.lr is 0; use a number above 0"),
        (
            "[pretraining.simclr.model]\nwidth = 9",
            2,
            "pretraining.simclr.model.width is 9; use a number from 1/64 = 0.015625, one channel in the first stage, to 8",
        ),
        (
            "[pretraining.simclr.augmentation]\nflip_probability = 2",
            2,
            "pretraining.simclr.augmentation.flip_probability is 2",
        ),
        ("[training.cross_entropy]\nbatch_size = 1", 2, "training.cross_entropy.batch_size is 1"),
        (
            "[pretraining]\nmethods = [\"none\"]\n[pretraining.simclr.optimizer]\nname = \"larz\"",
            4,
            "pretraining.simclr.optimizer.name is \"larz\"; known: sgd, adam, adamw, lars",
        ),
        (
            "[pretraining.optimizer]\nmomentum = 0.9",
            2,
            "pretraining.optimizer.momentum is not read by adam; leave it out; it is read by sgd, lars",
        ),
        (
            "[pretraining.moco.optimizer]\nlr = 1\neta = 1",
            3,
            "pretraining.moco.optimizer.eta is not read by adam; leave it out; it is read by lars",
        ),
        ("[pretraining]\nmilestones = [3]", 2, "pretraining.milestones and schedule = \"step\" belong together"),
        ("[training.cross_entropy]\nmodel = 1", 2, "there is no key `training.cross_entropy.model`"),
        (
            "[noise]\nkinds = [\n\"symmetric\",\n\"odd\"]",
            4,
            "noise.kinds: there is no noise kind \"odd\"; known: symmetric",
        ),
        ("data = 3", 1, "`data` is a table of keys"),
        ("[data]\nval_fraction = 1.5", 2, "data.val_fraction is 1.5; use a share above 0 and below 1"),
        ("[data]\nimage_size = 99", 2, "data.image_size is 99; use a whole number from 8 to 36"),
        ("[noise]\nkinds = [\"symmetric\", \"given\"]\nrates = []", 3, "noise.rates is empty"),
        ("[noise]\nrates = [0.2, 0.2]", 2, "noise.rates names 0.2 twice"),
        ("[training]\nepochs = 2\nwarmup_epochs = 3", 3, "at most epochs, which is 2"),
        ("[training\n", 1, "unclosed table"),
    ] {
        let e = error(text);
        assert!(e.starts_with(&format!("my.toml:{line}: ")) && e.contains(words), "{e}");
    }
    let e = error("[augmentation]\njitter = [0.1, 0.1]");
    assert!(e.starts_with("my.toml:2: augmentation.jitter: invalid length 2"), "{e}");
    let e = error("[training]\nbatch_size = -4");
    assert!(e.starts_with("my.toml:2: training.batch_size: invalid value: integer `-4`"), "{e}");
}

#[test]
fn a_key_that_each_view_has_for_itself_is_refused_for_both() {
    let e = error("[pretraining]\nmethods = [\"byol\"]\n[pretraining.byol.augmentation]\nblur_probability = 0.2\n");
    assert!(e.contains(":4") && e.contains("set it in [pretraining.byol.views]"), "{e}");
    let simclr = "[pretraining.simclr.augmentation]\nblur_probability = 0.2\n";
    assert!(Config::parse("t.toml", simclr).is_ok());
}

#[test]
fn a_kind_of_noise_has_a_table_of_settings() {
    let of = |text: &str| Config::parse("my.toml", text).unwrap().noise;
    assert!(of("").tables["symmetric"].is_empty());
    for listed in ["", "[noise]\nkinds = [\"bright\"]"] {
        assert_eq!(of(listed).tables["bright"]["above"].as_integer(), Some(128), "its default");
    }
    let set = of("[noise]\nrates = [0.1]\n[noise.bright]\nabove = 7");
    assert_eq!(set.tables["bright"]["above"].as_integer(), Some(7), "of a kind that is not listed too");
    let whole = Config::parse("my.toml", "[noise.bright]\nabove = 7").unwrap();
    assert_eq!(Config::parse("again", &whole.to_toml().unwrap()).unwrap(), whole);

    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("low.toml", "[noise.bright]\nabove = 9\n");
    write("high.toml", "base = \"low.toml\"\n[noise]\nkinds = [\"bright\"]\n");
    let config = Config::load(&dir.path().join("high.toml")).unwrap();
    assert_eq!(config.noise.tables["bright"]["above"].as_integer(), Some(9));

    for (text, line, words) in [
        ("[noise.bright]\n\nabov = 3", 3, "there is no key `noise.bright.abov`; did you mean `noise.bright.above`?"),
        ("[noise.bright]\nabove = \"x\"", 2, "noise.bright.above: invalid type: string \"x\""),
        ("[noise.bright]\nabove = 300", 2, "noise.bright.above is 300; use a level below 255"),
        ("[noise]\nbright = 3", 2, "`noise.bright` is a table of keys, not a value; write [noise.bright]"),
        ("\n[noise.symmetric]\nabove = 3", 3, "[noise.symmetric] has no keys; leave `above` out"),
        ("[noise.odd]\nabove = 3", 1, "there is no key `noise.odd`; known here: "),
        ("[noise]\nkinds = [\"symetric\"]", 2, "did you mean symmetric?"),
    ] {
        let e = error(text);
        assert!(e.starts_with(&format!("my.toml:{line}: ")) && e.contains(words), "{e}");
    }
}

/// The lists of the built-in config, as (path of the table, key, elements).
fn lists() -> Vec<(String, String, Vec<Value>)> {
    let of = |(table, t): (String, toml::Table)| {
        let lists = t.into_iter().filter_map(|(k, v)| Some((table.clone(), k, v.as_array()?.clone())));
        lists.filter(|list| !list.2.is_empty()).collect::<Vec<_>>()
    };
    all_tables().into_iter().flat_map(of).collect()
}

fn overlay(table: &str, key: &str, value: &str) -> String {
    if table.is_empty() { format!("\n{key} = {value}") } else { format!("[{table}]\n{key} = {value}") }
}

/// No element of any list is lost: a list of another length is either kept whole or refused with its line.
#[test]
fn no_list_drops_an_element() {
    let mut fixed = 0;
    for (table, key, elements) in lists().into_iter().filter(|l| !l.2.is_empty()) {
        for (n, many) in [(elements.len() + 1, true), (elements.len() + 3, true), (elements.len() - 1, false)] {
            let further = |i: usize| (i + 1 - elements.len()) as f64;
            let number = |i: usize| match &elements[i.min(elements.len() - 1)] {
                // Some lists must rise.
                Value::Float(last) if many => Some(Value::Float(last + 0.05 * further(i))),
                Value::Integer(_) if many => Some(Value::Integer(90 + i as i64)),
                Value::String(_) | Value::Array(_) if many => None, // these have checks of their own
                same => Some(same.clone()),
            };
            let Some(list) =
                (0..n).map(|i| if i < elements.len() { Some(elements[i].clone()) } else { number(i) }).collect()
            else {
                continue;
            };
            let text = overlay(&table, &key, &Value::Array(list).to_string());
            match Config::parse("my.toml", &text) {
                Ok(config) => {
                    let kept: toml::Table = config.to_toml().unwrap().parse().unwrap();
                    assert_eq!(at_path(&kept, &table)[&key].as_array().unwrap().len(), n, "{text}");
                }
                Err(e) => {
                    let (e, name) = (e.to_string(), format!("{table}.{key}"));
                    assert!(e.starts_with("my.toml:2: ") && e.contains(name.trim_start_matches('.')), "{e}");
                    assert!(e.contains(&format!("holds {n} values; use {}", elements.len())) == many, "{e}");
                    fixed += 1;
                }
            }
        }
    }
    assert!(fixed >= 3 * 5, "{fixed}: projection_dims, jitter, blur_sigma, two crop_scale and crop_ratio are fixed");
    let e = error("[augmentation]\nblur_sigma = [0.1, 2.0,\n-1]");
    assert_eq!(e, "my.toml:3: augmentation.blur_sigma holds 3 values; use 2");
    let e = error("[noise.asymmetric]\nmap = [[0, 1], [1, 2, 0]]");
    assert!(e.starts_with("my.toml:2: noise.asymmetric.map") && e.contains("holds 3 values; use 2"), "{e}");
}

/// Every table of the built-in config, nested tables too, by its path: `pretraining.simclr`.
fn all_tables() -> Vec<(String, toml::Table)> {
    fn below(path: &str, table: &toml::Table, all: &mut Vec<(String, toml::Table)>) {
        for (key, inner) in table.iter().filter_map(|(key, v)| Some((key, v.as_table()?))) {
            below(format!("{path}.{key}").trim_start_matches('.'), inner, all);
        }
        all.push((path.to_string(), table.clone()));
    }
    let mut all = Vec::new();
    below("", &Config::parse("empty", "").unwrap().to_toml().unwrap().parse().unwrap(), &mut all);
    assert!(all.len() > 9, "{all:?}");
    all
}

/// The table at `path` of a config.
fn at_path<'a>(config: &'a toml::Table, path: &str) -> &'a toml::Table {
    path.split('.').filter(|p| !p.is_empty()).fold(config, |table, key| table[key].as_table().unwrap())
}

/// Every number of the base config refuses NaN, infinity, −0 and numbers that round to these, and names the line.
#[test]
fn numbers_are_plain() {
    let mut tried = 0;
    for (table, t) in &all_tables() {
        for (key, value) in t.iter() {
            for odd in ["nan", "-nan", "inf", "-inf", "-0.0", "1e400", "-1e-400"] {
                let list = value.as_array();
                let text = match (value, list) {
                    (Value::Float(_), _) => odd.to_string(),
                    (_, Some(l)) if l.first().is_some_and(Value::is_float) => {
                        let plain = l.iter().skip(1).map(|v| v.to_string() + ", ");
                        format!("[{}{odd}]", plain.collect::<String>())
                    }
                    _ => continue,
                };
                let e = error(&overlay(table, key, &text));
                assert!(e.starts_with("my.toml:2: ") && e.contains(key), "{text}: {e}");
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
    let e = error("[noise.matrix]\nrows = [[0.5, 0.5], [nan, 1.0]]");
    assert!(e.starts_with("my.toml:2: noise.matrix.rows is NaN"), "{e}");
    // A whole number may stand in place of a number with a point.
    assert_eq!(
        Config::parse("a", "[training.optimizer]\nlr = 1\nweight_decay = 0\nmomentum = -0")
            .unwrap()
            .training
            .optimization
            .optimizer
            .lr,
        1.0
    );
    let e = error("[training]\nepochs = 3.0");
    assert!(e.contains("training.epochs: invalid type: floating point `3.0`, expected a whole number"), "{e}");
}
