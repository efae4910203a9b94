// broadcast: y[c0, c1, c2, c3] = x[Σ c·stride], stride 0 along repeated dimensions; neighbouring dimensions of one kind
// were merged, so four are enough. Words are moved as they are, so f32 and u32 are alike, and so are halves that are copied
// two at a time.
// An invocation writes four elements a step; `load`, a piece of its own, says how x is read and how four of them lie. A
// workgroup owns 256 times four in a row; buffers are padded to 16 bytes, so the last four are whole.

struct Params { vectors: u32, elements: u32, n1: u32, n2: u32, n3: u32, s0: u32, s1: u32, s2: u32, s3: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read_write> y: array<Four>;

// Where element i of y comes from.
fn source(i: u32) -> u32 {
    let above3 = i / p.n3;
    let above2 = above3 / p.n2;
    let above1 = above2 / p.n1;
    return above1 * p.s0 + (above2 % p.n1) * p.s1 + (above3 % p.n2) * p.s2 + (i % p.n3) * p.s3;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let start = group_index(wid, groups) * 256u;
    for (var i = start + lane; i < min(start + 256u, p.vectors); i += 64u) {
        y[i] = load(4u * i);
    }
}
