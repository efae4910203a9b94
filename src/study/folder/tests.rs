//! A folder has one writer, and what it holds is what was written.

use super::*;
use crate::base::progress::Silent;
use crate::study::names::{BACKBONE, RESULT};
use crate::study::testing::with_job;

#[test]
fn a_lock_that_is_held_is_not_one_that_cannot_be_had() {
    let held = not_locked(Path::new("run"), ErrorKind::WouldBlock.into());
    assert!(held.exit_code() == 75 && held.to_string().contains("another process works in run"), "{held}");
    let broken = not_locked(Path::new("run"), ErrorKind::Unsupported.into());
    assert_eq!(broken.exit_code(), 4, "{broken}");
    let dir = tempfile::tempdir().unwrap();
    assert!(!busy(&dir.path().join("gone")).unwrap());
    let inner = locked(dir.path(), || {
        assert!(busy(dir.path()).unwrap());
        locked(dir.path(), || Ok(()))
    });
    assert_eq!(inner.unwrap_err().exit_code(), 75);
    assert!(!busy(dir.path()).unwrap());
    locked_soon(dir.path(), &AtomicBool::new(false), || Ok(())).unwrap();
    let stop = AtomicBool::new(true);
    let waited = locked(dir.path(), || wait_for_any(&[dir.path().to_path_buf()], &stop));
    assert_eq!(waited.unwrap_err().exit_code(), 75, "a stop is heard");
}

/// A clock that jumps makes files look old or of tomorrow. Only who holds them counts.
#[test]
fn what_no_living_process_holds_is_swept_whatever_its_date() {
    let dir = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(24 * 3600);
    let left = || {
        let mut names: Vec<String> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let put = |name: &str, age: i64| {
        let path = dir.path().join(name);
        std::fs::write(&path, "half").unwrap();
        let now = std::time::SystemTime::now();
        let then = if age < 0 { now + day } else { now - Duration::from_secs(age as u64) };
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
    };
    let mut living = files::Growing::new(&dir.path().join("images.pages")).unwrap();
    living.write(b"half").unwrap();
    let held = left();
    std::fs::File::open(dir.path().join(&held[0])).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    put(".wgslab-left.tmp", 60);
    put(".wgslab-new.tmp", 0);
    put(".wgslab-tomorrow.tmp", -1);
    put("other.tmp", 1000);
    sweep(dir.path(), day);
    let names = left();
    if cfg!(unix) {
        assert!(!names.contains(&".wgslab-left.tmp".to_string()), "a day is not waited for: {names:?}");
        assert!(names.contains(&held[0]), "a living process holds it: {names:?}");
    }
    assert!([".wgslab-new.tmp", ".wgslab-tomorrow.tmp", "other.tmp"].iter().all(|n| names.iter().any(|m| m == n)));
    locked(dir.path(), || Ok(())).unwrap();
    assert!(!cfg!(unix) || left().iter().filter(|n| n.starts_with(".wgslab-")).eq([&held[0]]), "{:?}", left());
    living.keep().unwrap();
    assert_eq!(files::read(&dir.path().join("images.pages")).unwrap(), b"half");
}

/// Where locks lie, a folder is not busy while a process of another machine works in it.
#[test]
fn a_process_of_another_machine_is_looked_for_before_anything_is_prepared_or_removed() {
    with_job("", &Silent, |job| {
        let made = Provenance::new(job.gpu, Value::Null, "d", "random", &[]).unwrap();
        let (owner, half) = (job.out.join(OWNER), job.out.join(".wgslab-half.tmp"));
        let beat = |n: u64| seal::write(&owner, &json!({ "id": "other", "machine": "other", "beat": n })).unwrap();
        beat(0);
        std::fs::write(&half, "half").unwrap();
        let over = AtomicBool::new(false);
        let e = std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    beat(n);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            let prepare = || Err(Error::Failed("it compiles for minutes".into()));
            let e = once(job, job.out, &made, |_| Ok(()), prepare, |()| Ok(()));
            over.store(true, Ordering::Relaxed);
            e.unwrap_err()
        });
        assert!(matches!(e, Error::Busy(_)), "{e}");
        locked(job.out, || Ok(())).unwrap();
        assert!(half.exists(), "it may be the other's");
        std::fs::remove_file(&owner).unwrap();
        once(job, job.out, &made, |_| Ok(()), || Ok(()), |()| Ok(())).unwrap();
        assert!(!cfg!(unix) || !half.exists());
    });
}

