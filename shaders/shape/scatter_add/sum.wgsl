// scatter_add.sum: y[r] = Σ x[n] over the rows n of x whose index is r, in their order in x. An invocation a unit of y;
// neighbours load neighbouring units of the same rows. The loads of four rows do not wait for each other.

struct Params { units: u32, row: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> starts: array<u32>;

fn x_at(i: u32) -> V {
    return got(x[place(i)], i);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.units) {
        return;
    }
    let r = i / p.row;
    let k = i - r * p.row;
    let end = starts[r + 1u];
    var at = starts[r];
    var sum = V(0.0);
    for (; at + 4u <= end; at += 4u) {
        //@ for u in 0..4
        let x_$u = x_at(order[at + $u] * p.row + k);
        //@ end
        //@ for u in 0..4
        sum += x_$u;
        //@ end
    }
    for (; at < end; at++) {
        sum += x_at(order[at] * p.row + k);
    }
    put(i, sum);
}
