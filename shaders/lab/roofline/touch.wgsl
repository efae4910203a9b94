// y[0] = y[0] + 1: as little as a dispatch can do that must wait for the one before. One workgroup of one invocation.

@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(1)
fn main() {
    y[0] = y[0] + 1u;
}
