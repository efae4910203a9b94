//! Tests of reading configs: what is merged from which file. `mistakes` holds the tests of errors, `hostile` those of
//! texts and files that must not harm the program.

mod hostile;
mod mistakes;

use super::*;

fn error(text: &str) -> String {
    let e = Config::parse("my.toml", text).unwrap_err();
    assert_eq!(e.exit_code(), 2);
    e.to_string()
}

#[test]
fn the_built_in_base_is_a_config_and_holds_every_key() {
    let base = Config::parse("empty.toml", "").unwrap();
    let again = Config::parse("again.toml", &base.to_toml().unwrap()).unwrap();
    assert_eq!(base, again);
    assert_eq!(base.hash().unwrap(), again.hash().unwrap());
    // If base.toml and the overlays of methods lacked a key that serde knows, the first `parse` would fail.
}

#[test]
fn shipped_configs_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let files = walkdir::WalkDir::new(&root).into_iter().map(|entry| entry.unwrap().into_path());
    let configs: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "toml")).collect();
    for path in &configs {
        assert!(!Config::load(path).unwrap().data.specs.is_empty(), "{}", path.display());
    }
    assert!(configs.len() > 4, "{configs:?}");
}

/// Each recipe resolves, is based on the overlay of its method, and says where every value comes from.
#[test]
fn recipes_resolve_and_every_line_has_a_source() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/ssl/recipes");
    let mut recipes = 0;
    for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let config = Config::load(&path).unwrap();
        let method = config.pretraining_of(config.pretraining.first()).unwrap();
        let kind = name.strip_prefix(&method.name).unwrap_or_else(|| panic!("{name} is of {}", method.name));
        assert!(["_paper", "_cifar", "_khanal"].contains(&kind), "{name}");
        method.optimization.optimizer().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|l| l.contains(" = ") && !l.starts_with('#')).skip(2) {
            assert!(line.contains(" # "), "{name}: {line}: say where it comes from");
        }
        recipes += 1;
    }
    assert!(recipes > 9, "{recipes}");
}

/// Each noise of a published study resolves. The kinds of Co-teaching have the rates of the paper, each its own.
#[test]
fn published_noise_resolves() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/noise/published");
    for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        Config::load(&path).unwrap();
    }
    let noise = |name: &str| {
        let noise = Config::load(&folder.join(name)).unwrap().noise;
        (noise.kinds.iter().map(|k| k.name()).collect::<Vec<_>>(), noise.rates)
    };
    assert_eq!(noise("co_teaching_symmetric.toml"), (vec!["symmetric"], vec![0.2, 0.5]));
    assert_eq!(noise("co_teaching_pair_flip.toml"), (vec!["pair_flip"], vec![0.45]));
}

#[test]
fn an_overlay_changes_its_keys_alone() {
    let base = Config::parse("a", "").unwrap();
    let over = Config::parse("b", "[training.optimizer]\nlr = 1\n").unwrap();
    assert_eq!(over.training.optimization.optimizer.lr, 1.0);
    assert_eq!(over.training.optimization.epochs, base.training.optimization.epochs);
    assert_ne!(over.hash().unwrap(), base.hash().unwrap());
}

/// An optimizer's key is allowed if one of the optimizers that use the table reads it.
#[test]
fn a_key_of_an_optimizer_needs_one_that_reads_it() {
    let text = "[pretraining]\nmethods = [\"simclr\", \"moco\"]\n[pretraining.optimizer]\nmomentum = 0.8\n\
                [pretraining.moco.optimizer]\nname = \"sgd\"\n";
    let config = Config::parse("my.toml", text).unwrap();
    assert_eq!(config.pretraining_of("moco").unwrap().optimization.optimizer.momentum, 0.8);
    let again = Config::parse("again.toml", &config.to_toml().unwrap()).unwrap();
    assert_eq!(config, again);
    assert!(!Config::parse("a", "").unwrap().to_toml().unwrap().contains("\neta ="), "nothing reads it");
    assert!(error(&text.replace(", \"moco\"]", "]")).contains("momentum is not read by adam"));
    // A file may list every key, as base.toml does, but may not change a key that nothing reads.
    assert!(Config::parse("my.toml", BASE).is_ok());
    let e = error(&BASE.replacen("momentum = 0.9 ", "momentum = 0.8 ", 1));
    assert!(e.contains("pretraining.optimizer.momentum is not read by adam"), "{e}");
}

#[test]
fn files_stand_on_files_and_a_mistake_names_the_right_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    write("low.toml", "seeds = [4]\n[training]\nepochs = 7\n[training.optimizer]\nlr = 0.5\n");
    write("high.toml", "base = \"low.toml\"\n[training]\nepochs = 9\n");
    let config = Config::load(&path("high.toml")).unwrap();
    assert_eq!(
        (config.training.optimization.optimizer.lr, config.training.optimization.epochs, config.seeds),
        (0.5, 9, vec![4])
    );

    write("low.toml", "seeds = [4]\n[training.optimizer]\nlr = \"fast\"\n");
    let e = Config::load(&path("high.toml")).unwrap_err().to_string();
    assert!(e.contains("low.toml:3: training.optimizer.lr"), "{e}");

    write("high.toml", "\nbase = \"gone.toml\"\n");
    let e = Config::load(&path("high.toml")).unwrap_err();
    assert!(e.to_string().contains("high.toml:2: ") && e.to_string().contains("gone.toml"), "{e}");
    assert_eq!(e.exit_code(), 2);

    write("high.toml", "base = \"high.toml\"\n");
    assert!(Config::load(&path("high.toml")).unwrap_err().to_string().contains("circle"));
    assert_eq!(Config::load(&path("none.toml")).unwrap_err().exit_code(), 2);
}

/// By default `study run` writes to a folder `runs` beside the config. A study's own folder also has the lock.
#[test]
fn a_person_s_config_may_lie_beside_a_folder_of_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::create_dir(dir.path().join("runs")).unwrap();
    std::fs::write(&path, "name = \"x\"\n").unwrap();
    assert_eq!(Config::load(&path).unwrap().name, "x");
    std::fs::write(dir.path().join(LOCK), "").unwrap();
    let e = Config::load(&path).unwrap_err();
    assert!(e.to_string().contains("holds no checksum"), "{e}");
}
