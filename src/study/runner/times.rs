//! The account of a process's time, for people and in the study's folder.

use crate::base::Error;
use crate::study::names::TIMES;
use crate::study::session::Job;
use std::io::Write;

impl Job<'_> {
    /// Says where the time of this process went, and adds a line to `times.jsonl`. A process that found everything done
    /// says nothing. No result is lost with that file, so that it is only warned of if it cannot be written.
    pub(super) fn tell_times(&self) {
        let times = self.shared.times();
        if times.training_s + times.evaluation_s == 0.0 {
            return;
        }
        self.progress.note(&times.to_string());
        let path = &self.out.join(TIMES);
        // Lines of several processes do not mix: a short write at the end of a file is one.
        let file = std::fs::File::options().create(true).append(true).open(path);
        let line = serde_json::json!(times).to_string() + "\n";
        if let Err(e) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            self.progress.note(&format!("warning: {}", Error::io(path, "write", e)));
        }
    }
}
