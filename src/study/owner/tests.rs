//! Locks that are granted to two, machines that vanish or stand still, folders that are copied, and clocks: all with a
//! time that passes only when somebody waits.

use super::*;
use crate::study::folder::Done;
use std::sync::Mutex;

/// A time that passes when it is slept, and what happens at some moments of it.
struct Told<'a> {
    now: Mutex<Duration>,
    meanwhile: &'a (dyn Fn(Duration) + Sync),
}

impl<'a> Told<'a> {
    fn new(meanwhile: &'a (dyn Fn(Duration) + Sync)) -> Told<'a> {
        Told { now: Mutex::default(), meanwhile }
    }
}

impl Time for Told<'_> {
    fn now(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        let now = self.now() + time;
        *self.now.lock().unwrap() = now;
        (self.meanwhile)(now);
    }
}

static GOES: AtomicBool = AtomicBool::new(false);

fn me(id: &str, machine: &str) -> Me {
    Me { id: id.into(), machine: machine.into() }
}

fn nothing(_: Duration) {}

#[test]
fn a_lock_granted_to_two_makes_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, a, b) = (dir.path(), me("a", "one"), me("b", "two"));
    let quiet = Told::new(&nothing);
    take(folder, &a, None, (&quiet, &GOES)).unwrap();
    assert_eq!(quiet.now(), Duration::ZERO, "nobody waits for a folder that is free");
    // The lock is granted to b, too. It sees a's beat, and leaves.
    let beats = |_: Duration| assert!(renew(folder, &a));
    let time = Told::new(&beats);
    let e = take(folder, &b, None, (&time, &GOES)).unwrap_err();
    assert!(matches!(&e, Error::Busy(held) if held == folder) && time.now() < PATIENCE, "{e}");
    assert!(expect_mine(folder, &a).is_ok() && expect_mine(folder, &b).is_err());
    // A stop is heard while b watches.
    let stop = AtomicBool::new(true);
    assert_eq!(take(folder, &b, None, (&quiet, &stop)).unwrap_err().exit_code(), 75);
}

#[test]
fn a_machine_that_vanished_is_followed_and_one_that_stood_still_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, a, b) = (dir.path(), me("a", "one"), me("b", "two"));
    let quiet = Told::new(&nothing);
    take(folder, &a, None, (&quiet, &GOES)).unwrap();
    let time = Told::new(&nothing); // a beats no more
    take(folder, &b, None, (&time, &GOES)).unwrap();
    assert!(time.now() >= PATIENCE, "b waited long enough: {:?}", time.now());
    // a was only cut off. It is back, and may neither renew nor finish.
    assert!(!renew(folder, &a));
    let e = expect_mine(folder, &a).unwrap_err();
    assert_eq!(e.exit_code(), 75);
    assert!(expect_mine(folder, &b).is_ok() && renew(folder, &b));
    // The guard of `done` is the same: this process is neither.
    std::fs::write(folder.join("result.json"), "{}").unwrap();
    let e = Done::write(folder, "address", &["result.json"]).unwrap_err();
    assert!(matches!(e, Error::Busy(_)) && !folder.join("done").exists(), "{e}");
    std::fs::remove_file(folder.join(OWNER)).unwrap();
    Done::write(folder, "address", &["result.json"]).unwrap(); // nobody works there
}

/// a stands still, b follows it, finishes, and removes its file. Then a wakes.
#[test]
fn one_that_stood_still_until_its_follower_has_finished_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, b) = (dir.path(), me("b", "two"));
    let (quiet, own) = (Told::new(&nothing), Me::own());
    let woken = owned(folder, (own, None), (&quiet, &GOES), || {
        std::fs::write(folder.join("result.json"), "{}").unwrap();
        Done::write(folder, "address", &["result.json"])?; // it is its own so far
        std::fs::remove_file(folder.join("done")).unwrap();
        let time = Told::new(&nothing);
        take(folder, &b, watch(folder, &b, (&time, &GOES))?, (&time, &GOES))?;
        assert!(time.now() < PATIENCE + 3 * LOOK, "who was watched is not watched again: {:?}", time.now());
        forget_owner(folder);
        assert!(!renew(folder, own));
        let lost = |made: Result<()>| matches!(made, Err(Error::Busy(_)));
        assert!(lost(Done::write(folder, "address", &["result.json"]).map(drop)));
        assert!(lost(crate::study::results::write_epochs(folder, &[])) && lost(still_mine(folder)));
        still_mine(folder)
    });
    assert_eq!(woken.unwrap_err().exit_code(), 75);
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["result.json"], "neither done nor an owner");
    assert!(still_mine(folder).is_ok(), "nobody works there any more");
}

#[test]
fn two_that_watched_a_machine_vanish_do_not_both_follow_it() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, a, b, c) = (dir.path(), me("a", "one"), me("b", "two"), me("c", "three"));
    let quiet = Told::new(&nothing);
    take(folder, &a, None, (&quiet, &GOES)).unwrap();
    // Both have watched to the end, and c writes just after b did.
    let c_writes = |now: Duration| {
        if now > PATIENCE {
            write(folder, &c, 0).unwrap();
        }
    };
    let time = Told::new(&c_writes);
    assert!(matches!(take(folder, &b, None, (&time, &GOES)), Err(Error::Busy(_))));
    assert!(expect_mine(folder, &c).is_ok() && expect_mine(folder, &b).is_err());
}

#[test]
fn what_the_same_machine_left_a_copy_or_damage_never_stops_a_folder_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, a, b) = (dir.path(), me("a", "one"), me("b", "one"));
    let quiet = Told::new(&nothing);
    take(folder, &a, None, (&quiet, &GOES)).unwrap();
    // A killed process of the same machine, or a copy of its folder there: the lock says all.
    take(folder, &b, None, (&quiet, &GOES)).unwrap();
    assert_eq!(quiet.now(), Duration::ZERO);
    // A copy on another machine, a damaged file, and machines without a name: it is watched once, and then taken.
    for (left, machine) in [("whole", "two"), ("damaged", "one"), ("nameless", "")] {
        match left {
            "damaged" => std::fs::write(folder.join(OWNER), "{").unwrap(),
            "nameless" => write(folder, &me("n", ""), 7).unwrap(),
            _ => {}
        }
        let time = Told::new(&nothing);
        take(folder, &me("c", machine), None, (&time, &GOES)).unwrap();
        assert!(time.now() >= PATIENCE && time.now() < 2 * PATIENCE, "{left}");
    }
}

#[test]
fn a_folder_is_free_after_the_work_and_after_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, a) = (dir.path(), me("a", "one"));
    let quiet = Told::new(&nothing);
    let there = owned(folder, (&a, None), (&quiet, &GOES), || Ok(owner(folder).unwrap().id)).unwrap();
    assert!(there == "a" && !folder.join(OWNER).exists());
    let e = owned(folder, (&a, None), (&quiet, &GOES), || Err::<(), _>(Error::Failed("no".into()))).unwrap_err();
    assert!(e.exit_code() == 1 && !folder.join(OWNER).exists());
    // One that another took meanwhile is left to the other.
    owned(folder, (&a, None), (&quiet, &GOES), || write(folder, &me("b", "two"), 3)).unwrap();
    assert_eq!(owner(folder).unwrap().id, "b");
    assert!(Me::own().id.len() == 32 && Me::own() == Me::own());
    assert!(!Me::own().machine.is_empty() || !cfg!(any(target_os = "linux", target_os = "macos")));
}
