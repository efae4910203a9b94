//! A profile as a trace for ui.perfetto.dev and chrome://tracing: the Trace Event Format (Google, "Trace Event Format",
//! 2016), JSON with complete events (`ph` X, `ts` and `dur` in µs), counters (C) and names (M).
//!
//! Host and device have different clocks. The device's track begins when the host begins to submit. So it may be drawn
//! earlier than it was, but never past the end of the wait.

use super::super::Timer;
use super::memory::KINDS;
use super::{Launched, Profile};
use serde_json::{Value, json};

/// Process and threads of the tracks.
const DEVICE: (u32, [&str; 2]) = (1, ["dispatches", "parts of the step"]);
const HOST: (u32, [&str; 1]) = (2, ["record, compile, encode, submit, wait"]);

/// The trace of the step that the profile shows, with what the host did before it.
pub fn trace(profile: &Profile) -> Value {
    let mut events = names(profile);
    let (host, submitted_us) = host(profile);
    events.extend(host);
    let at = |ms: f64| submitted_us + 1e3 * ms;
    let mut free = 0.0;
    for l in &profile.launches {
        let args = json!({
            "variant": l.variant, "kernel": l.kernel, "grid": l.grid, "node": l.node,
            "node_flops": l.node_flops, "node_bytes": l.node_bytes,
        });
        let [begin, end] = in_turn(l.span_ms, &mut free);
        let name = format!("{} {}", l.layer, l.entry);
        events.push(complete(name.trim(), l.phase, (DEVICE.0, 1), (at(begin), 1e3 * (end - begin)), args));
    }
    free = 0.0;
    for part in profile.launches.chunk_by(|a, b| a.phase == b.phase) {
        // The dispatch that begins last need not end last.
        let end = part.iter().map(|l| l.span_ms[1]).fold(0.0, f64::max);
        let [begin, end] = in_turn([part[0].span_ms[0], end], &mut free);
        let args = json!({ "dispatches": part.len() });
        events.push(complete(part[0].phase, "phase", (DEVICE.0, 2), (at(begin), 1e3 * (end - begin)), args));
    }
    for node in profile.launches.chunk_by(|a, b| a.node == b.node) {
        events.push(alive(profile, &node[0], at(node[0].span_ms[0])));
    }
    json!({
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "subject": profile.subject, "adapter": profile.environment.adapter, "driver": profile.environment.driver,
            "timer": profile.environment.timer, "time": profile.environment.time,
        },
    })
}

/// The part of a span after `free`, when its track becomes free. A device may begin a dispatch before the previous one
/// has ended, and events of one track must not overlap.
fn in_turn([begin, end]: [f64; 2], free: &mut f64) -> [f64; 2] {
    let own = [begin.max(*free), end.max(*free)];
    *free = own[1];
    own
}

fn complete(name: &str, category: &str, (pid, tid): (u32, u32), (ts, dur): (f64, f64), args: Value) -> Value {
    json!({ "name": name, "cat": category, "ph": "X", "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args })
}

fn names(profile: &Profile) -> Vec<Value> {
    let mut names = Vec::new();
    let adapter = format!("device: {}", profile.environment.adapter);
    for (process, pid, threads) in [(adapter.as_str(), DEVICE.0, &DEVICE.1[..]), ("host", HOST.0, &HOST.1[..])] {
        names.push(json!({ "name": "process_name", "ph": "M", "pid": pid, "args": { "name": process } }));
        for (i, thread) in threads.iter().enumerate() {
            let name = json!({ "name": thread });
            names.push(json!({ "name": "thread_name", "ph": "M", "pid": pid, "tid": i + 1, "args": name }));
        }
    }
    names
}

/// What the host did, in order, and when it began to submit the step, µs.
fn host(profile: &Profile) -> (Vec<Value>, f64) {
    let p = &profile.preparation;
    let mut list = vec![
        ("record", p.record_ms),
        ("schedule", p.schedule_ms),
        ("compile", p.compile_ms),
        ("first step", p.first_step_ms),
    ];
    let [encode, submit, wait] = profile.host_ms;
    match profile.environment.timer {
        Timer::Timestamps => list.extend([("encode", encode), ("submit", submit), ("wait", wait)]),
        // Each dispatch was encoded, submitted and waited for in turn, beginning with the first.
        Timer::Wall => list.push(("encode, submit and wait for each dispatch", encode + submit + wait)),
    }
    let (mut events, mut at, mut submitted) = (Vec::new(), 0.0, 0.0);
    for (name, ms) in list {
        if name == "submit" || name.starts_with("encode,") {
            submitted = at;
        }
        events.push(complete(name, "host", (HOST.0, 1), (at, 1e3 * ms), json!({})));
        at += 1e3 * ms;
    }
    (events, submitted)
}

/// Live memory while a node runs: a counter with one series for each kind of value.
fn alive(profile: &Profile, launched: &Launched, ts: f64) -> Value {
    let bytes = profile.memory.alive.get(launched.node).copied().unwrap_or_default();
    let series: serde_json::Map<_, _> = KINDS.iter().zip(bytes).map(|(k, b)| (k.to_string(), b.into())).collect();
    json!({ "name": "live memory, bytes", "ph": "C", "pid": DEVICE.0, "ts": ts, "args": series })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_on_the_device_follows_on_its_track() {
        let mut free = 0.0;
        let spans = [[0.0, 4.0], [3.0, 5.0], [3.5, 4.5], [6.0, 7.0]].map(|s| in_turn(s, &mut free));
        assert_eq!(spans, [[0.0, 4.0], [4.0, 5.0], [5.0, 5.0], [6.0, 7.0]]);
    }
}
