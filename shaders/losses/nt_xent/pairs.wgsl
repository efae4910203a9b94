// nt_xent: every row of z against every other row of z; the positive of row i is row (i + N) mod 2N.

@group(0) @binding(1) var<storage, read> z: array<V>;

fn unit_a(at: u32) -> V {
    return z[at];
}

fn unit_b(at: u32) -> V {
    return z[at];
}

fn counts(i: u32, j: u32) -> bool {
    return i != j;
}

fn positive(i: u32) -> u32 {
    return (i + p.rows / 2u) % p.rows;
}
