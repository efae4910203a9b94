// enqueue: row (pointer + i) mod K of the queue becomes row i of the new rows, in place. An invocation moves one unit.

struct Params { slots: u32, rows: u32, vectors: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> queue: array<V>;
@group(0) @binding(2) var<storage, read> rows: array<V>;
@group(0) @binding(3) var<storage, read> pointer: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups) * 64u + lane;
    if (at >= p.rows * p.vectors || held()) {
        return;
    }
    let slot = (pointer[0] % p.slots + at / p.vectors) % p.slots;
    queue[slot * p.vectors + at % p.vectors] = rows[at];
}
