// order: the place of an element in its sorted row is how many come before it: those with a smaller key, and those with
// its key further left. An invocation an element, which walks the row: no barriers, any length, length² comparisons.
// What a key is and what becomes of a place is the op's: key_of(i) and put(row, place, at, key).

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.rows * p.length) {
        return;
    }
    let row = i / p.length;
    let first = row * p.length;
    let at = i - first;
    let own = key_of(i);
    var place = 0u;
    var j = 0u;
    for (; j + 4u <= p.length; j += 4u) {
        //@ for u in 0..4
        place += select(0u, 1u, key_of(first + j + $u) < own + select(0u, 1u, j + $u < at));
        //@ end
    }
    for (; j < p.length; j++) {
        place += select(0u, 1u, key_of(first + j) < own + select(0u, 1u, j < at));
    }
    put(row, place, at, own);
}