#[test]
fn a_finished_folder_is_what_was_written() {
    with_job("", &Silent, |job| {
        let made = Provenance::new(job.gpu, Value::Null, "d", "random", &[]).unwrap();
        let path = |name: &str| job.out.join(name);
        assert_eq!(finished(job.out, &made).unwrap(), None);
        std::fs::create_dir(path(DONE)).unwrap();
        assert_eq!(finished(job.out, &made).unwrap_err().exit_code(), 4, "a folder is not unfinished");
        std::fs::remove_dir(path(DONE)).unwrap();
        files::write_atomic(&path(RESULT), b"{}").unwrap();
        files::write_atomic(&path(BACKBONE), &vec![7; 2 << 20]).unwrap();
        Done::write(job.out, &made.address, &[RESULT, BACKBONE]).unwrap();
        let done = finished(job.out, &made).unwrap().unwrap();
        assert_eq!(done.text(job.out, RESULT).unwrap(), "{}");
        // A large file is compared only when it is used.
        files::write_atomic(&path(BACKBONE), &vec![8; 2 << 20]).unwrap();
        assert!(finished(job.out, &made).is_ok() && done.bytes(job.out, BACKBONE).is_err());
        let damage: [&dyn Fn(); 4] = [
            &|| files::write_atomic(&path(BACKBONE), b"cut").unwrap(),
            &|| files::write_atomic(&path(RESULT), b"[]").unwrap(),
            &|| std::fs::remove_file(path(RESULT)).unwrap(),
            &|| files::write_atomic(&path(DONE), b"{}").unwrap(),
        ];
        for (i, break_it) in damage.iter().enumerate() {
            files::write_atomic(&path(BACKBONE), &vec![7; 2 << 20]).unwrap();
            break_it();
            let e = finished(job.out, &made).unwrap_err();
            assert!(matches!(e, Error::Damaged { .. }) && e.to_string().contains("--redo-damaged"), "{i}: {e}");
        }
        Done::write(job.out, "other", &[]).unwrap();
        let e = finished(job.out, &made).unwrap_err();
        assert!(e.to_string().contains("environment.json is damaged: it is missing"), "{e}");
        seal::write(&path(ENVIRONMENT), &made.environment(json!({})).unwrap()).unwrap();
        let e = finished(job.out, &made).unwrap_err();
        assert!(e.exit_code() == 2 && e.to_string().contains("another address"), "{e}");
        files::write_atomic(&path(DONE), b"0123456789abcdef").unwrap();
        assert!(finished(job.out, &made).unwrap_err().to_string().contains("older version"));
        clear(job.out, job.stop).unwrap();
        assert_eq!(std::fs::read_dir(job.out).unwrap().count(), 1, "the lock alone");
    });
}

#[test]
fn a_kept_config_is_the_one_that_ran() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::parse("t", "[data]\nimage_size = 32").unwrap();
    write_config(dir.path(), &config).unwrap();
    assert_eq!(kept_config(dir.path()).unwrap(), config);
    let path = dir.path().join(CONFIG);
    let text = files::read_text(&path).unwrap();
    for changed in [text.replace("image_size = 32", "image_size = 22"), String::new(), text[..200].to_string()] {
        std::fs::write(&path, changed).unwrap();
        let e = kept_config(dir.path()).unwrap_err();
        assert!(matches!(e, Error::Damaged { .. }) && e.to_string().contains("config.toml"), "{e}");
    }
}
